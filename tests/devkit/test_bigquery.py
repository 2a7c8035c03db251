"""The local BigQuery, as Google's own client and a bare HTTP client see it."""

import json
import time
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Any

import google.api_core.exceptions
import pytest
import requests
from google.cloud import bigquery

from hoop_mitm import outbound
from hoop_mitm.devkit.world import World
from tests.devkit.google_clients import bigquery_client, upstream

API = "https://bigquery.googleapis.com/bigquery/v2"


@pytest.fixture(scope="module")
def client(world: World) -> bigquery.Client:
    return bigquery_client(world)


class Bare:
    """Plain HTTP to BigQuery's own name, with a token or without."""

    def __init__(self, world: World, token: str | None) -> None:
        self._session: requests.Session = outbound.session(upstream(world))
        if token is not None:
            self._session.headers["Authorization"] = f"Bearer {token}"

    def __call__(self, method: str, path: str, **keywords: Any) -> requests.Response:
        return self._session.request(method, f"{API}{path}", **keywords)

    def query(self, statement: str, **more: Any) -> requests.Response:
        return self("POST", "/projects/acme/queries", json={"query": statement, "useLegacySql": False, **more})


@pytest.fixture
def bare(world: World) -> Bare:
    return Bare(world, world.google.issue("somebody@acme.example"))


# Answers


def test_query_gives_typed_rows(client: bigquery.Client) -> None:
    [row] = client.query("SELECT id, order_date, total, items FROM shop.orders WHERE id = 1").result()

    assert row["order_date"] == date(2026, 1, 1)
    assert row["total"] == Decimal(245)
    assert row["items"][0]["sku"] == "KET-05"


def test_query_and_wait_takes_parameters(client: bigquery.Client) -> None:
    config = bigquery.QueryJobConfig(query_parameters=[bigquery.ScalarQueryParameter("id", "INT64", 3)])
    [row] = client.query_and_wait("SELECT name, address.city FROM shop.customers WHERE id = @id", job_config=config)
    assert tuple(row) == ("Kofi Dubois", "Porto")


def test_results_come_in_pages(world: World, client: bigquery.Client) -> None:
    world.bigquery.forget_requests()
    rows = list(client.query_and_wait("SELECT id FROM shop.orders", page_size=400))
    pages = [seen for seen in world.bigquery.requests() if seen.method == "GET"]

    assert len(rows) == 900
    assert len(pages) >= 2


def test_a_page_token_of_another_job_is_refused(bare: Bare) -> None:
    first = bare.query("SELECT id FROM shop.orders", maxResults=10).json()
    second = bare.query("SELECT id FROM shop.customers", maxResults=10).json()
    job = second["jobReference"]["jobId"]

    good = bare("GET", f"/projects/acme/queries/{job}", params={"pageToken": second["pageToken"], "maxResults": 10})
    bad = bare("GET", f"/projects/acme/queries/{job}", params={"pageToken": first["pageToken"]})

    assert len(good.json()["rows"]) == 10
    assert bad.status_code == 400


def test_a_mask_leaves_what_the_client_asked_for(bare: Bare) -> None:
    job = bare.query("SELECT 1 AS x").json()["jobReference"]["jobId"]
    answer = bare("GET", f"/projects/acme/queries/{job}", params={"fields": "totalRows,rows"}).json()
    assert set(answer) == {"totalRows", "rows"}


@pytest.mark.parametrize(("integers", "written"), [(False, "1.7672616E9"), (True, "1767261600000000")])
def test_timestamps_are_written_as_asked(bare: Bare, *, integers: bool, written: str) -> None:
    statement = "SELECT TIMESTAMP '2026-01-01 10:00:00+00' AS t"
    options = {"formatOptions.useInt64Timestamp": str(integers).lower()}
    answer = bare.query(statement, formatOptions={"useInt64Timestamp": integers}).json()
    job = answer["jobReference"]["jobId"]
    polled = bare("GET", f"/projects/acme/queries/{job}", params=options).json()
    destination = bare("GET", f"/projects/acme/jobs/{job}").json()["configuration"]["query"]["destinationTable"]
    table = f"/projects/acme/datasets/{destination['datasetId']}/tables/{destination['tableId']}/data"
    listed = bare("GET", table, params=options).json()

    assert [page["rows"] for page in (answer, polled, listed)] == [[{"f": [{"v": written}]}]] * 3


