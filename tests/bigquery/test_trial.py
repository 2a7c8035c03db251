"""The dry run of a job, and the limit that its client set."""

from typing import Any

import pytest

from hoop_mitm.bigquery.operation import Door, Operation
from hoop_mitm.bigquery.trial import own_limit, trial

QUERY = Door("jobs.query", "admin", body="json")
INSERT = Door("jobs.insert", "admin", body="json")


def test_a_query_is_tried_as_a_job_of_the_same_configuration() -> None:
    same = {
        "query": "SELECT @x FROM t",
        "useLegacySql": False,
        "defaultDataset": {"datasetId": "d"},
        "parameterMode": "NAMED",
        "queryParameters": [{"name": "x", "parameterType": {"type": "INT64"}, "parameterValue": {"value": "1"}}],
        "connectionProperties": [{"key": "session_id", "value": "s"}],
        "useQueryCache": False,
    }
    other = {
        "maximumBytesBilled": "1",
        "createSession": True,
        "labels": {"a": "b"},
        "requestId": "r",
        "maxResults": 1,
        "timeoutMs": 1,
        "jobCreationMode": "JOB_CREATION_OPTIONAL",
        "formatOptions": {"useInt64Timestamp": True},
    }

    asked = trial(Operation(QUERY, "acme", location="EU", statement="SELECT @x FROM t", body=same | other))

    assert asked == {
        "configuration": {"dryRun": True, "query": same},
        "jobReference": {"projectId": "acme", "location": "EU"},
    }


def test_a_job_is_tried_without_its_name() -> None:
    query = {"query": "SELECT 1", "destinationTable": {"datasetId": "d", "tableId": "t"}, "maximumBytesBilled": "1"}
    body: dict[str, object] = {
        "jobReference": {"projectId": "acme", "jobId": "j", "location": "US"},
        "configuration": {"query": query, "labels": {"a": "b"}, "dryRun": False},
    }

    asked = trial(Operation(INSERT, "acme", location="US", statement="SELECT 1", job_id="j", body=body))

    assert asked == {
        "configuration": {
            "dryRun": True,
            "query": {"query": "SELECT 1", "destinationTable": {"datasetId": "d", "tableId": "t"}},
        },
        "jobReference": {"projectId": "acme", "location": "US"},
    }


def test_that_the_dialect_is_left_to_bigquery_stays_so() -> None:
    asked = trial(Operation(QUERY, "acme", statement="SELECT 1", body={"query": "SELECT 1"}))

    assert asked["configuration"]["query"] == {"query": "SELECT 1"}


@pytest.mark.parametrize(
    ("value", "limit"),
    [
        ("5", 5),
        (5, 5),
        ("9223372036854775807", 2**63 - 1),
        (None, None),
        ("0", None),
        (0, None),
        ("-1", None),
        (-1, None),
        (True, None),
        (1.5, None),
        ("1e3", None),
        (" 5", None),
        ("\u0665", None),
        ("1" * 5000, None),
        ({}, None),
    ],
)
def test_a_clients_own_limit(value: Any, limit: int | None) -> None:
    assert own_limit(Operation(QUERY, "acme", body={"maximumBytesBilled": value})) == limit
    job: dict[str, object] = {"configuration": {"query": {"maximumBytesBilled": value}}}
    assert own_limit(Operation(INSERT, "acme", body=job)) == limit


@pytest.mark.parametrize("body", [None, {}, {"configuration": None}, {"configuration": {"query": None}}])
def test_no_limit_where_there_is_none(body: dict[str, object] | None) -> None:
    assert own_limit(Operation(INSERT, "acme", body=body)) is None
