"""The open archive: its sessions, and what happened in each.

Times are read as microseconds and made aware here, so that no reader depends on DuckDB's time zone.
"""

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from hoop_mitm.archive import bodies, results
from hoop_mitm.archive.database import Database
from hoop_mitm.archive.entries import (
    EventEntry,
    Exchange,
    FlowEntry,
    JobEntry,
    SessionDetail,
    SessionEntry,
    SessionStatus,
)
from hoop_mitm.bigquery.operation import TableRef
from hoop_mitm.bigquery.rows import schema_fields
from hoop_mitm.errors import NotInArchive
from hoop_mitm.identity.principal import Principal
from hoop_mitm.policy.verdict import Verdict

if TYPE_CHECKING:
    from hoop_mitm.archive.results import Result

#: A session that was never closed and of which nothing was seen for this long is over.
IDLE = timedelta(minutes=30)

_SHORTEST_ID = 8

_WHICH_SESSIONS = """
    SELECT id FROM sessions
    ORDER BY started_at DESC, id DESC
    LIMIT ?
"""

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
        id, name, connection, issuer, subject, email, groups, kind, agent, client_address,
        epoch_us(started_at), epoch_us(last_seen_at), epoch_us(ended_at),
        coalesce(flows, 0), coalesce(jobs, 0), coalesce(denied, 0),
        coalesce(bytes_processed, 0)::BIGINT, coalesce(bytes_billed, 0)::BIGINT
    FROM chosen
    LEFT JOIN flow_totals ON flow_totals.session_id = chosen.id
    LEFT JOIN job_totals ON job_totals.session_id = chosen.id
    ORDER BY started_at DESC, id DESC
"""

_IDS_BY_REFERENCE = """
    SELECT id, name, epoch_us(started_at)
    FROM sessions
    WHERE {condition}
    ORDER BY started_at DESC, id DESC
"""

_JOBS = """
    SELECT
        key, id, project, location, statement, executed_statement, fingerprint, statement_type, job_type,
        referenced_tables, destination, map_keys(labels), map_values(labels), dry_run, state, error,
        decision, rule, message, bytes_processed, bytes_billed, cache_hit, slot_ms, schema, row_count,
        epoch_us(started_at), epoch_us(ended_at)
    FROM jobs
    WHERE session_id = ?
    ORDER BY started_at, key
"""

_FLOWS = """
    SELECT
        flows.id, flows.job_key, jobs.id, flows.state, door, kind, protocol, http_version, method, host, url,
        flows.tables, status, grpc_status, flows.decision, flows.rule, flows.message, flows.error, user_agent,
        client_address, level, request_size, response_size, epoch_us(flows.started_at), epoch_us(flows.ended_at)
    FROM flows
    LEFT JOIN jobs ON jobs.key = flows.job_key
    WHERE {condition}
    ORDER BY flows.started_at, flows.id
"""

_EVENTS = """
    SELECT id, epoch_us(occurred_at), type, message, flow_id, client_address, details
    FROM events
    WHERE session_id = ?
    ORDER BY occurred_at, seq
