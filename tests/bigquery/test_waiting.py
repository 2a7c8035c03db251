"""A job that BigQuery does not know yet: described as BigQuery would, and sent as it was asked for."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from hoop_mitm.bigquery import Unreadable, waiting
from hoop_mitm.bigquery.waiting import Waiting

JOB = Waiting("acme", "job1", None, b'{"query":{"query":"SELECT 1"}}', datetime(2026, 11, 22, tzinfo=UTC))


@pytest.mark.parametrize(
    ("door", "body", "configuration"),
    [
        (
            "jobs.query",
            {"query": "SELECT 1", "useLegacySql": False, "maxResults": 10, "timeoutMs": 1, "requestId": "r", "kind": "k"},
            {"query": {"query": "SELECT 1", "useLegacySql": False}},
        ),
        # What is not said stays unsaid: BigQuery's own default is not ours to write.
        ("jobs.query", {"query": "SELECT 1"}, {"query": {"query": "SELECT 1"}}),
        (
            "jobs.query",
            {"query": "SELECT 1", "labels": {"a": "b"}, "jobTimeoutMs": "5", "location": "EU", "formatOptions": {}},
            {"query": {"query": "SELECT 1"}, "labels": {"a": "b"}, "jobTimeoutMs": "5"},
        ),
        (
            "jobs.query",
            {"query": "SELECT @n", "parameterMode": "NAMED", "queryParameters": [{"name": "n"}], "defaultDataset": {}},
            {"query": {"query": "SELECT @n", "parameterMode": "NAMED", "queryParameters": [{"name": "n"}], "defaultDataset": {}}},
        ),
        (
            "jobs.insert",
            {"jobReference": {"jobId": "x"}, "configuration": {"query": {"query": "SELECT 1"}, "labels": {"a": "b"}}},
            {"query": {"query": "SELECT 1"}, "labels": {"a": "b"}},
        ),
        ("jobs.insert", {"configuration": {"copy": {"sourceTable": {}}}}, {"copy": {"sourceTable": {}}}),
    ],
)  # fmt: skip
def test_a_request_as_a_job(door: str, body: dict[str, Any], configuration: dict[str, Any]) -> None:
    made = waiting.configuration_of(door, json.dumps(body).encode())

    assert json.loads(made) == configuration
    sent = json.loads(waiting.as_insert(replace(JOB, configuration=made, location="EU")))
    assert sent == {
        "jobReference": {"projectId": "acme", "jobId": "job1", "location": "EU"},
        "configuration": configuration,
    }


def test_numbers_and_escapes_stay_as_they_were_written() -> None:
    body = b'{"query": "SELECT \\u0031", "maximumBytesBilled": 1.0e3, "useLegacySql":false}'

    made = waiting.configuration_of("jobs.query", body)

    assert b'"SELECT \\u0031"' in made
    assert b"1.0e3" in made


@pytest.mark.parametrize(
    ("door", "body"),
    [
        ("jobs.query", {"query": "SELECT 1", "somethingNew": True}),
        ("jobs.insert", {"jobReference": {}}),
        ("jobs.insert", {"configuration": {"labels": {}}}),
    ],
)
def test_what_is_not_understood_does_not_wait(door: str, body: dict[str, Any]) -> None:
    with pytest.raises(Unreadable):
        waiting.configuration_of(door, json.dumps(body).encode())


def test_only_the_gateway_writes_its_labels() -> None:
    made = waiting.labelled(b'{"query":{},"labels":{"team":"x","hoop-review":"forged"}}', {"hoop-review": "r1"})

    assert json.loads(made)["labels"] == {"team": "x", "hoop-review": "r1"}


def test_while_it_waits() -> None:
    pending = json.loads(waiting.job(JOB))

    assert (pending["status"], pending["id"]) == ({"state": "PENDING"}, "acme:job1")
    assert pending["statistics"] == {"creationTime": "1795305600000"}
    for door in ("jobs.query", "jobs.getQueryResults"):
        said = json.loads(waiting.results(JOB, door))  # type: ignore[arg-type]
        assert (said["jobComplete"], said["jobReference"]["jobId"]) == (False, "job1")


def test_when_it_is_over() -> None:
    ended = replace(JOB, location="EU", error="No.", reason="stopped")

    job = json.loads(waiting.cancelled(ended))["job"]

    assert job["status"] == {
        "state": "DONE",
        "errorResult": {"reason": "stopped", "message": "No."},
        "errors": [{"reason": "stopped", "message": "No."}],
    }
    assert job["id"] == "acme:EU.job1"
