"""Records in the journal's form: JSON, complete in itself, without secrets and without what the level leaves out."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson

from hoop_mitm.bigquery.operation import Operation
from hoop_mitm.identity.principal import Principal
from hoop_mitm.identity.program import Program
from hoop_mitm.identity.session import Session
from hoop_mitm.recording.records import EventRecord, FlowRecord, Message, Record
from hoop_mitm.recording.redaction import Redactor

#: What a body is in a flow's JSON: ``hash`` (its commitment, hex), ``size``, and why it is not whole, where it is not.
type BodyNote = dict[str, Any]

#: Characters that are recorded of a header's value, a URL, or a text; and of all the headers of a message.
LONGEST_TEXT = 2**14
_MOST_OF_HEADERS = 2**18
#: Stands for the headers that are not recorded.
MORE_HEADERS = "hoop-headers-not-recorded"

_OPTIONS = orjson.OPT_NAIVE_UTC | orjson.OPT_UTC_Z | orjson.OPT_NON_STR_KEYS | orjson.OPT_PASSTHROUGH_DATACLASS


def kind_of(record: Record) -> str:
    match record:
        case FlowRecord():
            return "flow"
        case EventRecord():
            return "event"
        case Session():
            return "session"


def encode(
    record: Record,
    redactor: Redactor,
    *,
    bodies: Mapping[str, BodyNote] | None = None,
    observed: Mapping[str, object] | None = None,
) -> bytes:
    """``record`` as JSON. ``bodies`` are those of a flow by side; ``observed`` what was learnt from bodies not kept."""
    match record:
        case FlowRecord():
            plain = _flow(record, redactor, bodies or {})
            if observed is not None:
                plain["observed"] = observed
        case EventRecord():
            plain = {
                "id": record.id,
                "at": record.at,
                "type": record.type,
                "message": _short(record.message, redactor),
                "session_id": record.session_id,
                "principal": _principal(record.principal),
                "flow_id": record.flow_id,
                "client_address": record.client_address,
                "details": _shortened(record.details, redactor),
            }
        case Session():
            plain = session_note(record)
    return _redacted(dumps(plain), redactor)


def _redacted(text: bytes, redactor: Redactor) -> bytes:
    clean = redactor.body(text)
    if clean is text:
        return text
    try:
        orjson.loads(clean)
    except orjson.JSONDecodeError:
        # What was overwritten began within an escape, or went over a border: then string by string.
        return dumps(_redacted_strings(orjson.loads(text), redactor))
    return clean


def _redacted_strings(value: object, redactor: Redactor) -> object:
    match value:
        case str():
            return redactor.text(value)
        case list():
            return [_redacted_strings(each, redactor) for each in value]
        case dict():
            return {redactor.text(key): _redacted_strings(each, redactor) for key, each in value.items()}
    return value


def dumps(value: object) -> bytes:
    """JSON of anything: what JSON has no word for becomes text, and text that is not Unicode is escaped."""
    try:
        return orjson.dumps(value, default=_clean, option=_OPTIONS)
    except (TypeError, ValueError, RecursionError):
        return orjson.dumps(_clean(value), option=_OPTIONS)


def session_note(session: Session) -> dict[str, Any]:
    return {
        "id": session.id,
        "name": session.name,
        "connection": session.connection,
        "principal": _principal(session.principal),
        "agent": session.agent,
        "client_address": session.client_address,
        "started_at": session.started_at,
        "program": _program(session.program),
    }


def _flow(record: FlowRecord, redactor: Redactor, bodies: Mapping[str, BodyNote]) -> dict[str, Any]:
    with_statement = record.level in {"full", "statements"}
    return {
        "id": record.id,
        "state": record.state,
        "session": session_note(record.session) if record.session else None,
        "operation": _operation(record.operation, with_statement=with_statement),
        "verdict": {
            "decision": record.verdict.decision,
            "rule": record.verdict.rule,
            "message": _short(record.verdict.message, redactor),
            **({"policy": record.policy} if record.policy else {}),
        },
        "method": _short(record.method, redactor),
        "host": _short(record.host, redactor),
        "url": _short(record.url, redactor, redactor.url),
        "http_version": record.http_version,
        "user_agent": _short(record.user_agent, redactor),
        "client_address": record.client_address,
        "program": record.program,
        "request": _message(record.request, redactor, bodies.get("request")),
        "response": _message(record.response, redactor, bodies.get("response")),
        "started_at": record.started_at,
        "ended_at": record.ended_at,
        "status": record.status,
        "grpc_status": record.grpc_status,
        "executed_statement": record.executed_statement if with_statement else None,
        "error": None if record.error is None else _short(record.error, redactor),
        "level": record.level,
    }


def _operation(operation: Operation | None, *, with_statement: bool) -> dict[str, Any] | None:
    if operation is None:
        return None
    return {
        "door": operation.door.name,
        "kind": operation.door.kind,
        "protocol": operation.door.protocol,
        "project": operation.project,
        "location": operation.location,
        "tables": [dataclasses.asdict(table) for table in operation.tables],
        "statement": operation.statement if with_statement else None,
        "dry_run": operation.dry_run,
        "job_id": operation.job_id,
        "labels": operation.labels,
        "read_streams": [used.id for used in operation.uses if used.kind == "read_stream"],
    }


def _message(message: Message, redactor: Redactor, body: BodyNote | None) -> dict[str, Any]:
    return {"headers": _headers(message.headers, redactor), "size": message.size, "body": body}


def _headers(headers: Sequence[tuple[str, str]], redactor: Redactor) -> list[tuple[str, str]]:
    if sum(len(name) + len(value) for name, value in headers) <= LONGEST_TEXT:
        return list(redactor.headers(headers))
    kept: list[tuple[str, str]] = []
    room = _MOST_OF_HEADERS
    for name, value in headers:
        if room < 0:
            return [*kept, (MORE_HEADERS, str(len(headers) - len(kept)))]

        def redacted(start: str, name: str = name) -> str:
            return redactor.headers([(name, start)])[0][1]

        kept.append((_short(name, redactor), _short(value, redactor, redacted)))
        room -= len(kept[-1][0]) + len(kept[-1][1])
    return kept


def _short(text: str, redactor: Redactor, redacted: Callable[[str], str] | None = None) -> str:
    """A text; of a very long one the beginning, and how long it is. Known secrets may still be in one that is short."""
    if len(text) <= LONGEST_TEXT:
        return redacted(text) if redacted else text
    # A secret may go over the border: look as far as the longest one reaches.
    clean = (redacted or redactor.text)(text[: LONGEST_TEXT + redactor.longest])
    return f"{clean[:LONGEST_TEXT]}… [{len(text)} characters]"


def _shortened(value: object, redactor: Redactor) -> object:
    match value:
        case str() if len(value) > LONGEST_TEXT:
            return _short(value, redactor)
        case dict():
            return {key: _shortened(each, redactor) for key, each in value.items()}
        case list() | tuple():
            return [_shortened(each, redactor) for each in value]
    return value


def _principal(principal: Principal | None) -> dict[str, Any] | None:
    if principal is None:
        return None
    return {
        "issuer": principal.issuer,
        "subject": principal.subject,
        "email": principal.email,
        "groups": principal.groups,
        "kind": principal.kind,
    }


def _program(program: Program | None) -> dict[str, Any] | None:
    if program is None:
        return None
    return {"name": str(program), "processes": [dataclasses.asdict(process) for process in program.processes]}


def _clean(value: object) -> object:
    match value:
        case None | bool() | float() | datetime():
            return value
        case int():
            return value if -(2**63) <= value < 2**64 else str(value)
        case str():
            return value.encode("utf-8", "backslashreplace").decode()
        case bytes():
            return value.decode("utf-8", "backslashreplace")
        case Mapping():
            return {str(_clean(key)): _clean(each) for key, each in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_clean(each) for each in value]
        case _:
            return _clean(str(value))