"""

_EXCHANGE = "SELECT request_headers, response_headers, request_body, response_body FROM flows WHERE id = ?"


class Archive:
    """A recording, open for reading. Use it as a context manager, and not for long: the gateway's fold waits.

    Attributes:
        path: the file.
        pending: records that lie in the journal and are not in the file yet; ``None`` when the journal cannot be read.
    """

    def __init__(self, database: Database, pending: int | None = 0) -> None:
        self.path = database.path
        self.pending = pending
        self._database = database

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._database.close()

    def sessions(self, limit: int | None = None) -> tuple[SessionEntry, ...]:
        """The newest ``limit`` sessions (all, when ``None``), newest first."""
        return self._sessions(
            [row[0] for row in self._database.all(_WHICH_SESSIONS, [2**62 if limit is None else limit])]
        )

    def short_ids(self) -> dict[str, str]:
        """For each session's id the shortest beginning that no other has, of at least 8 characters."""
        ids = [row[0] for row in self._database.all("SELECT id FROM sessions ORDER BY id")]
        short: dict[str, str] = {}
        for before, id, after in zip(["", *ids], ids, [*ids[1:], ""], strict=False):  # noqa: A001
            shared = max(_shared(id, other) for other in (before, after))
            short[id] = id[: max(_SHORTEST_ID, shared + 1)].rstrip("-")
        return short

    def find(self, reference: str) -> SessionEntry:
        """The session that ``reference`` means.

        An id, the start of one that no other id has, a name, ``@last``, ``@last~N`` (the N-th before the last),
        or ``NAME~N`` (the N-th before the last of that name).

        Raises:
            NotInArchive: it means none, or more than one; the message lists what it could mean.
        """
        base, back = _split(reference)
        if base == "@last":
            matches = self._database.all(_IDS_BY_REFERENCE.format(condition="true"))
            return self._nth(matches, back or 0, reference, of="")
        exact = self._database.all(_IDS_BY_REFERENCE.format(condition="id = ?"), [reference])
        if exact:
            return self._session(exact[0][0])
        named = self._database.all(_IDS_BY_REFERENCE.format(condition="name = ?"), [reference])
        if not named and back is not None:
            named = self._database.all(_IDS_BY_REFERENCE.format(condition="name = ?"), [base])
            if named:
                return self._nth(named, back, reference, of=f" named {base}")
        prefixed = self._database.all(_IDS_BY_REFERENCE.format(condition="starts_with(id, lower(?))"), [reference])
        matches = named or (prefixed if reference else [])
        if len(matches) == 1:
            return self._session(matches[0][0])
        if not matches:
            raise self._unknown(reference)
        raise _ambiguous(reference, matches, named=bool(named))

    def show(self, session: SessionEntry) -> SessionDetail:
        """Everything that happened in ``session``, in order."""
        flows = self._flows("flows.session_id = ?", session.id)
        flows_of_job: dict[str, list[str]] = {}
        for flow in flows:
            if flow.job_key is not None:
                flows_of_job.setdefault(flow.job_key, []).append(flow.id)
        jobs = tuple(
            _job(number, row, flows_of_job.get(row[0], ()))
            for number, row in enumerate(self._database.all(_JOBS, [session.id]), start=1)
        )
        events = tuple(_event(row) for row in self._database.all(_EVENTS, [session.id]))
        return SessionDetail(session, jobs, flows, events)

    def rows(self, job: JobEntry, limit: int | None = None) -> "Result | None":
        """The rows of ``job`` that the client got, from REST pages or Storage streams.

        ``None`` when it got none that were recorded. With ``limit`` the result holds no more rows than that.
        """
        return results.of_job(self._database, job, limit)

    def rows_of_flow(self, flow: FlowEntry, limit: int | None = None) -> "Result | None":
        """The rows that one exchange brought, also of a table that was read without a job; as ``rows``."""
        return results.of_flow(self._database, flow, limit)

    def exchange(self, flow: FlowEntry) -> Exchange:
        """What went over the wire for ``flow``, decoded and redacted."""
        request_headers, response_headers, request, response = self._database.all(_EXCHANGE, [flow.id])[0]
        return Exchange(
            flow,
            bodies.headers(request_headers),
            bodies.headers(response_headers),
            bodies.read(self._database, request),
            bodies.read(self._database, response),
        )

    def _flows(self, condition: str, *values: object) -> tuple[FlowEntry, ...]:
        return tuple(_flow(row) for row in self._database.all(_FLOWS.format(condition=condition), list(values)))

    def _session(self, id: str) -> SessionEntry:  # noqa: A002
        return self._sessions([id])[0]

    def _sessions(self, ids: Sequence[str]) -> tuple[SessionEntry, ...]:
        now = datetime.now(UTC)
        return tuple(_session(row, now) for row in self._database.all(_SESSIONS, [list(ids)])) if ids else ()

    def _nth(self, matches: Sequence[tuple[Any, ...]], back: int, reference: str, *, of: str) -> SessionEntry:
        if back < len(matches):
            return self._session(matches[back][0])
        if not matches:
            raise self._unknown(reference)
        many = "only one session" if len(matches) == 1 else f"only {len(matches)} sessions"
        raise NotInArchive(
            f"{reference} does not exist: {self.path} holds {many}{of}. `hoop-mitm sessions` lists them."
        )

    def _unknown(self, reference: str) -> NotInArchive:
        if not self._database.all("SELECT 1 FROM sessions LIMIT 1"):
            return NotInArchive(
                f"{self.path} holds no session yet. Run a client through the gateway first, for example with "
                "`hoop-mitm sandbox -- python client.py`."
            )
        return NotInArchive(
            f"No session in {self.path} has the id, the beginning of an id, or the name {reference!r}. "
            "`hoop-mitm sessions` lists them."
        )


