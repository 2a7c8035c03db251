"""A statement that the policy denies, as each client shows it."""

from collections.abc import Iterator

import pytest
from uuid_utils import uuid7

from hoop_mitm.devkit.gateway_config import ANALYSTS_READ
from hoop_mitm.devkit.world import World
from tests.clients.clients import Client
from tests.clients.test_python_storage import read
from tests.gateways import RunningGateway

DELETE = "DELETE FROM `acme.shop.orders` WHERE true"

BY_SQL_ALONE = {
    "name": "by-sql-alone",
    "verdict": "deny",
    "principals": ["bob@acme.example"],
    "doors": ["storage.CreateReadSession"],
    "message": "Ask for it with SQL.",
}


@pytest.fixture(scope="module")
def gateway(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    policy = ANALYSTS_READ.model_dump(mode="json", exclude_none=True)
    policy["rules"].insert(0, BY_SQL_ALONE)
    with RunningGateway(world, tmp_path_factory.mktemp("denied"), policy=policy) as running:
        yield running


def test_a_denial_is_shown_after_one_request(kind: Client, gateway: RunningGateway, world: World) -> None:
    session = str(uuid7())
    before = len(world.bigquery.requests())

    outcome = kind.query(gateway.environment("alice", session=session), DELETE)

    # bq breaks lines.
    words = " ".join(outcome.complaint.split())
    assert "Analysts read here, and change nothing. (hoop-mitm, policy.analysts-do-not-write: DELETE" in words
    statements = [flow for flow in gateway.recorded(session).flows if flow.door in ("jobs.insert", "jobs.query")]
    assert [flow.verdict.rule for flow in statements] == ["policy.analysts-do-not-write"]
    assert [seen.path for seen in world.bigquery.requests()[before:] if b"DELETE" in (seen.body or b"")] == []


def test_over_grpc_it_is_shown_after_one_call_too(gateway: RunningGateway) -> None:
    session = str(uuid7())

    outcome = read(gateway.environment("bob", session=session), "table", "acme.shop.customers", "ARROW")

    assert "Ask for it with SQL. (hoop-mitm, policy.by-sql-alone: " in outcome.complaint
    assert [flow.verdict.rule for flow in gateway.recorded(session).flows] == ["policy.by-sql-alone"]
