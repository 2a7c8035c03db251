"""The journal's read side: the records that a fold has yet to take over, and their bodies."""

import contextlib
import itertools
import sqlite3
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson
import zstandard

from hoop_mitm.recording.journal import claims_in, connect
from hoop_mitm.recording.layout import Layout, remove_segment
from hoop_mitm.recording.owners import LIFETIME, Claim

_ROWS = "SELECT seq, kind, data, parts FROM records WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?"
_LAST = "SELECT max(seq) FROM records"
_PART = "SELECT size, data FROM bodies WHERE id = ?"
_OLDER_CLAIMS = """
    CREATE TABLE IF NOT EXISTS owners (
        kind TEXT NOT NULL, resource TEXT NOT NULL, principal TEXT NOT NULL, connection TEXT NOT NULL, at REAL NOT NULL,
        PRIMARY KEY (kind, resource)
    ) STRICT
"""
_EXPIRE = "DELETE FROM owners WHERE at < ?"
_KEEP_FIRST = "INSERT OR IGNORE INTO owners VALUES (?, ?, ?, ?, ?)"
_BROKEN = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


@dataclass(frozen=True, slots=True)
class Row:
    """A record of the journal: ``note`` is its JSON, ``parts`` the ids of its bodies' parts by side."""

    seq: int
    kind: str
    note: dict[str, Any]
    parts: dict[str, list[int]]
    segment: Path
    size: int

    def body_note(self, side: str) -> dict[str, Any] | None:
        """What is known of a body of a flow: ``hash``, ``size`` …"""
        message = self.note.get(side) if self.kind == "flow" else self.note if self.note.get("side") == side else None
        return message.get("body") if message else None


class Unfolded:
    """What the segments hold. For the one process that has the fold's lock."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._open: dict[Path, sqlite3.Connection] = {}
        #: Segments that turned out to be damaged and were set aside under these names.
        self.damaged: list[tuple[Path, str]] = []

    def close(self) -> None:
        for connection in self._open.values():
            connection.close()
        self._open.clear()

    def last(self) -> int:
        """The number of the newest record, 0 when there is none."""
        for first, path in reversed(self._layout.segments()):
            found = self._query(path, _LAST)
            if found and found[0][0] is not None:
                return int(found[0][0])
            if found:
                # A segment that was just begun.
                return first - 1
        return 0

    def rows(self, after: int, also: Iterable[int], *, most: int, most_bytes: int) -> list[Row]:
        """The records after ``after`` in order, a bounded number of them, and before them those of ``also``."""
        found: list[Row] = []
        for seq in sorted(also):
            found += self._between(seq - 1, seq, 1)
        size = 0
        for row in itertools.islice(self._after(after), most):
            found.append(row)
            size += row.size
            if size > most_bytes:
                break
        return found

    def frames(self, row: Row, side: str) -> Iterator[tuple[int, bytes]]:
        """A body's parts in order: decompressed size, and the zstd frame."""
        note = row.body_note(side)
        if note is None:
            return
        if "file" not in note:
            for number in row.parts.get(side, ()):
                yield from self._query(row.segment, _PART, number)
            return
        with (self._layout.bodies / note["file"]).open("rb") as source:
            for size, length in note["frames"]:
                frame = source.read(length)
                if len(frame) != length:
                    raise EOFError(f"{source.name} is shorter than its record says")
                yield size, frame

    def body(self, row: Row, side: str, most: int) -> bytes | None:
        """A whole body; ``None`` when there is none or it is larger than ``most`` bytes."""
        note = row.body_note(side)
        if note is None or note["size"] > most:
            return None
        decompress = zstandard.ZstdDecompressor().decompress
        try:
            return b"".join(decompress(frame, max_output_size=size) for size, frame in self.frames(row, side))
        except (OSError, EOFError, zstandard.ZstdError):
            return None

    def trim(self, folded_to: int, held: Iterable[int]) -> None:
        """Remove segments that are folded as a whole; their claims stay."""
        waiting = set(held)
        segments = self._layout.segments()
        for (first, path), (beyond, _) in itertools.pairwise(segments):
            if beyond - 1 > folded_to or any(first <= seq < beyond for seq in waiting):
                return
            try:
                self._keep_claims(claims_in(path))
            except sqlite3.Error as error:
                if getattr(error, "sqlite_errorcode", 0) & 0xFF not in _BROKEN:
                    raise
                self._set_aside(path, str(error))
            self._forget(path)
            remove_segment(path)

    def _after(self, after: int) -> Iterator[Row]:
        segments = self._layout.segments()
        # A gateway that died at once may have left no segment at all.
        ends = [*(first - 1 for first, _ in segments[1:]), 2**62]
        for (_, path), end in zip(segments, ends, strict=False):
            last = after
            while last < end and (rows := self._in(path, last, end, 256)):
                yield from rows
                last = rows[-1].seq

    def _between(self, after: int, until: int, most: int) -> list[Row]:
        containing = [path for first, path in self._layout.segments() if first <= until]
        return self._in(containing[-1], after, until, most) if containing else []

    def _in(self, path: Path, after: int, until: int, most: int) -> list[Row]:
        rows: list[Row] = []
        for seq, kind, data, parts in self._query(path, _ROWS, after, until, most):
            try:
                note, numbers = orjson.loads(data), orjson.loads(parts)
            except orjson.JSONDecodeError:
                note = numbers = None
            sound = _is_sound(kind, note) and isinstance(numbers, dict)
            row = Row(seq, kind, note, numbers, path, 0) if sound else Row(seq, "unreadable", {}, {}, path, 0)
            bodies = [body["size"] for side in ("request", "response") if (body := row.body_note(side))]
            rows.append(replace(row, size=len(data) + sum(bodies)))
        return rows

    def _query(self, path: Path, statement: str, *values: object) -> list[tuple[Any, ...]]:
        try:
            if path not in self._open:
                self._open[path] = connect(path)
            return self._open[path].execute(statement, values).fetchall()
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            if code in _BROKEN:
                self._set_aside(path, str(error))
            elif "no such table" not in str(error) and path.exists():
                raise
            return []

    def _set_aside(self, path: Path, why: str) -> None:
        self._forget(path)
        aside = path.with_suffix(".damaged")
        for suffix in ("", "-wal"):
            with contextlib.suppress(FileNotFoundError):
                path.with_name(path.name + suffix).rename(aside.with_name(aside.name + suffix))
        self.damaged.append((aside, why))

    def _forget(self, path: Path) -> None:
        if connection := self._open.pop(path, None):
            connection.close()

    def _keep_claims(self, claims: list[Claim]) -> None:
        if not claims:
            return
        with contextlib.closing(sqlite3.connect(self._layout.owners, isolation_level=None)) as connection:
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(_OLDER_CLAIMS)
            connection.execute(_EXPIRE, [min(time.time(), max(claim.at for claim in claims)) - LIFETIME])
            connection.executemany(
                _KEEP_FIRST,
                [(c.resource.kind, c.resource.id, c.owner.principal, c.owner.connection, c.at) for c in claims],
            )
            connection.execute("COMMIT")


def _is_sound(kind: str, note: object) -> bool:
    """Whether a record has the few things that are needed before it is understood."""
    match kind, note:
        case "flow", {"id": str(), "state": str(), "request": {"body": _}, "response": {"body": _}}:
            return True
        case (("event" | "session"), {"id": str()}):
            return True
        case "salvage", {"flow_id": str(), "side": "request" | "response", "body": _}:
            return True
        case "start" | "probe", dict():
            return True
    return False