def _shared(one: str, other: str) -> int:
    """How many characters two texts begin with alike."""
    return next(
        (place for place, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other))
    )


def _split(reference: str) -> tuple[str, int | None]:
    match = re.fullmatch(r"(.+)~(\d{1,9})", reference)
    return (match[1], int(match[2])) if match else (reference, None)


_SHOWN_CANDIDATES = 5


def _ambiguous(reference: str, matches: Sequence[tuple[Any, ...]], *, named: bool) -> NotInArchive:
    lines = [
        f"  {found}  {name!r}  started {_time(at):%Y-%m-%d %H:%M:%S} UTC"
        for found, name, at in matches[:_SHOWN_CANDIDATES]
    ]
    if len(matches) > len(lines):
        lines.append(f"  … and {len(matches) - len(lines)} more")
    what = f"the name {reference!r}" if named else f"an id that begins with {reference!r}"
    hint = f"Name one by its id; {reference}~0 is the newest." if named else "Give more of the id."
    return NotInArchive("\n".join([f"{len(matches)} sessions have {what}. {hint}", *lines]))


def _session(row: tuple[Any, ...], now: datetime) -> SessionEntry:
    (
        id, name, connection, issuer, subject, email, groups, kind, agent, client_address,  # noqa: A001
        started_us, seen_us, ended_us, flows, jobs, denied, processed, billed,
    ) = row  # fmt: skip
    ended = _maybe_time(ended_us)
    seen = _time(seen_us)
    status: SessionStatus = "ended" if ended else "active" if now - seen < IDLE else "interrupted"
    return SessionEntry(
        id=id,
        name=name,
        connection=connection,
        principal=Principal(issuer, subject, email, tuple(groups), kind),
        agent=agent,
        client_address=client_address,
        started_at=_time(started_us),
        last_seen_at=seen,
        ended_at=ended,
        status=status,
        flows=flows,
        jobs=jobs,
        denied=denied,
        bytes_processed=processed,
        bytes_billed=billed,
    )


def _job(number: int, row: tuple[Any, ...], flows: Iterable[str]) -> JobEntry:
    (
        key, id, project, location, statement, executed, fingerprint, statement_type, job_type,  # noqa: A001
        tables, destination, label_names, label_values, dry_run, state, error,
        decision, rule, message, processed, billed, cache_hit, slot_ms, schema, row_count, started_us, ended_us,
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
        started_at=_time(started_us),
        ended_at=_maybe_time(ended_us),
        flows=tuple(flows),
    )


def _flow(row: tuple[Any, ...]) -> FlowEntry:
    (
        id, job_key, job_id, state, door, kind, protocol, http_version, method, host, url, tables, status, grpc_status,  # noqa: A001
        decision, rule, message, error, user_agent, client_address, level, request_size, response_size,
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
        level=level,
        request_size=request_size,
        response_size=response_size,
        started_at=_time(started_us),
        ended_at=_maybe_time(ended_us),
    )


def _event(row: tuple[Any, ...]) -> EventEntry:
    id, at_us, type, message, flow_id, client_address, details = row  # noqa: A001
    return EventEntry(id, _time(at_us), type, message, flow_id, client_address, bodies.details(details))


def _time(microseconds: int) -> datetime:
    return datetime.fromtimestamp(0, UTC) + timedelta(microseconds=microseconds)


def _maybe_time(microseconds: int | None) -> datetime | None:
    return None if microseconds is None else _time(microseconds)
