"""INFORMATION_SCHEMA.JOBS of the local BigQuery, asked as anybody would ask Google's."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests

from hoop_mitm import outbound
from hoop_mitm.bigquery.rows import decode_rows
from hoop_mitm.devkit.world import World
from tests.devkit.google_clients import upstream

API = "https://bigquery.googleapis.com/bigquery/v2/projects/acme"
VIEW = "`region-us`.INFORMATION_SCHEMA.JOBS"


class Asker:
    """Somebody with an access token of their own."""

    def __init__(self, world: World, email: str) -> None:
        self.email = email
        self.session: requests.Session = outbound.session(upstream(world))
        self.session.headers["Authorization"] = f"Bearer {world.google.issue(email)}"

    def query(self, statement: str, **more: Any) -> requests.Response:
        return self.session.post(f"{API}/queries", json={"query": statement, "useLegacySql": False, **more})

    def rows(self, statement: str, **more: Any) -> list[tuple[Any, ...]]:
        answer = self.query(statement, formatOptions={"useInt64Timestamp": True}, **more)
        assert answer.status_code == 200, answer.text
        return decode_rows(answer.json()["schema"], answer.json().get("rows", ()))

    def run(self, statement: str, **more: Any) -> str:
        """The id of a job that has run, well or not."""
        job = f"listed-{id(statement)}-{datetime.now(UTC).timestamp():.6f}".replace(".", "-")
        reference = {"projectId": "acme", "jobId": job, **more.pop("reference", {})}
        configuration = {"query": {"query": statement, "useLegacySql": False}, **more}
        answer = self.session.post(f"{API}/jobs", json={"jobReference": reference, "configuration": configuration})
        assert answer.status_code == 200, answer.text
        return job


@pytest.fixture(scope="module")
def alice(world: World) -> Asker:
    return Asker(world, "alice@acme.example")


@pytest.fixture(scope="module")
def bob(world: World) -> Asker:
    return Asker(world, "bob@acme.example")


@pytest.fixture
def unprivileged(world: World, bob: Asker) -> Iterator[Asker]:
    world.bigquery.jobs.list.unprivileged.add(bob.email)
    yield bob
    world.bigquery.jobs.list.unprivileged.clear()


def test_a_job_is_told_in_googles_words(alice: Asker) -> None:
    began = datetime.now(UTC) - timedelta(seconds=1)
    job = alice.run("SELECT id, email FROM shop.customers", labels={"team": "sales", "hoop-session": "made-up"})

    [row] = alice.rows(
        "SELECT project_id, user_email, job_type, statement_type, state, query, priority, total_bytes_billed, cache_hit, "
        "labels, referenced_tables, error_result, parent_job_id, creation_time, end_time, destination_table.dataset_id "
        f"FROM {VIEW} WHERE job_id = '{job}'"
    )

    assert row[:9] == (
        "acme", alice.email, "QUERY", "SELECT", "DONE", "SELECT id, email FROM shop.customers", "INTERACTIVE",
        10 * 2**20, False,
    )  # fmt: skip
    assert row[9] == [{"key": "team", "value": "sales"}, {"key": "hoop-session", "value": "made-up"}]
    assert row[10] == [{"project_id": "acme", "dataset_id": "shop", "table_id": "customers"}]
    assert row[11:13] == (None, None)
    assert began <= row[13] <= row[14] <= datetime.now(UTC)
    assert row[15].startswith("_")


@pytest.mark.parametrize(
    "view",
    [
        "`region-us`.INFORMATION_SCHEMA.JOBS",
        "`region-us`.INFORMATION_SCHEMA.JOBS_BY_PROJECT",
        "`region-US`.INFORMATION_SCHEMA.JOBS_BY_USER",
        "region-us.INFORMATION_SCHEMA.JOBS",
        "`region-us.INFORMATION_SCHEMA.JOBS`",
        "`acme`.`region-us`.INFORMATION_SCHEMA.JOBS_BY_PROJECT",
        "acme.`region-us`.INFORMATION_SCHEMA.JOBS_BY_PROJECT",
        "`acme.region-us.INFORMATION_SCHEMA.JOBS_BY_PROJECT`",
        "`acme.region-us`.INFORMATION_SCHEMA.JOBS",
    ],
)
def test_the_view_may_be_written_as_for_google(alice: Asker, view: str) -> None:
    job = alice.run("SELECT 1 AS written")
    assert alice.rows(f"SELECT j.job_id FROM {view} AS j WHERE j.job_id = '{job}'") == [(job,)]


def test_ordinary_conditions_hold(alice: Asker) -> None:
    job = alice.run("SELECT 1 AS conditions", labels={"kind": "rare"})
    moment = datetime.now(UTC)
    between = "creation_time >= TIMESTAMP '{:%F %T+00}' AND creation_time < TIMESTAMP '{:%F %T+00}'".format
    asked = f"SELECT job_id FROM {VIEW} WHERE query LIKE 'SELECT 1 AS cond%' AND "

    assert alice.rows(asked + between(moment - timedelta(minutes=1), moment + timedelta(minutes=1))) == [(job,)]
    assert alice.rows(asked + between(moment - timedelta(minutes=9), moment - timedelta(minutes=1))) == []
    assert alice.rows(
        f"SELECT user_email, COUNT(*) FROM {VIEW}, UNNEST(labels) AS label WHERE label.value = 'rare' GROUP BY 1"
    ) == [(alice.email, 1)]


def test_everybodys_jobs_are_listed_by_project_and_ones_own_by_user(alice: Asker, bob: Asker) -> None:
    hers, his = alice.run("SELECT 1 AS hers"), bob.run("SELECT 1 AS his")
    where = f"WHERE job_id IN ('{hers}', '{his}') ORDER BY user_email"

    assert alice.rows(f"SELECT job_id, user_email FROM {VIEW} {where}") == [(hers, alice.email), (his, bob.email)]
    assert alice.rows(f"SELECT job_id FROM `region-us`.INFORMATION_SCHEMA.JOBS_BY_USER {where}") == [(hers,)]


def test_who_may_not_list_all_jobs_is_refused(unprivileged: Asker) -> None:
    for view in ("JOBS", "JOBS_BY_PROJECT"):
        refused = unprivileged.query(f"SELECT job_id FROM `region-us`.INFORMATION_SCHEMA.{view}")
        assert (refused.status_code, refused.json()["error"]["errors"][0]["reason"]) == (403, "accessDenied")
    assert unprivileged.query("SELECT job_id FROM `region-us`.INFORMATION_SCHEMA.JOBS_BY_USER").status_code == 200


@pytest.mark.parametrize(
    ("view", "location"),
    [("`region-narnia`.INFORMATION_SCHEMA.JOBS", ""), ("`region-eu`.INFORMATION_SCHEMA.JOBS", "US")],
)
def test_a_region_is_asked_where_it_is(alice: Asker, view: str, location: str) -> None:
    refused = alice.query(f"SELECT job_id FROM {view}", **({"location": location} if location else {}))
    assert (refused.status_code, refused.json()["error"]["errors"][0]["reason"]) == (404, "notFound")


def test_jobs_are_listed_where_they_ran(alice: Asker) -> None:
    job = alice.run("SELECT 1 AS abroad", reference={"location": "EU"})
    where = f"WHERE job_id = '{job}'"

    assert alice.rows(f"SELECT job_id FROM `region-eu`.INFORMATION_SCHEMA.JOBS {where}", location="EU") == [(job,)]
    assert alice.rows(f"SELECT job_id FROM {VIEW} {where}") == []
    assert alice.session.get(f"{API}/jobs/{job}", params={"location": "EU"}).status_code == 200
    assert alice.session.get(f"{API}/jobs/{job}", params={"location": "US"}).status_code == 404
    assert alice.query("SELECT id FROM shop.orders", location="EU").status_code == 404


def test_a_job_that_failed_is_listed_with_its_error(alice: Asker) -> None:
    assert alice.query("SELECT nothing_of_this_name FROM shop.orders").status_code == 400

    [(state, reason, billed)] = alice.rows(
        f"SELECT state, error_result.reason, total_bytes_billed FROM {VIEW} WHERE query LIKE 'SELECT nothing_of_this%'"
    )

    assert (state, reason, billed) == ("DONE", "invalidQuery", 0)


def test_a_query_without_a_job_is_listed_under_its_query_id(alice: Asker) -> None:
    answer = alice.query("SELECT 1 AS listed_jobless", jobCreationMode="JOB_CREATION_OPTIONAL").json()

    assert "jobReference" not in answer
    assert alice.session.get(f"{API}/jobs/{answer['queryId']}").status_code == 404
    assert alice.rows(f"SELECT job_id FROM {VIEW} WHERE query = 'SELECT 1 AS listed_jobless'") == [(answer["queryId"],)]


def test_the_statements_of_a_script_are_jobs_below_it(alice: Asker) -> None:
    job = alice.run("DECLARE x INT64 DEFAULT 1; SELECT x AS first; SELECT x + 1 AS second;")

    rows = alice.rows(f"SELECT job_id, query FROM {VIEW} WHERE parent_job_id = '{job}' ORDER BY query")
    listed = alice.session.get(f"{API}/jobs", params={"parentJobId": job}).json()["jobs"]

    assert [query for _, query in rows] == ["DECLARE x INT64 DEFAULT 1", "SELECT x + 1 AS second", "SELECT x AS first"]
    assert {each["jobReference"]["jobId"] for each in listed} == {job_id for job_id, _ in rows}


def test_the_list_is_narrowed_by_time_and_says_what_was_run(alice: Asker) -> None:
    job = alice.run("SELECT 1 AS narrowed", labels={"a": "b"})
    now = int(datetime.now(UTC).timestamp() * 1000)

    def listed(**params: object) -> dict[str, Any]:
        answer = alice.session.get(f"{API}/jobs", params={"maxResults": "1000", **params}).json()
        return {each["jobReference"]["jobId"]: each for each in answer["jobs"]}

    recent = listed(minCreationTime=now - 60_000, maxCreationTime=now + 1000, projection="full")
    assert recent[job]["configuration"]["query"]["query"] == "SELECT 1 AS narrowed"
    assert "configuration" not in listed()[job]
    assert job not in listed(maxCreationTime=now - 60_000)
    assert job not in listed(minCreationTime=now + 60_000)


def test_the_emulators_own_table_is_gone_afterwards(alice: Asker) -> None:
    alice.rows(f"SELECT job_id FROM {VIEW} LIMIT 1")
    assert alice.session.get(f"{API}/datasets/_job_lists/tables").json().get("tables", []) == []
