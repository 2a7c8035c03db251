"""The journal's read side: the records that a fold has yet to take over, and their bodies."""

import contextlib
import itertools
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson
import zstandard

from hoop_mitm.evidence import PARTS, Checkpoint, Part, join
from hoop_mitm.recording.journal import claims_in
from hoop_mitm.recording.layout import Layout, remove_segment
from hoop_mitm.recording.owners import LIFETIME, Claim
from hoop_mitm.recording.sealing import Sealed
from hoop_mitm.recording.segment import connect, is_broken

_CHAIN = "SELECT id FROM chain"
_ROWS = """
    SELECT
        seq, kind, data, bodies, digest, link,
        who_salt, who, statement_salt, statement, exchange_salt, exchange
    FROM records WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?
"""
#: As segments were before there were chains; what such a one holds is still to be folded.
_ROWS_BEFORE = "SELECT seq, kind, data, parts FROM records WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?"
#: Files are named only where there are some, and these are few.
_PLACES = """SELECT bodies FROM records WHERE seq <= ? AND bodies LIKE '%"file"%'"""
_PLACES_BEFORE = """SELECT data FROM records WHERE seq <= ? AND CAST(data AS TEXT) LIKE '%"file"%'"""
_LAST = "SELECT max(seq) FROM records"
_CHECKPOINTS = "SELECT line FROM checkpoints WHERE number > ? ORDER BY number"
_PART = "SELECT size, data FROM bodies WHERE id = ?"
_OLDER_CLAIMS = """
    CREATE TABLE IF NOT EXISTS owners (
        kind TEXT NOT NULL, resource TEXT NOT NULL, principal TEXT NOT NULL, connection TEXT NOT NULL, at REAL NOT NULL,
        PRIMARY KEY (kind, resource)
    ) STRICT
"""
_EXPIRE = "DELETE FROM owners WHERE at < ?"
_KEEP_FIRST = "INSERT OR IGNORE INTO owners VALUES (?, ?, ?, ?, ?)"


@dataclass(frozen=True, slots=True)
class Row:
    """A record of the journal.

    Attributes:
        note: its fields.
        bodies: where its bodies lie, by side: ``salt`` (hex), and ``parts`` (ids) or ``file`` with ``frames``.
        size: bytes of it and of its bodies when decompressed.
        sealed: the record as it is chained; ``None`` when it was written before there were chains.
    """

    seq: int
    kind: str
    note: dict[str, Any]
    bodies: dict[str, dict[str, Any]]
    segment: Path
    size: int = 0
    sealed: Sealed | None = None

    @property
    def chain(self) -> str | None:
        return self.sealed.chain if self.sealed else None

    def salt(self, side: str) -> bytes:
        """What the name of a body was made with; empty before there were chains."""
        return bytes.fromhex(self.bodies.get(side, {}).get("salt", ""))

    def body_note(self, side: str) -> dict[str, Any] | None:
        """What is known of a body of a flow: ``hash``, ``size`` …"""
        message = self.note.get(side) if self.kind == "flow" else self.note if self.note.get("side") == side else None
        return message.get("body") if message else None


