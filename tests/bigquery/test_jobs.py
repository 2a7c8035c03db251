"""One job, put together from what each exchange tells."""

import json
from datetime import UTC, datetime
from functools import reduce
from itertools import permutations

import pytest

from hoop_mitm.bigquery.jobs import JobFacts, job_facts, merge
from hoop_mitm.bigquery.operation import TableRef

URL = "https://bigquery.googleapis.com/bigquery/v2/projects/acme"
DS = "_0e32b38e1117b2fcea992287c138bd53acfff7cc"
REFERENCE = {"jobReference": {"projectId": "acme", "jobId": "j", "location": "EU"}}
SCHEMA = {"fields": [{"name": "x", "type": "INTEGER"}]}
ROWS = [{"f": [{"v": "1"}]}]


def facts(door, path, request=None, answer=None, status=200):
    def encoded(value):
        return value if value is None or isinstance(value, bytes) else json.dumps(value).encode()

    return job_facts(door, URL + path, encoded(request), encoded(answer), status)


def insert(http=200, **answer):
    request = REFERENCE | {"configuration": {"labels": {"a": "b"}, "query": {"query": "SELECT 1 x"}}}
    default = REFERENCE | {"status": {"state": "PENDING"}, "configuration": request["configuration"]}
    return facts("jobs.insert", "/jobs", request, answer or default, http)


def test_a_job_is_joined_from_insert_polls_and_pages_in_any_order():
    parts = [
        insert(),
        facts("jobs.getQueryResults", "/queries/j?maxResults=0&location=EU", None, REFERENCE | {"jobComplete": False}),
        facts(
            "jobs.getQueryResults",
            "/queries/j?maxResults=0",
            None,
            REFERENCE
            | {"jobComplete": True, "schema": SCHEMA, "totalRows": "1", "totalBytesProcessed": "10", "cacheHit": False},
        ),
        facts("jobs.getQueryResults", "/queries/j?fields=rows", None, {"rows": ROWS}),
        facts(
            "jobs.get",
            "/jobs/j",
            None,
            REFERENCE
            | {
                "status": {"state": "DONE"},
                "configuration": {
                    "query": {
                        "query": "SELECT 1 x",
                        "destinationTable": {"projectId": "acme", "datasetId": DS, "tableId": "anon1"},
                    }
                },
                "statistics": {
                    "creationTime": "1795357356837",
                    "endTime": "1795357357000",
                    "totalBytesProcessed": "10",
                    "totalSlotMs": "7",
                    "query": {
                        "totalBytesBilled": "10485760",
                        "statementType": "SELECT",
                        "referencedTables": [{"projectId": "acme", "datasetId": "shop", "tableId": "orders"}],
                    },
                },
            },
        ),
    ]
    assert all(part and part.key == "acme:j" for part in parts)
    expected = JobFacts(
        project="acme",
        id="j",
        location="EU",
        statement="SELECT 1 x",
        statement_type="SELECT",
        referenced_tables=(TableRef("acme", "shop", "orders"),),
        destination=TableRef("acme", DS, "anon1"),
        labels={"a": "b"},
        state="DONE",
        bytes_processed=10,
        bytes_billed=10485760,
        cache_hit=False,
        slot_ms=7,
        schema=json.dumps(SCHEMA),
        row_count=1,
        created_at=datetime.fromtimestamp(1795357356.837, UTC),
        ended_at=datetime.fromtimestamp(1795357357, UTC),
    )
    for order in permutations(parts):
        assert reduce(merge, order) == expected


def test_a_query_without_a_job_is_known_by_its_query_id():
    job = facts(
        "jobs.query",
        "/queries",
        {"query": "SELECT 1"},
        {"queryId": "q", "jobComplete": True, "totalRows": "1", "schema": SCHEMA},
    )
    assert job
    assert (job.key, job.query_id, job.state, job.row_count) == (None, "q", "DONE", 1)


def test_a_query_gets_its_job_from_the_answer():
    answer = REFERENCE | {
        "jobComplete": True, "rows": ROWS, "schema": SCHEMA, "totalRows": "1", "totalBytesBilled": "0", "totalSlotMs": "3",
        "cacheHit": True, "creationTime": "1795357356837",
    }  # fmt: skip
    job = facts("jobs.query", "/queries", {"query": "SELECT 1", "labels": {"a": "b"}}, answer)
    assert job
    assert (job.key, job.statement, job.labels, job.cache_hit, job.slot_ms) == (
        "acme:j",
        "SELECT 1",
        {"a": "b"},
        True,
        3,
    )


