"""The JSON that the command line prints: stable names, ISO-8601 times in UTC, sizes in bytes, lengths of time in ms."""

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from typing import Any

from hoop_mitm.archive.entries import (
    EventEntry,
    Exchange,
    FlowEntry,
    JobEntry,
    Resolved,
    SessionDetail,
    SessionEntry,
)
from hoop_mitm.archive.following import News
from hoop_mitm.archive.results import Result
from hoop_mitm.archive.search import Hit, Page
from hoop_mitm.archive.timeline import Moment
from hoop_mitm.archive.values import instant, plain
from hoop_mitm.bigquery.rows import Field
from hoop_mitm.identity.principal import Principal
from hoop_mitm.policy.verdict import Verdict

type Json = dict[str, Any]


def session(entry: SessionEntry) -> Json:
    return {
        "id": entry.id,
        "name": entry.name,
        "connection": entry.connection,
        "principal": principal(entry.principal),
        "agent": entry.agent,
        "client_address": entry.client_address,
        "program": str(entry.program) if entry.program else None,
        "processes": [asdict(process) for process in entry.program.processes] if entry.program else [],
        "started_at": instant(entry.started_at),
        "ended_at": _time(entry.ended_at),
        "last_seen_at": instant(entry.last_seen_at),
        "status": entry.status,
        "flows": entry.flows,
        "jobs": entry.jobs,
        "denied": entry.denied,
        "bytes_processed": entry.bytes_processed,
        "bytes_billed": entry.bytes_billed,
    }


def detail(entry: SessionDetail) -> Json:
    return {
        **session(entry.session),
        "programs": list(entry.programs),
        "jobs": [job(each) for each in entry.jobs],
        "flows": [flow(each) for each in entry.flows],
        "events": [event(each) for each in entry.events],
    }


def principal(who: Principal) -> Json:
    return {
        "issuer": who.issuer,
        "subject": who.subject,
        "email": who.email,
        "groups": list(who.groups),
        "kind": who.kind,
    }


def verdict(given: Verdict) -> Json:
    return {"decision": given.decision, "rule": given.rule, "message": given.message or None}


def job(entry: JobEntry) -> Json:
    return {
        "id": entry.id,
        "number": entry.number,
        "project": entry.project,
        "location": entry.location,
        "job_type": entry.job_type,
        "statement": entry.statement,
        "executed_statement": entry.executed_statement,
        "statement_type": entry.statement_type,
        "referenced_tables": [str(table) for table in entry.referenced_tables],
        "destination": str(entry.destination) if entry.destination else None,
        "labels": entry.labels,
        "dry_run": entry.dry_run,
        "state": entry.state,
        "error": entry.error,
        "resolved": resolved(entry.resolved),
        "deleted": deleted(entry.deleted),
        "verdict": verdict(entry.verdict),
        "bytes_processed": entry.bytes_processed,
        "bytes_billed": entry.bytes_billed,
        "cache_hit": entry.cache_hit,
        "slot_ms": entry.slot_ms,
        "schema": None if entry.schema is None else {"fields": [column(each) for each in entry.schema]},
        "row_count": entry.row_count,
        "started_at": instant(entry.started_at),
        "ended_at": _time(entry.ended_at),
        "duration_ms": _milliseconds(entry.duration),
        "program": entry.program,
        "flows": list(entry.flows),
    }


def deleted(parts: Mapping[str, datetime]) -> Json:
    """What retention took, and when."""
    return {part: instant(at) for part, at in sorted(parts.items())}


def resolved(found: Resolved | None) -> Json | None:
    """What was found out afterwards about a request whose answer was lost."""
    if found is None:
        return None
    return {"outcome": found.outcome, "message": found.message, "job": found.job_id, "error": found.error}


def column(entry: Field) -> Json:
    shape: Json = {"name": entry.name, "type": entry.type, "mode": entry.mode}
    if entry.fields:
        shape["fields"] = [column(each) for each in entry.fields]
    return shape


