"""Messages to Google's MCP server: what each asks of BigQuery, and what none gets past."""

import gzip
import json

import pytest

from hoop_mitm.bigquery import created, find, read
from hoop_mitm.bigquery.jobs import job_facts
from hoop_mitm.bigquery.mcp import TOOLS, answer, asked
from hoop_mitm.bigquery.operation import Resource, TableRef
from hoop_mitm.errors import Denied

HOST = "bigquery.googleapis.com"
HEADERS = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
HIDDEN = "_" + "0123456789abcdef" * 2 + "01234567"


def call(tool, /, **arguments):
    return {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool, "arguments": arguments}}


def understood(message, headers=(), query=()):
    door = find(HOST, "POST", "/mcp")
    assert door
    body = message if isinstance(message, bytes) else json.dumps(message).encode()
    return read(door, path="/mcp", query=query, headers=HEADERS | dict(headers), body=body)


SQL = {"projectId": "acme", "query": "SELECT 1"}


@pytest.mark.parametrize(
    ("message", "door", "kind", "expected"),
    [
        (call("execute_sql", **SQL), "mcp.execute_sql", "admin", {"statement": "SELECT 1", "project": "acme"}),
        (call("execute_sql", **SQL, dryRun=True), "mcp.execute_sql", "admin", {"dry_run": True, "legacy_sql": False}),
        (call("execute_sql_readonly", **SQL), "mcp.execute_sql_readonly", "read", {"job_type": "query"}),
        (
            call("get_query_results", projectId="acme", jobId="j", location="EU", maxResults="10", startIndex=0),
            "mcp.get_query_results",
            "read",
            {"job_id": "j", "uses": (Resource("job", "acme:j"),), "location": "EU"},
        ),
        (call("get_job", projectId="acme", jobId="j"), "mcp.get_job", "metadata", {"job_id": "j"}),
        (call("cancel_job", projectId="acme", jobId="j"), "mcp.cancel_job", "write", {"job_id": "j"}),
        (call("list_dataset_ids", projectId="acme", pageSize=5), "mcp.list_dataset_ids", "metadata", {"uses": ()}),
        (
            call("get_dataset_info", projectId="acme", datasetId="shop"),
            "mcp.get_dataset_info",
            "metadata",
            {"datasets": ("acme.shop",)},
        ),
        (
            call("list_table_ids", projectId="acme", datasetId="shop", pageToken="x"),
            "mcp.list_table_ids",
            "metadata",
            {"datasets": ("acme.shop",), "tables": ()},
        ),
        (
            call("get_table_info", projectId="acme", datasetId="shop", tableId="orders"),
            "mcp.get_table_info",
            "metadata",
            {"tables": (TableRef("acme", "shop", "orders"),), "projects": ("acme",)},
        ),
        ({"jsonrpc": "2.0", "id": "a", "method": "initialize", "params": {}}, "mcp.initialize", "metadata", {}),
        ({"jsonrpc": "2.0", "id": 0, "method": "tools/list"}, "mcp.list_tools", "metadata", {"project": ""}),
        ({"jsonrpc": "2.0", "id": 1, "method": "ping"}, "mcp.ping", "metadata", {}),
        ({"jsonrpc": "2.0", "method": "notifications/initialized"}, "mcp.notification", "metadata", {}),
    ],
)
def test_what_a_message_asks(message, door, kind, expected):
    operation = understood(message)
    assert (operation.door.name, operation.kind) == (door, kind)
    assert {name: getattr(operation, name) for name in expected} == expected


def test_every_tool_of_googles_documentation_is_known():
    assert set(TOOLS) == {
        "execute_sql", "execute_sql_readonly", "get_query_results", "get_job", "cancel_job",
        "list_dataset_ids", "get_dataset_info", "list_table_ids", "get_table_info",
    }  # fmt: skip


def test_whose_things_a_call_names():
    operation = understood(call("execute_sql", projectId="acme", query=f"SELECT * FROM `{HIDDEN}.anon1`"))
    assert operation.uses == (Resource("table", f"acme.{HIDDEN}.anon1"),)
    operation = understood(call("get_table_info", projectId="acme", datasetId=HIDDEN, tableId="anon1"))
    assert operation.uses == (Resource("table", f"acme.{HIDDEN}.anon1"),)
    operation = understood(call("list_table_ids", projectId="acme", datasetId=HIDDEN))
    assert operation.uses == (Resource("table", f"acme.{HIDDEN}.*"),)
    operation = understood(call("list_dataset_ids", projectId="acme"), {"Mcp-Session-Id": "bobs"})
    assert operation.uses == (Resource("mcp_session", "bobs"),)
    operation = understood(call("list_dataset_ids", projectId="acme"), {"x-goog-user-project": "other"})
    assert operation.projects == ("acme", "other")


