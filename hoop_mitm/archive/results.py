"""The rows that a client got for a job, put together from what it was sent."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from hoop_mitm.archive import arrow, bodies, pages
from hoop_mitm.archive.database import Database
from hoop_mitm.archive.entries import JobEntry
from hoop_mitm.bigquery.rows import Field, decode_rows, schema_fields
from hoop_mitm.bigquery.unreadable import Unreadable

if TYPE_CHECKING:
    import pyarrow as pa

log = logging.getLogger(__name__)

_PAGES = """
    SELECT url, response_body
    FROM flows
    WHERE job_key = ? AND state IN ('complete', 'truncated') AND response_body IS NOT NULL
        AND door IN ('jobs.query', 'jobs.getQueryResults', 'tabledata.list')
        AND status = 200
    ORDER BY started_at, id
"""

_READ_SESSIONS = """
    SELECT read_sessions.name, flows.response_body
    FROM read_sessions JOIN flows ON flows.id = read_sessions.flow_id
    WHERE read_sessions.job_key = ? AND flows.response_body IS NOT NULL
    ORDER BY read_sessions.created_at, read_sessions.name
"""

_STREAMS = """
    SELECT request_body, response_body
    FROM flows
    WHERE job_key = ? AND door = 'storage.ReadRows' AND state IN ('complete', 'truncated')
        AND request_body IS NOT NULL AND response_body IS NOT NULL
    ORDER BY started_at, id
"""


@dataclass(frozen=True, slots=True)
class Result:
    """What the client got of a result.

    Attributes:
        table: the rows, in the types that BigQuery's own Arrow results have.
        total: how many rows the whole result has, when BigQuery said so.
        complete: the client got all of them (or, where the total is unknown, nothing is missing in between);
            ``None`` where a limit left that open.
        source: by which way it got them.
    """

    columns: tuple[Field, ...]
    table: "pa.Table"
    total: int | None
    complete: bool | None
    source: Literal["rest", "storage"]

    def rows(self) -> list[dict[str, Any]]:
        """The rows as Python values; a RECORD is a dict, a REPEATED column a list."""
        rows: list[dict[str, Any]] = self.table.to_pylist()
        return rows


def read(database: Database, job: JobEntry, limit: int | None = None) -> Result | None:
    """The rows of ``job`` that the client got; from Storage streams where its REST pages are not the whole.

    With ``limit`` the result holds no more rows than that, and ``complete`` still speaks of what the client got.
    """
    by_rest = _from_pages(database, job, limit)
    if by_rest is not None and (by_rest.complete or by_rest.table.num_rows == limit):
        return by_rest
    by_storage = _from_streams(database, job, limit)
    if by_storage is None or (by_rest is not None and by_rest.table.num_rows > by_storage.table.num_rows):
        return by_rest
    return by_storage


def _from_pages(database: Database, job: JobEntry, limit: int | None) -> Result | None:
    import pyarrow as pa

    found = list(_answers(database, job))
    columns = job.schema or next(
        (schema_fields(page.answer["schema"]) for page in found if page.answer.get("schema")), ()
    )
    total = next((page.total for page in reversed(found) if page.total is not None), None)
    placed = [each for each in pages.place(found) if each.rows]
    if not placed:
        # Polls say nothing of rows; that there are none is an answer too.
        empty = bool(columns) and total == 0 and bool(found)
        return Result(columns, arrow.schema(columns).empty_table(), 0, complete=True, source="rest") if empty else None
    columns = columns or _nameless(placed[0].rows)
    try:
        parts = [(each.start, arrow.table(columns, decode_rows(columns, each.rows))) for each in _first(placed, limit)]
    except (ValueError, TypeError, AttributeError, ArithmeticError, pa.ArrowException):
        # Better shown as they came than not at all.
        log.warning("rows of job %s do not fit its schema and are shown as text", job.label)
        columns = tuple(Field(column.name) for column in columns)
        parts = [
            (each.start, arrow.table(columns, [_texts(row) for row in each.rows])) for each in _first(placed, limit)
        ]
    table = pages.join(parts, arrow.schema(columns).empty_table())
    end, whole = pages.extent(placed)
    return Result(columns, table, total, complete=whole and end >= (total or 0), source="rest")


def _answers(database: Database, job: JobEntry) -> Iterator[pages.Page]:
    import orjson

    for url, digest in database.all(_PAGES, [job.key]):
        try:
            answer = orjson.loads(bodies.read(database, digest) or b"null")
        except orjson.JSONDecodeError:
            continue  # A stream that broke: what came of it is no page.
        # A page of chosen columns holds no whole rows.
        if isinstance(answer, dict) and "selectedFields=" not in url:
            yield pages.Page(url, answer)


def _first(placed: Sequence[pages.Placed], limit: int | None) -> Iterator[pages.Placed]:
    """The pages cut to the first ``limit`` rows of the result."""
    for each in placed:
        rows = each.rows if limit is None else each.rows[: max(limit - each.start, 0)]
        if rows:
            yield replace(each, rows=rows)


def _nameless(rows: Sequence[dict[str, Any]]) -> tuple[Field, ...]:
    """Columns for rows whose schema the client never asked for, with BigQuery's names for what has none."""
    return tuple(Field(f"f{index}_") for index, _ in enumerate(rows[0].get("f", ())))


def _texts(row: dict[str, Any]) -> list[str | None]:
    import orjson

    values = (cell.get("v") for cell in row.get("f", ()))
    return [value if value is None or isinstance(value, str) else orjson.dumps(value).decode() for value in values]


def _from_streams(database: Database, job: JobEntry, limit: int | None) -> Result | None:
    best: pa.Table | None = None
    cut = False
    for name, digest in database.all(_READ_SESSIONS, [job.key]):
        try:
            found, cut_short = _read_session(database, job, name, digest, limit)
        except Unreadable as error:
            log.warning("a Storage read of job %s cannot be read: %s", job.label, error)
            continue
        if best is None or found.num_rows > best.num_rows:
            best, cut = found, cut_short
    if best is None:
        return None
    columns, fitted = arrow.fit(job.schema or (), best)
    complete = None if cut else job.row_count is None or fitted.num_rows >= job.row_count
    return Result(columns, fitted, job.row_count, complete, "storage")


def _read_session(
    database: Database, job: JobEntry, name: str, created: bytes, limit: int | None
) -> "tuple[pa.Table, bool]":
    """What came through the streams of one read session, and whether ``limit`` left some of it unread."""
    import pyarrow as pa

    from hoop_mitm.bigquery.storage import decode_request, read_rows

    session = bodies.read(database, created) or b""
    empty = read_rows(session, ())
    # A stream that broke is read on from an offset: each answer has its place in its stream.
    streams: dict[str, list[tuple[int, bytes]]] = {}
    for request, response in database.all(_STREAMS, [job.key]):
        for fact in decode_request("ReadRows", bodies.read(database, request) or b""):
            if str(fact.get("read_stream", "")).startswith(f"{name}/"):
                streams.setdefault(fact["read_stream"], []).append((int(fact.get("offset") or 0), response))
    tables: list[pa.Table] = [empty]
    rows = 0
    for _, answers in sorted(streams.items()):
        if limit is not None and rows >= limit:
            return pa.concat_tables(tables), True
        parts = [(offset, read_rows(session, [bodies.read(database, digest) or b""])) for offset, digest in answers]
        joined = pages.join(parts, empty)
        rows += joined.num_rows
        tables.append(joined)
    whole = pa.concat_tables(tables)
    return (whole, False) if limit is None or rows <= limit else (whole.slice(0, limit), True)
