"""The tables that are made from records, row by row: is each what its record says, and is there one for each?

What a row must be is worked out by the fold's own code. What cannot be seen in one span is left in
:class:`Left`, for :mod:`.settling`.
"""

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from hoop_mitm.archive.verify.file import File
from hoop_mitm.archive.verify.records import Record, place_of
from hoop_mitm.archive.verify.report import Findings, Place, shortened
from hoop_mitm.archive.verify.sieve import Easy
from hoop_mitm.archive.verify.spans import Span
from hoop_mitm.evidence import join
from hoop_mitm.recording import tables as fold

_ROWS = 1024
_ROWS_OF = "SELECT * FROM file.main.{table} WHERE chain = ? AND seq BETWEEN ? AND ? {but} ORDER BY seq"
_BUT_EASY = "AND seq NOT IN (SELECT seq FROM easy)"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

type Note = dict[str, Any]
type Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Noted:
    """A record as the fold takes it (see ``recording.unfolded.Row``)."""

    chain: str
    seq: int
    kind: str
    note: Note


@dataclass(slots=True)
class Left:
    """What one span cannot tell alone.

    Attributes:
        flows: flows without a row at their own record: id, number, and whether it is an intent.
        events: events without a row at their own record: id and number.
        open: intents that are open in the table, and whether the row says nothing of an error.
        truncated: intents whose row says that a stream broke: what it should be without that, and what it is.
        salvaged: the records that say so.
        damaged: records of which the fold says that it could not read them, although they can be read.
        bodies: the bodies that records name: commitment, number of the record, side.
        sessions: what the span says of each session: the number of the first record that names it, the row as that has it,
            the latest time and the latest beginning of anything in it, number of its last exchange, and the last end:
            its number and time (microseconds).
    """

    flows: list[tuple[str, int, bool]] = field(default_factory=list)
    events: list[tuple[str, int]] = field(default_factory=list)
    open: list[tuple[str, int, bool]] = field(default_factory=list)
    truncated: list[tuple[Noted, Row]] = field(default_factory=list)
    salvaged: list[Noted] = field(default_factory=list)
    damaged: list[int] = field(default_factory=list)
    bodies: list[tuple[bytes, int, str]] = field(default_factory=list)
    sessions: dict[str, "Told"] = field(default_factory=dict)

    def tables(self, chain: str, sessions: pa.Schema, easy: Easy, *, bodies: bool) -> dict[str, pa.Table]:
        """All but the last few, with the chain's name and what the easy ones leave; ``sessions`` is that table's schema."""
        of_sessions = _sessions(self.sessions, sessions)
        named = {
            "left_flow": _table(self.flows, easy.intents, id=pa.string(), seq=pa.int64(), is_open=pa.bool_()),
            "left_event": _table(self.events, None, id=pa.string(), seq=pa.int64()),
            "left_session": pa.concat_tables([of_sessions, _with_blanks(easy.sessions, of_sessions.schema)])
            if easy.sessions
            else of_sessions,
        }
        if bodies:
            named["left_body"] = _table(self.bodies, easy.bodies, hash=pa.binary(), seq=pa.int64(), side=pa.string())
        return {
            name: table.append_column("chain", pa.array([chain] * table.num_rows, pa.string()))
            for name, table in named.items()
        }


@dataclass(slots=True)
class Told:
    """What records say of a session; times in microseconds."""

    first: int
    row: dict[str, Any]
    seen: int
    began: int
    last: int = 0
    ended_seq: int = 0
    ended: int | None = None


