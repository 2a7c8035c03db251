"""What one exchange tells, and what may be told at which level."""

import json

import pytest

from hoop_mitm.recording.observing import Observation, from_plain, observe
from tests.recording.building import BASE

REQUEST = {"query": "SELECT 1", "defaultDataset": {"datasetId": "shop", "projectId": "acme"}}
ANSWER = {"jobComplete": True, "jobReference": {"projectId": "acme", "jobId": "j"}, "totalRows": "1"}


def observed(
    door: str = "jobs.query", state: str = "complete", request: object = REQUEST, answer: object = ANSWER
) -> Observation:
    bodies = [body if isinstance(body, bytes) else json.dumps(body).encode() for body in (request, answer)]
    return observe(door, state, f"{BASE}/queries", 200, request=bodies[0], response=bodies[1])


def test_an_answer_tells_about_a_job_and_its_request_where_bare_names_are() -> None:
    seen = observed()
    assert seen.job is not None
    assert (seen.job.id, seen.job.row_count, seen.job.statement) == ("j", 1, "SELECT 1")
    assert seen.default_dataset == ("acme", "shop")


def test_what_the_gateway_answered_itself_says_nothing_about_bigquery() -> None:
    seen = observed(state="refused", answer={"error": {"code": 403, "message": "No."}})
    assert seen.job is not None
    assert (seen.job.id, seen.job.error, seen.job.statement) == (None, None, "SELECT 1")
    assert observed("jobs.getQueryResults", "refused") == Observation()


@pytest.mark.parametrize("door", ["tabledata.list", "datasets.get", "storage.ReadRows"])
def test_other_doors_tell_nothing_of_jobs(door: str) -> None:
    assert observed(door) == Observation()


@pytest.mark.parametrize(
    "body", [b"", b"\xff\xfe", b"{", b"[]", b"null", b'{"jobReference": 7}', b'{"defaultDataset": []}']
)
def test_nonsense_is_no_error(body: bytes) -> None:
    observed(request=body, answer=body)
    observed("storage.CreateReadSession", request=body, answer=body)


@pytest.mark.parametrize("with_statement", [True, False])
def test_what_is_told_at_a_level_survives_being_written_down(*, with_statement: bool) -> None:
    seen = observed(answer=ANSWER | {"schema": {"fields": [{"name": "x"}]}})
    back = from_plain(json.loads(json.dumps(seen.plain(with_statement=with_statement))))
    assert back.job is not None
    assert seen.job is not None
    assert back.job.row_count == 1
    assert (back == seen) is with_statement
    assert (back.job.statement is not None) is with_statement
    assert (back.job.schema is not None) is with_statement
