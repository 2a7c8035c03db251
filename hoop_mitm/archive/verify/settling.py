"""What no span can tell alone: flows and events that another record speaks for, sessions, and rows without a record."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from hoop_mitm.archive.verify.derived import Left, Noted, Row, plain, says, values
from hoop_mitm.archive.verify.file import File
from hoop_mitm.archive.verify.report import MOST_TOLD, Findings, Place, shortened
from hoop_mitm.archive.verify.sieve import Easy
from hoop_mitm.recording import tables as fold

#: The last word on a flow counts, and an intent is no word once there is an outcome; a row without a chain speaks for no
#: record. Of an intent and an outcome that are both without a row it is the outcome that is missed.
_FLOWS = """
    SELECT left_flow.id, left_flow.chain, left_flow.seq, flows.seq
    FROM left_flow
    JOIN chain_order AS mine ON mine.chain = left_flow.chain
    LEFT JOIN file.main.flows ON flows.id = left_flow.id
    LEFT JOIN chain_order AS theirs ON theirs.chain = flows.chain
    WHERE NOT coalesce(
            CASE
                WHEN theirs.place IS NULL THEN false
                WHEN left_flow.is_open AND flows.state <> 'open' THEN true
                WHEN left_flow.is_open OR flows.state <> 'open'
                THEN (theirs.place, flows.seq) > (mine.place, left_flow.seq)
            END,
            false
        )
        AND NOT (
            left_flow.is_open AND flows.id IS NULL
            AND left_flow.id IN (SELECT id FROM left_flow WHERE NOT is_open)
        )
    ORDER BY mine.place, left_flow.seq
"""
_EVENTS = """
    SELECT id, chain, seq FROM left_event
    WHERE id NOT IN (SELECT id FROM file.main.events WHERE id IS NOT NULL AND chain IS NOT NULL)
    ORDER BY chain, seq
"""
_TWICE = "SELECT {key}, count(*) FROM file.main.{table} GROUP BY {key} HAVING count(*) > 1 ORDER BY {key}"
_ALONE = """
    SELECT id, session_id, chain, seq FROM file.main.{table} AS entry
    WHERE chain IS NOT NULL AND NOT EXISTS (
        FROM file.main.records WHERE records.chain = entry.chain AND records.seq = entry.seq
    )
    ORDER BY chain, seq
"""
#: What tells the rows of a table from each other.
KEYS = {"sessions": "id", "flows": "id", "events": "id", "jobs": "key", "read_sessions": "name"}

_TOLD = """
    SELECT
        id, bool_or(told) AS told,
        {static},
        max(seen) AS last_seen_at, max(began) AS began, max((place, last)) AS last,
        arg_max(ended, (place, ended_seq)) FILTER (ended IS NOT NULL) AS ended,
        max((place, ended_seq)) FILTER (ended IS NOT NULL) AS ended_seq
    FROM left_session JOIN chain_order USING (chain)
    GROUP BY id
"""
_FIRST_TELLS = "(arg_min(struct_pack(v := {name}), (place, first)) FILTER (told)).v AS {name}"
#: A session that went on after its end was not over. Whether the fold knew that depends on which it heard of first.
_ENDED = """
    stored.ended_at IS NOT DISTINCT FROM (CASE WHEN told.began > told.ended THEN NULL ELSE told.ended END)
    OR (stored.ended_at IS NOT DISTINCT FROM told.ended AND told.ended_seq > told.last)
"""
#: It may have been seen before there was a chain.
_SEEN = """
    stored.last_seen_at IS NOT DISTINCT FROM told.last_seen_at
    OR (stored.last_seen_at > told.last_seen_at AND told.id IN (SELECT session_id FROM file.main.flows WHERE chain IS NULL))
"""
_SESSIONS = """
    SELECT told.id, stored.id IS NULL AS is_missing, {ended} AS ended_fits, {seen} AS seen_fits, {pairs}
    FROM ({told}) AS told LEFT JOIN file.main.sessions AS stored ON stored.id = told.id
    WHERE told.told AND (stored.id IS NULL OR {differs} OR NOT ({seen}) OR NOT ({ended}))
    ORDER BY told.id
"""
_SESSIONS_ALONE = """
    SELECT id FROM file.main.sessions
    WHERE id IS NULL OR id NOT IN (SELECT id FROM left_session WHERE told)
    ORDER BY id