class Derived:
    """Compares the rows of one span. To be fed with each record in order, then closed."""

    def __init__(self, file: File, span: Span, findings: Findings, easy: Easy) -> None:
        self._span = span
        self._findings = findings
        self.left = Left()
        self._flows = _Rows(file, "flows", span, self._surplus, easy.rows)
        self._events = _Rows(file, "events", span, self._surplus, None)

    def see(self, record: Record, *, waits: bool = False) -> None:
        """Compare the rows that stand for ``record``. One that ``waits`` is in no table yet."""
        flows, events = self._flows.at(record.seq), self._events.at(record.seq)
        if record.note is None or waits:
            self._of_unreadable(record, flows, events)
            if waits and record.note is not None:
                self.left.open.append((str(record.note.get("id")), record.seq, True))
            return
        noted = Noted(self._span.chain, record.seq, record.kind, join(record.note, record.parts))
        try:
            if record.kind == "flow":
                self._flow(record, noted, flows, events)
            elif record.kind == "event":
                self._event(record, noted, events)
            elif record.kind == "salvage":
                self._salvage(record, noted, events)
            elif record.kind == "session":
                self._tell(noted, noted.note)
        except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError):
            # Whoever signed it may have written anything; the fold notes what it cannot read.
            self._of_unreadable(record, flows, events)
            return
        for table, rows in (("flows", flows), ("events", events)):
            if rows and record.kind not in {"flow", "event", "salvage"}:
                self._surplus(table, rows[0])

    def close(self) -> None:
        """There are no more records."""
        self._flows.at(None)
        self._events.at(None)

    def _flow(self, record: Record, noted: Noted, rows: Sequence[Row], events: Sequence[Row]) -> None:
        note = noted.note
        is_open = note["state"] == "open"
        for side in ("request", "response"):
            if body := note[side]["body"]:
                self.left.bodies.append((bytes.fromhex(body["hash"]), noted.seq, side))
        if note["session"]:
            self._tell(noted, note["session"])
        if events:
            self._of_unreadable(record, rows, events)
            return
        if not rows:
            self.left.flows.append((note["id"], noted.seq, is_open))
            return
        must = plain(fold.flow_row(noted, self._flows.value(rows[0], "job_key")), self._flows.names)  # type: ignore[arg-type] # a note and its place are all it reads
        row = self._one(record, "flows", rows)
        if must == row:
            if is_open:
                self.left.open.append((note["id"], noted.seq, self._flows.value(row, "error") is None))
            return
        if is_open and record.sound and self._flows.value(row, "state") == "truncated":
            self.left.truncated.append((noted, row))
            return
        lost = self._flows.replaced(must, "error", fold.LOST)
        if is_open and lost == row:
            self.left.open.append((note["id"], noted.seq, False))
            return
        self._differ(record, self._flows, must, row)

    def _event(self, record: Record, noted: Noted, rows: Sequence[Row]) -> None:
        note = noted.note
        if note["type"] == "session.ended" and note["session_id"]:
            self._end(noted)
        if not rows:
            self.left.events.append((note["id"], noted.seq))
            return
        must = plain(fold.event_row(noted), self._events.names)  # type: ignore[arg-type] # as above
        row = self._one(record, "events", rows)
        if must != row:
            if self._is_damage(noted, row):
                self.left.damaged.append(noted.seq)
            else:
                self._differ(record, self._events, must, row)

    def _salvage(self, record: Record, noted: Noted, rows: Sequence[Row]) -> None:
        self.left.salvaged.append(noted)
        body = noted.note["body"]
        if body:
            self.left.bodies.append((bytes.fromhex(body["hash"]), noted.seq, noted.note["side"]))
        if rows:
            must = plain(fold.orphan(noted), self._events.names)  # type: ignore[arg-type] # as above
            row = self._one(record, "events", rows)
            if must != row:
                self._differ(record, self._events, must, row)

    def _of_unreadable(self, record: Record, flows: Sequence[Row], events: Sequence[Row]) -> None:
        """A record that is gone, or changed, or that the fold could not read: then it said so in an event of its own."""
        noted = Noted(self._span.chain, record.seq, record.kind, {})
        for row in flows:
            self._alone("flows", row, record)
        for row in events:
            if not self._is_damage(noted, row):
                self._alone("events", row, record)
            elif record.sound:
                self.left.damaged.append(record.seq)

    def _alone(self, table: str, row: Row, record: Record) -> None:
        if record.sound:
            words = f"This row of {table} comes from a record that is gone, or cannot be read."
            self._findings.add("row.alone", words, self._at(table, row, record.seq))

    def _is_damage(self, noted: Noted, row: Row) -> bool:
        must = fold.own_event("recording.damaged", f"Record {noted.seq} of the journal cannot be read.", noted)  # type: ignore[arg-type]
        must["occurred_at"] = _EPOCH
        return plain(must, self._events.names) == self._events.replaced(row, "occurred_at", 0)

    def _tell(self, noted: Noted, session: Note) -> None:
        note = noted.note
        began = _microseconds(note["started_at"])
        ended = _microseconds(note["ended_at"]) if note.get("ended_at") else began
        told = self.left.sessions.get(session["id"])
        if told is None or not told.row:
            row = fold.session_row(session)
            row = {name: _number(value) if isinstance(value, datetime) else value for name, value in row.items()}
            if told is None:
                told = Told(noted.seq, row, row["started_at"], row["started_at"])
                self.left.sessions[session["id"]] = told
            told.first, told.row = noted.seq, row
        told.seen = max(told.seen, began, ended, told.row["started_at"])
        told.began = max(told.began, began)
        told.last = noted.seq

    def _end(self, noted: Noted) -> None:
        at = _microseconds(noted.note["at"])
        told = self.left.sessions.setdefault(noted.note["session_id"], Told(noted.seq, {}, 0, 0))
        told.ended_seq, told.ended = noted.seq, at

    def _one(self, record: Record, table: str, rows: Sequence[Row]) -> Row:
        if len(rows) > 1:
            place = place_of(self._span.chain, record, table=table)
            self._findings.add("row.twice", f"{len(rows)} rows of {table} come from one record.", place)
        return rows[0]

    def _differ(self, record: Record, rows: "_Rows", must: Row, row: Row) -> None:
        if not record.sound:
            # What the record says is not known.
            return
        for name, wanted, there in zip(rows.names, must, row, strict=True):
            if wanted != there:
                place = place_of(
                    self._span.chain, record, table=rows.table, row=str(rows.value(row, "id")), column=name
                )
                self._findings.add("row.changed", says(rows.table, name, wanted, there, rows.is_time(name)), place)

    def _surplus(self, table: str, row: Row) -> None:
        rows = self._flows if table == "flows" else self._events
        place = self._at(table, row, rows.value(row, "seq"))
        self._findings.add("row.extra", f"This row of {table} names a record that does not make it.", place)

    def _at(self, table: str, row: Row, seq: int) -> Place:
        rows = self._flows if table == "flows" else self._events
        return Place(
            self._span.chain,
            seq,
            session=rows.value(row, "session_id"),
            table=table,
            row=shortened(rows.value(row, "id")),
        )


