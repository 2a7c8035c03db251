"""What holds for every client, unmodified, with nothing but environment variables."""

from datetime import timedelta

import pytest
from uuid_utils import uuid7

from hoop_mitm.devkit.world import World
from tests.clients.clients import Client, texts
from tests.gateways import RunningGateway

CUSTOMERS = "SELECT id, name FROM `acme.shop.customers` ORDER BY id LIMIT 3"
THE_CUSTOMERS = [
    {"id": "1", "name": "Björn Ahmed"},
    {"id": "2", "name": "Diego Ahmed"},
    {"id": "3", "name": "Kofi Dubois"},
]


def test_a_query_gives_its_rows_and_is_recorded_with_them(client: Client, either: RunningGateway) -> None:
    session = str(uuid7())

    outcome = client.query(either.environment("alice", session=session, name="morning"), CUSTOMERS)

    assert outcome.result == THE_CUSTOMERS
    recorded = either.recorded(session)
    assert recorded.session.principal.email == "alice@acme.example"
    assert (recorded.session.name, recorded.session.agent) == ("morning", client.agent)
    [job] = [job for job in recorded.jobs if not job.dry_run]
    assert job.statement == CUSTOMERS
    with either.folded() as archive:
        rows = archive.rows(job)
    assert rows is not None
    assert texts(rows.rows()) == THE_CUSTOMERS


def test_a_result_of_several_pages_arrives_whole(kind: Client, gateway: RunningGateway, world: World) -> None:
    # MCP servers cannot be told a page's size: theirs is BigQuery's own, which the local one sets at 100,000 rows.
    last = 100_050 if kind.name in ("toolbox", "mcp-server-bigquery") else 2_500
    sql = f"SELECT n FROM UNNEST(GENERATE_ARRAY(1, {last})) AS n ORDER BY n"
    before = len(world.bigquery.requests())

    outcome = kind.pages(gateway.environment(), sql, 1_000)

    assert [row["n"] for row in outcome.result] == [str(n) for n in range(1, last + 1)]
    asked = [dict(request.query) for request in world.bigquery.requests()[before:]]
    assert any(query.get("pageToken") or int(query.get("startIndex", 0)) for query in asked), "it all came in one page"


def test_bigquerys_own_error_reaches_the_user_and_the_recording(kind: Client, gateway: RunningGateway) -> None:
    session = str(uuid7())

    outcome = kind.query(gateway.environment(session=session), "SELECT no_such_column FROM `acme.shop.customers`")

    assert "no_such_column" in outcome.complaint
    assert any("no_such_column" in (job.error or "") for job in gateway.recorded(session).jobs)


@pytest.mark.parametrize("why", ["expired", pytest.param("garbage", marks=pytest.mark.exhaustive)])
def test_an_identity_that_is_refused_hears_why_and_nothing_reaches_bigquery(
    client: Client, gateway: RunningGateway, world: World, why: str
) -> None:
    stale = world.issuer.token("alice", lifetime=timedelta(hours=-1))
    token, words = {"expired": (stale, "has expired"), "garbage": ("garbage", "token")}[why]
    before = len(world.bigquery.requests())
    refused_before = refusals(gateway)

    outcome = client.query(gateway.environment(token=token), CUSTOMERS)

    assert words in outcome.complaint
    assert "hoop-mitm" in outcome.complaint
    assert world.bigquery.requests()[before:] == []
    assert refusals(gateway)[len(refused_before) :] == [why if why == "expired" else "malformed"], (
        "one request, no retries"
    )


def refusals(gateway: RunningGateway) -> list[str]:
    """Why tokens were refused, in order."""
    refused = "SELECT details->>'reason' FROM events WHERE type = 'token.refused' ORDER BY occurred_at, seq"
    return [reason for (reason,) in gateway.ask(refused)]
