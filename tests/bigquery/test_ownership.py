"""What an answer gives to the one who asked."""

import json

import pytest
from google.cloud.bigquery_storage_v1 import types

from hoop_mitm.bigquery.operation import Door, Operation, Resource
from hoop_mitm.bigquery.ownership import created, filter_jobs_list
from hoop_mitm.errors import Denied

DS = "_0e32b38e1117b2fcea992287c138bd53acfff7cc"
RESULT = {"projectId": "acme", "datasetId": DS, "tableId": "anon1"}
JOB = Resource("job", "acme:j")
ROWS = [{"f": [{"v": "a"}]}] * 3


def operation(door="jobs.insert", **facts):
    return Operation(Door(door, "read"), "acme", **facts)


def reference(job="j"):
    return {"jobReference": {"projectId": "acme", "jobId": job, "location": "US"}}


@pytest.mark.parametrize(
    ("asked", "answer", "expected"),
    [
        (operation(), reference(), {JOB}),
        (operation("jobs.query"), reference() | {"rows": ROWS, "schema": {"fields": []}}, {JOB}),
        (operation("jobs.query"), reference() | {"pageToken": "t"}, {JOB}),
        (
            operation("jobs.getQueryResults", job_id="j"),
            {"pageToken": "t", "rows": ROWS, "totalRows": "9"},
            {JOB},
        ),
        (
            operation("jobs.get", job_id="j"),
            reference() | {"configuration": {"query": {"query": "x", "destinationTable": RESULT}}},
            {JOB, Resource("table", f"acme.{DS}.anon1")},
        ),
        (
            operation(),
            reference() | {"configuration": {"query": {"destinationTable": RESULT | {"datasetId": "shop"}}}},
            {JOB},
        ),
        (
            operation(),
            reference() | {"statistics": {"sessionInfo": {"sessionId": "s"}}},
            {JOB, Resource("bq_session", "s")},
        ),
        (
            operation("jobs.query"),
            reference() | {"sessionInfo": {"sessionId": "s"}},
            {JOB, Resource("bq_session", "s")},
        ),
        (operation("jobs.cancel", job_id="j"), {"job": reference()}, {JOB}),
        (operation("jobs.upload"), reference(), {JOB}),
        # A mask hid the reference; the request had named the job.
        (operation(job_id="j"), {"status": {"state": "DONE"}}, {JOB}),
        # No job came of it.
        (operation("jobs.query"), {"queryId": "q", "jobComplete": True, "rows": ROWS}, set()),
        (operation(dry_run=True, job_id="j"), reference(), set()),
        (operation(job_id="j"), reference() | {"configuration": {"dryRun": True}}, set()),
        (operation("tables.get"), {"tableReference": RESULT}, set()),
        (operation("tabledata.list"), {"pageToken": "t"}, set()),
    ],
)
def test_an_answer_gives_what_it_made(asked, answer, expected):
    assert set(created(asked, 200, {}, json.dumps(answer).encode())) == expected


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (409, json.dumps(reference()).encode()),
        (403, json.dumps(reference()).encode()),
        (500, b""),
        (308, b""),
        (200, b""),
        (200, b"not json"),
        (200, b'{"jobReference": {"jobId": 7}}'),
    ],
)
def test_an_error_gives_nothing(status, body):
    """Above all 409: naming somebody else's job in an insert must not make it one's own."""
    assert created(operation(job_id=None), status, {}, body) == ()
    assert created(operation(job_id="j"), 409, {}, body) == ()


def test_the_start_of_an_upload_gives_its_id():
    headers = {
        "Location": "https://bigquery.googleapis.com/upload/bigquery/v2/projects/acme/jobs?uploadType=resumable&upload_id=u%2B1"
    }
    assert created(operation(job_id="j"), 200, headers, b"") == (Resource("upload", "u+1"),)


