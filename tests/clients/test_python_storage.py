"""google-cloud-bigquery's Storage API path: gRPC over HTTP/2, with trailers."""

import sys
from datetime import timedelta

import pytest
from uuid_utils import uuid7

from hoop_mitm.devkit.world import World
from tests.clients.clients import DRIVERS, Outcome, drive
from tests.gateways import RunningGateway


def read(environment: dict[str, str], *arguments: str) -> Outcome:
    return drive(environment, sys.executable, DRIVERS / "python_storage.py", *arguments)


@pytest.mark.parametrize("data_format", ["ARROW", "AVRO"])
def test_a_table_is_read_and_recorded_with_its_rows(gateway: RunningGateway, data_format: str) -> None:
    session = str(uuid7())

    outcome = read(gateway.environment(session=session), "table", "acme.shop.customers", data_format)

    assert len(outcome.result) == 120
    doors = [flow.door for flow in gateway.recorded(session).flows]
    assert doors == ["storage.CreateReadSession", "storage.ReadRows"]


@pytest.mark.parametrize(
    ("host", "said"),
    [
        ("bigquerystorage.us.rep.googleapis.com", ""),
        ("bigquerystorage.mtls.googleapis.com", "GOOGLE_API_USE_MTLS_ENDPOINT=never"),
    ],
)
def test_other_names_of_the_storage_api_are_served_or_refused_in_words(
    gateway: RunningGateway, host: str, said: str
) -> None:
    outcome = read(gateway.environment(), "table", "acme.shop.customers", "ARROW", host)

    assert said in outcome.complaint if said else len(outcome.result) == 120


def test_a_large_result_is_fetched_through_it(gateway: RunningGateway) -> None:
    session = str(uuid7())
    sql = "SELECT n FROM UNNEST(GENERATE_ARRAY(1, 100050)) AS n ORDER BY n"

    outcome = read(gateway.environment(session=session), "query", sql)

    assert [row["n"] for row in outcome.result] == [str(n) for n in range(1, 100_051)]
    recorded = gateway.recorded(session)
    assert "storage.ReadRows" in [flow.door for flow in recorded.flows]
    [job] = recorded.jobs
    with gateway.folded() as archive:
        rows = archive.rows(job)
    assert rows is not None
    assert rows.table.num_rows == 100_050


def test_a_table_that_is_not_there_is_bigquerys_error(gateway: RunningGateway) -> None:
    outcome = read(gateway.environment(), "table", "acme.shop.no_such_table", "ARROW")

    assert "no_such_table" in outcome.complaint


def test_an_expired_login_hears_so_and_nothing_reaches_bigquery(gateway: RunningGateway, world: World) -> None:
    before = len(world.bigquery.requests())
    token = world.issuer.token("alice", lifetime=timedelta(hours=-1))

    outcome = read(gateway.environment(token=token), "query", "SELECT 1 AS one")

    assert "has expired" in outcome.complaint
    assert world.bigquery.requests()[before:] == []


def test_a_project_that_is_not_covered_is_refused_in_grpcs_own_way(gateway: RunningGateway, world: World) -> None:
    before = len(world.bigquery.requests())

    outcome = read(gateway.environment(), "table", "elsewhere.shop.customers", "ARROW")

    assert outcome.complaint.startswith("403 Project elsewhere belongs to no connection")
    assert world.bigquery.requests()[before:] == []
