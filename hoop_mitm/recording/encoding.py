"""Records in the journal's form: JSON, complete in itself, without secrets and without what the level leaves out."""

import dataclasses
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import orjson

from hoop_mitm.bigquery.operation import Operation
from hoop_mitm.identity.principal import Principal
from hoop_mitm.identity.session import Session
from hoop_mitm.recording.records import EventRecord, FlowRecord, Message, Record
from hoop_mitm.recording.redaction import Redactor

#: What a body is in a flow's JSON: ``hash`` (hex), ``size``, and ``file`` with ``frames`` where it lies outside.
type BodyNote = dict[str, Any]

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
                "message": record.message,
                "session_id": record.session_id,
                "principal": _principal(record.principal),
                "flow_id": record.flow_id,
                "client_address": record.client_address,
                "details": record.details,
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
            "message": record.verdict.message,
        },
        "method": record.method,
        "host": record.host,
        "url": redactor.url(record.url),
        "http_version": record.http_version,
        "user_agent": record.user_agent,
        "client_address": record.client_address,
        "request": _message(record.request, redactor, bodies.get("request")),
        "response": _message(record.response, redactor, bodies.get("response")),
        "started_at": record.started_at,
        "ended_at": record.ended_at,
        "status": record.status,
        "grpc_status": record.grpc_status,
        "executed_statement": record.executed_statement if with_statement else None,
        "error": record.error,
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
    return {"headers": redactor.headers(message.headers), "size": message.size, "body": body}


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
