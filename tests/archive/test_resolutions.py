"""A request whose answer was lost is told with what was found out afterwards."""

import json

import pytest

from hoop_mitm.archive import RESOLVED, Resolved, open_archive, shapes, summary
from tests.archive.building import Builder, seconds

LOST = "The gateway ended before the answer came."


def resolve(builder: Builder, session: str, flow: str, outcome: str, **details: object) -> None:
    builder.event(
        session, RESOLVED, f"It {outcome}.", flow_id=flow, details=json.dumps({"outcome": outcome, **details})
    )


@pytest.fixture
def asked(builder: Builder) -> tuple[str, str]:
    """A session and the flow of a statement in it whose answer nobody saw."""
    session = builder.session()
    key = builder.job(session, "DELETE FROM shop.orders", id=None, state="UNKNOWN", row_count=None)
    flow = builder.flow(session, job_key=key, door="jobs.query", state="open", status=None, error=LOST)
    builder.job(session, "SELECT 1", at=builder.tables["sessions"][0]["started_at"] + seconds(5))
    return session, flow


@pytest.mark.parametrize(
    ("outcome", "in_one_word", "says"),
    [
        ("ran", "ok", "its answer was lost. It ran."),
        ("failed", "error", "its answer was lost. It failed. no such table"),
        ("never_ran", "unfinished", "its answer was lost. It never_ran."),
        ("unknown", "unfinished", "its answer was lost. It unknown."),
        (None, "unfinished", None),
    ],
)
def test_job_and_exchange_tell_it(
    builder: Builder, asked: tuple[str, str], outcome: str | None, in_one_word: str, says: str | None
) -> None:
    session, flow = asked
    if outcome:
        resolve(builder, session, flow, outcome, job="job_9", error="no such table" if outcome == "failed" else None)
    with open_archive(builder.write()) as archive:
        detail = archive.show(archive.find(session))

    job, other = detail.jobs
    assert (summary.outcome(job), summary.trouble(job)) == (in_one_word, says)
    assert (other.resolved, summary.outcome(other)) == (None, "ok")
    error = "no such table" if outcome == "failed" else None
    expected = Resolved(outcome, f"It {outcome}.", "job_9", error) if outcome else None
    assert job.resolved == detail.flows[0].resolved == expected
    told = " ".join(concern.message for concern in summary.concerns(detail) if concern.flow)
    assert told == (
        f"was sent, and its answer was lost. It {outcome}." if outcome else "was sent, and what came of it is not known"
    )
    shape = shapes.job(job)["resolved"]
    assert shape == (outcome and {"outcome": outcome, "message": f"It {outcome}.", "job": "job_9", "error": error})
    assert shapes.flow(detail.flows[0])["resolved"] == shape


def test_the_last_word_counts(builder: Builder, asked: tuple[str, str]) -> None:
    session, flow = asked
    resolve(builder, session, flow, "unknown")
    resolve(builder, session, flow, "ran")
    with open_archive(builder.write()) as archive:
        [job, _] = archive.show(archive.find(session)).jobs
    assert job.resolved
    assert job.resolved.outcome == "ran"


def test_what_has_an_outcome_of_its_own_is_not_touched(builder: Builder) -> None:
    session = builder.session()
    key = builder.job(session, "SELECT 1")
    flow = builder.flow(session, job_key=key)
    resolve(builder, session, flow, "never_ran")
    with open_archive(builder.write()) as archive:
        detail = archive.show(archive.find(session))
    assert (detail.jobs[0].resolved, detail.flows[0].resolved) == (None, None)
