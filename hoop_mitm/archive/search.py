"""Finding things in an archive: the newest first, a page at a time."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from hoop_mitm.archive import results, stored
from hoop_mitm.archive.database import Database
from hoop_mitm.archive.entries import EventEntry, FlowEntry, JobEntry, SessionEntry
from hoop_mitm.archive.needle import Needle
from hoop_mitm.archive.query import Among, Candidate, Cursor, HitKind, Query, candidates
from hoop_mitm.archive.sifting import sift
from hoop_mitm.archive.summary import READS_ROWS
from hoop_mitm.archive.values import plain
from hoop_mitm.bigquery.unreadable import Unreadable
from hoop_mitm.identity.principal import Principal

if TYPE_CHECKING:
    import pyarrow as pa

#: Rows of a result that are kept of those in which the text stands.
SAMPLES = 3

# Results are read so many at a time, and for so many seconds, while the gateway's fold waits.
_AT_ONCE, _MOST_AT_ONCE = 200, 12_800
_PATIENCE = 1.0

_BRINGS_ROWS = ("jobs.query", "jobs.getQueryResults", *READS_ROWS)


@dataclass(frozen=True, slots=True)
class RowMatches:
    """Rows in which the text stands.

    Attributes:
        count: how many there are among the recorded rows of the result.
        columns: in which columns it stands.
        samples: the first few of these rows, values as ``values.plain`` gives them.
    """

    count: int
    columns: tuple[str, ...]
    samples: tuple[dict[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Hit:
    """Something that was found: a job, an exchange, or an event; the other two are ``None``.

    Attributes:
        at: when it was asked, or happened.
        matched: where the text stands: ``statement``, ``table``, ``error``, ``principal``, ``label``, ``job``, ``url``,
            ``rows``; empty where none was asked for.
        principal: who; ``None`` when nobody was identified.
        session: ``None`` when it belongs to none.
        rows: where the text stands in rows, when those were looked into.
    """

    cursor: Cursor
    matched: tuple[str, ...]
    principal: Principal | None
    session: SessionEntry | None
    job: JobEntry | None = None
    flow: FlowEntry | None = None
    event: EventEntry | None = None
    rows: RowMatches | None = None

    @property
    def kind(self) -> HitKind:
        return self.cursor.kind

    @property
    def at(self) -> datetime:
        return self.cursor.at


@dataclass(frozen=True, slots=True)
class Page:
    """Hits, newest first.

    ``next`` is where the next page begins; ``None`` where there is none. A page of a search in rows may hold fewer
    hits than were asked for, or none, and still have a next one: results are read for about a second at a time, so that
    the archive can be closed in between.
    """

    hits: tuple[Hit, ...]
    next: Cursor | None


def find(
    database: Database, query: Query, limit: int, before: Cursor | None = None, *, among: Among | None = None
) -> Page:
    """Up to ``limit`` things that ``query`` asks for, beginning after the place ``before``; of those in ``among`` only."""
    if query.rows and query.text:
        return _find_in_rows(database, query, query.text, limit, before)
    # One more tells whether there is a next page.
    found = candidates(database, query, limit + 1, before, among)
    last = found[limit - 1].cursor if len(found) > limit else None
    return Page(_hits(database, found[:limit]), last)


def _find_in_rows(database: Database, query: Query, text: str, limit: int, before: Cursor | None) -> Page:
    hits: list[Hit] = []
    place = before
    needle = Needle(text)
    # The newest come first, and soon; further back, larger steps take less time for each.
    at_once = _AT_ONCE if before is None else _MOST_AT_ONCE
    give_up = time.monotonic() + _PATIENCE
    while True:
        found = candidates(database, query, at_once, place)
        for hit in _hits(database, _worth_a_look(database, needle, found)):
            rows = _look_into(database, hit, text)
            if rows is not None or hit.matched:
                matched = (*hit.matched, "rows") if rows else hit.matched
                hits.append(replace(hit, matched=matched, rows=rows))
            place = hit.cursor
            if len(hits) == limit or time.monotonic() > give_up:
                return Page(tuple(hits), place)
        if len(found) < at_once:
            return Page(tuple(hits), None)
        place = found[-1].cursor
        if time.monotonic() > give_up:
            return Page(tuple(hits), place)
        at_once = _MOST_AT_ONCE


def _worth_a_look(database: Database, needle: Needle, found: Sequence[Candidate]) -> Sequence[Candidate]:
    """Those that are found already, or in whose rows the text may stand."""
    looked_into = [each for each in found if each.cursor.kind != "event"]
    if not looked_into:
        return found
    may_hold = sift(database, needle, [each.cursor.id for each in looked_into])
    return [each for each in found if each.matched or each.cursor.id in may_hold]


def _hits(database: Database, found: Sequence[Candidate]) -> tuple[Hit, ...]:
    """What the archive tells of each, in their order."""
    ids: dict[HitKind, list[str]] = {"job": [], "flow": [], "event": []}
    for each in found:
        ids[each.cursor.kind].append(each.cursor.id)
    session_ids = list(dict.fromkeys(each.session_id for each in found if each.session_id is not None))
    sessions = {session.id: session for session in stored.sessions(database, session_ids)}
    jobs = {job.key: job for job in stored.jobs(database, session_ids, ids["job"])} if ids["job"] else {}
    flows = {flow.id: flow for flow in stored.flows(database, ids["flow"])}
    events = {event.id: event for event in stored.events(database, ids["event"])}
    return tuple(
        Hit(
            each.cursor,
            each.matched,
            each.principal,
            sessions.get(each.session_id or ""),
            jobs.get(each.cursor.id) if each.cursor.kind == "job" else None,
            flows.get(each.cursor.id) if each.cursor.kind == "flow" else None,
            events.get(each.cursor.id) if each.cursor.kind == "event" else None,
        )
        for each in found
    )


def _look_into(database: Database, hit: Hit, text: str) -> RowMatches | None:
    """Where ``text`` stands in the rows that came with a hit; a stream's are told by the read session that opened it."""
    try:
        if hit.job is not None:
            never_ran = hit.job.dry_run or hit.job.verdict.decision == "deny"
            result = None if never_ran else results.of_job(database, hit.job)
        elif hit.flow is not None and hit.flow.door in _BRINGS_ROWS:
            result = results.of_flow(database, hit.flow)
        else:
            return None
    except Unreadable:
        return None
    return None if result is None else _stands_in(result.table, text.lower())


