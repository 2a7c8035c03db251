"""A policy holds at every door: whoever may read only changes nothing through any of them."""

import json

import pytest

from tests.attacks.raw import BIGQUERY, Raw
from tests.gateways import RunningGateway

V2 = "/bigquery/v2/projects/acme"
ORDERS = f"{V2}/datasets/shop/tables/orders"
JSON = "Content-Type: application/json"
MCP = (JSON, "Accept: application/json, text/event-stream")
BATCH = ('Content-Type: multipart/mixed; boundary="===1=="',)
DELETE = "DELETE FROM shop.orders WHERE true"
POLICY = {
    "rules": [
        {"name": "no-models", "verdict": "deny", "doors": ["models.*"], "message": "Models are nobody's business."},
        {
            "name": "asked",
            "verdict": "review",
            "doors": ["mcp.*"],
            "tables": ["shop.employees"],
            "review": {"groups": ["x"]},
        },
        {"name": "readers", "verdict": "allow", "read_only": True},
    ]
}


@pytest.fixture(scope="module")
def gateway(world, tmp_path_factory):
    with RunningGateway(world, tmp_path_factory.mktemp("rules"), policy=POLICY) as running:
        yield running


def ask(world, gateway, request):
    method, target, body, headers, host = request
    with Raw(gateway.process.address, gateway.config.gateway.certs / "bundle.pem") as raw:
        raw.connect(host)
        raw.tls(host)
        return raw.request(method, target, host=host, token=world.issuer.token("alice"), body=body, headers=headers)


def sent(world):
    """What reached BigQuery; the gateway itself may have tried what a statement would do."""
    return [seen for seen in world.bigquery.requests() if b"dryRun" not in seen.body]


def text(value):
    return json.dumps(value).encode()


def call(tool, **arguments):
    return text({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool, "arguments": arguments}})


def batch(request):
    part = f"--===1==\nContent-Type: application/http\nContent-ID: <1>\n\n{request} HTTP/1.1\n\n"
    return f"{part}\n--===1==--".encode()


def query(statement, **more):
    return text({"query": statement, "useLegacySql": False, **more})


def job(**configuration):
    return text({"configuration": configuration})


