"""The jobs of all sessions: those that were let through, as reconciliation compares them with BigQuery's own list; and
all, as a policy is tried on them."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import msgspec

from hoop_mitm.archive import bodies, resolutions, stored
from hoop_mitm.archive.database import Database
from hoop_mitm.archive.decided import decided
from hoop_mitm.archive.resolutions import RESOLVED
from hoop_mitm.bigquery import mcp
from hoop_mitm.bigquery.operation import TableRef
from hoop_mitm.identity.principal import Principal
from hoop_mitm.policy.decided import Decided

# The flow that started a job tells how it was asked for; polls and pages tell nothing of that.
_JOBS = """
    WITH starts AS (
        SELECT
            job_key, arg_max(id, seq) AS id, arg_max(door, seq) AS door, arg_max(state, seq) AS state,
            arg_max(error, seq) AS error, arg_max(level, seq) AS level, arg_max(request_body, seq) AS request_body,
            arg_max(response_body, seq) AS response_body
        FROM flows
        WHERE door IN ('jobs.insert', 'jobs.query', 'jobs.upload', 'mcp.execute_sql', 'mcp.execute_sql_readonly')
            AND decision = 'allow' AND {flows}
        GROUP BY job_key
    )
    SELECT
        key, jobs.id, project, location, session_id, sessions.connection, issuer, subject, email, groups, kind,
        jobs.job_type, coalesce(executed_statement, statement), destination, jobs.state, jobs.error, bytes_billed,
        epoch_us(jobs.started_at), epoch_us(jobs.ended_at),
        starts.id, starts.door, starts.state, starts.error, starts.level, request_body, response_body
    FROM jobs
    JOIN sessions ON sessions.id = jobs.session_id
    LEFT JOIN starts ON starts.job_key = jobs.key
    WHERE jobs.decision = 'allow' AND NOT dry_run AND project IN (SELECT unnest($projects)) AND {jobs}
    ORDER BY jobs.started_at, key
"""

_IN_RANGE = "jobs.started_at >= $since AND jobs.started_at < $until"
# A job may be told of before the request for it, whose beginning is what counts here.
_NEAR = "started_at >= $since - INTERVAL 1 DAY AND started_at < $until + INTERVAL 1 DAY"

_LOST = """
    SELECT
        flows.id, flows.session_id, sessions.connection, issuer, subject, email, groups, sessions.kind,
        door, flows.kind, method, url, job_key, flows.error, epoch_us(flows.started_at)
    FROM flows
    LEFT JOIN sessions ON sessions.id = flows.session_id
    WHERE flows.state = 'open' AND flows.started_at >= $since AND flows.started_at < $until
        AND flows.id NOT IN (SELECT flow_id FROM events WHERE type = $resolved AND flow_id IS NOT NULL)
    ORDER BY flows.started_at, flows.id
"""

# Of a gateway that died: the fold says so of every flow that it left open.
_OPEN = """
    jobs.state = 'UNKNOWN' AND starts.state = 'open' AND starts.error IS NOT NULL
    AND starts.id NOT IN (SELECT flow_id FROM events WHERE type = $resolved AND flow_id IS NOT NULL)
