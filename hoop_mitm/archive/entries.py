"""What an archive holds, as a reader sees it. All times are aware and in UTC, all sizes in bytes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from hoop_mitm.bigquery.operation import TableRef
from hoop_mitm.bigquery.rows import Field
from hoop_mitm.errors import NotInArchive
from hoop_mitm.identity.principal import Principal
from hoop_mitm.identity.program import Program
from hoop_mitm.policy.verdict import Verdict

type SessionStatus = Literal["active", "ended", "interrupted", "imported"]


@dataclass(frozen=True, slots=True)
class SessionEntry:
    """One session with its totals.

    Attributes:
        status: ``active``; ``ended``; ``interrupted`` when it was never closed and nothing was seen of it for
            longer than a session idles (the gateway stopped without saying so); ``imported`` when another program
            recorded it, so that it is no evidence of this gateway.
        jobs: those sent to BigQuery, without dry runs (as in the view ``session_overview``).
        denied: flows that were refused by a rule.
        program: the processes that opened it, where the gateway could see them; a hint.
        bytes_processed: summed over its jobs without dry runs, which read nothing.
    """

    id: str
    name: str
    connection: str
    principal: Principal
    agent: str
    client_address: str
    started_at: datetime
    last_seen_at: datetime
    ended_at: datetime | None
    status: SessionStatus
    flows: int = 0
    jobs: int = 0
    denied: int = 0
    bytes_processed: int = 0
    bytes_billed: int = 0
    program: Program | None = None

    @property
    def duration(self) -> timedelta:
        """From its start to its end, or to what was last seen of it."""
        return max((self.ended_at or self.last_seen_at) - self.started_at, timedelta())


@dataclass(frozen=True, slots=True)
class Resolved:
    """What was found out afterwards about a request whose answer was never recorded (event ``intent.resolved``).

    ``outcome``: ``ran``, ``failed``, ``never_ran``, or ``unknown`` where BigQuery cannot tell. ``job_id`` is BigQuery's.
    """

    outcome: str
    message: str
    job_id: str | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class JobEntry:
    """One BigQuery job, joined from its flows.

    Attributes:
        number: its place in the session, from 1.
        key: unique in the archive, also for jobs that BigQuery never gave an ``id`` (denied, dry run).
        error: what BigQuery, or the gateway, said was wrong.
        row_count: rows of the result, or rows that a DML statement touched; ``None`` when unknown.
        flows: ids of the flows that touch it, in order.
        program: the one that asked, where it is known; a hint.
        resolved: where ``state`` is ``UNKNOWN``: what was found out afterwards.
        deleted: what retention took of its exchanges (``statement``, ``request_body``, ``response_body``), and when.
    """

    number: int
    key: str
    id: str | None
    project: str | None
    location: str | None
    statement: str | None
    executed_statement: str | None
    fingerprint: str | None
    statement_type: str | None
    job_type: str
    referenced_tables: tuple[TableRef, ...]
    destination: TableRef | None
    labels: dict[str, str]
    dry_run: bool
    state: str
    error: str | None
    verdict: Verdict
    bytes_processed: int | None
    bytes_billed: int | None
    cache_hit: bool | None
    slot_ms: int | None
    schema: tuple[Field, ...] | None
    row_count: int | None
    started_at: datetime
    ended_at: datetime | None
    flows: tuple[str, ...] = ()
    program: str | None = None
    resolved: Resolved | None = None
    deleted: Mapping[str, datetime] = field(default_factory=dict)

    @property
    def duration(self) -> timedelta | None:
        return None if self.ended_at is None else max(self.ended_at - self.started_at, timedelta())

    @property
    def label(self) -> str:
        """What a person calls it: its id, or its place in the session."""
        return self.id or f"#{self.number}"


@dataclass(frozen=True, slots=True)
class FlowEntry:
    """One exchange, without headers and bodies (``Archive.exchange`` has those).

    ``job_id`` is BigQuery's id of the job it belongs to, ``job_key`` the archive's. ``tables`` are those that the
    request names outside of SQL. ``resolved`` is what was found out afterwards, where ``state`` is ``open``. ``deleted`` is
    what retention took of it (``statement``, ``request_body``, ``response_body``), and when.
    """

    id: str
    job_key: str | None
    job_id: str | None
    state: str
    door: str | None
    kind: str | None
    protocol: str | None
    http_version: str
    method: str
    host: str
    url: str
    tables: tuple[TableRef, ...]
    status: int | None
    grpc_status: int | None
    verdict: Verdict
    error: str | None
    user_agent: str
    client_address: str
    program: str | None
    level: str
    request_size: int
    response_size: int
    started_at: datetime
    ended_at: datetime | None
    resolved: Resolved | None = None
    deleted: Mapping[str, datetime] = field(default_factory=dict)

    @property
    def duration(self) -> timedelta | None:
        return None if self.ended_at is None else max(self.ended_at - self.started_at, timedelta())


@dataclass(frozen=True, slots=True)
class Exchange:
    """A flow with what went over the wire, decoded and redacted; a body is ``None`` where it was not recorded, or is deleted."""

    flow: FlowEntry
    request_headers: tuple[tuple[str, str], ...]
    response_headers: tuple[tuple[str, str], ...]
    request_body: bytes | None
    response_body: bytes | None


@dataclass(frozen=True, slots=True)
class EventEntry:
    """Something that is no exchange with BigQuery: a refused identity, a start, an end."""

    id: str
    at: datetime
    type: str
    message: str
    flow_id: str | None
    client_address: str
    details: dict[str, object]


@dataclass(frozen=True, slots=True)
class SessionDetail:
    """A session with everything that happened in it, in order."""

    session: SessionEntry
    jobs: tuple[JobEntry, ...]
    flows: tuple[FlowEntry, ...]
    events: tuple[EventEntry, ...]

    @property
    def programs(self) -> tuple[str, ...]:
        """The programs that asked, as far as they are known: first the one that opened the session."""
        first = (str(self.session.program),) if self.session.program else ()
        return tuple(dict.fromkeys((*first, *(flow.program for flow in self.flows if flow.program))))

    def job(self, reference: str) -> JobEntry:
        """The job that ``reference`` means: its id, its number (``3``, ``#3``), or the start of an id no other has.

        Raises:
            NotInArchive: it means none, or more than one.
        """
        exact = [job for job in self.jobs if reference in (job.id, job.key, f"#{job.number}")]
        numbered = [job for job in self.jobs if reference == str(job.number)]
        begun = [job for job in self.jobs if job.id is not None and reference and job.id.startswith(reference)]
        matches = exact or numbered or begun
        if len(matches) == 1:
            return matches[0]
        again = f"`hoop-mitm show {self.session.id}` lists them with their numbers."
        if matches:
            raise NotInArchive(
                f"{len(matches)} jobs of this session have an id that begins with {reference!r}. {again}"
            )
        if not self.jobs:
            raise NotInArchive(f"The session {self.session.name} has no jobs.")
        raise NotInArchive(
            f"The session {self.session.name} has {len(self.jobs)} jobs, and none has the id or number {reference!r}. {again}"
        )

    def flow(self, reference: str) -> FlowEntry:
        """The flow that ``reference`` means: its id, or the start or end of an id that no other has.

        Raises:
            NotInArchive: it means none, or more than one.
        """
        matches = [flow for flow in self.flows if flow.id == reference] or [
            flow for flow in self.flows if reference and (flow.id.startswith(reference) or flow.id.endswith(reference))
        ]
        if len(matches) == 1:
            return matches[0]
        what = (
            f"{len(matches)} flows of the session {self.session.name} have"
            if matches
            else f"No flow of the session {self.session.name} has"
        )
        raise NotInArchive(
            f"{what} an id that begins or ends with {reference!r}. `hoop-mitm show {self.session.id} --flows` lists them."
        )
