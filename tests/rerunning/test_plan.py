"""What of a recording is asked again: what reads, and nothing that might write."""

import json

import pytest

from hoop_mitm.rerunning import Plan, plan
from hoop_mitm.serving.recorded import load
from tests.archive.building import Builder
from tests.serving.building import Recorded

JOBS = "/bigquery/v2/projects/acme/jobs"


@pytest.fixture
def recorded(tmp_path) -> Recorded:
    return Recorded(Builder(tmp_path / "hoop.duckdb"))


def planned(recorded: Recorded, **how: bool) -> Plan:
    recorded.builder.write()
    return plan(load(recorded.builder.path, [recorded.session]), **how)


def inserted(recorded: Recorded, configuration: object, path: str = JOBS) -> None:
    sent = json.dumps({"configuration": configuration}).encode()
    recorded.flow(
        path, "jobs.insert", sent, {"status": {"state": "DONE"}}, key=recorded.builder.job(recorded.session, "x")
    )


@pytest.mark.parametrize(
    ("statement", "more", "why"),
    [
        ("SELECT a FROM shop.orders", {}, None),
        ("SELECT a FROM orders", {"defaultDataset": {"datasetId": "shop"}}, None),
        ("SELECT nope FROM shop.orders", {"dryRun": True}, None),
        ("INSERT shop.orders (a) VALUES (1)", {}, "it writes: INSERT"),
        ("SELECT 1; DROP TABLE shop.orders", {}, "it writes"),
        ("EXECUTE IMMEDIATE 'DROP TABLE shop.orders'", {}, "it may write"),
        ("CALL shop.p()", {}, "it may write|it writes"),
        ("SELECT a FROM [shop.orders]", {"useLegacySql": True}, "it may write"),
        ("SELEC 1", {}, "it may write"),
        (
            "SELECT 1 AS a",
            {"destinationTable": {"datasetId": "shop", "tableId": "t"}},
            "writes its rows to acme.shop.t",
        ),
    ],
)
def test_only_what_is_known_to_read_is_asked_again(recorded: Recorded, statement, more, why) -> None:
    recorded.asked(statement, [], **more)

    found = planned(recorded)

    if why is None:
        assert [step.configuration["query"]["query"] for step in found.steps] == [statement]
        assert found.left == ()
    else:
        [left] = found.left
        assert any(words in left.why for words in why.split("|")), left.why
        assert found.steps == ()


@pytest.mark.parametrize("allowed", [False, True])
def test_writes_are_asked_again_when_they_are_allowed_and_uploads_never(recorded: Recorded, allowed: bool) -> None:
    recorded.asked("DELETE FROM shop.orders WHERE TRUE", [])
    inserted(recorded, {"copy": {"sourceTable": {}, "destinationTable": {"datasetId": "shop", "tableId": "t"}}})
    inserted(recorded, {"load": {"destinationTable": {"datasetId": "shop", "tableId": "t"}}}, f"/upload{JOBS}")

    found = planned(recorded, allow_writes=allowed)

    assert len(found.steps) == (2 if allowed else 0)
    assert "upload" in found.left[-1].why


def test_a_job_is_asked_as_it_was_without_what_was_the_gateways_or_bigquerys(recorded: Recorded) -> None:
    parameters = [{"name": "n", "parameterValue": {"value": "1"}}]
    query = {
        "query": "SELECT @n", "useLegacySql": False, "queryParameters": parameters,
        "destinationTable": {"projectId": "acme", "datasetId": "_0123", "tableId": "anon1"},
    }  # fmt: skip
    inserted(recorded, {"query": query, "labels": {"hoop-session": "s", "mine": "x"}})

    [step] = planned(recorded).steps

    assert step.configuration["labels"] == {"mine": "x"}
    assert step.configuration["query"] == {"query": "SELECT @n", "useLegacySql": False, "queryParameters": parameters}


def test_as_of_a_recording_that_is_too_old_nothing_is_asked(recorded: Recorded) -> None:
    recorded.builder.session("other")
    recorded.asked("SELECT a FROM `acme.shop.events_*`", [])

    found = planned(recorded, travel=True)

    assert found.steps == ()
    assert "as of the recording it cannot be asked" in found.left[0].why