class _Rows:
    """The rows of one table that name records of a span, in the order of the records."""

    def __init__(
        self, file: File, table: str, span: Span, surplus: Callable[[str, Row], None], easy: pa.Table | None
    ) -> None:
        self.table = table
        schema = file.table(f"SELECT * FROM file.main.{table} LIMIT 0").schema  # noqa: S608 - a name of ours
        self.names = tuple(schema.names)
        self._times = frozenset(each.name for each in schema if pa.types.is_timestamp(each.type))
        self._index = {name: place for place, name in enumerate(self.names)}
        self._surplus = surplus
        self._rows = self._read(file, span, easy)
        self._next = next(self._rows, None)

    def at(self, seq: int | None) -> list[Row]:
        """The rows that name the record ``seq``; all that are left name none, when it is ``None``."""
        found: list[Row] = []
        place = self._index["seq"]
        while self._next is not None and (seq is None or self._next[place] <= seq):
            if self._next[place] == seq:
                found.append(self._next)
            else:
                self._surplus(self.table, self._next)
            self._next = next(self._rows, None)
        return found

    def value(self, row: Row, name: str) -> Any:
        return row[self._index[name]]

    def is_time(self, name: str) -> bool:
        return name in self._times

    def replaced(self, row: Row, name: str, value: object) -> Row:
        place = self._index[name]
        return (*row[:place], value, *row[place + 1 :])

    def _read(self, file: File, span: Span, easy: pa.Table | None) -> Iterator[Row]:
        question = _ROWS_OF.format(table=self.table, but="" if easy is None else _BUT_EASY)
        given = {} if easy is None else {"easy": easy}
        for batch in file.batches(question, [span.chain, span.first, span.last], rows=_ROWS, **given):
            yield from zip(*(values(column) for column in batch.columns), strict=True)


