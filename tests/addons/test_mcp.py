"""Google's MCP server, as an MCP client reaches it through the gateway."""

import asyncio
import json
import ssl

import httpx
import pytest
from mcp import ClientSession, McpError
from mcp.client.streamable_http import streamable_http_client
from mcp.types import TextContent

from tests.attacks.raw import bigquery

URL = "https://bigquery.googleapis.com/mcp"
SESSION = "mcp-session-id"


def through(gateway, token, **headers):
    """An HTTP client whose way leads through the gateway."""
    context = ssl.create_default_context(cafile=str(gateway.config.gateway.certs / "bundle.pem"))
    return httpx.AsyncClient(
        proxy=gateway.url, verify=context, headers={"authorization": f"Bearer {token}", **headers}, timeout=60
    )


def with_client(gateway, token, ask, **headers):
    """What ``ask(session)`` gives, in a session of a real MCP client; or the error that it was greeted with."""

    async def run():
        async with (
            through(gateway, token, **headers) as http,
            streamable_http_client(URL, http_client=http) as (read, write, _),
            ClientSession(read, write) as session,
        ):
            try:
                await session.initialize()
            except McpError as error:
                return error
            return await ask(session)

    return asyncio.run(run())


def text_of(result):
    [content] = result.content
    assert isinstance(content, TextContent)
    return content.text


def called(gateway, token, tool, **arguments):
    async def ask(session):
        return await session.call_tool(tool, arguments)

    return with_client(gateway, token, ask)


def test_an_agent_lists_the_tools_and_calls_them(world, gateway):
    alice = world.issuer.token("alice")

    async def ask(session):
        tools = await session.list_tools()
        rows = await session.call_tool("execute_sql_readonly", {"projectId": "acme", "query": "SELECT 40 + 2 AS n"})
        tables = await session.call_tool("list_table_ids", {"projectId": "acme", "datasetId": "shop"})
        table = await session.call_tool(
            "get_table_info", {"projectId": "acme", "datasetId": "shop", "tableId": "orders"}
        )
        again = await session.call_tool(
            "get_query_results", {"projectId": "acme", "jobId": rows.structuredContent["jobId"]}
        )
        return tools, rows, tables, table, again

    tools, rows, tables, table, again = with_client(gateway, alice, ask)

    assert "execute_sql_readonly" in [tool.name for tool in tools.tools]
    assert rows.structuredContent["rows"] == [{"f": [{"v": "42"}]}]
    assert {"id": "acme:shop.orders"} in tables.structuredContent["tables"]
    assert table.structuredContent["tableReference"]["tableId"] == "orders"
    assert again.structuredContent["rows"] == rows.structuredContent["rows"]

    doors = gateway.ask("SELECT DISTINCT door FROM flows WHERE url LIKE '%/mcp' ORDER BY door")
    assert {door for (door,) in doors} >= {
        "mcp.execute_sql_readonly", "mcp.get_query_results", "mcp.get_table_info", "mcp.initialize",
        "mcp.list_table_ids", "mcp.list_tools", "mcp.notification",
    }  # fmt: skip
    job = rows.structuredContent["jobId"]
    [(session, *said)] = gateway.ask(f"SELECT session_id, statement, state, project FROM jobs WHERE id = '{job}'")
    assert said == ["SELECT 40 + 2 AS n", "DONE", "acme"]
    with gateway.folded() as archive:
        [recorded] = [each for each in archive.show(archive.find(session)).jobs if each.id == job]
        result = archive.rows(recorded)
    assert result
    assert result.rows() == [{"n": 42}]


def test_a_statement_that_fails_at_bigquery_is_recorded_as_one(world, gateway):
    result = called(
        gateway, world.issuer.token("alice"), "execute_sql", projectId="acme", query="SELECT * FROM shop.nosuch1"
    )

    assert result.isError
    assert gateway.ask("SELECT state, error IS NOT NULL FROM jobs WHERE statement LIKE '%nosuch1'") == [
        ("FAILED", True)
    ]


@pytest.mark.parametrize(
    ("tool", "arguments", "words"),
    [
        ("execute_sql", {"projectId": "other", "query": "DROP TABLE x.y"}, "Project other belongs to no connection"),
        ("execute_sql", {"projectId": "acme", "query": "SELECT 1", "useLegacySql": True}, "no argument 'useLegacySql'"),
        ("drop_everything", {"projectId": "acme"}, "does not know the tool"),
        ("get_query_results", {"projectId": "acme", "jobId": "bobs"}, "not yours"),
    ],
)
def test_a_refusal_is_the_result_that_the_agent_reads(world, gateway, tool, arguments, words):
    before = len(world.bigquery.requests())

    result = called(gateway, world.issuer.token("alice"), tool, **arguments)

    assert result.isError
    assert words in text_of(result)
    # Only the greeting got through.
    assert len(world.bigquery.requests()) - before <= 2


def test_who_may_not_is_told_in_words(gateway):
    error = with_client(gateway, "eyJ.not.valid", ClientSession.list_tools)

    assert isinstance(error, McpError)
    assert "Sign in again" in str(error)


def test_a_session_of_the_server_is_its_owners(world, gateway):
    alice, bob = world.issuer.token("alice"), world.issuer.token("bob")
    greeting = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}

    async def run():
        kinds = {"accept": "application/json, text/event-stream"}
        async with through(gateway, alice, **kinds) as hers, through(gateway, bob, **kinds) as his:
            message = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": greeting}
            given = (await hers.post(URL, json=message)).headers[SESSION]
            ask = {"jsonrpc": "2.0", "id": 2, "method": "tools/list"}
            return [(await client.post(URL, json=ask, headers={SESSION: given})).json() for client in (hers, his)]

    hers, his = asyncio.run(run())
    assert "tools" in hers["result"]
    assert "not yours" in his["error"]["message"]


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_no_stream_is_offered(world, gateway, method):
    with bigquery(gateway.process.address, gateway.config.gateway.certs / "bundle.pem") as raw:
        got = raw.request(method, "/mcp", token=world.issuer.token("alice"), headers=("Accept: text/event-stream",))
    assert got.status == 405
    assert "hoop-mitm does not forward" in json.loads(got.body)["error"]["message"]