def _stands_in(table: "pa.Table", text: str) -> RowMatches | None:
    import pyarrow as pa
    import pyarrow.compute as pc

    columns: list[str] = []
    rows: set[int] = set()
    for field, column in zip(table.schema, table.columns, strict=True):
        if pa.types.is_string(field.type):
            mask = pc.match_substring(column, text, ignore_case=True)
            places = pc.indices_nonzero(pc.fill_null(mask, fill_value=False)).to_pylist()
        else:
            places = [place for place, value in enumerate(column.to_pylist()) if text in _text(value)]
        if places:
            columns.append(field.name)
            rows.update(places)
    if not rows:
        return None
    first = sorted(rows)[:SAMPLES]
    samples = tuple(
        {name: plain(value) for name, value in table.slice(place, 1).to_pylist()[0].items()} for place in first
    )
    return RowMatches(len(rows), tuple(columns), samples)


def _text(value: object) -> str:
    """A value as ``show --rows --json`` writes it, in lower case; of nested values, all that is in them."""
    shown = plain(value)
    match shown:
        case None:
            return ""
        case str():
            return shown.lower()
        case dict():
            return "\n".join(_text(inner) for inner in shown.values())
        case list():
            return "\n".join(_text(inner) for inner in shown)
        case bool():
            return "true" if shown else "false"
    return str(shown)