"""
_UNDER_WAY = "SELECT 1 FROM file.main.flows WHERE session_id = ? AND state = 'open' LIMIT 1"
_MOVING = ("id", "last_seen_at", "ended_at")


class Settling:
    """Takes what each span left, then says what is wrong with it.

    Attributes:
        uncovered: sessions from before the chain, of which no record tells.
        loose: times of sessions that a record may have told which was taken since.
    """

    def __init__(self, file: File, findings: Findings) -> None:
        self.uncovered = self.loose = 0
        self._file = file
        self._findings = findings
        self._salvaged: list[Noted] = []
        self._truncated: list[tuple[Noted, Row]] = []
        self._open: list[tuple[str, str, int, bool]] = []
        self._damaged: list[tuple[str, int]] = []
        self._starts: dict[str, int] = {}

    def add(self, chain: str, left: Left, tables: Mapping[str, pa.Table], starts: Sequence[int]) -> None:
        """What one span left, and the numbers of the records in it that tell of a gateway's start."""
        for name, table in tables.items():
            self._file.keep(name, table)
        self._salvaged += left.salvaged
        self._truncated += left.truncated
        self._open += [(id_, chain, seq, silent) for id_, seq, silent in left.open]
        self._damaged += [(chain, seq) for seq in left.damaged]
        self._starts[chain] = max(starts, default=self._starts.get(chain, 0))

    def settle(self, order: Sequence[str], *, records_gone: bool, before: bool) -> None:
        """Say what is wrong.

        Args:
            order: the chains, the oldest first.
            records_gone: records were taken on purpose; they may have told of times of sessions.
            before: something was recorded before there was a chain.

        Raises:
            UnreadableError: the file is damaged.
        """
        # Where there are no records at all, the tables are there all the same.
        schema = self._file.table("SELECT * FROM file.main.sessions LIMIT 0").schema
        for name, table in Left().tables("", schema, Easy(), bodies=True).items():
            self._file.keep(name, table)
        places = {"chain": pa.array(order, pa.string()), "place": pa.array(range(len(order)), pa.int64())}
        self._file.keep("chain_order", pa.table(places))
        self._flows()
        self._events()
        self._alone()
        self._twice()
        self._sessions(records_gone=records_gone, before=before)
        self._streams(order)
        self._lost(order)
        for chain, seq in self._damaged:
            words = "The archive says that this record could not be read when it was folded, but it can be read."
            self._findings.add("row.changed", words, Place(chain, seq, table="events"))

    def _flows(self) -> None:
        for id_, chain, seq, found in self._told("row.missing", _FLOWS):
            place = Place(chain, seq, kind="flow", table="flows", row=shortened(id_))
            if found is None:
                self._findings.add(
                    "row.missing", "The flow that this record tells of is not in the table flows.", place
                )
            else:
                words = f"The row of this flow comes from record {found}, but this one is the last word on it."
                self._findings.add("row.missing", words, place)

    def _events(self) -> None:
        for id_, chain, seq in self._told("row.missing", _EVENTS):
            place = Place(chain, seq, kind="event", table="events", row=shortened(id_))
            self._findings.add("row.missing", "The event that this record tells of is not in the table events.", place)

    def _alone(self) -> None:
        for table in ("flows", "events"):
            for id_, session, chain, seq in self._told("row.extra", _ALONE.format(table=table)):
                words = f"This row of {table} names record {seq} of chain {shortened(chain)}, which does not exist."
                place = Place(chain, seq, session=session, table=table, row=shortened(id_))
                self._findings.add("row.extra", words, place)

    def _twice(self) -> None:
        for table, key in KEYS.items():
            for value, times in self._told("row.twice", _TWICE.format(table=table, key=key)):
                words = f"{times} rows of {table} have this {key}, which is unique in an archive."
                self._findings.add("row.twice", words, Place(table=table, row=shortened(value)))

    def _sessions(self, *, records_gone: bool, before: bool) -> None:
        schema = self._file.table("SELECT * FROM file.main.sessions LIMIT 0").schema
        times = {each.name for each in schema if pa.types.is_timestamp(each.type)}
        static = [name for name in schema.names if name not in _MOVING]
        told = _TOLD.format(static=", ".join(_FIRST_TELLS.format(name=name) for name in static))
        question = _SESSIONS.format(
            told=told,
            pairs=", ".join(
                f"told.{name} AS told_{name}, stored.{name} AS stored_{name}" for name in (*static, "last_seen_at")
            )
            + ", told.ended AS told_ended_at, stored.ended_at AS stored_ended_at",
            differs=" OR ".join(f"stored.{name} IS DISTINCT FROM told.{name}" for name in static) or "false",
            seen=_SEEN,
            ended=_ENDED,
        )
        differing = self._file.table(question)
        columns = {name: values(column) for name, column in zip(differing.column_names, differing.columns, strict=True)}
        for number, id_ in enumerate(columns["id"]):
            where = Place(session=id_, table="sessions", row=shortened(id_))
            if columns["is_missing"][number]:
                self._findings.add(
                    "row.missing", "The session that records tell of is not in the table sessions.", where
                )
                continue
            for name in (*static, "last_seen_at", "ended_at"):
                wanted, there = columns[f"told_{name}"][number], columns[f"stored_{name}"][number]
                fits = {"last_seen_at": "seen_fits", "ended_at": "ended_fits"}.get(name)
                if columns[fits][number] if fits else wanted == there:
                    continue
                if fits and records_gone and self._may_have_been(id_, wanted, there):
                    self.loose += 1
                    continue
                words = says("sessions", name, wanted, there, name in times)
                self._findings.add(
                    "row.changed", words, Place(session=id_, table="sessions", row=shortened(id_), column=name)
                )
        alone = self._file.rows(_SESSIONS_ALONE)
        if before:
            self.uncovered = len(alone)
            return
        for (id_,) in alone:
            place = Place(session=id_, table="sessions", row=shortened(id_))
            self._findings.add("row.extra", "No record tells of this session.", place)

    def _streams(self, order: Sequence[str]) -> None:
        """Streams that a gateway left unfinished: what was salvaged changes the row of the flow, side by side."""
        by_flow: dict[str, list[Noted]] = defaultdict(list)
        for noted in sorted(self._salvaged, key=lambda each: (order.index(each.chain), each.seq)):
            by_flow[noted.note["flow_id"]].append(noted)
        names = tuple(self._file.table("SELECT * FROM file.main.flows LIMIT 0").column_names)
        for noted, row in self._truncated:
            flow = fold.flow_row(noted, None)  # type: ignore[arg-type] # a note and its place are all it reads
            for salvage in by_flow.get(noted.note["id"], ()):
                flow = fold.truncated(flow, salvage)  # type: ignore[arg-type]
            for name, wanted, there in zip(names, plain(flow, names), row, strict=True):
                if name != "job_key" and wanted != there:
                    place = Place(noted.chain, noted.seq, kind="flow", table="flows", row=noted.note["id"], column=name)
                    self._findings.add("row.changed", says("flows", name, wanted, there, name.endswith("_at")), place)
        for id_, chain, seq, _ in self._open:
            if id_ in by_flow:
                words = "This flow is open in the table flows, but a record tells how much of its stream came."
                self._findings.add(
                    "row.changed", words, Place(chain, seq, kind="flow", table="flows", row=id_, column="state")
                )

    def _lost(self, order: Sequence[str]) -> None:
        """An intent that a gateway's successor found without an outcome is lost, and the row must say so."""
        for id_, chain, seq, silent in self._open:
            later = order[order.index(chain) :]
            if silent and any(self._starts.get(name, 0) > (seq if name == chain else 0) for name in later):
                place = Place(chain, seq, kind="flow", table="flows", row=id_, column="error")
                self._findings.add("row.changed", says("flows", "error", fold.LOST, None, is_time=False), place)

    def _may_have_been(self, session: str, told: int | None, stored: int | None) -> bool:
        """Whether a time of a session can come from a record that is gone: what stays after the latest is what never ended."""
        later = stored is not None and (told is None or stored > told)
        return later and bool(self._file.rows(_UNDER_WAY, [session]))

    def _told(self, what: str, question: str) -> list[tuple[Any, ...]]:
        """The first rows of the answer; the others are counted as ``what``."""
        rows = self._file.rows(f"SELECT *, count(*) OVER () FROM ({question}) AS told LIMIT {MOST_TOLD}")  # noqa: S608 - one of ours
        self._findings.count(what, rows[0][-1] - len(rows) if rows else 0)
        return [row[:-1] for row in rows]
