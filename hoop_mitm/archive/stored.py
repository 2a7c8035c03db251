"""Rows of the archive as a reader's entries: sessions, jobs, flows and events by their ids.

Times are read as microseconds and made aware here, so that no reader depends on DuckDB's time zone.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from hoop_mitm.archive import bodies, deletions, resolutions
from hoop_mitm.archive.database import Database
from hoop_mitm.archive.entries import EventEntry, FlowEntry, JobEntry, SessionEntry, SessionStatus
from hoop_mitm.bigquery.operation import TableRef
from hoop_mitm.bigquery.rows import schema_fields
from hoop_mitm.identity.principal import Principal
from hoop_mitm.identity.program import Process, Program
from hoop_mitm.identity.session import IMPORTED
from hoop_mitm.policy.verdict import Verdict

#: A session that was never closed and of which nothing was seen for this long is over.
IDLE = timedelta(minutes=30)

_SESSIONS = """
    WITH chosen AS (SELECT * FROM sessions WHERE id IN (SELECT unnest(?))),
    flow_totals AS (
        SELECT session_id, count(*) AS flows, count(*) FILTER (decision = 'deny') AS denied
        FROM flows WHERE session_id IN (SELECT id FROM chosen) GROUP BY session_id
    ),
    job_totals AS (
        SELECT
            session_id,
            count(*) FILTER (NOT dry_run AND decision = 'allow') AS jobs,
            coalesce(sum(bytes_processed) FILTER (NOT dry_run), 0) AS bytes_processed,
            coalesce(sum(bytes_billed) FILTER (NOT dry_run), 0) AS bytes_billed
        FROM jobs WHERE session_id IN (SELECT id FROM chosen) GROUP BY session_id
    )
    SELECT
        id, name, connection, issuer, subject, email, groups, kind, agent, client_address, process,
        epoch_us(started_at), epoch_us(last_seen_at), epoch_us(ended_at),
        coalesce(flows, 0), coalesce(jobs, 0), coalesce(denied, 0),
        coalesce(bytes_processed, 0)::BIGINT, coalesce(bytes_billed, 0)::BIGINT
    FROM chosen
    LEFT JOIN flow_totals ON flow_totals.session_id = chosen.id
    LEFT JOIN job_totals ON job_totals.session_id = chosen.id
    ORDER BY started_at DESC, id DESC
"""

# A job's number is its place among all jobs of its session, also where only some are asked for.
_JOBS = """
    WITH own AS (
        SELECT session_id, job_key, list(id ORDER BY started_at, id) AS flows, min_by(program, started_at) AS program
        FROM flows
        WHERE session_id IN (SELECT unnest($sessions)) AND job_key IS NOT NULL
        GROUP BY ALL
    )
    SELECT
        row_number() OVER (PARTITION BY jobs.session_id ORDER BY started_at, key),
        key, id, project, location, statement, executed_statement, fingerprint, statement_type, job_type,
        referenced_tables, destination, map_keys(labels), map_values(labels), dry_run, state, error,
        decision, rule, message, bytes_processed, bytes_billed, cache_hit, slot_ms, schema, row_count,
        epoch_us(started_at), epoch_us(ended_at), flows, program
    FROM jobs
    LEFT JOIN own ON own.job_key = jobs.key AND own.session_id = jobs.session_id
    WHERE jobs.session_id IN (SELECT unnest($sessions))
    QUALIFY $keys IS NULL OR list_contains($keys, key)
    ORDER BY started_at, key
"""

_FLOWS = """
    SELECT
        flows.id, flows.job_key, jobs.id, flows.state, door, kind, protocol, http_version, method, host, url,
        flows.tables, status, grpc_status, flows.decision, flows.rule, flows.message, flows.error, user_agent,
        client_address, program, level, request_size, response_size, epoch_us(flows.started_at), epoch_us(flows.ended_at)
    FROM flows
    LEFT JOIN jobs ON jobs.key = flows.job_key
    WHERE {condition}
    ORDER BY flows.started_at, flows.id
"""

_EVENTS = """
    SELECT id, epoch_us(occurred_at), type, message, flow_id, client_address, details
    FROM events
    WHERE {condition}
    ORDER BY occurred_at, seq
