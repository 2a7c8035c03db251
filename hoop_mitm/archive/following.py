"""Following a recording as it grows: what is new since the last look, once each.

The fold writes down with every batch how far each journal is taken over, and which records before that wait (young
intents). So from one look to the next it is known exactly which records have come; the clock has no say in it, and
neither has the file, which retention may replace by another one.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hoop_mitm.archive import search
from hoop_mitm.archive.database import Database
from hoop_mitm.archive.query import HitKind, Query
from hoop_mitm.archive.search import Hit

#: A job that has not ended after so many seconds is told of as running.
LONG = 10.0

_MOST_RUNNING = 10_000

_MARKS = "SELECT id, folded_to, held FROM journals"

# What no journal has told: what the fold itself noticed, and what was done to the file.
_OTHER_EVENTS = "SELECT id FROM events WHERE (chain IS NULL AND seq = 0) OR starts_with(chain, 'kept-')"

# A journal's chains are named after it.
_NEW = """
    SELECT {columns}
    FROM {table}
    WHERE (chain = $journal OR starts_with(chain, concat($journal, '.')))
        AND seq >= $first AND (seq > $mark OR list_contains($held, seq))
"""
_NEW_FLOWS = _NEW.format(
    table="flows", columns="id, job_key, state, kind = 'metadata' AND decision = 'allow' AND error IS NULL"
)
_NEW_EVENTS = _NEW.format(table="events", columns="id")

_TOUCHED = """
    SELECT
        key, decision = 'deny' OR error IS NOT NULL OR state IN ('DONE', 'FAILED', 'DENIED'), state = 'UNKNOWN'
    FROM jobs
    WHERE key IN (SELECT unnest(string_split(?, chr(10))))
"""
_FLOWS_OF = """
    SELECT job_key, id, state = 'open' AND error IS NULL
    FROM flows
    WHERE job_key IN (SELECT unnest(string_split(?, chr(10))))
"""
_UNFINISHED = """
    SELECT key
    FROM jobs
    WHERE decision <> 'deny' AND error IS NULL AND state IN ('PENDING', 'RUNNING', 'UNKNOWN')
    ORDER BY started_at DESC
    LIMIT ?
"""


@dataclass(frozen=True, slots=True)
class News:
    """Something that is new. ``over`` is false of a job that has run for long and has not ended."""

    hit: Hit
    over: bool = True


@dataclass(frozen=True, slots=True)
class _Mark:
    folded_to: int
    held: frozenset[int]


@dataclass(slots=True)
class _Running:
    since: float
    told: bool = False


@dataclass(slots=True)
class Follower:
    """Looks at one recording again and again, for what ``query`` asks for (but not for its text, nor in rows).

    Reads of names and shapes (``metadata``) that went well are left out unless ``query.type`` names them.
    """

    query: Query
    _marks: dict[str, _Mark] = field(default_factory=dict)
    _others: frozenset[str] = frozenset()
    _running: dict[str, _Running] = field(default_factory=dict)

    def begin(self, database: Database, last: int) -> tuple[News, ...]:
        """The last ``last`` things that are there, oldest first; from here on :meth:`look` tells what comes."""
        self._marks = _marks(database)
        self._others = _other_events(database)
        now = time.monotonic()
        # That these have not ended is no news; that one of them ends will be.
        self._running = {row[0]: _Running(now, told=True) for row in database.all(_UNFINISHED, [_MOST_RUNNING])}
        hits = search.find(database, self.query, last).hits if last else ()
        return tuple(News(hit, over=hit.cursor.id not in self._running) for hit in reversed(hits))

    def look(self, database: Database) -> tuple[News, ...]:
        """What has come since the last look, in the order of its beginnings."""
        flows, events = self._new(database)
        due = self._ended(database, {id_: key for id_, key, _, _ in flows})
        alone = [id_ for id_, _, state, dull in flows if state != "open" and (self.query.type or not dull)]
        found = self._found(database, {"job": due, "flow": alone, "event": events})
        return tuple(News(hit) for hit in sorted(found, key=lambda hit: hit.at)) + self._long(database)

    @property
    def is_due(self) -> bool:
        """Whether something is to be told although nothing has come."""
        long_ago = time.monotonic() - LONG
        return any(not job.told and job.since < long_ago for job in self._running.values())

    def _new(self, database: Database) -> tuple[list[tuple[Any, ...]], list[str]]:
        flows: list[tuple[Any, ...]] = []
        events: list[str] = []
        marks = _marks(database)
        for journal, mark in marks.items():
            before = self._marks.get(journal, _Mark(0, frozenset()))
            if mark == before:
                continue
            come = before.held - mark.held
            asked = {
                "journal": journal,
                "mark": before.folded_to,
                "held": sorted(come),
                "first": min([before.folded_to + 1, *come]),
            }
            flows += database.all(_NEW_FLOWS, asked)
            events += [row[0] for row in database.all(_NEW_EVENTS, asked)]
            # An archive that was begun anew is filled again with what was told already.
            self._marks[journal] = mark if mark.folded_to >= before.folded_to else before
        others = _other_events(database)
        events += others - self._others
        self._others = others
        return flows, events

    def _ended(self, database: Database, new: Mapping[str, str | None]) -> list[str]:
        """The jobs that ``new`` flows are about, if they have ended and were not told of. The others are waited for."""
        # An intent stood under its own id until BigQuery gave the job another.
        renamed = {key: self._running.pop(id_) for id_, key in new.items() if id_ != key and id_ in self._running}
        text = "\n".join({key for key in new.values() if key is not None})
        if not text:
            return []
        jobs = database.all(_TOUCHED, [text])
        flows = database.all(_FLOWS_OF, [text])
        seen_before = {key for key, id_, _ in flows if id_ not in new}
        unanswered = {key for key, _, is_open in flows if is_open}
        ended: list[str] = []
        for key, over, unknown in jobs:
            if key in seen_before and key not in self._running:
                # It was told of when it ended; a client goes on reading its rows.
                continue
            if over or (unknown and key not in unanswered):
                self._running.pop(key, None)
                ended.append(key)
            elif key not in self._running:
                self._running[key] = renamed.get(key) or _Running(time.monotonic())
                if len(self._running) > _MOST_RUNNING:
                    del self._running[next(iter(self._running))]
        return ended

    def _long(self, database: Database) -> tuple[News, ...]:
        long_ago = time.monotonic() - LONG
        long = [key for key, job in self._running.items() if not job.told and job.since < long_ago]
        for key in long:
            self._running[key].told = True
        return tuple(News(hit, over=False) for hit in self._found(database, {"job": long}))

    def _found(self, database: Database, among: Mapping[HitKind, Sequence[str]]) -> Sequence[Hit]:
        limit = sum(len(ids) for ids in among.values())
        return search.find(database, self.query, limit, among=among).hits if limit else ()


def _marks(database: Database) -> dict[str, _Mark]:
    return {id_: _Mark(folded_to, frozenset(held)) for id_, folded_to, held in database.all(_MARKS)}


def _other_events(database: Database) -> frozenset[str]:
    return frozenset(row[0] for row in database.all(_OTHER_EVENTS))
