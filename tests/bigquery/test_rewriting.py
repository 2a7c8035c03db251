"""Labels on the job, and nothing else changed."""

import json

import pytest

from hoop_mitm.bigquery import doors
from hoop_mitm.bigquery.operation import Operation
from hoop_mitm.bigquery.rewriting import with_labels, with_limit
from hoop_mitm.errors import Denied

REST = "bigquery.googleapis.com"
OURS = {"hoop-session": "s1"}


def operation(method="POST", path="/bigquery/v2/projects/acme/jobs"):
    door = doors.find(REST, method, path)
    assert door
    return Operation(door, "acme")


INSERT = operation()
QUERY = operation(path="/bigquery/v2/projects/acme/queries")
UPLOAD = operation(path="/upload/bigquery/v2/projects/acme/jobs")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, OURS),
        ({}, OURS),
        ({"team": "a"}, {"team": "a"} | OURS),
        ({"hoop-session": "forged", "Hoop-x": "y", "hoops": "z"}, {"hoops": "z"} | OURS),
    ],
)
def test_the_clients_labels_stay_and_ours_win(given, expected):
    query = {"query": "SELECT 1"} | ({} if given is None else {"labels": given})
    assert json.loads(with_labels(QUERY, json.dumps(query).encode(), OURS)) == {"query": "SELECT 1", "labels": expected}
    job = {"configuration": query}
    assert json.loads(with_labels(INSERT, json.dumps(job).encode(), OURS))["configuration"]["labels"] == expected


def test_labels_that_are_null_are_none():
    assert json.loads(with_labels(QUERY, b'{"labels": null}', OURS)) == {"labels": OURS}


def test_everything_else_keeps_its_bytes():
    odd = rb'{"big": 123456789012345678901234567890, "real": 1.0e400, "text": "\u00e9\/ \ud83d\ude00", "deep": [{"x" :1 }]}'
    body = b'{"configuration": {"query": ' + odd + b'}, "jobReference": {"jobId": "j"}}'
    assert odd in with_labels(INSERT, body, OURS)


def test_an_upload_gets_its_labels_in_the_first_part():
    head, data = (
        b"--b\r\ncontent-type: application/json\r\n\r\n",
        b"\r\n--b\r\ncontent-type: */*\r\n\r\n{}\x00\xff\r\n--b--",
    )
    changed = with_labels(UPLOAD, head + b'{"configuration": {"load": {}}}' + data, OURS)
    assert changed.startswith(head)
    assert changed.endswith(data)
    assert json.loads(changed[len(head) : -len(data)]) == {"configuration": {"load": {}, "labels": OURS}}


def test_a_resumable_upload_gets_its_labels():
    assert json.loads(with_labels(UPLOAD, b'{"configuration": {"load": {}}}', OURS))["configuration"]["labels"] == OURS


@pytest.mark.parametrize(
    "other",
    [
        operation("GET"),
        operation(path="/bigquery/v2/projects/acme/datasets"),
        operation("PUT", "/upload/bigquery/v2/projects/acme/jobs"),
    ],
)
def test_what_starts_no_job_is_left_alone(other):
    assert with_labels(other, b"anything", OURS) == b"anything"


@pytest.mark.parametrize("body", [b"", b"[]", b'{"configuration": 1}', b'{"configuration": {"labels": {"a": 1}}}'])
def test_a_body_that_cannot_be_labelled_is_refused(body):
    with pytest.raises(Denied):
        with_labels(INSERT, body, OURS)


@pytest.mark.parametrize(
    "theirs", [{}, {"maximumBytesBilled": "99"}, {"maximumBytesBilled": 0}, {"maximumBytesBilled": None}]
)
def test_whatever_limit_the_client_wrote_ours_is_sent(theirs):
    query = {"query": "SELECT 1"} | theirs
    limited = {"query": "SELECT 1", "maximumBytesBilled": "12"}

    assert json.loads(with_limit(QUERY, json.dumps(query).encode(), 12)) == limited
    job = {"configuration": {"query": query, "labels": {"a": "b"}}, "jobReference": {"jobId": "j"}}
    expected = job | {"configuration": {"query": limited, "labels": {"a": "b"}}}
    assert json.loads(with_limit(INSERT, json.dumps(job).encode(), 12)) == expected
    head, data = b"--b\r\ncontent-type: application/json\r\n\r\n", b"\r\n--b\r\ncontent-type: */*\r\n\r\n{}\r\n--b--"
    sent = with_limit(UPLOAD, head + json.dumps(job).encode() + data, 12)
    assert json.loads(sent.removeprefix(head).removesuffix(data)) == expected


def test_a_limit_leaves_everything_else_as_it_was_written():
    odd = rb'{"big": 123456789012345678901234567890, "real": 1.0e400, "text": "\u00e9\/ \ud83d\ude00", "deep": [{"x" :1 }]}'
    assert odd in with_limit(QUERY, b'{"query": "SELECT 1", "queryParameters": ' + odd + b"}", 12)