GOOD = call("execute_sql", **SQL)
EVASIONS = {
    "several messages": [GOOD, GOOD],
    "several, behind a space": b" \n[" + json.dumps(GOOD).encode() + b"]",
    "no message": b"",
    "no JSON": b"SELECT 1",
    "a key twice": json.dumps(GOOD).replace('"id": 1', '"id": 1, "id": 2').encode(),
    "an argument twice": json.dumps(GOOD).replace('"query"', '"query": "DROP TABLE t", "query"').encode(),
    "a method twice": json.dumps(GOOD).replace('"params"', '"method": "ping", "params"').encode(),
    "another version": GOOD | {"jsonrpc": "1.0"},
    "no version": {key: value for key, value in GOOD.items() if key != "jsonrpc"},
    "a notification that calls": {key: value for key, value in GOOD.items() if key != "id"},
    "a null id": GOOD | {"id": None},
    "an id that is an object": GOOD | {"id": {}},
    "an id that is true": GOOD | {"id": True},
    "an answer": {"jsonrpc": "2.0", "id": 1, "result": {}},
    "an answer besides": GOOD | {"result": {}},
    "an unknown method": GOOD | {"method": "resources/read"},
    "a method in another case": GOOD | {"method": "Tools/Call"},
    "sampling": GOOD | {"method": "sampling/createMessage"},
    "params in a list": GOOD | {"params": ["execute_sql", SQL]},
    "an unknown tool": call("drop_everything", **SQL),
    "a tool in another case": call("Execute_SQL", **SQL),
    "a tool with a space": call("execute_sql ", **SQL),
    "a task": GOOD | {"params": GOOD["params"] | {"task": {"ttl": 60000}}},
    "an unknown argument": call("execute_sql", **SQL, useLegacySql=True),
    "a label of ours": call("execute_sql", **SQL, labels={"hoop-session": "x"}),
    "another spelling": call("execute_sql", project_id="acme", query="SELECT 1"),
    "both spellings": call("execute_sql", **SQL, project_id="other"),
    "a job's argument": call("execute_sql", **SQL, jobId="j"),
    "a statement in a list": call("execute_sql", projectId="acme", query=["SELECT 1"]),
    "no statement": call("execute_sql", projectId="acme"),
    "no project": call("execute_sql", query="SELECT 1"),
    "an empty project": call("execute_sql", projectId="", query="SELECT 1"),
    "a project with a path": call("execute_sql", projectId="acme/../other", query="SELECT 1"),
    "a dataset with a path": call("get_dataset_info", projectId="acme", datasetId="shop/tables/x"),
    "a table that leads up": call("get_table_info", projectId="acme", datasetId="shop", tableId=".."),
    "a job that is a path": call("get_job", projectId="acme", jobId="a/b"),
    "dryRun in words": call("execute_sql", **SQL, dryRun="true"),
    "dryRun as a number": call("execute_sql", **SQL, dryRun=1),
    "a number that is true": call("list_dataset_ids", projectId="acme", pageSize=True),
    "a nest": b'{"jsonrpc": "2.0", "id": 1, "params": ' + b"[" * 200_000,
    "half a surrogate": json.dumps(call("execute_sql", projectId="acme", query="SELECT '\ud800'")).encode(),
    "a statement of a megabyte and more": call("execute_sql", projectId="acme", query="x" * (2**20 + 1)),
    "a reserved label in SQL": call("execute_sql", projectId="acme", query="SET @@query_label = 'hoop-session:x'"),
}


@pytest.mark.parametrize("message", EVASIONS.values(), ids=EVASIONS)
def test_a_message_that_is_not_plain_is_refused(message):
    with pytest.raises(Denied, match=r"cannot read this request safely|gateway's"):
        understood(message)


@pytest.mark.parametrize(
    ("headers", "query"),
    [
        ({"mcp-method": "tools/list"}, ()),
        ({"mcp-name": "list_dataset_ids"}, ()),
        ({"mcp-param-query": "SELECT 2"}, ()),
        ({"mcp-param-project": "acme"}, ()),
        ({"last-event-id": "7"}, ()),
        ({"content-type": "text/plain"}, ()),
        ({"content-type": "application/json; charset=utf-16"}, ()),
        ({"content-encoding": "zstd"}, ()),
        ({}, [("alt", "json")]),
        ({}, [("$httpMethod", "DELETE")]),
    ],
)
def test_headers_and_parameters_that_say_something_else(headers, query):
    with pytest.raises(Denied):
        understood(GOOD, headers, query)


