"""Records become JSON whatever they hold, without secrets, and without what the level leaves out."""

import json
import time
from dataclasses import replace
from typing import Any

import pytest

from hoop_mitm.bigquery.operation import Resource, TableRef
from hoop_mitm.recording.encoding import LONGEST_TEXT, dumps, encode
from hoop_mitm.recording.records import Record
from hoop_mitm.recording.redaction import Redactor
from tests.recording.building import LIST_ROWS, READ_ROWS, SESSION, event, flow, message

SECRET = "ya29." + "x" * 40


def encoded(record: Record, redactor: Redactor | None = None) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(encode(record, redactor or Redactor()))
    return found


STRANGE = [
    ("lone surrogate \udcff", "lone surrogate \\udcff"),
    ("NUL \x00 inside", "NUL \x00 inside"),
    (b"bytes \xff", "bytes \\xff"),
    (float("nan"), None),
    (2**80, str(2**80)),
    (-(2**63), -(2**63)),
    ({1: "number", None: "none"}, {"1": "number", "null": "none"}),
    ({"x"}, ["x"]),
    ([{"deep": "\ud800"}], [{"deep": "\\ud800"}]),
    (ValueError("what"), "what"),
]


@pytest.mark.parametrize(("value", "expected"), STRANGE)
def test_strange_values_do_not_stop_a_record(value: object, expected: object) -> None:
    assert json.loads(dumps({"value": value}))["value"] == expected


def test_a_header_is_kept_up_to_16_kib() -> None:
    headers = (("x-large", "v" * 2**14), ("x-latin", "caf\udce9"))
    kept = encoded(replace(flow(), request=message(None, *headers)))["request"]["headers"]
    assert kept == [["x-large", "v" * 2**14], ["x-latin", "caf\\udce9"]]


HUGE = "a&" * 2**22


@pytest.mark.parametrize("field", ["header", "name", "many", "url", "user_agent", "host", "method", "error", "event"])
def test_what_a_client_sends_beside_a_body_does_not_fill_the_journal(field: str) -> None:
    record: Record = flow()
    match field:
        case "header":
            record = replace(record, request=message(None, ("x-huge", HUGE), ("x-next", "kept")))
        case "name":
            record = replace(record, request=message(None, (HUGE, "x")))
        case "many":
            record = replace(record, request=message(None, *[("x", "v" * 1000)] * 8000))
        case "url":
            record = replace(record, url=f"https://h/p?{HUGE}")
        case "event":
            record = event(message=HUGE, details={"a": [HUGE], "b": {"c": HUGE}})
        case _:
            record = replace(record, **{field: HUGE})
    began = time.thread_time()
    text = encode(record, Redactor())
    assert time.thread_time() - began < 1
    assert len(text) < 400_000
    assert (b"headers-not-recorded" if field == "many" else str(len(HUGE))[:4].encode()) in text
    assert (b"kept" in text) is (field == "header")


@pytest.mark.parametrize("place", [LONGEST_TEXT - 10, LONGEST_TEXT - 1, LONGEST_TEXT - len(SECRET)])
def test_a_secret_that_is_cut_off_is_redacted_all_the_same(place: int) -> None:
    redactor = Redactor()
    redactor.protect("s3cret" * 7)
    huge = "x" * place + "s3cret" * 7 + HUGE
    record = replace(flow(url=huge), user_agent=huge, error=huge, request=message(None, ("x-huge", huge)))
    assert b"s3c" not in encode(record, redactor)


def test_a_secret_is_in_no_part_of_a_record() -> None:
    redactor = Redactor()
    redactor.protect(SECRET)
    record = replace(
        flow(statement=f"SELECT '{SECRET}'", url=f"https://h/p?access_token=abcdefgh&q={SECRET}"),
        user_agent=SECRET,
        error=f"cannot send {SECRET}",
        executed_statement=f"/* {SECRET} */",
        request=message(None, ("authorization", "Bearer zzz"), ("x-other", SECRET), (SECRET, "name")),
    )
    for each in (record, event(details={"token": SECRET, SECRET: 1}), replace(SESSION, name=SECRET)):
        text = encode(each, redactor)
        assert SECRET.encode() not in text
        assert b"zzz" not in text
        assert b"abcdefgh" not in text
        json.loads(text)


def test_a_record_stays_a_record_whatever_is_taken_out_of_it() -> None:
    redactor = Redactor()
    redactor.protect("never-a-secret")
    redactor.protect('","state":"')
    begin, end = "-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----"
    record = flow(statement=f"SELECT '{begin}'", error=f"{end}\never-a-secret")
    found = encoded(record, redactor)
    assert found["id"] == record.id
    assert found["state"] == "complete"
    # A line break and "ever-a-secret", which only JSON writes as if it were the secret.
    assert found["error"].endswith("\never-a-secret")


@pytest.mark.parametrize(("level", "kept"), [("full", True), ("statements", True), ("metadata", False), ("off", False)])
def test_a_statement_is_kept_only_at_the_levels_that_say_so(level: str, *, kept: bool) -> None:
    found = encoded(flow(statement="SELECT salary", executed_statement="SELECT NULL", level=level))
    assert (found["operation"]["statement"] == "SELECT salary") is kept
    assert (found["executed_statement"] == "SELECT NULL") is kept


def test_a_flow_names_the_tables_and_streams_that_it_reads() -> None:
    assert encoded(flow(LIST_ROWS, tables=(TableRef("acme", "shop", "orders"),)))["operation"]["tables"] == [
        {"project": "acme", "dataset": "shop", "table": "orders"}
    ]
    uses = (Resource("read_stream", "projects/p/locations/l/sessions/s/streams/t"), Resource("upload", "secret-id"))
    found = encoded(flow(READ_ROWS, uses=uses))
    assert found["operation"]["read_streams"] == ["projects/p/locations/l/sessions/s/streams/t"]
    assert "secret-id" not in json.dumps(found)


def test_a_request_that_was_not_understood_has_no_operation() -> None:
    assert encoded(flow(None, state="refused", session=None))["operation"] is None
