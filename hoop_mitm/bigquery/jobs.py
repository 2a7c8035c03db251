"""A job's story, put together from the exchanges that touched it.

A client inserts a job, polls it, and fetches its rows with masks that leave most of an answer out: each exchange tells a
part, and ``merge`` joins the parts.
"""

import re
from datetime import UTC, datetime
from typing import Final, Literal
from urllib.parse import parse_qs, quote, unquote, urlsplit

import msgspec
from msgspec.structs import replace

from hoop_mitm.bigquery import mcp
from hoop_mitm.bigquery.content import multipart
from hoop_mitm.bigquery.operation import TableRef
from hoop_mitm.bigquery.unreadable import Unreadable

type State = Literal["FAILED", "PENDING", "RUNNING", "DONE"]


class JobFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one job. ``None`` means that no exchange has said it yet.

    Attributes:
        id: its job id; ``None`` for jobs that BigQuery does not keep: dry runs, and queries that were answered or
            refused without one.
        query_id: BigQuery's id for a query that was answered without a job.
        statement: as the client sent it.
        state: ``PENDING``, ``RUNNING`` and ``DONE`` are BigQuery's words; ``FAILED`` means that the request was refused
            and no job came of it.
        error: the message of what went wrong.
        schema: BigQuery's ``{"fields": […]}`` as JSON text.
        row_count: rows of the result.
        created_at, ended_at: BigQuery's own clock.
    """

    project: str | None = None
    id: str | None = None
    query_id: str | None = None
    location: str | None = None
    statement: str | None = None
    statement_type: str | None = None
    job_type: str = "QUERY"
    referenced_tables: tuple[TableRef, ...] = ()
    destination: TableRef | None = None
    labels: dict[str, str] = msgspec.field(default_factory=dict)
    dry_run: bool = False
    state: State = "PENDING"
    error: str | None = None
    bytes_processed: int | None = None
    bytes_billed: int | None = None
    cache_hit: bool | None = None
    slot_ms: int | None = None
    schema: str | None = None
    row_count: int | None = None
    created_at: datetime | None = None
    ended_at: datetime | None = None

    @property
    def key(self) -> str | None:
        """What joins exchanges of one job, ``project:id``; ``None`` for a job that is one exchange alone."""
        return f"{self.project}:{self.id}" if self.id and self.project else None


# ------------------------------------------------------------------------------------------------- what is on the wire


_ABSENT: Final = msgspec.Raw()


class _Reference(msgspec.Struct, rename="camel"):
    project_id: str | None = None
    job_id: str | None = None
    location: str | None = None


class _Table(msgspec.Struct, rename="camel"):
    project_id: str | None = None
    dataset_id: str | None = None
    table_id: str | None = None

    def ref(self, project: str | None) -> TableRef | None:
        if not self.dataset_id or not self.table_id:
            return None
        return TableRef(self.project_id or project or "", self.dataset_id, self.table_id)


class _Kind(msgspec.Struct, rename="camel"):
    query: str | None = None
    destination_table: _Table | None = None
    source_table: _Table | None = None
    source_tables: list[_Table] | None = None


class _Configuration(msgspec.Struct, rename="camel"):
    query: _Kind | None = None
    load: _Kind | None = None
    copy: _Kind | None = None
    extract: _Kind | None = None
    dry_run: bool | None = None
    labels: dict[str, str] | None = None


class _QueryStatistics(msgspec.Struct, rename="camel"):
    total_bytes_processed: int | None = None
    total_bytes_billed: int | None = None
    total_slot_ms: int | None = None
    cache_hit: bool | None = None
    statement_type: str | None = None
    referenced_tables: list[_Table] | None = None
    schema: msgspec.Raw = _ABSENT


class _Statistics(msgspec.Struct, rename="camel"):
    query: _QueryStatistics | None = None
    total_bytes_processed: int | None = None
    total_slot_ms: int | None = None
    creation_time: int | None = None
    end_time: int | None = None


class _Error(msgspec.Struct):
    message: str | None = None
    reason: str | None = None


class _Status(msgspec.Struct, rename="camel"):
    state: str | None = None
    error_result: _Error | None = None


class _HttpError(msgspec.Struct):
    message: str | None = None
    errors: list[_Error] | None = None


class _Job(msgspec.Struct, rename="camel"):
    job_reference: _Reference | None = None
    configuration: _Configuration | None = None
    statistics: _Statistics | None = None
    status: _Status | None = None


class _Answer(_Job, rename="camel"):
    job: _Job | None = None
    error: _HttpError | None = None
    location: str | None = None
    job_complete: bool | None = None
    query_id: str | None = None
    schema: msgspec.Raw = _ABSENT
    rows: msgspec.Raw = _ABSENT
    total_rows: int | None = None
    total_bytes_processed: int | None = None
    total_bytes_billed: int | None = None
    total_slot_ms: int | None = None
    cache_hit: bool | None = None
    statement_type: str | None = None
    creation_time: int | None = None
    end_time: int | None = None


class _QueryRequest(msgspec.Struct, rename="camel"):
    query: str | None = None
    dry_run: bool | None = None
    labels: dict[str, str] | None = None
    location: str | None = None


class _JobRequest(msgspec.Struct, rename="camel"):
    job_reference: _Reference | None = None
    configuration: _Configuration | None = None


# Numbers come as strings, and from some servers as numbers: both are taken.
_answers = msgspec.json.Decoder(_Answer, strict=False)
_queries = msgspec.json.Decoder(_QueryRequest, strict=False)
_jobs = msgspec.json.Decoder(_JobRequest, strict=False)

# ----------------------------------------------------------------------------------------------------- one exchange

_STARTS: Final = frozenset({"jobs.insert", "jobs.query", "jobs.upload"})
_POLLS: Final = frozenset({"jobs.get", "jobs.getQueryResults", "jobs.cancel"})

STATEMENT_DOORS: Final = frozenset({"jobs.insert", "jobs.query", *mcp.EXECUTES})
"""Doors of requests that start a job with a statement."""

JOB_DOORS: Final = _STARTS | _POLLS | {door for door, like in mcp.LIKE.items() if like in _STARTS | _POLLS}
"""Doors whose exchanges tell about a job."""
_PATH = re.compile(r"/projects/([^/?]+)/(?:jobs|queries)(?:/([^/?]+))?")
_KINDS: Final = ("query", "load", "copy", "extract")
_STATES: Final[dict[str, State]] = {"PENDING": "PENDING", "RUNNING": "RUNNING", "DONE": "DONE"}

_OK: Final = 200
_BAD_REQUEST: Final = 400

# getQueryResults answers a failed job's own error with an HTTP error; these are about the request instead.
_NOT_THE_JOBS: Final = frozenset({"rateLimitExceeded", "jobRateLimitExceeded", "authError", "required"})


def job_facts(
    door: str, url: str, request_body: bytes | None, response_body: bytes | None, status: int | None
) -> JobFacts | None:
    """What one recorded exchange tells about a job; ``None`` when it tells nothing.

    Args:
        door: name of the door.
        url: of the request, with its query string.
        request_body, response_body: without content-encoding, as far as they are known.
        status: HTTP status; ``None`` while there is no answer.

    Bodies that cannot be read tell nothing. A poll that the gateway itself refused should not be passed.
    """
    if door in mcp.LIKE:
        return _through_mcp(mcp.LIKE[door], request_body, response_body, status)
    if door not in _STARTS | _POLLS or (status is not None and 300 <= status < 400):  # noqa: PLR2004
        return None
    asked = _asked(door, url, request_body)
    answer = _answer(response_body)
    if status is not None and status >= 400:  # noqa: PLR2004
        return _refused(door, asked, answer, status)
    if answer is None:
        return asked if door in ("jobs.insert", "jobs.query") else None
    return _answered(door, asked, answer)


def _through_mcp(like: str, request: bytes | None, response: bytes | None, status: int | None) -> JobFacts | None:
    """The call of a tool, read as a call of the method that it is like."""
    arguments = mcp.arguments(request)
    project, job = (quote(str(arguments.get(name, "")), safe="") for name in ("projectId", "jobId"))
    url = f"/projects/{project}/queries/{job}" if job else f"/projects/{project}/queries"
    answer = mcp.answer(response) if response and status == _OK else mcp.Answer()
    if answer.error is not None:
        answer, status = mcp.Answer(msgspec.json.encode({"error": {"message": answer.error}})), _BAD_REQUEST
    return job_facts(like, url, msgspec.json.encode(arguments), answer.json, status)


def _asked(door: str, url: str, body: bytes | None) -> JobFacts:
    split = urlsplit(url)
    found = _PATH.search(split.path)
    location = parse_qs(split.query).get("location", [None])[0]
    project, job = (unquote(found[1]), found[2] and unquote(found[2])) if found else (None, None)
    plain = JobFacts(project=project, id=job, location=location)
    if door not in ("jobs.insert", "jobs.query") or not body:
        return plain
    try:
        if door == "jobs.query":
            query = _queries.decode(body)
            return JobFacts(
                project=project,
                location=query.location or location,
                statement=query.query,
                labels=query.labels or {},
                dry_run=bool(query.dry_run),
            )
        request = _jobs.decode(_first_part(body))
    except (msgspec.DecodeError, Unreadable):
        return plain
    return _configured(request.job_reference or _Reference(), request.configuration, plain)


def _first_part(body: bytes) -> bytes:
    if not body.startswith(b"--"):
        return body
    return multipart(body, body[2:].partition(b"\n")[0].rstrip(b"\r")).json


def _answer(body: bytes | None) -> _Answer | None:
    try:
        return _answers.decode(body) if body else None
    except msgspec.DecodeError:
        return None


def _configured(reference: _Reference, configuration: _Configuration | None, known: JobFacts) -> JobFacts:
    configuration = configuration or _Configuration()
    kind_name = next((kind for kind in _KINDS if getattr(configuration, kind) is not None), None)
    kind: _Kind = getattr(configuration, kind_name) if kind_name else _Kind()
    project = reference.project_id or known.project
    dry_run = known.dry_run or bool(configuration.dry_run)
    sources = [source for source in (kind.source_table, *(kind.source_tables or ())) if source]
    return JobFacts(
        project=project,
        id=None if dry_run else reference.job_id or known.id,
        location=reference.location or known.location,
        statement=known.statement or kind.query,
        job_type=kind_name.upper() if kind_name else known.job_type,
        referenced_tables=_refs(sources, project) or known.referenced_tables,
        destination=(kind.destination_table and kind.destination_table.ref(project)) or known.destination,
        labels=configuration.labels or known.labels,
        dry_run=dry_run,
    )


def _answered(door: str, asked: JobFacts, answer: _Answer) -> JobFacts:
    job: _Job = answer.job or answer
    known = _configured(job.job_reference or _Reference(), job.configuration, asked)
    statistics = job.statistics or _Statistics()
    query = statistics.query or _QueryStatistics()
    schema = bytes(answer.schema) or bytes(query.schema)
    state, error = _state(door, job, answer)
    return replace(
        known,
        query_id=answer.query_id,
        location=known.location or answer.location,
        statement_type=query.statement_type or answer.statement_type,
        referenced_tables=_refs(query.referenced_tables or (), known.project) or known.referenced_tables,
        state=state,
        error=error,
        bytes_processed=_first(
            answer.total_bytes_processed, query.total_bytes_processed, statistics.total_bytes_processed
        ),
        bytes_billed=_first(answer.total_bytes_billed, query.total_bytes_billed),
        cache_hit=_first(answer.cache_hit, query.cache_hit),
        slot_ms=_first(answer.total_slot_ms, query.total_slot_ms, statistics.total_slot_ms),
        schema=schema.decode() if schema not in (b"", b"null") else None,
        row_count=answer.total_rows if state == "DONE" else None,
        created_at=_time(_first(statistics.creation_time, answer.creation_time)),
        ended_at=_time(_first(statistics.end_time, answer.end_time)),
    )


def _state(door: str, job: _Job, answer: _Answer) -> tuple[State, str | None]:
    if job.status and job.status.state:
        error = job.status.error_result
        return _STATES.get(job.status.state, "RUNNING"), error.message if error else None
    if door in ("jobs.query", "jobs.getQueryResults"):
        # A mask may leave jobComplete out, but rows only come from a complete job.
        complete = answer.job_complete
        has_rows = bytes(answer.rows) != b"" or answer.total_rows is not None
        return "DONE" if complete or (complete is None and has_rows) else "RUNNING", None
    return "PENDING", None


def _refused(door: str, asked: JobFacts, answer: _Answer | None, status: int) -> JobFacts | None:
    error = (answer.error if answer else None) or _HttpError()
    message = error.message or f"HTTP {status}"
    if door in ("jobs.insert", "jobs.query"):
        return replace(asked, state="FAILED", error=message)
    reason = (error.errors[0].reason if error.errors else None) or ""
    if (
        door != "jobs.getQueryResults"
        or status not in (400, 403, 404)
        or reason in _NOT_THE_JOBS
        or message.startswith("Not found: Job")
    ):
        return None
    return replace(asked, state="DONE", error=message)


def _refs(tables: "list[_Table] | tuple[()]", project: str | None) -> tuple[TableRef, ...]:
    return tuple(ref for table in tables if (ref := table.ref(project)))


def _first[T](*values: T | None) -> T | None:
    return next((value for value in values if value is not None), None)


def _time(milliseconds: int | None) -> datetime | None:
    return datetime.fromtimestamp(milliseconds / 1000, UTC) if milliseconds else None


# ------------------------------------------------------------------------------------------------- several exchanges

_RANK: Final[dict[State, int]] = {"FAILED": 0, "PENDING": 1, "RUNNING": 2, "DONE": 3}


def merge(a: JobFacts, b: JobFacts) -> JobFacts:
    """Two parts of one job's story as one. The part that saw the job further along is believed; of equals, ``b``."""
    early, late = (b, a) if _RANK[a.state] > _RANK[b.state] else (a, b)
    joined: dict[str, object] = {}
    for name in JobFacts.__struct_fields__:
        last = getattr(late, name)
        joined[name] = getattr(early, name) if last is None or last in ((), {}) else last
    same_state = early.state == late.state
    joined["state"] = late.state
    joined["error"] = late.error or (early.error if same_state else None)
    joined["statement"] = early.statement or late.statement
    joined["dry_run"] = early.dry_run or late.dry_run
    joined["job_type"] = early.job_type if late.job_type == "QUERY" else late.job_type
    return JobFacts(**joined)  # type: ignore[arg-type]
