"""A recording as BigQuery's REST API, asked without a gateway: what answers what, and what is a miss."""

import json
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

import pytest

from hoop_mitm.devkit.google import Grant
from hoop_mitm.devkit.http import Request
from hoop_mitm.serving.recorded import load
from hoop_mitm.serving.rest import Rest
from tests.archive.building import HOST, NOON, seconds, wire_rows
from tests.serving.building import ORDERS, QUERIES, Recorded, query

JOBS = "/bigquery/v2/projects/acme/jobs"
ROWS = [(n, 1_700_000_000_000_000 + n) for n in range(5)]


def body(**parts: object) -> bytes:
    return json.dumps(parts).encode()


def insert(sql: str, job: str = "", **parts: object) -> bytes:
    reference = {"jobId": job} if job else {}
    return body(jobReference=reference, configuration={"query": {"query": sql, "useLegacySql": False, **parts}})


def served(recorded: Recorded, **how: bool) -> "Client":
    recorded.builder.write()
    rest = Rest(load(recorded.builder.path, [recorded.session]), lambda _: Grant("gateway", frozenset(), 0), **how)
    return Client(rest)


@dataclass
class Client:
    rest: Rest

    def ask(self, method: str, url: str, sent: bytes = b"") -> tuple[int, dict]:
        split = urlsplit(url)
        headers = {"authorization": "Bearer t"}
        response = self.rest.handle(Request(method, HOST, split.path, tuple(parse_qsl(split.query)), headers, sent))
        return response.status, json.loads(response.body or b"{}")

    def pages(self, url: str, size: int) -> list[list[str]]:
        """The first cell of each row, page by page."""
        found, token = [], ""
        while True:
            _, page = self.ask("GET", f"{url}?maxResults={size}{token}")
            found.append([row["f"][0]["v"] for row in page.get("rows", ())])
            if "pageToken" not in page:
                return found
            token = f"&pageToken={page['pageToken']}"

    def misses(self) -> list[str]:
        return [miss.message for miss in self.rest.misses]


SQL = "SELECT id, at FROM shop.orders WHERE id < 10"


@pytest.mark.parametrize(
    ("recorded_with", "asked", "found"),
    [
        ({}, query(SQL), True),
        ({}, query("select  id, AT\nfrom shop.orders -- mine\nwhere ID < 10;"), True),
        (
            {},
            query(SQL, labels={"a": "b"}, requestId="1", maximumBytesBilled="5", useQueryCache=False, location="EU"),
            True,
        ),
        ({}, query(SQL.replace("10", "11")), False),
        ({}, query(SQL.replace("shop.orders", "shop.Orders")), False),
        ({}, query(SQL, dryRun=True), False),
        ({}, body(query=SQL), False),
        ({}, query(SQL, queryParameters=[{"name": "x"}]), False),
        ({"queryParameters": [{"name": "x", "parameterValue": {"value": "1"}}]}, query(SQL), False),
        (
            {"queryParameters": [{"name": "x", "parameterValue": {"value": "1"}}]},
            query(SQL, queryParameters=[{"parameterValue": {"value": "1"}, "name": "x"}]),
            True,
        ),
        ({"defaultDataset": {"datasetId": "shop"}}, query(SQL), False),
        (
            {"defaultDataset": {"datasetId": "shop"}},
            query(SQL, defaultDataset={"projectId": "acme", "datasetId": "shop"}),
            True,
        ),
        ({}, query(SQL, destinationTable={"datasetId": "shop", "tableId": "copy"}), False),
    ],
)
def test_what_is_the_same_question(recorded: Recorded, recorded_with, asked, found) -> None:
    recorded.asked(SQL, ROWS, **recorded_with)
    client = served(recorded)

    status, answer = client.ask("POST", QUERIES, asked)

    assert (status, len(client.misses())) == ((200, 0) if found else (400, 1))
    assert found or "Nothing was sent to BigQuery." in answer["error"]["message"]


@pytest.mark.parametrize("size", [1, 2, 5, 100])
def test_a_result_comes_in_pages_of_any_size_and_in_either_format(recorded: Recorded, size: int) -> None:
    recorded.asked(SQL, ROWS)
    client = served(recorded)

    _, made = client.ask("POST", JOBS, insert(SQL, "mine"))
    pages = client.pages(f"{QUERIES}/mine", size)

    assert made["jobReference"] == {"projectId": "acme", "jobId": "mine", "location": "EU"}
    assert [cell for page in pages for cell in page] == ["0", "1", "2", "3", "4"]
    assert {len(page) for page in pages[:-1]} <= {size}
    _, seconds_ = client.ask("GET", f"{QUERIES}/mine?maxResults=1")
    _, micros = client.ask("GET", f"{QUERIES}/mine?maxResults=1&formatOptions.useInt64Timestamp=true")
    assert (seconds_["rows"][0]["f"][1]["v"], micros["rows"][0]["f"][1]["v"]) == ("1.7E9", "1700000000000000")


def test_no_name_of_the_recorded_run_comes_back(recorded: Recorded) -> None:
    recorded.asked(SQL, ROWS)
    client = served(recorded)

    first = client.ask("POST", QUERIES, query(SQL))[1]
    second = client.ask("POST", QUERIES, query(SQL))[1]

    assert first["jobReference"]["jobId"] != second["jobReference"]["jobId"]
    assert "job_recorded" not in json.dumps([first, second])


