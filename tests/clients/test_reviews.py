"""A statement that waits for a person, as each client waits for it."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from uuid_utils import uuid7

from hoop_mitm.devkit.world import World
from tests.attacks.raw import bigquery
from tests.clients.clients import Client
from tests.clients.test_every_client import CUSTOMERS, THE_CUSTOMERS
from tests.gateways import RunningGateway
from tests.waiting import until

REVIEWS = "/hoop/v1/reviews"


@pytest.fixture(scope="module")
def gateway(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    rules = [
        {
            "name": "customers",
            "verdict": "review",
            "tables": ["shop.customers"],
            "doors": ["jobs.query", "jobs.insert"],
            "review": {"groups": ["reviewers"]},
        },
        {"name": "the-rest", "verdict": "allow", "tables": ["*"]},
    ]
    with RunningGateway(world, tmp_path_factory.mktemp("reviews"), policy={"rules": rules}) as running:
        yield running


def test_a_held_statement_gives_rows_after_a_yes_and_the_reviewers_words_after_a_no(
    kind: Client, gateway: RunningGateway, world: World
) -> None:
    wanted, unwanted = str(uuid7()), str(uuid7())

    with ThreadPoolExecutor(2) as clients:
        first, second = (
            clients.submit(kind.query, gateway.environment("alice"), f"{CUSTOMERS} -- hoop.reason: {reason}")
            for reason in (wanted, unwanted)
        )
        decide(gateway, wanted, "approve")
        decide(gateway, unwanted, "reject")
        rows, refusal = first.result(), second.result()

    assert rows.result == THE_CUSTOMERS
    # bq breaks lines.
    assert "rejected this request: Ask for fewer columns." in " ".join(refusal.complaint.split())
    asked = [request for request in world.bigquery.requests() if wanted.encode() in (request.body or b"")]
    ran = [request for request in asked if b'"dryRun":true' not in (request.body or b"").replace(b" ", b"")]
    assert len(ran) == 1
    for request in world.bigquery.requests():
        if unwanted.encode() in (request.body or b""):
            assert b'"dryRun":true' in (request.body or b"").replace(b" ", b"")


def decide(gateway: RunningGateway, reason: str, what: str) -> None:
    """Bob decides on the request that gives this reason, once it waits."""
    token = gateway.world.issuer.token("bob")
    with bigquery(gateway.process.address, gateway.config.gateway.certs / "bundle.pem") as raw:
        found: list[str] = []

        def is_held() -> bool:
            listed = json.loads(raw.request("GET", REVIEWS, token=token).body)["reviews"]
            found[:] = [each["id"] for each in listed if each["reason"] == reason]
            return bool(found)

        until(is_held, 240)  # The client has to start first.
        target = f"{REVIEWS}/{found[0]}"
        digest = json.loads(raw.request("GET", target, token=token).body)["digest"]
        said = {"digest": digest} if what == "approve" else {"message": "Ask for fewer columns."}
        assert raw.request("POST", f"{target}/{what}", token=token, body=said).status == 200