@pytest.mark.parametrize("request_id", [None, "j"])
def test_a_dry_run_is_no_job_that_could_be_polled(request_id):
    request = {
        "jobReference": {"projectId": "acme", "jobId": request_id},
        "configuration": {"dryRun": True, "query": {"query": "SELECT 1"}},
    }
    answer = request | {
        "status": {"state": "DONE"},
        "statistics": {
            "totalBytesProcessed": "5",
            "query": {"totalBytesProcessed": "5", "schema": SCHEMA, "statementType": "SELECT"},
        },
    }
    job = facts("jobs.insert", "/jobs", request, answer)
    assert job
    assert (job.key, job.dry_run, job.state, job.bytes_processed) == (None, True, "DONE", 5)
    assert json.loads(job.schema or "") == SCHEMA


def test_a_failed_job_has_its_error():
    job = insert(
        **REFERENCE, status={"state": "DONE", "errorResult": {"reason": "invalidQuery", "message": "Syntax error"}}
    )
    assert job
    assert (job.state, job.error) == ("DONE", "Syntax error")


def http_error(code, message, reason="x"):
    return {"error": {"code": code, "message": message, "errors": [{"message": message, "reason": reason}]}}


@pytest.mark.parametrize(
    ("door", "path", "status", "answer", "expected"),
    [
        ("jobs.insert", "/jobs", 400, http_error(400, "Syntax error"), ("FAILED", "Syntax error")),
        ("jobs.query", "/queries", 403, http_error(403, "denied"), ("FAILED", "denied")),
        ("jobs.query", "/queries", 503, b"<html>", ("FAILED", "HTTP 503")),
        (
            "jobs.getQueryResults",
            "/queries/j",
            400,
            http_error(400, "Division by zero", "invalidQuery"),
            ("DONE", "Division by zero"),
        ),
        (
            "jobs.getQueryResults",
            "/queries/j",
            404,
            http_error(404, "Not found: Table x", "notFound"),
            ("DONE", "Not found: Table x"),
        ),
        ("jobs.getQueryResults", "/queries/j", 404, http_error(404, "Not found: Job acme:j", "notFound"), None),
        ("jobs.getQueryResults", "/queries/j", 403, http_error(403, "slow down", "rateLimitExceeded"), None),
        ("jobs.getQueryResults", "/queries/j", 503, http_error(503, "later"), None),
        ("jobs.get", "/jobs/j", 404, http_error(404, "Not found: Job acme:j"), None),
        ("jobs.upload", "?upload_id=u", 308, None, None),
        ("tables.get", "/datasets/d/tables/t", 200, {}, None),
    ],
)
def test_an_http_error_is_the_jobs_only_where_it_speaks_of_the_job(door, path, status, answer, expected):
    job = facts(door, path, {"query": "SELECT 1"} if door == "jobs.query" else {}, answer, status)
    assert (job and (job.state, job.error)) == expected


def test_a_job_that_was_refused_and_sent_again_is_fine():
    refused, done = insert(503, **http_error(503, "later")), insert(**REFERENCE, status={"state": "DONE"})
    assert refused
    assert done
    assert refused.key == done.key
    for job in (merge(refused, done), merge(done, refused)):
        assert (job.state, job.error) == ("DONE", None)


def test_an_open_intent_is_a_pending_job():
    job = facts(
        "jobs.insert", "/jobs", REFERENCE | {"configuration": {"query": {"query": "DELETE FROM t"}}}, None, None
    )
    assert job
    assert (job.key, job.state, job.statement) == ("acme:j", "PENDING", "DELETE FROM t")


def test_an_upload_is_a_load_job_from_its_metadata():
    body = (
        b'--b\r\ncontent-type: application/json\r\n\r\n{"jobReference": {"jobId": "l"}, "configuration": {"load": '
        b'{"destinationTable": {"projectId": "acme", "datasetId": "shop", "tableId": "t"}}}}\r\n--b\r\n\r\nx\r\n--b--'
    )
    job = facts("jobs.insert", "/jobs?uploadType=multipart", body, None, 200)
    assert job
    assert (job.key, job.job_type, job.destination) == ("acme:l", "LOAD", TableRef("acme", "shop", "t"))


def test_a_copy_names_its_sources():
    source = {"projectId": "acme", "datasetId": "shop", "tableId": "a"}
    job = facts(
        "jobs.insert",
        "/jobs",
        {"configuration": {"copy": {"sourceTables": [source], "destinationTable": source}}},
        None,
        None,
    )
    assert job
    assert (job.job_type, job.referenced_tables) == ("COPY", (TableRef("acme", "shop", "a"),))


@pytest.mark.parametrize("body", [b"garbage", b"[]", b'{"query": 1}', b"--b\r\n", b"\xff"])
def test_bodies_that_cannot_be_read_tell_nothing(body):
    for door in ("jobs.insert", "jobs.query"):
        job = facts(door, "/x", body, body, 200)
        assert job
        assert job.statement is None


def test_the_jobs_url_is_decoded():
    job = job_facts(
        "jobs.get",
        "https://h/bigquery/v2/projects/example.com%3Aacme/jobs/j?location=US",
        None,
        b'{"status": {"state": "DONE"}}',
        200,
    )
    assert job
    assert (job.key, job.location) == ("example.com:acme:j", "US")