def values(column: pa.Array) -> list[Any]:
    """A column as Python has it; times as microseconds, whatever they are: infinity too."""
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.int64())
    plain_values: list[Any] = column.to_pylist()
    return plain_values


def plain(row: Mapping[str, Any], names: Sequence[str]) -> Row:
    """A row of the fold's as it is read back."""
    return tuple(_number(value) if isinstance(value, datetime) else value for value in operator.itemgetter(*names)(row))


def says(
    table: str,
    column: str,
    wanted: object,
    there: object,
    is_time: bool = False,  # noqa: FBT001, FBT002 - said with every value
    *,
    who: str = "the record says",
) -> str:
    """That a value is not what the records say."""
    if is_time:
        wanted, there = _time(wanted), _time(there)
    return f"{table}.{column} is {_word(there)}, but {who} {_word(wanted)}."


def _word(value: object) -> str:
    return "NULL" if value is None else shortened(repr(value) if isinstance(value, str) else value)


def _time(value: object) -> object:
    try:
        return (_EPOCH + timedelta(microseconds=value)).isoformat() if isinstance(value, int) else value
    except OverflowError:
        return value


def _microseconds(text: str) -> int:
    return _number(datetime.fromisoformat(text))


def _number(moment: datetime) -> int:
    return (moment - _EPOCH) // _MICROSECOND


def _table(rows: Sequence[tuple[Any, ...]], more: pa.Table | None, **types: pa.DataType) -> pa.Table:
    columns = zip(*rows, strict=True) if rows else [()] * len(types)
    schema = pa.schema(types)
    table = pa.table(
        [pa.array(column, type_) for column, type_ in zip(columns, schema.types, strict=True)], schema=schema
    )
    return pa.concat_tables([table, more.cast(schema)]) if more else table


def _with_blanks(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """``table`` with all columns of ``schema``."""
    blanks = {each.name: pa.nulls(table.num_rows, each.type) for each in schema}
    blanks["told"] = pa.array([False] * table.num_rows, pa.bool_())
    return pa.table(
        [
            table.column(each.name).cast(each.type) if each.name in table.column_names else blanks[each.name]
            for each in schema
        ],
        schema=schema,
    )


def _sessions(told: Mapping[str, Told], schema: pa.Schema) -> pa.Table:
    """The columns of the table ``sessions`` as records tell them, and what they say of times beside it."""
    time = pa.timestamp("us", "UTC")
    columns: dict[str, pa.Array] = {"id": pa.array(told, pa.string())}
    for each in schema:
        if each.name != "id":
            is_time = pa.types.is_timestamp(each.type)
            column = pa.array([of.row.get(each.name) for of in told.values()], pa.int64() if is_time else each.type)
            columns[each.name] = column.cast(time) if is_time else column
    columns["told"] = pa.array([bool(of.row) for of in told.values()], pa.bool_())
    for name in ("first", "last", "ended_seq"):
        columns[name] = pa.array([getattr(of, name) for of in told.values()], pa.int64())
    for name in ("seen", "began", "ended"):
        columns[name] = pa.array([getattr(of, name) for of in told.values()], pa.int64()).cast(time)
    return pa.table(columns)
