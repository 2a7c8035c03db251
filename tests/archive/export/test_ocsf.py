import json

import jsonschema
import pytest

from hoop_mitm.archive import open_archive
from hoop_mitm.archive.export import ocsf
from tests.archive.building import Builder, table_ref
from tests.archive.eventful import EVIL, EVIL_SQL, NAME, WRITER
from tests.archive.ocsf_schema import API_ACTIVITY, DATASTORE_ACTIVITY


@pytest.fixture
def events(exported):
    return lambda name=NAME: [json.loads(line) for line in exported(name, "ocsf").splitlines()]


@pytest.mark.parametrize("name", [NAME, "empty", "another"])
def test_each_line_is_an_event_of_its_class(events, name):
    for event in events(name):
        jsonschema.validate(event, {6003: API_ACTIVITY, 6005: DATASTORE_ACTIVITY}[event["class_uid"]])
        assert event["type_uid"] == event["class_uid"] * 100 + event["activity_id"]
        assert event["type_name"] == f"{event['class_name']}: {event['activity_name']}"


def test_every_job_and_whatever_is_none_is_an_event_once_in_order(events, recording):
    found = events()
    with open_archive(recording) as archive:
        detail = archive.show(archive.find(NAME))
    expected = [
        *(job.key for job in detail.jobs),
        *(flow.id for flow in detail.flows if flow.job_key is None),
        *(event.id for event in detail.events),
    ]
    assert sorted(event["metadata"]["uid"] for event in found) == sorted(expected)
    assert [event["time"] for event in found] == sorted(event["time"] for event in found)
    assert {event["metadata"]["correlation_uid"] for event in found} == {detail.session.id}


def test_a_statement_is_a_query_by_somebody_of_a_table(events):
    [paged] = [event for event in events() if event["metadata"]["uid"] == "acme:job_2"]
    expected = {
        "class_name": "Datastore Activity",
        "activity_name": "Query",
        "status": "Success",
        "severity": "Informational",
        "action": "Allowed",
        "disposition": "Allowed",
        "policy": {"name": "everything", "is_applied": True},
        "table": {"name": "shop.orders", "uid": "acme.shop.orders"},
        "src_endpoint": {"ip": "127.0.0.1"},
    }
    assert {name: paged[name] for name in expected} == expected
    assert paged["query_info"]["query_string"] == "SELECT id, tag FROM shop.orders ORDER BY id"
    assert paged["cloud"] == {
        "provider": "GCP",
        "account": {"uid": "acme", "type_id": 11, "type": "GCP Project"},
        "region": "EU",
    }
    assert paged["actor"]["user"]["email_addr"] == "alice@acme.example"
    assert paged["actor"]["user"]["groups"][1] == {"name": "analysts"}
    assert paged["unmapped"]["bytes_billed"] == 10485760
    assert paged["unmapped"]["connection"] == "acme"


def test_a_denial_is_blocked_and_stands_out(events):
    denied = [event for event in events() if event["action"] == "Denied"]
    assert {(event["disposition"], event["severity"], event["status"]) for event in denied} == {
        ("Blocked", "Medium", "Failure")
    }
    assert {event["policy"]["name"]: event["status_detail"] for event in denied} == {
        "read_only": f"read_only: {WRITER}",
        "door.unknown": EVIL,
        "request.refused": EVIL,
    }


def test_failures_and_unknown_outcomes_are_told_apart(events):
    found = {event.get("query_info", {}).get("query_string"): event["status"] for event in events()}
    assert (found[EVIL_SQL], found["SELEC"], found["SELECT 2"]) == ("Success", "Failure", "Failure")
    assert found["DELETE FROM t WHERE true"] == "Unknown"


def test_a_table_that_is_listed_without_a_job_is_read(events):
    [listed] = [event for event in events() if event.get("api", {}).get("operation") == "tabledata.list"]
    assert (listed["class_uid"], listed["activity_name"], listed["status_code"]) == (6005, "Read", "200")
    assert listed["unmapped"]["tables"] == [f"acme.hr.t{EVIL}"]


def test_hostile_text_is_whole_and_the_file_plain_ascii(exported, events):
    assert set(exported(NAME, "ocsf")) <= {10, *range(32, 127)}
    assert EVIL in {event["message"] for event in events()}


@pytest.mark.parametrize(
    ("statement_type", "job_type", "activity"),
    [
        ("SELECT", "QUERY", "Query"),
        ("INSERT", "QUERY", "Write"),
        ("MERGE", "QUERY", "Update"),
        ("UPDATE", "QUERY", "Update"),
        ("DELETE", "QUERY", "Delete"),
        ("TRUNCATE_TABLE", "QUERY", "Delete"),
        ("DROP_TABLE", "QUERY", "Delete"),
        ("CREATE_TABLE_AS_SELECT", "QUERY", "Create"),
        ("ALTER_TABLE", "QUERY", "Update"),
        ("EXPORT_DATA", "QUERY", "Read"),
        ("SCRIPT", "QUERY", "Query"),
        (None, "QUERY", "Query"),
        (None, "LOAD", "Write"),
        (None, "COPY", "Write"),
        (None, "EXTRACT", "Read"),
        (None, "UNKNOWN", "Other"),
    ],
)
def test_the_activity_is_what_the_statement_does(builder, statement_type, job_type, activity):
    assert _only_job(builder, statement_type=statement_type, job_type=job_type)["activity_name"] == activity


def test_of_several_tables_none_is_singled_out(builder):
    tables = [table_ref("acme.shop.a"), table_ref("other.shop.b")]
    event = _only_job(builder, referenced_tables=tables, destination=table_ref("acme.raw.c"))
    jsonschema.validate(event, DATASTORE_ACTIVITY)
    assert "table" not in event
    assert (event["type"], event["database"]["name"]) == ("Database", "acme")
    assert event["unmapped"]["referenced_tables"] == ["acme.shop.a", "other.shop.b"]
    assert event["unmapped"]["destination"] == "acme.raw.c"


def test_a_machine_without_an_email_and_an_address_that_nobody_knows_are_valid_too(builder):
    event = _only_job(builder, {"email": None, "kind": "machine", "groups": [], "client_address": ""}, project=None)
    jsonschema.validate(event, DATASTORE_ACTIVITY)
    assert event["actor"]["user"]["type"] == "Service"


def _only_job(builder: Builder, who=None, **changes):
    session = builder.session(**(who or {}))
    builder.job(session, "X", **changes)
    with open_archive(builder.write()) as archive:
        detail = archive.show(archive.find(session))
        [line] = ocsf.write(archive, detail, None)
    return json.loads(line)