class Unfolded:
    """What the segments hold. For the one process that has the fold's lock."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._open: dict[Path, tuple[tuple[int, int], sqlite3.Connection]] = {}
        self._chains: dict[Path, str] = {}
        #: Segments that turned out to be damaged and were set aside under these names.
        self.damaged: list[tuple[Path, str]] = []

    def close(self) -> None:
        for path in list(self._open):
            self._forget(path)

    def first(self, after: int) -> int:
        """The number of the oldest record after ``after``, 0 when there is none."""
        return next((row.seq for row in self._after(after)), 0)

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

    def checkpoints(self, after: int, known: Mapping[str, int], until: int) -> list[Checkpoint]:
        """Checkpoints up to the record ``until`` that are newer than those ``known`` (the last number by chain).

        ``after`` is how far the records were folded before: older segments have no new ones.
        """
        segments = self._layout.segments()
        current = [pair for pair in segments if pair[0] <= after][-1:]
        found = []
        for _, path in (*current, *(pair for pair in segments if pair[0] > after)):
            chain = self._chain(path)
            if chain is not None:
                lines = self._query(path, _CHECKPOINTS, known.get(chain, 0))
                found += [checkpoint for (line,) in lines if (checkpoint := _checkpoint(line))]
        return [checkpoint for checkpoint in found if checkpoint.seq <= until]

    def frames(self, row: Row, side: str) -> Iterator[tuple[int, bytes]]:
        """A body's parts in order: decompressed size, and the zstd frame."""
        place = row.bodies.get(side)
        if place is None:
            return
        if "file" not in place:
            for number in place["parts"]:
                yield from self._query(row.segment, _PART, number)
            return
        with (self._layout.bodies / place["file"]).open("rb") as source:
            for size, length in place["frames"]:
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

    def trim(self, segments: Sequence[tuple[int, Path]], folded_to: int, held: Iterable[int]) -> None:
        """Remove those of ``segments`` that are folded as a whole, but never the last, and their bodies; claims stay.

        ``segments`` are those that were there when the fold began: only of them all checkpoints are folded as well.
        """
        waiting = set(held)
        for (first, path), (beyond, _) in itertools.pairwise(segments):
            if beyond - 1 > folded_to or any(first <= seq < beyond for seq in waiting):
                return
            if not path.exists():
                # Set aside meanwhile.
                continue
            try:
                self._keep_claims(claims_in(path))
            except sqlite3.Error as error:
                if not is_broken(error):
                    raise
                self._set_aside(path, str(error))
            self.drop_bodies(path, 2**62)
            self._forget(path)
            remove_segment(path)

    def drop_bodies(self, path: Path, until: int) -> None:
        """Remove the files that a segment's records up to ``until`` have bodies in."""
        for name in self.body_files(path, until):
            (self._layout.bodies / name).unlink(missing_ok=True)

    def body_files(self, path: Path, until: int) -> list[str]:
        """The files that a segment's records up to ``until`` have bodies in."""
        try:
            found = self._query(path, _PLACES if self._chain(path) else _PLACES_BEFORE, until)
            if self._chain(path):
                places = [place for (text,) in found for place in orjson.loads(text).values()]
            else:
                places = [note["body"] for (data,) in found for note in _messages(orjson.loads(data))]
            return [place["file"] for place in places if "file" in place]
        except (ValueError, LookupError, TypeError, AttributeError):
            return []

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
        chain = self._chain(path)
        if chain is None:
            return [_row_before(path, *row) for row in self._query(path, _ROWS_BEFORE, after, until, most)]
        return [_row(path, chain, row) for row in self._query(path, _ROWS, after, until, most)]

    def _chain(self, path: Path) -> str | None:
        """The chain that a segment belongs to; ``None`` before there were chains, and when it cannot be read."""
        if path not in self._chains:
            found = self._query(path, _CHAIN)
            if not found:
                return None
            self._chains[path] = found[0][0]
        return self._chains[path]

    def _query(self, path: Path, statement: str, *values: object) -> list[tuple[Any, ...]]:
        try:
            return self._connection(path).execute(statement, values).fetchall()
        except FileNotFoundError:
            return []
        except sqlite3.Error as error:
            if is_broken(error):
                self._set_aside(path, str(error))
            elif "no such table" not in str(error) and path.exists():
                raise
            return []

    def _connection(self, path: Path) -> sqlite3.Connection:
        status = path.stat()
        file = (status.st_dev, status.st_ino)
        known = self._open.get(path)
        if known is None or known[0] != file:
            self._forget(path)
            known = self._open[path] = (file, connect(path))
        return known[1]

    def _set_aside(self, path: Path, why: str) -> None:
        self._forget(path)
        aside = path.with_suffix(".damaged")
        for suffix in ("", "-wal"):
            with contextlib.suppress(FileNotFoundError):
                path.with_name(path.name + suffix).rename(aside.with_name(aside.name + suffix))
        self.damaged.append((aside, why))

    def _forget(self, path: Path) -> None:
        self._chains.pop(path, None)
        if known := self._open.pop(path, None):
            known[1].close()

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


def _row(path: Path, chain: str, row: tuple[Any, ...]) -> Row:
    seq, kind, data, bodies, digest, link, *parts = row
    kept = {
        name: Part(salt, value)
        for name, salt, value in zip(PARTS, parts[::2], parts[1::2], strict=True)
        if salt is not None and value is not None
    }
    sealed = Sealed(chain, seq, kind, data, digest, link, kept)
    try:
        note = join(orjson.loads(data), {name: orjson.loads(part.value) for name, part in kept.items()})
        places = orjson.loads(bodies)
    except (ValueError, AttributeError, TypeError):
        note = places = {}
        kind = "unreadable"
    return _sized(Row(seq, kind, note, places, path, sealed=sealed), len(data))


def _row_before(path: Path, seq: int, kind: str, data: bytes, parts: str) -> Row:
    """A record as it was before there were chains: a body's place stood in its note."""
    places: dict[str, Any] = {}
    try:
        note, ids = orjson.loads(data), orjson.loads(parts)
        for side, numbers in ids.items():
            places[side] = {"parts": numbers}
        for side in ("request", "response"):
            body = (note if note.get("side") == side else note.get(side) or {}).get("body") or {}
            if "file" in body:
                places[side] = {"file": body["file"], "frames": body["frames"]}
    except (ValueError, AttributeError, TypeError, LookupError):
        note, kind = {}, "unreadable"
    return _sized(Row(seq, kind, note, places, path), len(data))


def _messages(note: dict[str, Any]) -> list[dict[str, Any]]:
    """The messages with a body in a note from before there were chains."""
    messages = [note, note.get("request"), note.get("response")]
    return [message for message in messages if isinstance(message, dict) and message.get("body")]


def _sized(row: Row, length: int) -> Row:
    """The row with its size; as an unreadable one, when it lacks what is needed to understand it."""
    if not _is_sound(row.kind, row.note) or not isinstance(row.bodies, dict):
        return replace(row, kind="unreadable", note={}, bodies={})
    bodies = [body["size"] for side in ("request", "response") if (body := row.body_note(side))]
    return replace(row, size=length + sum(bodies))


def _checkpoint(line: str) -> Checkpoint | None:
    try:
        return Checkpoint.from_json(line)
    except ValueError:
        # What it covers is not signed then, and whoever verifies says so.
        return None


def _is_sound(kind: str, note: object) -> bool:
    """Whether a record has the few things that are needed before it is understood."""
    match kind, note:
        case "flow", {"id": str(), "state": str(), "request": {"body": _}, "response": {"body": _}}:
            return True
        case (("event" | "session"), {"id": str()}):
            return True
        case "salvage", {"flow_id": str(), "side": "request" | "response", "body": _}:
            return True
        case "start" | "probe" | "genesis" | "key", dict():
            return True
    return False
