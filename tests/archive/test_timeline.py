import pytest

from hoop_mitm.archive import open_archive, timeline
from tests.archive.building import NOON, seconds


@pytest.fixture
def moments(builder):
    def told():
        with open_archive(builder.write()) as archive:
            return timeline(archive.show(archive.find("@last")))

    return told


def said(moments):
    return [(moment.kind, moment.offset.total_seconds()) for moment in moments]


def test_a_session_begins_asks_gets_answers_and_ends(builder, moments):
    session = builder.session(ended=60)
    slow = builder.job(session, "SELECT 1", at=NOON + seconds(1), took=5)
    builder.flow(session, at=NOON + seconds(1), took=1, job_key=slow, door="jobs.insert")
    builder.flow(session, at=NOON + seconds(2), took=5, job_key=slow)
    quick = builder.job(session, "SELECT 2", at=NOON + seconds(3), took=1)
    builder.flow(session, at=NOON + seconds(3), took=1, job_key=quick)
    builder.flow(session, at=NOON + seconds(10), door="tables.list")
    builder.event(session, "identity.refused", "expired", at=NOON + seconds(20))
    builder.event(session, "session.started", "", at=NOON)
    found = moments()
    assert said(found) == [
        ("start", 0),
        ("ask", 1),
        ("ask", 3),
        ("answer", 4),
        ("answer", 6),
        ("call", 10),
        ("event", 20),
        ("end", 60),
    ]
    assert [moment.job.statement for moment in found if moment.kind == "answer"] == ["SELECT 2", "SELECT 1"]


@pytest.mark.parametrize(
    ("job", "kind"),
    [
        ({}, "answer"),
        ({"error": "Syntax error"}, "error"),
        ({"decision": "deny", "message": "no", "state": "DENIED"}, "deny"),
        ({"dry_run": True}, "answer"),
    ],
)
def test_an_answer_says_how_it_was(builder, moments, job, kind):
    session = builder.session()
    key = builder.job(session, "SELECT 1", at=NOON, **job)
    builder.flow(session, at=NOON, job_key=key)
    assert [moment.kind for moment in moments()][1:3] == ["ask", kind]


def test_a_job_without_an_outcome_is_only_asked(builder, moments):
    session = builder.session()
    key = builder.job(session, "DELETE FROM t WHERE true", state="UNKNOWN", ended_at=None)
    builder.flow(session, job_key=key, state="open", status=None, ended_at=None)
    assert [moment.kind for moment in moments()] == ["start", "ask", "end"]


@pytest.mark.parametrize("google", [-3600, 3600])
def test_an_answer_lies_within_what_the_gateway_saw_whatever_googles_clock_says(builder, moments, google):
    session = builder.session()
    key = builder.job(session, "SELECT 1", at=NOON, ended_at=NOON + seconds(google))
    builder.flow(session, at=NOON, took=2, job_key=key)
    ask, answer = moments()[1:3]
    assert ask.at <= answer.at <= NOON + seconds(2)


def test_a_session_that_goes_on_has_no_end(builder, moments):
    from datetime import UTC, datetime

    builder.session(at=datetime.now(UTC), ended=None)
    assert [moment.kind for moment in moments()] == ["start"]