"""
_OF_SESSIONS = "SELECT session_id, id FROM jobs WHERE id IS NOT NULL AND session_id IN (SELECT unnest(?))"
_DELETED = "SELECT url FROM flows WHERE door = 'jobs.delete' AND state = 'complete' AND status < 300"
_LOCATIONS = "SELECT DISTINCT location FROM jobs WHERE project IN (SELECT unnest(?)) AND location IS NOT NULL"
_FIRST = "SELECT epoch_us(min(started_at)) FROM sessions"
_HAPPENED = "SELECT 1 FROM events WHERE id = ?"


@dataclass(frozen=True, slots=True)
class Recorded:
    """A job as the recording has it: a request that would start one, and was let through.

    Attributes:
        key: unique in the recording.
        id: BigQuery's; ``None`` where it never said one.
        query_id: what BigQuery called a query that it answered without a job.
        statement: what BigQuery was given; ``None`` where that was not recorded, or is deleted.
        state: BigQuery's last known word, or ``FAILED`` (refused, no job came of it), or ``UNKNOWN``.
        flow_id, door, flow_state, level: of the exchange that started it; ``None`` where only others are recorded.
        under_way: its answer may still come: the gateway lives.
        may_be_jobless: BigQuery was free to answer without a job, or that is not known.
        resolved: what ``intent.resolved`` says became of it.
    """

    key: str
    id: str | None
    project: str
    location: str | None
    session_id: str
    connection: str
    principal: Principal
    job_type: str
    statement: str | None
    destination: TableRef | None
    state: str
    error: str | None
    bytes_billed: int | None
    started_at: datetime
    ended_at: datetime | None
    flow_id: str | None = None
    door: str | None = None
    flow_state: str | None = None
    level: str | None = None
    under_way: bool = False
    query_id: str | None = None
    may_be_jobless: bool = False
    resolved: str | None = None


@dataclass(frozen=True, slots=True)
class Lost:
    """An exchange whose outcome was never recorded, and for which none was found out.

    ``under_way`` where the gateway lives and the answer may come; ``kind`` is the most that its door can do.
    """

    flow_id: str
    session_id: str | None
    connection: str | None
    principal: Principal | None
    door: str | None
    kind: str | None
    method: str
    url: str
    job_key: str | None
    under_way: bool
    started_at: datetime


class _Mode(msgspec.Struct, rename="camel"):
    job_creation_mode: str | None = None


class _QueryId(msgspec.Struct, rename="camel"):
    query_id: str | None = None


class Ledger:
    """The recording as reconciliation reads it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def jobs(self, projects: Sequence[str], since: datetime, until: datetime) -> tuple[Recorded, ...]:
        """Jobs in ``projects`` that were asked for from ``since`` until before ``until``, the oldest first."""
        statement = _JOBS.format(flows=_NEAR, jobs=_IN_RANGE)
        return self._recorded(statement, {"projects": list(projects), "since": since, "until": until})

    def jobs_called(self, projects: Sequence[str], ids: Iterable[str]) -> tuple[Recorded, ...]:
        """Jobs in ``projects`` that have one of these ids, whenever they were asked for."""
        wanted = list(ids)
        if not wanted:
            return ()
        keys = "SELECT key FROM jobs WHERE id IN (SELECT unnest($ids))"
        statement = _JOBS.format(flows=f"job_key IN ({keys})", jobs="jobs.id IN (SELECT unnest($ids))")
        return self._recorded(statement, {"projects": list(projects), "ids": wanted})

    def open_intents(self, projects: Sequence[str]) -> tuple[Recorded, ...]:
        """Jobs that a gateway which has died was asked for, and of which nobody knows yet what came."""
        unknown = "SELECT key FROM jobs WHERE state = 'UNKNOWN'"
        statement = _JOBS.format(flows=f"job_key IN ({unknown})", jobs=_OPEN)
        return self._recorded(statement, {"projects": list(projects), "resolved": RESOLVED})

    def ids_of(self, session_ids: Iterable[str]) -> dict[str, tuple[str, ...]]:
        """The ids of all recorded jobs of each of these sessions."""
        found: dict[str, tuple[str, ...]] = {}
        for session_id, job_id in self._database.all(_OF_SESSIONS, [list(session_ids)]):
            found[session_id] = (*found.get(session_id, ()), job_id)
        return found

    def lost(self, since: datetime, until: datetime) -> tuple[Lost, ...]:
        """Exchanges without an outcome that began in this time, the oldest first."""
        rows = self._database.all(_LOST, {"since": since, "until": until, "resolved": RESOLVED})
        return tuple(_lost(row) for row in rows)

    def deletions(self) -> frozenset[str]:
        """Paths of the jobs whose metadata was deleted at BigQuery, through the gateway."""
        return frozenset(url.partition("?")[0].removesuffix("/delete") for (url,) in self._database.all(_DELETED))

    def locations(self, projects: Sequence[str]) -> frozenset[str]:
        """Every location of a job in ``projects`` that is recorded."""
        return frozenset(location for (location,) in self._database.all(_LOCATIONS, [list(projects)]))

    def decided(self, since: datetime, details: Collection[str]) -> tuple[Decided, ...]:
        """Jobs that were asked for since then, as a policy is tried on them; ``details`` out of ``decided.DETAILS``."""
        return decided(self._database, since, details)

    def begins(self) -> datetime | None:
        """When the first session began that is in the recording."""
        ((first,),) = self._database.all(_FIRST)
        return None if first is None else stored.time(first)

    def has_event(self, id: str) -> bool:  # noqa: A002
        """Whether this event is in the recording already, and so everything that was written before it."""
        return bool(self._database.all(_HAPPENED, [id]))

    def _recorded(self, statement: str, values: dict[str, object]) -> tuple[Recorded, ...]:
        rows = self._database.all(statement, values)
        found = [_recorded(row) for row in rows]
        # Only what has no job id, and so must be told by other means, is worth a look at its bodies.
        wanted = {
            job.key: (row[-2], row[-1])
            for job, row in zip(found, rows, strict=True)
            if job.id is None and job.door == "jobs.query"
        }
        hashes = {digest for pair in wanted.values() for digest in pair if digest is not None}
        read = bodies.read_all(self._database, list(hashes))
        unknown = [job.flow_id for job in found if job.state == "UNKNOWN" and job.flow_id]
        resolved = resolutions.read(self._database, unknown)
        return tuple(
            replace(
                job,
                query_id=_query_id(read.get(wanted[job.key][1])) if job.key in wanted else None,
                may_be_jobless=(job.id is None and job.door in mcp.EXECUTES)
                or (job.key in wanted and _may_be_jobless(read.get(wanted[job.key][0]))),
                resolved=known.outcome if (known := resolved.get(job.flow_id or "")) else None,
            )
            for job in found
        )


