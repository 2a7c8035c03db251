"""What became of a request: asked of a real job list."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from hoop_mitm.devkit.world import World
from hoop_mitm.reconciling import BigQuery, Ran, Resolution, resolve
from hoop_mitm.reconciling.intents import of_job
from tests.reconciling.asking import Somebody, client, unique
from tests.reconciling.test_comparing import NAMELESS, RAN, RECORDED, SESSION

GATEWAY = "gateway@acme.example"
LABEL = {"hoop-session": SESSION}


@pytest.fixture(scope="module")
def gateway(world: World) -> Somebody:
    return Somebody.of(world, GATEWAY)


@pytest.fixture(scope="module")
def asking(world: World) -> BigQuery:
    return client(world, GATEWAY)


def now() -> datetime:
    return datetime.now(UTC)


LATER = timedelta(minutes=3)


@pytest.mark.parametrize(
    ("statement", "outcome"),
    [("SELECT 1 AS intended", "ran"), ("SELECT nothing_at_all FROM shop.orders", "failed")],
)
def test_by_its_id(gateway: Somebody, asking: BigQuery, statement: str, outcome: str) -> None:
    job = gateway.run(statement, unique("intent"), labels=LABEL)
    record = replace(RECORDED, id=job, state="UNKNOWN", statement=statement, started_at=now())

    resolution = resolve(asking, record, others=(), now=now())

    assert (resolution.outcome, resolution.is_final) == (outcome, True)
    assert resolution.job
    assert resolution.job.id == job


@pytest.mark.parametrize("change", ["another session", "no label", "older"])
def test_an_id_that_somebody_else_has_is_not_ours(gateway: Somebody, asking: BigQuery, change: str) -> None:
    labels = {"another session": {"hoop-session": "other"}, "no label": {}, "older": LABEL}[change]
    job = gateway.run("SELECT 1", unique("taken"), labels=labels)
    started = now() + (timedelta(minutes=5) if change == "older" else timedelta())
    record = replace(RECORDED, id=job, state="UNKNOWN", started_at=started)

    assert resolve(asking, record, others=(), now=started + LATER).outcome == "never_ran"


def test_by_its_looks_where_it_was_given_no_id(gateway: Somebody, asking: BigQuery) -> None:
    statement = f"SELECT '{unique('looks')}'"
    record = replace(NAMELESS, state="UNKNOWN", statement=statement, started_at=now(), ended_at=None)
    gateway.run(statement, unique("unlabelled"))
    gateway.run("SELECT 2", unique("another-text"), labels=LABEL)
    known = gateway.run(statement, unique("recorded-already"), labels=LABEL)
    job = gateway.run(statement, unique("looks"), labels=LABEL)

    resolution = resolve(asking, record, others=[known], now=now())

    assert resolution.job
    assert (resolution.outcome, resolution.job.id) == ("ran", job)


def test_the_gateways_own_credential_sees_the_gateways_jobs_only(world: World, asking: BigQuery) -> None:
    statement = f"SELECT '{unique('mallory')}'"
    record = replace(NAMELESS, state="UNKNOWN", statement=statement, started_at=now(), ended_at=None)
    Somebody.of(world, "mallory@acme.example").run(statement, unique("mallory"), labels=LABEL)

    assert resolve(asking, record, others=(), now=now() + LATER).outcome == "never_ran"
    assert resolve(asking, record, others=(), now=now() + LATER, everybody=True).outcome == "ran"


@pytest.mark.parametrize(
    ("age", "may_be_jobless", "outcome", "final"),
    [
        # There is none yet, and there may be one in a moment.
        (timedelta(seconds=1), False, "unknown", False),
        (timedelta(seconds=1), True, "unknown", False),
        (LATER, False, "never_ran", True),
        (LATER, True, "unknown", True),
    ],
)
def test_where_there_is_no_job(
    asking: BigQuery, age: timedelta, outcome: str, *, may_be_jobless: bool, final: bool
) -> None:
    record = replace(
        NAMELESS, state="UNKNOWN", statement=unique("never"), started_at=now(), may_be_jobless=may_be_jobless
    )

    resolution = resolve(asking, record, others=(), now=record.started_at + age)

    assert (resolution.outcome, resolution.is_final, resolution.job) == (outcome, final, None)


@pytest.mark.parametrize(
    ("job", "outcome", "final", "said"),
    [
        (replace(RAN, statement_type="INSERT", rows_changed=3), "ran", True, "ended well (INSERT, 3 rows changed)"),
        (RAN, "ran", True, "ended well (QUERY)"),
        (replace(RAN, error="no such table"), "failed", True, "ended with an error"),
        (replace(RAN, state="RUNNING"), "running", False, "still running"),
        (replace(RAN, state="PENDING"), "running", False, "still running"),
    ],
)
def test_what_a_job_tells(job: Ran, outcome: str, said: str, *, final: bool) -> None:
    resolution = of_job(job)
    assert (resolution.outcome, resolution.is_final) == (outcome, final)
    assert said in resolution.message
    assert job.name in resolution.message


def test_what_is_said_without_a_job() -> None:
    assert "never ran" in Resolution("never_ran").message
    assert "yet" in Resolution("unknown").message
    assert "without making a job" in Resolution("unknown", jobless=True).message
