"""The rows that a client got, put together from what it was sent."""

import logging
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlencode

from hoop_mitm.archive import arrow, bodies, pages, streams
from hoop_mitm.archive.database import Database
from hoop_mitm.archive.entries import FlowEntry, JobEntry
from hoop_mitm.bigquery import mcp
from hoop_mitm.bigquery.rows import Field, decode_rows, schema_fields

if TYPE_CHECKING:
    import pyarrow as pa

log = logging.getLogger(__name__)

_PAGES = """
    SELECT url, response_body, CASE WHEN starts_with(door, 'mcp.') THEN request_body END
    FROM flows
    WHERE {condition} AND state IN ('complete', 'truncated') AND response_body IS NOT NULL
        AND door IN (
            'jobs.query', 'jobs.getQueryResults', 'tabledata.list',
            'mcp.execute_sql', 'mcp.execute_sql_readonly', 'mcp.get_query_results'
        )
        AND status = 200
    ORDER BY started_at, id
"""

# A client asks what a table looks like before it lists its rows, which come without a schema.
_TABLE_SEEN_BEFORE = """
    SELECT seen.response_body
    FROM flows AS listed
    JOIN flows AS seen ON seen.session_id = listed.session_id AND seen.tables = listed.tables
    WHERE listed.id = ? AND seen.door = 'tables.get' AND seen.status = 200 AND seen.response_body IS NOT NULL
    ORDER BY seen.started_at > listed.started_at, abs(epoch_us(seen.started_at) - epoch_us(listed.started_at))
    LIMIT 1
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


def of_job(database: Database, job: JobEntry, limit: int | None = None) -> Result | None:
    """The rows of ``job`` that the client got; from Storage streams where its REST pages are not the whole.

    With ``limit`` the result holds no more rows than that.
    """
    answers = database.all(_PAGES.format(condition="job_key = ?"), [job.key])
    # A page of chosen columns holds no whole rows.
    whole = [page for page in _pages(database, answers) if not page.selected]
    by_rest = _from_pages(whole, job.schema, limit, job.label)
    if by_rest is not None and (by_rest.complete or by_rest.table.num_rows == limit):
        return by_rest
    streamed = streams.of_job(database, job, limit)
    if streamed is None or (by_rest is not None and by_rest.table.num_rows > streamed.table.num_rows):
        return by_rest
    return _from_streams(streamed, job.schema or (), job.row_count)


def of_flow(database: Database, flow: FlowEntry, limit: int | None = None) -> Result | None:
    """The rows that one exchange brought: a page, or what came through the Storage streams that it opened or read."""
    if flow.door in ("storage.CreateReadSession", "storage.ReadRows"):
        streamed = streams.of_flow(database, flow, limit)
        return None if streamed is None else _from_streams(streamed, (), None)
    found = list(_pages(database, database.all(_PAGES.format(condition="id = ?"), [flow.id])))
    schema = None
    if flow.door == "tabledata.list":
        schema = schema_of_listed(database, flow.id, {name for page in found for name in page.selected})
    # A page is all that was asked for, wherever in the result it lies.
    alone = [pages.Page("", page.answer) for page in found]
    return _from_pages(alone, schema, limit, flow.id)


def schema_of_listed(database: Database, flow_id: str, selected: Collection[str]) -> tuple[Field, ...] | None:
    """The columns that a ``tabledata.list`` brought, ``selected`` ones or all, as its client had seen the table before."""
    for (seen,) in database.all(_TABLE_SEEN_BEFORE, [flow_id]):
        fields = schema_fields((_json(bodies.read(database, seen)) or {}).get("schema"))
        return tuple(field for field in fields if not selected or field.name in selected) or None
    return None


def _from_streams(streamed: streams.Streamed, schema: Sequence[Field], total: int | None) -> Result:
    columns, table = arrow.fit(schema, streamed.table)
    complete = None if streamed.cut else total is None or table.num_rows >= total
    return Result(columns, table, total, complete, "storage")


def _from_pages(
    found: Sequence[pages.Page], schema: tuple[Field, ...] | None, limit: int | None, label: str
) -> Result | None:
    import pyarrow as pa

    columns = schema or next((schema_fields(page.answer["schema"]) for page in found if page.answer.get("schema")), ())
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
        log.warning("rows of %s do not fit its schema and are shown as text", label)
        columns = tuple(Field(column.name) for column in columns)
        parts = [
            (each.start, arrow.table(columns, [_texts(row) for row in each.rows])) for each in _first(placed, limit)
        ]
    table = pages.join(parts, arrow.schema(columns).empty_table())
    end, whole = pages.extent(placed)
    return Result(columns, table, total, complete=whole and end >= (total or 0), source="rest")


def _pages(database: Database, answers: Sequence[tuple[str, bytes, bytes | None]]) -> Iterator[pages.Page]:
    hashes = [digest for answer in answers for digest in answer[1:] if isinstance(digest, bytes)]
    read = bodies.read_all(database, hashes)
    for url, answered, asked in answers:
        body = read.get(answered)
        if asked is not None:
            # A tool's arguments say which page it is, as a query string does.
            url = f"{url}?{urlencode(mcp.arguments(read.get(asked)))}"  # noqa: PLW2901 - the page's own
            body = mcp.answer(body or b"").json
        if (answer := _json(body)) is not None:
            yield pages.Page(url, answer)


def _json(body: bytes | None) -> dict[str, Any] | None:
    """The JSON object that ``body`` is; ``None`` where it is none, as when a stream broke."""
    import orjson

    try:
        value = orjson.loads(body or b"null")
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None


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