"""


def sessions(database: Database, ids: Sequence[str]) -> tuple[SessionEntry, ...]:
    """The sessions with these ids, newest first."""
    now = datetime.now(UTC)
    return tuple(_session(row, now) for row in database.all(_SESSIONS, [list(ids)])) if ids else ()


def jobs(database: Database, session_ids: Sequence[str], keys: Sequence[str] | None = None) -> tuple[JobEntry, ...]:
    """The jobs of these sessions (of those only the ones with ``keys``, when given), in the order they were asked."""
    values = {"sessions": list(session_ids), "keys": None if keys is None else list(keys)}
    found = [_job(row) for row in database.all(_JOBS, values)]
    unknown = [flow for job in found if job.state == "UNKNOWN" for flow in job.flows]
    resolved = resolutions.read(database, unknown)
    deleted = deletions.read(database, [flow for job in found for flow in job.flows])
    if not resolved and not deleted:
        return tuple(found)
    return tuple(
        replace(
            job,
            resolved=next((resolved[flow] for flow in job.flows if flow in resolved and job.state == "UNKNOWN"), None),
            deleted={part: at for flow in job.flows for part, at in deleted.get(flow, {}).items()},
        )
        for job in found
    )


def flows_of(database: Database, session_id: str) -> tuple[FlowEntry, ...]:
    """The flows of a session, in order."""
    return _flows(database, "flows.session_id = ?", [session_id])


def flows(database: Database, ids: Sequence[str]) -> tuple[FlowEntry, ...]:
    """The flows with these ids, in order."""
    return _flows(database, "flows.id IN (SELECT unnest(?))", [list(ids)]) if ids else ()


def _flows(database: Database, condition: str, values: Sequence[object]) -> tuple[FlowEntry, ...]:
    found = [_flow(row) for row in database.all(_FLOWS.format(condition=condition), values)]
    resolved = resolutions.read(database, [flow.id for flow in found if flow.state == "open"])
    deleted = deletions.read(database, [flow.id for flow in found])
    if not resolved and not deleted:
        return tuple(found)
    return tuple(replace(flow, resolved=resolved.get(flow.id), deleted=deleted.get(flow.id, {})) for flow in found)


def events_of(database: Database, session_id: str) -> tuple[EventEntry, ...]:
    """The events of a session, in order."""
    return tuple(_event(row) for row in database.all(_EVENTS.format(condition="session_id = ?"), [session_id]))


def events(database: Database, ids: Sequence[str]) -> tuple[EventEntry, ...]:
    """The events with these ids, in order."""
    condition = "id IN (SELECT unnest(?))"
    return tuple(_event(row) for row in database.all(_EVENTS.format(condition=condition), [list(ids)])) if ids else ()


def time(microseconds: int) -> datetime:
    """An aware time of microseconds since 1970."""
    return datetime.fromtimestamp(0, UTC) + timedelta(microseconds=microseconds)


def _session(row: tuple[Any, ...], now: datetime) -> SessionEntry:
    (
        id, name, connection, issuer, subject, email, groups, kind, agent, client_address, process,  # noqa: A001
        started_us, seen_us, ended_us, flows, jobs, denied, processed, billed,
    ) = row  # fmt: skip
    ended = _maybe(ended_us)
    seen = time(seen_us)
    status: SessionStatus = "ended" if ended else "active" if now - seen < IDLE else "interrupted"
    if connection == IMPORTED:
        status = "imported"
    return SessionEntry(
        id=id,
        name=name,
        connection=connection,
        principal=Principal(issuer, subject, email, tuple(groups), kind),
        agent=agent,
        client_address=client_address,
        program=_program(process),
        started_at=time(started_us),
        last_seen_at=seen,
        ended_at=ended,
        status=status,
        flows=flows,
        jobs=jobs,
        denied=denied,
        bytes_processed=processed,
        bytes_billed=billed,
    )


def _program(process: str | None) -> Program | None:
    try:
        return Program(tuple(Process(**each) for each in json.loads(process))) if process else None
    except (ValueError, TypeError, RecursionError):
        # Somebody changed it; `hoop-mitm verify` says so.
        return None


def _job(row: tuple[Any, ...]) -> JobEntry:
    (
        number, key, id, project, location, statement, executed, fingerprint, statement_type, job_type,  # noqa: A001
        tables, destination, label_names, label_values, dry_run, state, error,
        decision, rule, message, processed, billed, cache_hit, slot_ms, schema, row_count, started_us, ended_us, flow_ids, program,
    ) = row  # fmt: skip
    return JobEntry(
        number=number,
        key=key,
        id=id,
        project=project,
        location=location,
        statement=statement,
        executed_statement=executed,
        fingerprint=fingerprint,
        statement_type=statement_type,
        job_type=job_type,
        referenced_tables=tuple(TableRef(**table) for table in tables),
        destination=TableRef(**destination) if destination else None,
        labels=dict(zip(label_names or (), label_values or (), strict=True)),
        dry_run=dry_run,
        state=state,
        error=error,
        verdict=Verdict(decision, rule, message or ""),
        bytes_processed=processed,
        bytes_billed=billed,
        cache_hit=cache_hit,
        slot_ms=slot_ms,
        schema=schema_fields(schema) if schema else None,
        row_count=row_count,
        started_at=time(started_us),
        ended_at=_maybe(ended_us),
        flows=tuple(flow_ids or ()),
        program=program,
    )


def _flow(row: tuple[Any, ...]) -> FlowEntry:
    (
        id, job_key, job_id, state, door, kind, protocol, http_version, method, host, url, tables, status, grpc_status,  # noqa: A001
        decision, rule, message, error, user_agent, client_address, program, level, request_size, response_size,
        started_us, ended_us,
    ) = row  # fmt: skip
    return FlowEntry(
        id=id,
        job_key=job_key,
        job_id=job_id,
        state=state,
        door=door,
        kind=kind,
        protocol=protocol,
        http_version=http_version,
        method=method,
        host=host,
        url=url,
        tables=tuple(TableRef(**table) for table in tables),
        status=status,
        grpc_status=grpc_status,
        verdict=Verdict(decision, rule, message or ""),
        error=error,
        user_agent=user_agent,
        client_address=client_address,
        program=program,
        level=level,
        request_size=request_size,
        response_size=response_size,
        started_at=time(started_us),
        ended_at=_maybe(ended_us),
    )


def _event(row: tuple[Any, ...]) -> EventEntry:
    id, at_us, type, message, flow_id, client_address, details = row  # noqa: A001
    return EventEntry(id, time(at_us), type, message, flow_id, client_address, bodies.details(details))


def _maybe(microseconds: int | None) -> datetime | None:
    return None if microseconds is None else time(microseconds)