@pytest.mark.parametrize("statement", ["SELECT * FROM read_csv_auto('/etc/passwd')", "SELECT * FROM '/etc/passwd'"])
def test_sql_does_not_reach_the_machines_files(bare: Bare, statement: str) -> None:
    answer = bare.query(statement)
    assert answer.status_code >= 400
    assert "root:" not in answer.text


def test_columns_without_a_name_are_called_as_bigquery_calls_them(bare: Bare) -> None:
    answer = bare.query("SELECT COUNT(*), 1 AS one, MAX(id) FROM shop.orders").json()
    assert [field["name"] for field in answer["schema"]["fields"]] == ["f0_", "one", "f1_"]


@pytest.mark.parametrize(("accepts", "encoding"), [("gzip", "gzip"), ("identity", None)])
def test_answers_are_compressed_when_that_is_accepted(bare: Bare, accepts: str, encoding: str | None) -> None:
    answer = bare("GET", "/projects/acme/datasets/shop/tables", headers={"Accept-Encoding": accepts})

    assert answer.headers.get("Content-Encoding") == encoding
    assert any(table["tableReference"]["tableId"] == "orders" for table in answer.json()["tables"])


def test_a_query_in_one_call_says_what_it_did(bare: Bare) -> None:
    answer = bare.query("SELECT id, email FROM shop.customers").json()

    assert answer["location"] == answer["jobReference"]["location"] == "US"
    assert answer["statementType"] == "SELECT"
    assert answer["cacheHit"] is False
    assert int(answer["totalBytesProcessed"]) > 0
    assert int(answer["totalBytesBilled"]) == 10 * 2**20
    assert int(answer["creationTime"]) <= int(answer["startTime"]) <= int(answer["endTime"])


def test_a_job_says_who_ran_it_and_what_it_read(world: World, client: bigquery.Client) -> None:
    job = client.query("SELECT name FROM shop.customer_contacts", job_config=bigquery.QueryJobConfig(labels={"a": "b"}))
    job.result()
    known = client.get_job(job.job_id)

    assert known.user_email == world.google.gateway_account.email
    assert known.labels == {"a": "b"}
    assert [table.table_id for table in known.referenced_tables] == ["customers"]
    assert known.total_bytes_processed > 0
    assert known.total_bytes_billed == 10 * 2**20
    assert known.cache_hit is False
    assert known.destination.dataset_id.startswith("_")
    assert known.destination.table_id.startswith("anon")
    assert known.created <= known.started <= known.ended


def test_the_anonymous_result_is_a_table_that_can_be_read_again(client: bigquery.Client) -> None:
    job = client.query("SELECT id, name FROM shop.customers WHERE id <= 4")
    job.result()
    table = f"{job.destination.project}.{job.destination.dataset_id}.{job.destination.table_id}"

    assert client.get_table(table).num_rows == 4
    assert len(list(client.list_rows(table))) == 4
    [count] = client.query_and_wait(f"SELECT COUNT(*) FROM `{table}`")
    assert count[0] == 4


def test_datasets_of_anonymous_results_are_hidden(client: bigquery.Client) -> None:
    job = client.query("SELECT 1 AS x")
    client.list_rows(job.destination, selected_fields=[bigquery.SchemaField("x", "INTEGER")])
    assert all(not dataset.dataset_id.startswith("_") for dataset in client.list_datasets())


def test_a_view_and_a_table_describe_themselves(client: bigquery.Client) -> None:
    view, orders = client.get_table("acme.shop.customer_contacts"), client.get_table("acme.shop.orders")

    assert "FROM `acme.shop.customers`" in view.view_query
    assert orders.num_rows >= 900
    assert orders.num_bytes > 0
    assert orders.time_partitioning.field == "order_date"


# Estimates and limits


@pytest.mark.parametrize("way", ["jobs.insert", "jobs.query"])
def test_a_dry_run_estimates_and_keeps_nothing(bare: Bare, way: str) -> None:
    statement = "SELECT name FROM shop.customer_contacts"
    if way == "jobs.query":
        answer = bare.query(statement, dryRun=True).json()
        processed, schema = answer["totalBytesProcessed"], answer["schema"]
    else:
        configuration = {"dryRun": True, "query": {"query": statement, "useLegacySql": False}}
        answer = bare("POST", "/projects/acme/jobs", json={"configuration": configuration}).json()
        statistics = answer["statistics"]["query"]
        processed, schema = statistics["totalBytesProcessed"], statistics["schema"]
        assert [table["tableId"] for table in statistics["referencedTables"]] == ["customers"]
        assert statistics["statementType"] == "SELECT"

    assert int(processed) > 0
    assert schema["fields"][0]["name"] == "name"
    assert "rows" not in answer
    assert "jobId" not in answer["jobReference"]


