"""Results, read out of the recorded bodies page by page and batch by batch into a workspace: never whole in memory."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from hoop_mitm.archive import arrow, bodies, pages, results, streams
from hoop_mitm.archive.comparing import values
from hoop_mitm.archive.comparing.direct import READ
from hoop_mitm.archive.comparing.workspace import Shelf, Workspace
from hoop_mitm.archive.database import Database
from hoop_mitm.archive.entries import JobEntry
from hoop_mitm.bigquery.rows import Field, schema_fields
from hoop_mitm.bigquery.unreadable import Unreadable

if TYPE_CHECKING:
    import pyarrow as pa

_ANSWERS = """
    SELECT id, url, door, state, level, response_size, response_body
    FROM flows
    WHERE session_id = ? AND coalesce(status, 200) = 200
        AND door IN ('jobs.query', 'jobs.getQueryResults', 'tabledata.list', 'storage.CreateReadSession', 'storage.ReadRows')
    ORDER BY started_at, id
"""

# Bodies of up to so many bytes are small; so many of those are held.
_SMALL, _AHEAD = 64 * 2**10, 256
_BY_REST = frozenset({"jobs.query", "jobs.getQueryResults", "tabledata.list"})


@dataclass(frozen=True, slots=True)
class Landed:
    """A result in a workspace, as columns ``c0``, ``c1`` … and the place of each row.

    Attributes:
        table: all of it, where it is little; else it lies in the workspace only.
        total: how many rows the whole result has, when BigQuery said so.
        complete: the client got all of them; ``None`` where that cannot be told.
    """

    name: str
    columns: tuple[Field, ...]
    rows: int
    total: int | None
    complete: bool | None
    table: "pa.Table | None"


@dataclass(frozen=True, slots=True)
class Missing:
    """There are no rows to compare.

    ``unread``: the client asked for none. ``unrecorded``: it got some, and they are not in the recording (any more).
    ``unreadable``: they are, and do not fit their schema, or are damaged.
    """

    why: Literal["unread", "unrecorded", "unreadable"]
    levels: tuple[str, ...] = ()


class _Cell(msgspec.Struct, gc=False):
    v: Any = None


class _Row(msgspec.Struct, gc=False):
    f: list[_Cell] = []


class _Answer(msgspec.Struct):
    rows: list[_Row] | None = None
    pageToken: str | None = None  # noqa: N815 - BigQuery's name
    totalRows: str | int | None = None  # noqa: N815 - BigQuery's name
    schema: msgspec.Raw = msgspec.Raw()


@dataclass(frozen=True, slots=True)
class _Recorded:
    """One answer that may have brought rows."""

    flow: str
    url: str
    door: str
    state: str
    level: str
    size: int
    body: bytes | None


class Landing:
    """Puts results of one session into a workspace. Quickest where jobs are landed in the order they were asked."""

    def __init__(self, database: Database, session_id: str) -> None:
        self._database = database
        found = [_Recorded(*row) for row in database.all(_ANSWERS, [session_id])]
        self._answered = {each.flow: each for each in found}
        # Each look-up goes through all hashes there are: so small bodies are looked up together.
        self._small = [each.body for each in found if each.body is not None and each.size <= _SMALL]
        self._place = {body: place for place, body in enumerate(self._small)}
        self._ahead: dict[bytes, bytes | None] = {}

    def land(self, job: JobEntry, workspace: Workspace, name: str) -> Landed | Missing:
        """The rows of ``job`` that the client got, under ``name``.

        Raises:
            ArchiveError: the archive is damaged.
        """
        import pyarrow as pa

        recorded = [self._answered[flow] for flow in job.flows if flow in self._answered]
        try:
            by_rest = self._by_rest(job, recorded, workspace, f"{name}_rest")
            if by_rest is not None and by_rest.complete:
                return by_rest
            by_streams = self._by_streams(job, recorded, workspace, f"{name}_storage")
        except (Unreadable, ValueError, TypeError, AttributeError, ArithmeticError, pa.ArrowException):
            return Missing("unreadable")
        found = [each for each in (by_rest, by_streams) if each is not None]
        if found:
            return max(found, key=lambda each: each.rows)
        return self._missing(recorded)

    def _missing(self, recorded: Sequence[_Recorded]) -> Missing:
        """Polls, and answers without rows, are read; what else there is was got and is not kept."""
        levels = tuple(sorted({each.level for each in recorded} - {"full"}))
        gone = [each for each in recorded if each.state in ("complete", "truncated") and self._is_gone(each)]
        # Who opens a stream reads from it: where nothing of it lies here, that says nothing of the client.
        opened = any(each.door == "storage.CreateReadSession" for each in recorded)
        return Missing("unrecorded", levels) if gone or opened or (levels and recorded) else Missing("unread")

    def _is_gone(self, answer: _Recorded) -> bool:
        return answer.size > 0 and (answer.body is None or not any(self._parts(answer.body)))

    def _parts(self, body: bytes) -> Iterator[bytes]:
        """What is recorded of a body, part by part; nothing where it is gone."""
        place = self._place.get(body)
        if place is None:
            yield from bodies.stream(self._database, body)
            return
        if body not in self._ahead:
            wanted = self._small[place : place + _AHEAD]
            self._ahead = {**dict.fromkeys(wanted), **bodies.read_all(self._database, wanted)}
        found = self._ahead[body]
        if found is not None:
            yield found

    def _by_rest(self, job: JobEntry, recorded: Sequence[_Recorded], workspace: Workspace, name: str) -> Landed | None:
        columns = job.schema or ()
        listed = job.job_type == READ
        shelf: Shelf | None = None
        places = pages.Places()
        covered = Covered()
        total: int | None = None
        asked = False
        for answer, said in self._answers(recorded, listed=listed):
            asked = True
            rows = said.rows or []
            total = _whole(said.totalRows, total)
            columns = columns or schema_fields(bytes(said.schema) or None)
            if listed and not columns:
                columns = results.schema_of_listed(self._database, job.key, pages.selected(answer.url)) or ()
            start = places.start(answer.url, len(rows), said.pageToken)
            if not rows:
                continue
            columns = columns or tuple(Field(f"f{index}_") for index, _ in enumerate(rows[0].f))
            shelf = shelf or Shelf(workspace, name, values.types(columns))
            for first, last in covered.add(start, start + len(rows)):
                shelf.lay(_arrays(columns, rows[first - start : last - start]), first)
        if shelf is None:
            if not (asked and columns and total == 0):
                return None
            shelf = Shelf(workspace, name, values.types(columns))
        shelf.close()
        complete = covered.end >= (total or 0) and covered.whole
        return Landed(name, tuple(columns), shelf.rows, total, complete, shelf.small)

    def _answers(self, recorded: Sequence[_Recorded], *, listed: bool) -> Iterator[tuple[_Recorded, _Answer]]:
        """Pages of whole rows, or of the columns that were ``listed``; what is no page any more is left out."""
        for answer in recorded:
            if answer.door not in _BY_REST or answer.body is None or (pages.selected(answer.url) and not listed):
                continue
            body = b"".join(self._parts(answer.body))
            try:
                yield answer, _decoder().decode(body)
            except msgspec.ValidationError as error:
                raise Unreadable("its rows are not BigQuery's.") from error
            except msgspec.DecodeError:
                continue

    def _by_streams(
        self, job: JobEntry, recorded: Sequence[_Recorded], workspace: Workspace, name: str
    ) -> Landed | None:
        """Where a result was read more than once, the most that came at once."""
        opened = streams.sessions_of_job(self._database, job)
        opened += [each for flow in job.flows if job.job_type == READ for each in self._opened_by(flow)]
        broken = any(each.state == "truncated" for each in recorded)
        found = [
            self._session(job, session, workspace, f"{name}{number}", broken=broken)
            for number, session in enumerate(opened)
        ]
        return max((each for each in found if each is not None), key=lambda each: each.rows, default=None)

    def _opened_by(self, flow_id: str) -> list[streams.ReadSession]:
        return streams.sessions_of_flow(self._database, flow_id)

    def _session(
        self, job: JobEntry, session: streams.ReadSession, workspace: Workspace, name: str, *, broken: bool
    ) -> Landed | None:
        from hoop_mitm.bigquery.storage import decode_response, read_batches

        created = bodies.read(self._database, session.created)
        if not created:
            return None
        schema, _ = read_batches(created, ())
        known = {column.name: column for column in job.schema or ()}
        columns = tuple(known.get(field.name) or arrow.described(field) for field in schema)
        shelf = Shelf(workspace, name, values.types(columns))
        answers = streams.answers(self._database, session)
        for _, parts in sorted(answers.items()):
            before = shelf.rows
            covered = Covered()
            for offset, body in parts:
                place = offset
                for batch in read_batches(created, bodies.stream(self._database, body))[1]:
                    arrays = [values.of_arrow(column, array) for column, array in zip(columns, batch, strict=True)]
                    for first, last in covered.add(place, place + batch.num_rows):
                        shelf.lay([array.slice(first - place, last - first) for array in arrays], before + first)
                    place += batch.num_rows
        shelf.close()
        offered = sum(len(said.get("streams", ())) for said in decode_response("CreateReadSession", created))
        complete = shelf.rows >= job.row_count if job.row_count is not None else not broken and len(answers) >= offered
        if not shelf.rows and not complete:
            return None
        return Landed(name, columns, shelf.rows, job.row_count, complete, shelf.small)


class Covered:
    """Which stretches of a result are there already."""

    def __init__(self) -> None:
        self._stretches: list[tuple[int, int]] = []

    def add(self, first: int, last: int) -> list[tuple[int, int]]:
        """The parts of ``first`` to ``last`` (not itself) that were not there before."""
        new: list[tuple[int, int]] = []
        at = first
        for start, end in self._stretches:
            if at < start and first < last:
                new.append((at, min(start, last)))
            at = max(at, end)
        new.append((at, last))
        found = [(start, end) for start, end in new if start < end]
        merged: list[tuple[int, int]] = []
        for start, end in sorted([*self._stretches, *found]):
            if merged and merged[-1][1] == start:
                merged[-1] = (merged[-1][0], end)
            else:
                merged.append((start, end))
        self._stretches = merged
        return found

    @property
    def end(self) -> int:
        return self._stretches[-1][1] if self._stretches else 0

    @property
    def whole(self) -> bool:
        """There is nothing missing before the end."""
        return not self._stretches or (len(self._stretches) == 1 and self._stretches[0][0] == 0)


@cache
def _decoder() -> msgspec.json.Decoder[_Answer]:
    return msgspec.json.Decoder(_Answer)


def _arrays(columns: Sequence[Field], rows: Sequence[_Row]) -> "list[pa.Array]":
    """
    Raises:
        ValueError: the rows have other columns.
    """
    width = len(columns)
    if {len(row.f) for row in rows} != {width}:
        raise ValueError("rows do not have the columns of their schema")
    # All cells in one go, and then each column's: a page has a million of them.
    cells = [cell.v for row in rows for cell in row.f]
    return [values.of_cells(column, cells[index::width]) for index, column in enumerate(columns)]


def _whole(said: str | int | None, known: int | None) -> int | None:
    if isinstance(said, str):
        return int(said) if said.isdecimal() else known
    return known if said is None else said