def flow(entry: FlowEntry) -> Json:
    return {
        "id": entry.id,
        "job": entry.job_id,
        "state": entry.state,
        "door": entry.door,
        "kind": entry.kind,
        "protocol": entry.protocol,
        "http_version": entry.http_version,
        "method": entry.method,
        "host": entry.host,
        "url": entry.url,
        "tables": [str(table) for table in entry.tables],
        "status": entry.status,
        "grpc_status": entry.grpc_status,
        "verdict": verdict(entry.verdict),
        "error": entry.error,
        "resolved": resolved(entry.resolved),
        "deleted": deleted(entry.deleted),
        "user_agent": entry.user_agent,
        "client_address": entry.client_address,
        "program": entry.program,
        "level": entry.level,
        "request_size": entry.request_size,
        "response_size": entry.response_size,
        "started_at": instant(entry.started_at),
        "ended_at": _time(entry.ended_at),
        "duration_ms": _milliseconds(entry.duration),
    }


def exchange(entry: Exchange) -> Json:
    return {
        **flow(entry.flow),
        "request_headers": [list(header) for header in entry.request_headers],
        "request_body": _text_or_base64(entry.request_body),
        "response_headers": [list(header) for header in entry.response_headers],
        "response_body": _text_or_base64(entry.response_body),
    }


def event(entry: EventEntry) -> Json:
    return {
        "id": entry.id,
        "at": instant(entry.at),
        "type": entry.type,
        "message": entry.message,
        "flow": entry.flow_id,
        "client_address": entry.client_address,
        "details": entry.details,
    }


def rows(result: Result) -> list[Json]:
    """A list of objects, one a row; what a JSON column holds is JSON here too."""
    return [{column.name: _cell(column, row[column.name]) for column in result.columns} for row in result.rows()]


def _cell(column: Field, value: Any) -> object:
    if column.mode == "REPEATED" and value is not None:
        single = replace(column, mode="NULLABLE")
        return [_cell(single, each) for each in value]
    if column.fields and value is not None:
        return {field.name: _cell(field, value[field.name]) for field in column.fields}
    return json.loads(value) if column.type == "JSON" and value is not None else plain(value)


def moment(entry: Moment) -> Json:
    return {
        "kind": entry.kind,
        "at": instant(entry.at),
        "offset_ms": _milliseconds(entry.offset),
        "job": job(entry.job) if entry.job else None,
        "flow": flow(entry.flow) if entry.flow else None,
        "event": event(entry.event) if entry.event else None,
    }


def page(found: Page) -> Json:
    """What a search found; ``next`` is for ``--before``."""
    return {"hits": [hit(each) for each in found.hits], "next": str(found.next) if found.next else None}


def hit(found: Hit) -> Json:
    return {
        "kind": found.kind,
        "at": instant(found.at),
        "matched": list(found.matched),
        "principal": principal(found.principal) if found.principal else None,
        "session": None
        if found.session is None
        else {"id": found.session.id, "name": found.session.name, "connection": found.session.connection},
        "job": job(found.job) if found.job else None,
        "flow": flow(found.flow) if found.flow else None,
        "event": event(found.event) if found.event else None,
        "rows": None
        if found.rows is None
        else {
            "count": found.rows.count,
            "columns": list(found.rows.columns),
            "samples": list(found.rows.samples),
        },
    }


def news(entry: News) -> Json:
    """As ``hit``, and whether it is over."""
    return {"over": entry.over, **hit(entry.hit)}


def _time(at: datetime | None) -> str | None:
    return None if at is None else instant(at)


def _milliseconds(length: timedelta | None) -> float | None:
    return None if length is None else round(length.total_seconds() * 1000, 3)


def _text_or_base64(body: bytes | None) -> object:
    if body is None:
        return None
    try:
        return body.decode()
    except UnicodeDecodeError:
        return {"base64": plain(body)}
