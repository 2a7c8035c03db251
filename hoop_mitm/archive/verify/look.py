"""One span, looked through once: what a worker does."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from hoop_mitm.archive.verify.derived import Derived, Left
from hoop_mitm.archive.verify.file import File, UnreadableError
from hoop_mitm.archive.verify.keys import Change
from hoop_mitm.archive.verify.records import Absent, Record, Walk, place_of
from hoop_mitm.archive.verify.removals import Taking
from hoop_mitm.archive.verify.report import Findings, Place
from hoop_mitm.archive.verify.sieve import Easy, easy_ones
from hoop_mitm.archive.verify.spans import Span

#: Tables without which nothing derived can be compared.
NEEDED = frozenset({"flows", "events", "sessions"})


#: The event that a migration leaves.
_MIGRATED = "recording.migrated"
#: The last version of the recording's format that had none.
WITHOUT_CHAINS = 1


@dataclass(slots=True)
class Seen:
    """What was in a span.

    Attributes:
        records: how many there are; ``sound`` of them are what was sealed, ``gone`` are digest and link only.
        genesis: the skeletons of records of that kind.
        changes: the keys that records name.
        takings: events that say what they took.
        starts: records that tell of a gateway's start.
        migrated: a record says that the archive was one of an older version, which had no chain.
        absent: parts and records that are gone.
        left: what the comparison of tables left; ``tables`` belongs to it. ``None`` where they were not compared.
    """

    span: Span
    findings: Findings
    records: int = 0
    sound: int = 0
    gone: int = 0
    begins: str | None = None
    ends: str | None = None
    genesis: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    takings: list[Taking] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    migrated: bool = False
    absent: list[Absent] = field(default_factory=list)
    left: Left | None = None
    tables: Mapping[str, pa.Table] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class How:
    """How to look.

    Attributes:
        bundle: records may be withheld.
        compare: compare the tables that are made from records.
        whole: look at how each record is written, and which bodies it names.
        held: intents that the fold holds back: they are in no other table yet.
    """

    bundle: bool
    compare: bool
    whole: bool = True
    held: frozenset[int] = frozenset()


def look(file: File, span: Span, how: How) -> Seen:
    """Go through ``span``."""
    easy = easy_ones(file, span, bodies=how.whole) if how.compare and span.rows == span.numbers else Easy()
    walk = Walk(file, span, how.bundle, easy.seqs, how.whole)
    seen = Seen(span, walk.findings)
    derived = Derived(file, span, walk.findings, easy) if how.compare else None
    try:
        for record in walk.records():
            if record.note is not None:
                _note_special(seen, record)
            if record.seq in how.held and not _may_wait(record):
                words = "The archive says that this intent waits for its answer, but it is none."
                seen.findings.add("journal.changed", words, place_of(span.chain, record, table="journals"))
            if derived:
                derived.see(record, waits=record.seq in how.held)
        if derived:
            derived.close()
            schema = file.table("SELECT * FROM file.main.sessions LIMIT 0").schema
            seen.left, seen.tables = derived.left, derived.left.tables(span.chain, schema, easy, bodies=how.whole)
    except UnreadableError as error:
        words = f"The file cannot be read here, it is damaged: {error}"
        seen.findings.add("file.damaged", words, Place(span.chain, span.first, last=span.last, table="records"))
    seen.records = walk.number
    if seen.records < span.numbers:
        words = f"Only {seen.records:,} of {span.numbers:,} records can be read here."
        seen.findings.add("file.damaged", words, Place(span.chain, span.first, last=span.last, table="records"))
    seen.sound, seen.gone, seen.absent = walk.sound, walk.gone, walk.absent
    seen.begins, seen.ends = walk.begins, walk.ends
    return seen


def _may_wait(record: Record) -> bool:
    return record.note is None or (record.kind == "flow" and record.note.get("state") == "open")


def _note_special(seen: Seen, record: Record) -> None:
    note = record.note or {}
    chain = seen.span.chain
    if record.kind in {"genesis", "key"}:
        try:
            seen.changes.append(Change.read(record.seq, note))
        except (ValueError, TypeError) as error:
            seen.findings.add("key.unsigned", f"This record names no key: {error}.", place_of(chain, record))
        if record.kind == "genesis":
            seen.genesis.append((record.seq, note))
    elif record.kind == "start":
        seen.starts.append(record.seq)
    elif record.kind == "event" and record.sound:
        details = record.parts.get("exchange", {}).get("details")
        # What was done to an archive that had chains takes nothing from what they cover.
        seen.migrated |= note.get("type") == _MIGRATED and not (
            isinstance(details, dict) and details.get("from", WITHOUT_CHAINS) != WITHOUT_CHAINS
        )
        if isinstance(details, dict) and ("removals" in details or "observations" in details):
            removals, observations = details.get("removals"), details.get("observations")
            seen.takings.append(
                Taking(
                    chain,
                    record.seq,
                    str(note.get("type")),
                    removals if isinstance(removals, str) else None,
                    observations if isinstance(observations, str) else None,
                )
            )
