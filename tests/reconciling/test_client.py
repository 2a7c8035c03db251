"""Asking BigQuery: pages, patience, and what is said when it does not answer."""

import socket
from datetime import UTC, datetime, timedelta

import pytest

from hoop_mitm import outbound
from hoop_mitm.config.model import Upstream
from hoop_mitm.devkit.world import World
from hoop_mitm.errors import AskingError
from hoop_mitm.reconciling import BigQuery, jobs_view
from hoop_mitm.reconciling.ran import Ran
from tests.reconciling.asking import Somebody, client, unique

ALICE = "alice@acme.example"


@pytest.fixture(scope="module")
def alice(world: World) -> Somebody:
    return Somebody.of(world, ALICE)


def listed(asking: BigQuery, since: datetime, location: str = "US") -> list[Ran]:
    statement = jobs_view.statement("acme", location, since, datetime.now(UTC) + timedelta(seconds=1))
    asked = asking.query("acme", location, statement, jobs_view.LABEL)
    return [Ran.of_row(row, location) for row in asked.rows]


def test_the_list_and_the_api_tell_the_same(world: World, alice: Somebody) -> None:
    since = datetime.now(UTC) - timedelta(seconds=1)
    labels = {"hoop-session": "s-1"}
    well = alice.run("SELECT email FROM shop.customers", unique("well"), labels=labels)
    badly = alice.run("SELECT nothing FROM shop.customers", unique("badly"))
    into = {"projectId": "acme", "datasetId": "shop", "tableId": "reconciled_into"}
    query = {
        "query": "SELECT 1 AS x",
        "useLegacySql": False,
        "destinationTable": into,
        "writeDisposition": "WRITE_TRUNCATE",
    }
    table = unique("table")
    alice.session.post(
        "https://bigquery.googleapis.com/bigquery/v2/projects/acme/jobs",
        json={"jobReference": {"projectId": "acme", "jobId": table}, "configuration": {"query": query}},
    )
    asking = client(world)

    by_id = {job.id: job for job in listed(asking, since)}

    for job_id in (well, badly, table):
        assert asking.job("acme", job_id, "US") == by_id[job_id]
    assert by_id[well].session == "s-1"
    assert by_id[well].user == ALICE
    assert by_id[well].name == f"acme:US.{well}"
    assert by_id[badly].error
    assert str(by_id[table].destination) == "acme.shop.reconciled_into"


def test_what_comes_in_pages_is_read_to_the_end(world: World, alice: Somebody) -> None:
    since = datetime.now(UTC) - timedelta(seconds=1)
    made = {alice.run(f"SELECT {number} AS paged", unique(f"paged-{number}")) for number in range(7)}
    asking = client(world, page=2)
    until = datetime.now(UTC) + timedelta(seconds=1)

    assert made <= {job.id for job in listed(asking, since)}
    assert made <= {job.id for job in asking.jobs("acme", since, until, everybody=True)}


def test_jobs_of_others_are_listed_only_where_they_are_asked_for(world: World, alice: Somebody) -> None:
    since, until = datetime.now(UTC) - timedelta(seconds=1), datetime.now(UTC) + timedelta(minutes=1)
    job = alice.run("SELECT 1 AS hers", unique("hers"))

    assert job in {each.id for each in client(world, ALICE).jobs("acme", since, until, everybody=False)}
    assert job not in {each.id for each in client(world).jobs("acme", since, until, everybody=False)}
    assert job in {each.id for each in client(world).jobs("acme", since, until, everybody=True)}


def test_places_are_where_jobs_ran_and_data_lies(world: World, alice: Somebody) -> None:
    since = datetime.now(UTC)
    alice.run("SELECT 1 AS far", unique("far"), location="asia-northeast1")

    found = client(world).locations("acme", since - timedelta(seconds=1), datetime.now(UTC) + timedelta(seconds=1))

    assert found == {"US", "asia-northeast1"}


def test_a_job_that_is_not_there_is_none(world: World, alice: Somebody) -> None:
    job = alice.run("SELECT 1", unique("somewhere"))
    asking = client(world)

    assert asking.job("acme", "never", None) is None
    assert asking.job("acme", job, "EU") is None
    assert asking.job("acme", job, None) is not None


def test_a_moment_of_weakness_is_waited_out(world: World) -> None:
    world.bigquery.fail_next(503, times=2)
    assert client(world).job("acme", "never", None) is None


@pytest.mark.parametrize(
    ("status", "reason", "next_step"),
    [
        (403, "accessDenied", "roles/bigquery.resourceViewer"),
        (400, "invalid", "spelled"),
    ],
)
def test_a_refusal_says_what_to_do(world: World, status: int, reason: str, next_step: str) -> None:
    world.bigquery.fail_next(status, reason, "No, not you.")
    with pytest.raises(AskingError) as raised:
        client(world).job("acme", "never", None)

    assert raised.value.why == f"BigQuery answered {status}: No, not you."
    assert next_step in raised.value.next_step


def test_who_cannot_be_reached_is_said() -> None:
    # Taken, so that nobody else takes it, and not listened at.
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        nobody = outbound.session(Upstream(hosts={"bigquery.googleapis.com": f"127.0.0.1:{port}"}))
        with pytest.raises(AskingError, match="cannot be reached"):
            BigQuery(nobody, lambda: "token", pause=0.01).job("acme", "never", None)


def test_the_token_is_in_no_error(world: World) -> None:
    token = world.google.issue(ALICE, lifetime=-1)
    with pytest.raises(AskingError) as raised:
        BigQuery(outbound.session(Upstream(ca=world.ca, hosts=world.hosts)), lambda: token).job("acme", "x", None)
    assert token not in f"{raised.value!r} {raised.value}"
    assert "401" in raised.value.why