def test_the_same_question_is_answered_in_turn_and_then_as_the_last_time(recorded: Recorded) -> None:
    for count in (1, 2, 3):
        recorded.asked(SQL, ROWS[:count])
    client = served(recorded)

    assert [client.ask("POST", QUERIES, query(SQL))[1]["totalRows"] for _ in range(4)] == ["1", "2", "3", "3"]
    client.rest.reset()
    assert client.ask("POST", QUERIES, query(SQL))[1]["totalRows"] == "1"


def test_strict_takes_jobs_in_their_order_only_and_as_often(recorded: Recorded) -> None:
    for sql in ("SELECT 1", "SELECT 2"):
        recorded.asked(sql, ROWS[:1])
    client = served(recorded, strict=True)

    statuses = [client.ask("POST", QUERIES, query(f"SELECT {n}"))[0] for n in (2, 1, 2, 2)]

    assert statuses == [400, 200, 200, 400]
    assert "Next in the recording is #1: SELECT 1" in client.misses()[0]
    assert "too often" in client.misses()[1]


def test_a_miss_names_the_closest_statement_and_what_differs(recorded: Recorded) -> None:
    recorded.asked("SELECT 1", ROWS[:1])
    recorded.asked(SQL, ROWS, defaultDataset={"datasetId": "shop"})
    client = served(recorded)

    client.ask("POST", QUERIES, query(SQL.replace("10", "11")))

    [told] = client.misses()
    assert "Closest is #2" in told
    assert "WHERE id < [-10-]{+11+}" in told
    assert "default dataset: acme.shop was recorded, none is asked" in told


@pytest.mark.parametrize("how", ["query", "insert"])
def test_an_error_is_the_same_error_by_either_method(recorded: Recorded, how: str) -> None:
    error = {"error": {"code": 400, "message": "Unrecognized name: nope", "errors": [{"reason": "invalidQuery"}]}}
    key = recorded.builder.job(
        recorded.session, "SELECT nope", id=None, state="FAILED", error="Unrecognized name: nope"
    )
    recorded.flow(QUERIES, "jobs.query", query("SELECT nope"), error, key=key, status=400)
    client = served(recorded)

    sent = (QUERIES, query("SELECT nope")) if how == "query" else (JOBS, insert("SELECT nope"))

    assert client.ask("POST", *sent) == (400, error)
    assert client.misses() == []


def test_rows_that_nobody_had_read_are_a_miss(recorded: Recorded) -> None:
    recorded.asked(SQL, ROWS)
    answer = json.loads(
        json.dumps({"jobComplete": True, "totalRows": "9", "rows": wire_rows(ROWS[:2]), "pageToken": "x"})
    )
    key = recorded.builder.job(recorded.session, "SELECT 9", id="job_nine", schema=json.dumps({"fields": ORDERS}))
    recorded.flow(QUERIES, "jobs.query", query("SELECT 9"), answer, key=key)
    client = served(recorded)

    _, first = client.ask("POST", QUERIES, query("SELECT 9"))
    url = f"{QUERIES}/{first['jobReference']['jobId']}?pageToken={first['pageToken']}"

    assert len(first["rows"]) == 2
    assert client.ask("GET", url)[0] == 400
    assert "read 2 of 9 rows" in client.misses()[0]


def test_metadata_is_told_in_its_order_cut_to_its_fields_and_nothing_else_is(recorded: Recorded) -> None:
    path = "/bigquery/v2/projects/acme/datasets/shop/tables/orders"
    recorded.flow(path, "tables.get", None, {"id": "acme:shop.orders", "numRows": "1"}, at=NOON + seconds(1))
    recorded.flow(path, "tables.get", None, {"id": "acme:shop.orders", "numRows": "2"}, at=NOON + seconds(2))
    client = served(recorded)

    told = [client.ask("GET", f"{path}?fields=numRows&prettyPrint=false")[1] for _ in range(3)]

    assert told == [{"numRows": "1"}, {"numRows": "2"}, {"numRows": "2"}]
    assert client.ask("GET", path.replace("orders", "others"))[0] == 404
    assert client.ask("DELETE", path)[0] == 404
    assert len(client.misses()) == 2


def test_a_table_that_was_listed_is_listed_in_any_pages(recorded: Recorded) -> None:
    path = "/bigquery/v2/projects/acme/datasets/shop/tables/orders"
    pages = [(0, 3, "next"), (3, 5, None)]
    for start, end, token in pages:
        answer = {"totalRows": "5", "rows": wire_rows(ROWS[start:end])} | ({"pageToken": token} if token else {})
        query_ = "?pageToken=next" if start else ""
        recorded.flow(f"{path}/data{query_}", "tabledata.list", None, answer, at=NOON + seconds(start + 1))
    client = served(recorded)

    assert client.pages(f"{path}/data", 2) == [["0", "1"], ["2", "3"], ["4"]]


def test_without_a_token_of_the_gateways_nobody_is_answered(recorded: Recorded) -> None:
    recorded.asked(SQL, ROWS)
    client = served(recorded)
    client.rest._grant = lambda _: None

    assert client.ask("POST", QUERIES, query(SQL))[0] == 401
    assert client.ask("GET", f"{QUERIES}/none")[0] == 401
