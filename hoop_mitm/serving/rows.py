"""A recorded result, in whatever pages a client asks for."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson

from hoop_mitm.archive import FlowEntry, Result
from hoop_mitm.archive.pages import Places, selected
from hoop_mitm.bigquery.rows import Field, schema_fields
from hoop_mitm.serving import cells
from hoop_mitm.serving.question import Json, json_of
from hoop_mitm.serving.recorded import Shelf

type Row = dict[str, Any]

#: As many rows as BigQuery gives at once, where a client does not say how many it wants.
MOST_ROWS = 100_000
_LISTS = frozenset({"jobs.query", "jobs.getQueryResults", "tabledata.list"})
_PARSED = 3


class NotRead(Exception):
    """The client that was recorded had not read this part of the result. ``end``: how far it did."""

    def __init__(self, end: int) -> None:
        self.end = end
        super().__init__(end)


@dataclass(frozen=True, slots=True)
class Page:
    """Rows from ``start``; the next ones begin at ``following``, unless these were the last."""

    rows: list[Row]
    following: int | None


@dataclass(frozen=True, slots=True)
class _Part:
    """What one exchange brought."""

    start: int
    count: int
    flow: FlowEntry


@dataclass(slots=True)
class _Index:
    parts: list[_Part] = field(default_factory=list)
    end: int = 0
    total: int | None = None
    columns: tuple[Field, ...] = ()
    streamed: Result | None = None


class Rows:
    """The rows of one result.

    Args:
        shelf: where bodies are.
        flows: the exchanges in which pages may have come, in order.
        columns: of the result, where they are known.
        otherwise: gives the rows where they did not come in pages, through the Storage API.
    """

    def __init__(
        self,
        shelf: Shelf,
        flows: Sequence[FlowEntry],
        columns: Sequence[Field] = (),
        otherwise: Callable[[], Result | None] = lambda: None,
    ) -> None:
        self._shelf = shelf
        self._flows = [flow for flow in flows if flow.door in _LISTS and flow.status == 200]  # noqa: PLR2004
        self._columns = tuple(columns)
        self._otherwise = otherwise
        self._lock = threading.Lock()
        self._found: _Index | None = None
        self._parsed: dict[str, list[Row]] = {}

    @property
    def total(self) -> int | None:
        """How many rows the whole result has; ``None`` where nobody said so."""
        return self._index.total

    @property
    def end(self) -> int:
        """How many of them were read, from the first on."""
        return self._index.end

    @property
    def columns(self) -> tuple[Field, ...]:
        return self._index.columns

    def page(self, start: int, size: int | None, *, integers: bool) -> Page:
        """``size`` rows from ``start`` on, or as many as were in one recorded page.

        ``integers``: with timestamps in microseconds.

        Raises:
            NotRead: nobody has read as far.
        """
        with self._lock:
            index = self._index
            end = index.total if index.total is not None else index.end
            wanted = end if size is None else min(start + size, end)
            rows: list[Row] = []
            while start + len(rows) < wanted and len(rows) < MOST_ROWS:
                more = self._from(index, start + len(rows))
                if not more:
                    if rows:
                        break
                    raise NotRead(index.end)
                rows += more[: wanted - start - len(rows)]
                if size is None:
                    break
            following = start + len(rows)
        shown = cells.in_format(rows, index.columns, integers=integers)
        return Page(shown, following if following < end else None)

    def _from(self, index: _Index, place: int) -> list[Row]:
        """Rows from ``place`` on, as far as one part has them."""
        part = max(
            (part for part in index.parts if part.start <= place < part.start + part.count),
            key=lambda part: part.start + part.count,
            default=None,
        )
        if part is not None:
            return self._rows_of(part.flow)[place - part.start :]
        if index.streamed is not None and place < index.streamed.table.num_rows:
            some = index.streamed.table.slice(place, MOST_ROWS)
            return cells.written(
                index.columns, list(zip(*(column.to_pylist() for column in some.columns), strict=True))
            )
        return []

    def _rows_of(self, flow: FlowEntry) -> list[Row]:
        if flow.id not in self._parsed:
            while len(self._parsed) >= _PARSED:
                del self._parsed[next(iter(self._parsed))]
            self._parsed[flow.id] = _rows(_answer(self._shelf.answer(flow)))
        return self._parsed[flow.id]

    @property
    def _index(self) -> _Index:
        if self._found is None:
            self._found = self._made()
        return self._found

    def _made(self) -> _Index:
        index, places = _Index(columns=self._columns), Places()
        for flow in self._flows:
            answer = _answer(self._shelf.answer(flow))
            rows = _rows(answer)
            token = answer.get("pageToken")
            start = places.start(flow.url, len(rows), token if isinstance(token, str) and token else None)
            if answer.get("totalRows") is not None:
                index.total = int(answer["totalRows"])
            index.columns = index.columns or schema_fields(answer.get("schema"))
            if rows:
                index.parts.append(_Part(start, len(rows), flow))
        index.end = _end(index.parts)
        if index.end < (index.total or 0) or not self._flows:
            self._take_streamed(index)
        return index

    def _take_streamed(self, index: _Index) -> None:
        streamed = self._otherwise()
        if streamed is not None and streamed.source == "storage" and streamed.table.num_rows > index.end:
            index.parts, index.streamed = [], streamed
            index.columns, index.end = streamed.columns, streamed.table.num_rows
            if index.total is None and streamed.complete:
                index.total = index.end


def is_whole(flow: FlowEntry) -> bool:
    """Whether a page has all columns, and not only chosen ones."""
    return not selected(flow.url)


def wants_integers(url: str, sent: bytes | None) -> bool:
    """Whether a request asks for timestamps in microseconds."""
    asked = parse_qs(urlsplit(url).query).get("formatOptions.useInt64Timestamp", [""])[0]
    options = (json_of(sent) or {}).get("formatOptions")
    return asked.lower() == "true" or (isinstance(options, dict) and options.get("useInt64Timestamp") is True)


def _end(parts: Sequence[_Part]) -> int:
    """How far the parts reach from the start without a gap."""
    end = 0
    for part in sorted(parts, key=lambda part: part.start):
        if part.start > end:
            break
        end = max(end, part.start + part.count)
    return end


def _answer(body: bytes | None) -> Json:
    try:
        found = orjson.loads(body or b"{}")
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def _rows(answer: Json) -> list[Row]:
    rows = answer.get("rows")
    return rows if isinstance(rows, list) else []
