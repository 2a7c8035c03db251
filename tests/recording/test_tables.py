"""Sessions and salvaged streams in the archive."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import orjson

from hoop_mitm.identity import Process, Program
from hoop_mitm.recording.journal import Entry
from hoop_mitm.recording.tables import BROKEN
from tests.recording.building import READ_ROWS, SESSION, ask, ask_one, event, flow, intent
from tests.recording.folding import Gateway

START = SESSION.started_at


def flow_at(seconds: float) -> Any:
    at = START + timedelta(seconds=seconds)
    return replace(flow(), started_at=at, ended_at=at + timedelta(seconds=1))


def ended_at(seconds: float) -> Any:
    return replace(event("session.ended"), at=START + timedelta(seconds=seconds), session_id=SESSION.id)


def times(gateway: Gateway) -> tuple[float, float | None]:
    found = ask_one(gateway.layout.directory, "SELECT last_seen_at, ended_at FROM sessions")
    end = found["ended_at"]
    return (found["last_seen_at"] - START).total_seconds(), end and (end - START).total_seconds()


def test_a_session_is_one_row_that_knows_when_it_was_last_seen(gateway: Gateway) -> None:
    gateway.fold(SESSION, flow_at(1))
    assert times(gateway) == (2, None)
    gateway.fold(flow_at(10), SESSION)
    assert times(gateway) == (11, None)
    gateway.fold(flow_at(5))
    assert times(gateway) == (11, None)


def test_a_session_ends_and_goes_on_when_it_is_used_again(gateway: Gateway) -> None:
    gateway.fold(flow_at(1), ended_at(5))
    assert times(gateway) == (2, 5)
    gateway.fold(SESSION)
    assert times(gateway) == (2, 5)
    gateway.fold(flow_at(20))
    assert times(gateway) == (21, None)
    gateway.fold(ended_at(30))
    assert times(gateway) == (21, 30)


def test_an_answer_that_comes_after_the_end_does_not_open_the_session_again(gateway: Gateway) -> None:
    gateway.fold(replace(flow_at(1), ended_at=START + timedelta(seconds=9)), ended_at(5))
    assert times(gateway) == (9, 5)


def test_an_end_without_a_session_is_an_event_only(gateway: Gateway) -> None:
    gateway.fold(ended_at(1))
    assert ask(gateway.layout.directory, "SELECT count(*) FROM sessions") == [(0,)]
    assert ask(gateway.layout.directory, "SELECT type FROM events") == [("session.ended",)]


def salvage(flow_id: str, side: str = "response") -> Entry:
    body = {"hash": "00" * 32, "size": 4}
    note = {"flow_id": flow_id, "side": side, "size": 5, "at": START.timestamp() + 3, "body": body}
    return Entry("salvage", note)


def test_both_sides_of_a_broken_stream_are_salvaged(gateway: Gateway) -> None:
    gateway.write(intent(READ_ROWS, id="a"))
    gateway.journal.append([Entry("start", {}), salvage("a"), salvage("a", "request")])
    gateway.fold()
    found = ask_one(gateway.layout.directory, "SELECT state, error, request_body, response_size, ended_at FROM flows")
    assert (found["state"], found["error"], found["request_body"], found["response_size"]) == (
        "truncated",
        BROKEN,
        bytes(32),
        5,
    )
    assert found["ended_at"] == START + timedelta(seconds=3)


def test_what_is_salvaged_of_a_flow_that_has_an_outcome_changes_nothing(gateway: Gateway) -> None:
    gateway.fold(flow(id="a"))
    gateway.journal.append([salvage("a")])
    gateway.fold()
    assert ask(gateway.layout.directory, "SELECT state, error FROM flows") == [("complete", None)]


def test_a_salvaged_body_below_level_full_is_not_kept(gateway: Gateway) -> None:
    gateway.write(intent(READ_ROWS, id="a", level="metadata"))
    gateway.journal.append([Entry("start", {}), salvage("a")])
    gateway.fold()
    assert ask(gateway.layout.directory, "SELECT state, response_body FROM flows") == [("truncated", None)]


def test_a_salvaged_body_of_nobody_is_an_event(gateway: Gateway) -> None:
    gateway.journal.append([salvage("unknown")])
    gateway.fold()
    assert ask(gateway.layout.directory, "SELECT type, flow_id FROM events") == [("recording.orphan", "unknown")]


def test_the_last_word_on_a_flow_counts(gateway: Gateway) -> None:
    gateway.write(intent(id="a"), flow(id="a", status=200), flow(id="a", state="truncated", status=200, error="broke"))
    gateway.fold()
    assert ask(gateway.layout.directory, "SELECT state, error FROM flows") == [("truncated", "broke")]


def test_the_program_that_opened_a_session_is_kept_with_it(gateway: Gateway) -> None:
    editor, client = Process(7, "Cursor", "/opt/cursor"), Process(9, "bq", "/usr/bin/python3", "/sdk/bq.py")
    asked = replace(flow_at(1), session=replace(SESSION, program=Program((editor, client))))
    gateway.fold(asked)
    found = ask_one(gateway.layout.directory, "SELECT program, process FROM sessions")
    assert found["program"] == "Cursor › bq"
    assert orjson.loads(found["process"]) == [
        {"pid": 7, "name": "Cursor", "path": "/opt/cursor", "script": None},
        {"pid": 9, "name": "bq", "path": "/usr/bin/python3", "script": "/sdk/bq.py"},
    ]
