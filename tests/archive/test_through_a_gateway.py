"""What a real client did through a running gateway, found and exported while the gateway still runs."""

import io
import json
import sys

import jsonschema
import pytest
from mitmproxy.io import FlowReader
from uuid_utils import uuid7

from hoop_mitm.archive import Query
from hoop_mitm.archive.export import FORMATS, export
from tests.archive.har_schema import HAR
from tests.archive.ocsf_schema import API_ACTIVITY, DATASTORE_ACTIVITY
from tests.clients.clients import DRIVERS, drive
from tests.gateways import RunningGateway

SQL = "SELECT name, email FROM shop.customers ORDER BY id LIMIT 3"


@pytest.fixture(scope="module")
def session(gateway: RunningGateway) -> str:
    """A query over REST, a table over gRPC and a statement that fails, by one client in one session."""
    made = str(uuid7())
    environment = gateway.environment(session=made, name="a session to export")
    for arguments in (["query", SQL], ["table", "acme.shop.customers", "ARROW"], ["query", "SELEC 1"]):
        drive(environment, sys.executable, DRIVERS / "python_storage.py", *arguments)
    return made


@pytest.fixture(scope="module")
def exported(gateway: RunningGateway, session: str) -> dict[str, bytes]:
    with gateway.folded() as archive:
        return {to: b"".join(export(archive, archive.find(session), to)) for to in FORMATS}


def test_the_har_is_valid_and_holds_every_exchange(exported, gateway, session):
    found = json.loads(exported["har"])
    jsonschema.validate(found, HAR, format_checker=jsonschema.FormatChecker())
    doors = [entry["_hoop"]["door"] for entry in found["log"]["entries"]]
    assert doors == [flow.door for flow in gateway.recorded(session).flows]
    assert "storage.ReadRows" in doors
    answers = [entry["response"]["content"].get("text", "") for entry in found["log"]["entries"]]
    assert any('"schema"' in answer for answer in answers)


def test_the_flows_are_those_of_the_gateway(exported, gateway, session):
    flows = list(FlowReader(io.BytesIO(exported["mitm"])).stream())
    assert [flow.id for flow in flows] == [flow.id for flow in gateway.recorded(session).flows]
    for flow in flows:
        assert flow.request.pretty_url.startswith("https://bigquery")
        assert "authorization" not in flow.request.headers or "redacted" in flow.request.headers["authorization"]
    rest = [flow for flow in flows if "application/json" in flow.response.headers.get("content-type", "")]
    assert rest
    assert all(json.loads(flow.response.content) for flow in rest)
    grpc = [flow for flow in flows if flow.metadata["hoop_door"].startswith("storage.")]
    assert {flow.response.trailers["grpc-status"] for flow in grpc} == {"0"}


def test_the_page_shows_statement_result_and_failure(exported):
    page = exported["html"].decode()
    assert "a session to export" in page
    assert "shop.customers" in page
    assert "3 rows" in page
    assert "120 rows" in page
    assert 'class="outcome bad"' in page


def test_the_events_are_valid(exported):
    events = [json.loads(line) for line in exported["ocsf"].splitlines()]
    for event in events:
        jsonschema.validate(event, {6003: API_ACTIVITY, 6005: DATASTORE_ACTIVITY}[event["class_uid"]])
    assert {"Success", "Failure"} <= {event["status"] for event in events if event["class_uid"] == 6005}


def test_it_is_found_by_statement_label_and_row(gateway, session):
    with gateway.folded() as archive:
        customer = archive.rows(archive.show(archive.find(session)).jobs[0]).rows()[0]
        by_statement = archive.search(Query("order by id limit 3")).hits
        by_label = archive.search(Query(f"hoop-session={session}")).hits
        by_row = archive.search(Query(customer["email"], rows=True, table="shop.customers")).hits
    for hits in (by_statement, by_label, by_row):
        assert session in {hit.session.id for hit in hits if hit.session}
    assert {hit.kind for hit in by_row if hit.session and hit.session.id == session} == {"job", "flow"}
