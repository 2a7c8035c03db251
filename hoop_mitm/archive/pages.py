"""REST pages of a result, put back together.

A client may ask for a page twice, begin again with another page size, or poll with ``maxResults=0``. So each page gets
its place in the result: where it was asked to start, or where the page that handed out its token ended.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Page:
    """One answer: its JSON with ``rows``, ``pageToken``, ``totalRows`` and ``schema`` as far as they came."""

    url: str
    answer: dict[str, Any]

    @property
    def rows(self) -> Sequence[dict[str, Any]]:
        rows = self.answer.get("rows")
        return rows if isinstance(rows, list) else ()

    @property
    def selected(self) -> tuple[str, ...]:
        """The columns that were asked for; none where all were."""
        return selected(self.url)

    @property
    def token(self) -> str | None:
        """The token of the next page."""
        token = self.answer.get("pageToken")
        return token if isinstance(token, str) and token else None

    @property
    def total(self) -> int | None:
        total = self.answer.get("totalRows")
        return int(total) if isinstance(total, str | int) and str(total).isdecimal() else None


@dataclass(frozen=True, slots=True)
class Placed:
    """Rows and the place of the first of them in the result, from 0."""

    start: int
    rows: Sequence[dict[str, Any]]


def place(pages: Iterable[Page]) -> Iterator[Placed]:
    """Where each page's rows belong. A page whose token was never seen handed out follows the one before it."""
    places = Places()
    for page in pages:
        yield Placed(places.start(page.url, len(page.rows), page.token), page.rows)


class Places:
    """Where in the result pages begin, told of each in the order they were asked for."""

    def __init__(self) -> None:
        self._begins: dict[str, int] = {}
        self._end = 0

    def start(self, url: str, rows: int, next_token: str | None) -> int:
        """The place of the first of the ``rows`` that ``url`` brought, with the token of the page after it."""
        query = parse_qs(urlsplit(url).query)
        token, start_index = query.get("pageToken", [None])[0], query.get("startIndex", ["0"])[0]
        if token is not None:
            start = self._begins.get(token, self._end)
        else:
            start = int(start_index) if start_index.isdecimal() else 0
        self._end = start + rows
        if next_token is not None:
            self._begins[next_token] = self._end
        return start


def selected(url: str) -> tuple[str, ...]:
    """The columns that ``url`` asks for; none where it asks for all."""
    if "selectedFields=" not in url:
        return ()
    return tuple(parse_qs(urlsplit(url).query).get("selectedFields", [""])[0].split(","))


def extent(placed: Iterable[Placed]) -> tuple[int, bool]:
    """Where the rows of all pages end, and whether there is no gap in them."""
    end = 0
    whole = True
    for start, size in sorted((each.start, len(each.rows)) for each in placed):
        whole = whole and start <= end
        end = max(end, start + size)
    return end, whole


def join(parts: "Sequence[tuple[int, pa.Table]]", empty: "pa.Table") -> "pa.Table":
    """The parts of a result, each with the place of its first row, as one table that repeats nothing."""
    import pyarrow as pa

    tables = [empty]
    end = 0
    for start, table in sorted(parts, key=lambda part: (part[0], -part[1].num_rows)):
        if start + table.num_rows > end:
            tables.append(table.slice(max(end - start, 0)))
            end = start + table.num_rows
    return pa.concat_tables(tables)
