"""google-api-python-client: the one client library that sends batches."""

import sys

from hoop_mitm.devkit.world import World
from tests.clients.clients import DRIVERS, Outcome, drive
from tests.gateways import RunningGateway


def run(gateway: RunningGateway, *arguments: str) -> Outcome:
    return drive(gateway.environment(), sys.executable, DRIVERS / "google_api_client.py", *arguments)


def test_a_statement_is_answered(gateway: RunningGateway) -> None:
    assert run(gateway, "query", "SELECT 42 AS n").result == [{"n": "42"}]


def test_a_batch_of_questions_is_answered_and_google_sees_one_credential(gateway: RunningGateway, world: World) -> None:
    result = run(gateway, "metadata").result

    assert result == [{"kind": "bigquery#datasetList"}, {"kind": "bigquery#table"}]
    [seen] = [seen for seen in world.bigquery.requests() if seen.path == "/batch/bigquery/v2"][-1:]
    assert seen.who == world.google.gateway_account.email
    assert b"uthorization" not in seen.body


def test_a_batch_with_a_statement_is_refused_in_words(gateway: RunningGateway, world: World) -> None:
    before = len(world.bigquery.requests())

    complaint = run(gateway, "statement").complaint

    assert "Part 3 of this batch" in complaint
    assert "does not serve jobs.query in a batch" in complaint
    assert len(world.bigquery.requests()) == before