def _recorded(row: tuple[Any, ...]) -> Recorded:
    (
        key, id, project, location, session_id, connection, issuer, subject, email, groups, kind,  # noqa: A001
        job_type, statement, destination, state, error, billed, started_us, ended_us,
        flow_id, door, flow_state, flow_error, level, _, _,
    ) = row  # fmt: skip
    return Recorded(
        key=key,
        id=id,
        project=project,
        location=location,
        session_id=session_id,
        connection=connection,
        principal=Principal(issuer, subject, email, tuple(groups), kind),
        job_type=job_type,
        statement=statement,
        destination=TableRef(**destination) if destination else None,
        state=state,
        error=error,
        bytes_billed=billed,
        started_at=stored.time(started_us),
        ended_at=None if ended_us is None else stored.time(ended_us),
        flow_id=flow_id,
        door=door,
        flow_state=flow_state,
        level=level,
        under_way=flow_state == "open" and flow_error is None,
    )


def _lost(row: tuple[Any, ...]) -> Lost:
    (
        flow_id, session_id, connection, issuer, subject, email, groups, person,
        door, kind, method, url, job_key, error, started_us,
    ) = row  # fmt: skip
    return Lost(
        flow_id=flow_id,
        session_id=session_id,
        connection=connection,
        principal=None if issuer is None else Principal(issuer, subject, email, tuple(groups), person),
        door=door,
        kind=kind,
        method=method,
        url=url,
        job_key=job_key,
        # The fold says of every open flow that its gateway has died, when it has.
        under_way=error is None,
        started_at=stored.time(started_us),
    )


def _query_id(answer: bytes | None) -> str | None:
    try:
        return msgspec.json.decode(answer, type=_QueryId).query_id if answer else None
    except msgspec.DecodeError:
        return None


def _may_be_jobless(request: bytes | None) -> bool:
    try:
        return request is None or msgspec.json.decode(request, type=_Mode).job_creation_mode == "JOB_CREATION_OPTIONAL"
    except msgspec.DecodeError:
        return True