def test_a_dry_run_of_dml_changes_nothing(client: bigquery.Client) -> None:
    dry = client.query("DELETE FROM shop.orders WHERE TRUE", job_config=bigquery.QueryJobConfig(dry_run=True))

    assert dry.statement_type == "DELETE"
    assert dry.total_bytes_processed > 0
    assert client.get_table("acme.shop.orders").num_rows >= 900


@pytest.mark.parametrize("allowed", [1, 10 * 2**20 - 1])
def test_a_query_above_its_limit_is_not_run(bare: Bare, allowed: int) -> None:
    answer = bare.query("SELECT id FROM shop.orders", maximumBytesBilled=str(allowed))

    assert answer.status_code == 400
    assert answer.json()["error"]["errors"][0]["reason"] == "bytesBilledLimitExceeded"


def test_a_query_within_its_limit_runs(bare: Bare) -> None:
    assert bare.query("SELECT id FROM shop.orders", maximumBytesBilled=str(10 * 2**20)).status_code == 200


# Errors


@pytest.mark.parametrize(
    ("statement", "status", "reason"),
    [
        ("SELEC 1", 400, "invalidQuery"),
        ("SELECT nothing FROM shop.orders", 400, "invalidQuery"),
        ("SELECT * FROM shop.nowhere", 404, "notFound"),
        ("", 400, "required"),
    ],
)
def test_a_query_that_fails_is_an_error_in_googles_envelope(
    bare: Bare, statement: str, status: int, reason: str
) -> None:
    answer = bare.query(statement)
    error = answer.json()["error"]

    assert (answer.status_code, error["code"]) == (status, status)
    assert error["errors"][0]["reason"] == reason
    assert error["errors"][0]["message"] == error["message"]


def test_a_job_that_fails_keeps_its_error(client: bigquery.Client) -> None:
    job = client.query("SELEC 1")
    with pytest.raises(google.api_core.exceptions.BadRequest, match="Syntax error"):
        job.result()
    assert client.get_job(job.job_id).error_result["reason"] == "invalidQuery"


def test_a_dry_run_of_bad_sql_is_an_error(client: bigquery.Client) -> None:
    with pytest.raises(google.api_core.exceptions.BadRequest):
        client.query("SELEC 1", job_config=bigquery.QueryJobConfig(dry_run=True))


def test_a_job_id_can_be_used_once(bare: Bare) -> None:
    body = {
        "jobReference": {"projectId": "acme", "jobId": "only-once"},
        "configuration": {"query": {"query": "SELECT 1", "useLegacySql": False}},
    }
    assert bare("POST", "/projects/acme/jobs", json=body).status_code == 200
    again = bare("POST", "/projects/acme/jobs", json=body)
    assert (again.status_code, again.json()["error"]["errors"][0]["reason"]) == (409, "duplicate")


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/projects/acme/jobs/nobodys"), ("GET", "/projects/acme/queries/nobodys"), ("POST", "/mcp")],
)
def test_what_is_not_there_is_not_found(bare: Bare, method: str, path: str) -> None:
    assert bare(method, path).status_code == 404


# Who


@pytest.mark.parametrize(
    "token",
    [None, "ya29.invented", "", "eyJhbGciOiJub25lIn0.e30."],
    ids=["none", "invented", "empty", "a JWT"],
)
def test_nothing_but_an_issued_token_gets_in(world: World, token: str | None) -> None:
    world.bigquery.forget_requests()
    answer = Bare(world, token).query("SELECT 1")

    assert answer.status_code == 401
    assert answer.json()["error"]["status"] == "UNAUTHENTICATED"
    assert [seen.who for seen in world.bigquery.requests()] == [None]


def test_an_oidc_token_does_not_get_in(world: World) -> None:
    assert Bare(world, world.issuer.token("alice")).query("SELECT 1").status_code == 401


def test_an_expired_token_does_not_get_in(world: World) -> None:
    assert Bare(world, world.google.issue("late", lifetime=-1)).query("SELECT 1").status_code == 401


def test_what_reached_bigquery_can_be_proved(world: World, bare: Bare) -> None:
    world.bigquery.forget_requests()
    bare.query("SELECT 42 AS answer")
    [seen] = world.bigquery.requests()

    assert seen.who == "somebody@acme.example"
    assert seen.operation == "POST /bigquery/v2/projects/acme/queries"
    assert seen.host == "bigquery.googleapis.com"
    assert json.loads(seen.body)["query"] == "SELECT 42 AS answer"


