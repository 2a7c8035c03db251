"""Rows that came through the streams of the Storage API."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hoop_mitm.archive import bodies, pages
from hoop_mitm.archive.database import Database
from hoop_mitm.archive.entries import FlowEntry, JobEntry
from hoop_mitm.bigquery.unreadable import Unreadable

if TYPE_CHECKING:
    import pyarrow as pa

log = logging.getLogger(__name__)

_READ_SESSIONS = """
    SELECT read_sessions.name, flows.response_body, read_sessions.session_id, read_sessions.job_key
    FROM read_sessions JOIN flows ON flows.id = read_sessions.flow_id
    WHERE flows.response_body IS NOT NULL AND {condition}
    ORDER BY read_sessions.created_at, read_sessions.name
"""

_ANSWERS = """
    SELECT request_body, response_body
    FROM flows
    WHERE session_id = ? AND job_key IS NOT DISTINCT FROM ?
        AND door = 'storage.ReadRows' AND state IN ('complete', 'truncated')
        AND request_body IS NOT NULL AND response_body IS NOT NULL
    ORDER BY started_at, id
"""

_REQUEST = "SELECT request_body FROM flows WHERE id = ? AND request_body IS NOT NULL"


@dataclass(frozen=True, slots=True)
class Streamed:
    """``cut``: a limit left some of it unread."""

    table: "pa.Table"
    cut: bool


@dataclass(frozen=True, slots=True)
class ReadSession:
    """A read session; ``created`` addresses the body of the answer that opened it."""

    name: str
    created: bytes
    session_id: str
    job_key: str | None


def of_job(database: Database, job: JobEntry, limit: int | None) -> Streamed | None:
    """The rows of ``job`` that came through streams; where it was read more than once, the most that came at once."""
    best: Streamed | None = None
    for session in sessions_of_job(database, job):
        try:
            found = _read(database, session, limit)
        except Unreadable as error:
            log.warning("a Storage read of job %s cannot be read: %s", job.label, error)
            continue
        if best is None or found.table.num_rows > best.table.num_rows:
            best = found
    return best


def sessions_of_job(database: Database, job: JobEntry) -> list[ReadSession]:
    """The read sessions of the job's result, in the order they were opened."""
    condition = "read_sessions.job_key = ?"
    return [ReadSession(*row) for row in database.all(_READ_SESSIONS.format(condition=condition), [job.key])]


def sessions_of_flow(database: Database, flow_id: str) -> list[ReadSession]:
    """The read session that this exchange opened, where it is recorded."""
    condition = "read_sessions.flow_id = ?"
    return [ReadSession(*row) for row in database.all(_READ_SESSIONS.format(condition=condition), [flow_id])]


def of_flow(database: Database, flow: FlowEntry, limit: int | None) -> Streamed | None:
    """The rows of the read session that ``flow`` made, or of the stream that it read."""
    if flow.door == "storage.CreateReadSession":
        opened = sessions_of_flow(database, flow.id)
        return _read(database, opened[0], limit) if opened else None
    for (request,) in database.all(_REQUEST, [flow.id]):
        stream, _ = _stream_of(bodies.read(database, request) or b"")
        name = stream.partition("/streams/")[0]
        for row in database.all(_READ_SESSIONS.format(condition="read_sessions.name = ?"), [name]):
            return _read(database, ReadSession(*row), limit, only=stream)
    return None


def _read(database: Database, session: ReadSession, limit: int | None, only: str | None = None) -> Streamed:
    import pyarrow as pa

    from hoop_mitm.bigquery.storage import read_rows

    created = bodies.read(database, session.created) or b""
    empty = read_rows(created, ())
    tables: list[pa.Table] = [empty]
    rows = 0
    for stream, found in sorted(answers(database, session).items()):
        if only not in (None, stream):
            continue
        if limit is not None and rows >= limit:
            return Streamed(pa.concat_tables(tables).slice(0, limit), cut=True)
        parts = [(offset, read_rows(created, [bodies.read(database, digest) or b""])) for offset, digest in found]
        tables.append(pages.join(parts, empty))
        rows += tables[-1].num_rows
    whole = pa.concat_tables(tables)
    return Streamed(whole, cut=False) if limit is None or rows <= limit else Streamed(whole.slice(0, limit), cut=True)


def answers(database: Database, session: ReadSession) -> dict[str, Sequence[tuple[int, bytes]]]:
    """Each stream's answers. One that broke is read on from an offset: so each answer has its place in its stream."""
    streams: dict[str, list[tuple[int, bytes]]] = {}
    found = database.all(_ANSWERS, [session.session_id, session.job_key])
    requests = bodies.read_all(database, [request for request, _ in found])
    for request, response in found:
        stream, offset = _stream_of(requests.get(request, b""))
        if stream.startswith(f"{session.name}/"):
            streams.setdefault(stream, []).append((offset, response))
    return dict(streams)


def _stream_of(request: bytes) -> tuple[str, int]:
    from hoop_mitm.bigquery.storage import decode_request

    for fact in decode_request("ReadRows", request):
        return str(fact.get("read_stream", "")), int(fact.get("offset") or 0)
    return "", 0
