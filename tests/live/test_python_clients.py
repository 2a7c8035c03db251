"""The official Python clients through the gateway, against Google's own BigQuery. They read, and create nothing."""

import sys
from datetime import timedelta

import pytest
from uuid_utils import uuid7

from tests.clients.clients import DRIVERS, Outcome, Python, drive
from tests.gateways import RunningGateway

WORDS = "SELECT word, SUM(word_count) AS n FROM `bigquery-public-data.samples.shakespeare` GROUP BY word ORDER BY n DESC, word LIMIT 3"
NUMBERS = "SELECT n FROM UNNEST(GENERATE_ARRAY(1, {last})) AS n ORDER BY n"

clients = pytest.mark.parametrize("client", [Python("query"), Python("query_and_wait")], ids=lambda client: client.name)


def storage(environment: dict[str, str], sql: str) -> Outcome:
    return drive(environment, sys.executable, DRIVERS / "python_storage.py", "query", sql)


@clients
def test_a_query_gives_its_rows_and_is_recorded_with_what_it_cost(client: Python, gateway: RunningGateway) -> None:
    session = str(uuid7())

    outcome = client.query(gateway.environment(session=session), WORDS)

    assert [row["word"] for row in outcome.result] == ["the", "I", "and"]
    [job] = [job for job in gateway.recorded(session).jobs if not job.dry_run]
    assert job.statement == WORDS
    assert job.bytes_processed is not None


@clients
def test_a_result_of_several_pages_arrives_whole(client: Python, gateway: RunningGateway) -> None:
    outcome = client.pages(gateway.environment(), NUMBERS.format(last=2_500), 1_000)

    assert [row["n"] for row in outcome.result] == [str(n) for n in range(1, 2_501)]


@clients
def test_bigquerys_own_error_reaches_the_user(client: Python, gateway: RunningGateway) -> None:
    outcome = client.query(gateway.environment(), "SELECT no_such_column FROM UNNEST([1]) AS n")

    assert "no_such_column" in outcome.complaint


@clients
def test_a_refused_identity_hears_why(client: Python, gateway: RunningGateway) -> None:
    expired = gateway.world.issuer.token("alice", lifetime=timedelta(hours=-1))

    assert "has expired" in client.query(gateway.environment(token=expired), WORDS).complaint


def test_a_large_result_comes_through_the_storage_api(gateway: RunningGateway) -> None:
    session = str(uuid7())

    outcome = storage(gateway.environment(session=session), NUMBERS.format(last=200_000))

    assert len(outcome.result) == 200_000
    assert "storage.ReadRows" in [flow.door for flow in gateway.recorded(session).flows]