def test_jobs_list_shows_ones_own(world: World, bare: Bare) -> None:
    mine = bare.query("SELECT 1").json()["jobReference"]["jobId"]
    other = Bare(world, world.google.issue("other@acme.example"))
    theirs = other.query("SELECT 1").json()["jobReference"]["jobId"]

    def listed(who: Bare, **params: str) -> set[str]:
        jobs = who("GET", "/projects/acme/jobs", params={"maxResults": "1000", **params}).json()["jobs"]
        return {job["jobReference"]["jobId"] for job in jobs}

    assert mine in listed(bare)
    assert theirs not in listed(bare)
    assert {mine, theirs} <= listed(bare, allUsers="true")


# Writing


def test_a_select_can_write_a_table(client: bigquery.Client) -> None:
    config = bigquery.QueryJobConfig(destination="acme.shop.written", write_disposition="WRITE_TRUNCATE")
    client.query("SELECT 1 AS x", job_config=config).result()
    client.query("SELECT 2 AS x", job_config=config).result()
    config.write_disposition = "WRITE_APPEND"
    client.query("SELECT 3 AS x", job_config=config).result()

    assert sorted(row["x"] for row in client.list_rows("acme.shop.written")) == [2, 3]


@pytest.mark.parametrize(
    ("write", "create", "table", "reason"),
    [
        ("WRITE_EMPTY", "CREATE_IF_NEEDED", "orders", "duplicate"),
        ("WRITE_APPEND", "CREATE_NEVER", "nowhere", "notFound"),
        ("WRITE_APPEND", "CREATE_IF_NEEDED", "customers", "invalid"),
    ],
)
def test_a_destination_that_forbids_it_fails_the_job(
    client: bigquery.Client, write: str, create: str, table: str, reason: str
) -> None:
    config = bigquery.QueryJobConfig(
        destination=f"acme.shop.{table}", write_disposition=write, create_disposition=create
    )
    job = client.query("SELECT 4 AS x", job_config=config)
    assert job.error_result["reason"] == reason


def test_dml_says_how_many_rows(client: bigquery.Client) -> None:
    client.query_and_wait("CREATE OR REPLACE TABLE shop.dml AS SELECT 1 AS a UNION ALL SELECT 2")
    job = client.query("UPDATE shop.dml SET a = a + 1 WHERE TRUE")
    job.result()
    assert job.num_dml_affected_rows == 2
    assert [table.table_id for table in job.referenced_tables] == ["dml"]


def test_rows_can_be_streamed_in(client: bigquery.Client) -> None:
    client.query_and_wait("CREATE OR REPLACE TABLE shop.streamed (a INT64)")
    assert client.insert_rows_json("acme.shop.streamed", [{"a": 1}, {"a": 2}]) == []
    assert len(list(client.list_rows("acme.shop.streamed"))) == 2


def test_a_table_is_updated_as_bq_does_it(bare: Bare) -> None:
    path = "/projects/acme/datasets/shop/tables/employees"
    changed = bare(
        "PATCH", path, json={"description": "People", "schema": None, "view": None, "timePartitioning": None}
    )
    assert changed.status_code == 200, changed.text
    assert bare("GET", path).json()["description"] == "People"


def test_what_the_emulator_lacks_is_no_reason_to_try_again(bare: Bare) -> None:
    answer = bare.query("GRANT `roles/bigquery.dataViewer` ON TABLE shop.orders TO 'user:a@b.example'")
    assert answer.status_code in (400, 501)


def test_method_override_is_honoured(bare: Bare) -> None:
    answer = bare("POST", "/projects/acme/datasets/shop", headers={"X-HTTP-Method-Override": "GET"})
    assert answer.json()["datasetReference"]["datasetId"] == "shop"


# Faults


@pytest.fixture
def patient(world: World) -> Iterator[World]:
    yield world
    world.bigquery.hold(0)


@pytest.mark.parametrize("answered", [False, True], ids=["before", "after"])
def test_requests_can_be_held(patient: World, bare: Bare, *, answered: bool) -> None:
    patient.bigquery.hold(0.4, answered=answered)
    started = time.monotonic()
    assert bare.query("SELECT 1").status_code == 200
    assert time.monotonic() - started >= 0.4


def test_the_next_request_can_fail(world: World, bare: Bare) -> None:
    world.bigquery.fail_next(503, "backendError")

    assert bare.query("SELECT 1").status_code == 503
    assert bare.query("SELECT 1").status_code == 200