def test_statements_of_ones_own_script_are_ones_own_jobs():
    listed = {
        "jobs": [
            reference("child") | {"statistics": {"parentJobId": "parent"}},
            reference("other") | {"statistics": {"parentJobId": "bobs"}},
            reference("alone"),
        ]
    }
    body = json.dumps(listed).encode()
    assert created(operation("jobs.list", job_id="parent"), 200, {}, body) == (Resource("job", "acme:child"),)
    assert created(operation("jobs.list"), 200, {}, body) == ()


def frame(message) -> bytes:
    data = type(message).serialize(message)
    return b"\0" + len(data).to_bytes(4) + data


SESSION = "projects/acme/locations/us/sessions/s"


@pytest.mark.parametrize(
    ("door", "message", "expected"),
    [
        (
            "storage.CreateReadSession",
            types.ReadSession(
                name=SESSION,
                table="projects/acme/datasets/shop/tables/t",
                arrow_schema=types.ArrowSchema(serialized_schema=b"\0" * 300),
                streams=[types.ReadStream(name=f"{SESSION}/streams/{n}") for n in (1, 2)],
                estimated_row_count=7,
            ),
            {
                ("read_session", SESSION),
                ("read_stream", f"{SESSION}/streams/1"),
                ("read_stream", f"{SESSION}/streams/2"),
            },
        ),
        (
            "storage.SplitReadStream",
            types.SplitReadStreamResponse(
                primary_stream=types.ReadStream(name=f"{SESSION}/streams/1"),
                remainder_stream=types.ReadStream(name=f"{SESSION}/streams/3"),
            ),
            {("read_stream", f"{SESSION}/streams/1"), ("read_stream", f"{SESSION}/streams/3")},
        ),
        ("storage.CreateWriteStream", types.WriteStream(name="w", type_="PENDING"), {("write_stream", "w")}),
        ("storage.GetWriteStream", types.WriteStream(name="w"), set()),
        ("storage.CreateReadSession", types.ReadSession(), set()),
    ],
)
def test_a_storage_answer_gives_its_streams(door, message, expected):
    asked = Operation(Door(door, "read", "grpc", "grpc"), "acme")
    assert {(resource.kind, resource.id) for resource in created(asked, 200, {}, frame(message))} == expected


def test_a_broken_storage_answer_gives_nothing():
    asked = Operation(Door("storage.CreateReadSession", "read", "grpc", "grpc"), "acme")
    assert created(asked, 200, {}, b"\0\0\0\0\2\xff\xff") == ()


LISTED = (
    b'{"kind":"bigquery#jobList","jobs":[{"id":"acme:US.a","jobReference":{"projectId":"acme","jobId":"a"},"n":1e400},'
    b'{"id":"acme:US.b","jobReference":{"projectId":"acme","jobId":"b"}},{"id":"acme:US.a"},'
    b'{"jobReference":{"projectId":"other","jobId":"a"}}],"nextPageToken":"t"}'
)


def test_only_ones_own_jobs_are_listed_and_the_rest_stays_as_it_was():
    filtered = filter_jobs_list(LISTED, lambda resource: resource.id == "acme:a")
    assert filtered == (
        b'{"kind":"bigquery#jobList","jobs":[{"id":"acme:US.a","jobReference":{"projectId":"acme","jobId":"a"},"n":1e400}],'
        b'"nextPageToken":"t"}'
    )


@pytest.mark.parametrize("body", [b'{"kind": "bigquery#jobList"}', b'{"error": {"code": 403}}'])
def test_an_answer_without_jobs_stays_as_it_was(body):
    assert filter_jobs_list(body, lambda _: False) == body


@pytest.mark.parametrize("body", [b"", b"[]", b'{"jobs": {"a": 1}}', b'{"jobs": [1]}'])
def test_a_list_that_cannot_be_read_is_not_passed_on(body):
    with pytest.raises(Denied):
        filter_jobs_list(body, lambda _: True)