def test_headers_that_say_the_same():
    same = {"mcp-method": "tools/call", "mcp-name": "execute_sql", "mcp-param-query": "SELECT 1"}
    assert understood(GOOD, same).statement == "SELECT 1"


def test_a_bomb_is_not_unpacked():
    with pytest.raises(Denied, match="larger than"):
        understood(gzip.compress(b" " * (21 * 2**20)), {"content-encoding": "gzip"})


# ------------------------------------------------------------------------------------------------------------- answers

RESULT = {"schema": {"fields": []}, "rows": [], "jobComplete": True, "jobId": "job_1", "location": "US"}


def answered(result, *, stream=False, **more):
    message = json.dumps({"jsonrpc": "2.0", "id": 1, "result": {"structuredContent": result, "content": []} | more})
    if not stream:
        return message.encode()
    progress = json.dumps({"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progress": 1}})
    return f": hello\nevent: message\nid: 1\ndata: {progress}\n\nevent: message\ndata: {message}\n\n".encode()


TEXT = {"structuredContent": None, "content": [{"type": "text", "text": json.dumps(RESULT)}]}


@pytest.mark.parametrize(
    "body",
    [
        answered(RESULT),
        answered(RESULT, stream=True),
        answered(RESULT, stream=True).replace(b"\n", b"\r\n"),
        json.dumps({"jsonrpc": "2.0", "id": 1, "result": {"content": TEXT["content"]}}).encode(),
    ],
    ids=["json", "events", "crlf", "text"],
)
def test_an_answer_is_bigquerys_own(body):
    found = answer(body).json
    assert found
    assert json.loads(found) == RESULT | {"jobReference": {"jobId": "job_1", "location": "US"}}

    operation = understood(GOOD)
    assert created(operation, 200, {}, body) == (Resource("job", "acme:job_1"),)

    facts = job_facts(operation.door.name, "https://x/mcp", json.dumps(GOOD).encode(), body, 200)
    assert facts
    assert (facts.key, facts.statement, facts.state, facts.location) == ("acme:job_1", "SELECT 1", "DONE", "US")


def test_a_session_is_whose_it_was_given_to():
    operation = understood({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {}})
    assert created(operation, 200, {"Mcp-Session-Id": "s"}, b"{}") == (Resource("mcp_session", "s"),)


@pytest.mark.parametrize(
    "body",
    [
        answered(None, isError=True, content=[{"type": "text", "text": "No such table."}]),
        b'{"jsonrpc": "2.0", "id": 1, "error": {"code": -32603, "message": "No such table."}}',
    ],
    ids=["result", "error"],
)
def test_a_call_that_failed_is_a_statement_that_failed(body):
    facts = job_facts("mcp.execute_sql", "https://x/mcp", json.dumps(GOOD).encode(), body, 200)
    assert facts
    assert (facts.state, facts.error, facts.statement, facts.id) == ("FAILED", "No such table.", "SELECT 1", None)
    assert created(understood(GOOD), 200, {}, body) == ()


@pytest.mark.parametrize("body", [b"", b"{", b"data: {\n\n", b"[]", answered([1])])
def test_an_answer_that_cannot_be_read_gives_nothing(body):
    assert created(understood(GOOD), 200, {}, body) == ()


def test_a_poll_tells_about_its_job():
    poll = call("get_query_results", projectId="acme", jobId="job_1", location="US")
    body = answered({"jobComplete": True, "totalRows": "3", "rows": []})
    facts = job_facts("mcp.get_query_results", "https://x/mcp", json.dumps(poll).encode(), body, 200)
    assert facts
    assert (facts.key, facts.state, facts.row_count) == ("acme:job_1", "DONE", 3)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (json.dumps(GOOD).encode(), (1, True)),
        (b'{"id": "x", "method": "ping"}', ("x", False)),
        (b'{"method": "notifications/initialized"}', (None, False)),
        (b"[]", (None, False)),
        (b'{"id": 1, "params": ' + b"[" * 200_000, (None, False)),
        (None, (None, False)),
    ],
)
def test_which_request_an_answer_is_for(body, expected):
    assert asked(body) == expected