COPY = {
    "sourceTable": {"projectId": "acme", "datasetId": "shop", "tableId": "orders"},
    "destinationTable": {"projectId": "acme", "datasetId": "shop", "tableId": "orders2"},
}
UPLOAD = (
    b'--x\r\nContent-Type: application/json\r\n\r\n{"configuration": {"load": {"destinationTable": '
    b'{"projectId": "acme", "datasetId": "shop", "tableId": "orders"}}}}\r\n--x\r\nContent-Type: */*\r\n\r\na\r\n--x--'
)
READS = {
    "REST": ("POST", f"{V2}/queries", query("SELECT 1"), (JSON,), BIGQUERY),
    "regional": ("POST", f"{V2}/queries", query("SELECT 1"), (JSON,), "bigquery.us.rep.googleapis.com"),
    "legacy host": ("GET", ORDERS, b"", (), "www.googleapis.com"),
    "MCP": ("POST", "/mcp", call("execute_sql", projectId="acme", query="SELECT 1"), MCP, BIGQUERY),
    "MCP, metadata": ("POST", "/mcp", call("list_dataset_ids", projectId="acme"), MCP, BIGQUERY),
    "MCP, a greeting": ("POST", "/mcp", text({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}), MCP, BIGQUERY),
    "a batch": ("POST", "/batch/bigquery/v2", batch(f"GET {ORDERS}"), BATCH, BIGQUERY),
}
WRITES = {
    "REST": ("POST", f"{V2}/queries", query(DELETE), (JSON,), BIGQUERY),
    "a job": ("POST", f"{V2}/jobs", job(query={"query": DELETE, "useLegacySql": False}), (JSON,), BIGQUERY),
    "regional": ("POST", f"{V2}/queries", query(DELETE), (JSON,), "bigquery.us.rep.googleapis.com"),
    "locational": ("POST", f"{V2}/queries", query(DELETE), (JSON,), "us-bigquery.googleapis.com"),
    "legacy host": ("POST", f"{V2}/queries", query(DELETE), (JSON,), "www.googleapis.com"),
    "legacy SQL": ("POST", f"{V2}/queries", text({"query": "SELECT 1"}), (JSON,), BIGQUERY),
    "a destination": (
        "POST",
        f"{V2}/jobs",
        job(query={"query": "SELECT 1", "useLegacySql": False, "destinationTable": COPY["destinationTable"]}),
        (JSON,),
        BIGQUERY,
    ),
    "a copy": ("POST", f"{V2}/jobs", job(copy=COPY), (JSON,), BIGQUERY),
    "an upload": (
        "POST",
        f"/upload{V2}/jobs?uploadType=multipart",
        UPLOAD,
        ("Content-Type: multipart/related; boundary=x",),
        BIGQUERY,
    ),
    "rows": ("POST", f"{ORDERS}/insertAll", b'{"rows": [{"json": {"id": 1}}]}', (JSON,), BIGQUERY),
    "a deletion": ("DELETE", ORDERS, b"", (), BIGQUERY),
    "a deletion in disguise": ("POST", ORDERS, b"", ("X-HTTP-Method-Override: DELETE",), BIGQUERY),
    "a row policy": ("POST", f"{ORDERS}/rowAccessPolicies:batchDelete", b'{"policyIds": ["a"]}', (JSON,), BIGQUERY),
    "what was deleted": ("POST", f"{V2}/datasets/shop:undelete", b"{}", (JSON,), BIGQUERY),
    "MCP": ("POST", "/mcp", call("execute_sql", projectId="acme", query=DELETE), MCP, BIGQUERY),
    "MCP, the read-only tool": (
        "POST",
        "/mcp",
        call("execute_sql_readonly", projectId="acme", query=DELETE),
        MCP,
        BIGQUERY,
    ),
    "a batch": ("POST", "/batch/bigquery/v2", batch(f"DELETE {ORDERS}"), BATCH, BIGQUERY),
}


@pytest.mark.parametrize("request_", READS.values(), ids=READS)
def test_who_reads_gets_an_answer(world, gateway, request_):
    got = ask(world, gateway, request_)
    assert got.status == 200
    assert b"hoop-mitm" not in got.body


@pytest.mark.parametrize("request_", WRITES.values(), ids=WRITES)
def test_who_writes_is_refused_in_the_shape_of_the_door(world, gateway, request_):
    before = sent(world)
    got = ask(world, gateway, request_)
    if request_[1] == "/mcp":
        assert got.status == 200
        result = json.loads(got.body)["result"]
        assert result["isError"]
        assert "hoop-mitm" in result["content"][0]["text"]
    else:
        assert got.status == 403
        assert "hoop-mitm" in got.message
    assert sent(world) == before


def test_a_part_that_a_rule_denies_is_named_and_takes_the_others_with_it(world, gateway):
    before = sent(world)
    body = batch(f"GET {ORDERS}").removesuffix(b"--===1==--") + batch(f"GET {V2}/datasets/shop/models").replace(
        b"<1>", b"<2>"
    )
    got = ask(world, gateway, ("POST", "/batch/bigquery/v2", body, BATCH, BIGQUERY))
    assert got.status == 403
    assert "Part 2 of this batch" in got.message
    assert "Models are nobody's business." in got.message
    assert sent(world) == before


def test_a_call_that_would_have_to_wait_for_approval_is_refused_in_words(world, gateway):
    before = sent(world)
    message = call("execute_sql", projectId="acme", query="SELECT name FROM shop.employees")
    got = ask(world, gateway, ("POST", "/mcp", message, MCP, BIGQUERY))
    result = json.loads(got.body)["result"]
    assert result["isError"]
    assert "cannot wait" in result["content"][0]["text"]
    assert sent(world) == before
