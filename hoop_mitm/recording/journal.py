"""The journal's write side: what is acknowledged here survives, and is linked to all that came before it.

A segment is a SQLite file in WAL mode with full sync that is only ever appended to and is never checkpointed: each
byte goes to the disk once, and a whole segment is unlinked some time after its fold.
"""

import contextlib
import itertools
import logging
import os
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import orjson

from hoop_mitm.bigquery.operation import Resource
from hoop_mitm.errors import RecordingError
from hoop_mitm.evidence import PARTS, Chain, Checkpoint, RecordingKey, RecordingKeys
from hoop_mitm.recording.beginning import Beginning, anew, beginning, genesis
from hoop_mitm.recording.layout import Layout, replace_durably
from hoop_mitm.recording.owners import Claim, Owner
from hoop_mitm.recording.pressing import Part
from hoop_mitm.recording.sealing import Sealed, seal
from hoop_mitm.recording.segment import ADD_RECORD, RecordRow, connect, make, open_for_writing

log = logging.getLogger(__name__)

#: A segment is left for the next when its log has this many bytes.
SEGMENT = 64 * 2**20
_REMEMBERED = 4096

_ADD_BODY = "INSERT INTO bodies VALUES (?, ?, ?)"
_ADD_CLAIM = "INSERT INTO owners (kind, resource, principal, connection, at) VALUES (?, ?, ?, ?, ?)"
_ADD_CHECKPOINT = "INSERT INTO checkpoints VALUES (?, ?)"
_CLAIMS = "SELECT kind, resource, principal, connection, at FROM owners ORDER BY rowid"
_HAS_CLAIMS = "SELECT 1 FROM sqlite_schema WHERE name = 'owners'"
_KEY_IS_GONE = "the key that signed it is gone"


@dataclass(frozen=True, slots=True)
class Body:
    """A body that is kept in the journal itself.

    ``digest`` is keyed, finds the same body again, and is never written; ``commitment`` is its name, with ``salt``.
    """

    digest: bytes
    salt: bytes
    commitment: bytes
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class BodyFile:
    """A body that lies outside, in a file of zstd frames: of each frame its size when decompressed, and its length."""

    name: str
    salt: bytes
    frames: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """A record in the journal's form: its kind, its fields as plain JSON values, and its bodies by side."""

    kind: str
    note: Mapping[str, Any]
    bodies: Mapping[str, Body] = field(default_factory=dict)
    files: Mapping[str, BodyFile] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Kept:
    """A body that this segment holds."""

    salt: bytes
    commitment: bytes
    parts: list[int]


class Journal:
    """Appends to the newest segment. For one thread, and for one process (see :attr:`Layout.lock`)."""

    def __init__(self, layout: Layout, keys: RecordingKeys, signed: Callable[[Checkpoint], None] | None = None) -> None:
        """``signed`` is told of each checkpoint once it is durable."""
        self._layout = layout
        self._keys = keys
        self._key = keys.newest
        self._signed = signed
        self._chain: Chain | None = None
        self._connection: sqlite3.Connection | None = None
        self._files: dict[str, tuple[int, int]] = {}
        self._log = ""
        self._next_body = 1
        self._in_segment: dict[bytes, _Kept] = {}

    @property
    def last(self) -> int:
        """The number of the newest record."""
        return self._chain.seq if self._chain else 0

    @property
    def unsigned(self) -> int:
        """How many records no checkpoint covers yet."""
        return self._chain.seq - self._chain.signed if self._chain else 0

    @property
    def key(self) -> RecordingKey:
        """The key that signs."""
        return self._key

    def open(self) -> int:
        """Begin a segment (or go on with one that is still empty), and give the number of its first record.

        Raises:
            RecordingError: it cannot be made.
        """
        self.close()
        try:
            begin = beginning(self._layout, self._chain, self._key.fingerprint)
            signs = self._keys.get(begin.key) if begin.key else self._keys.newest
            if signs is None and self._chain is not None:
                signs = self._key
            if signs is None:
                begin, signs = anew(self._layout, begin.chain, _KEY_IS_GONE), self._keys.newest
            first = begin.first
            self._begin(begin, signs)
        except (OSError, sqlite3.Error) as error:
            raise self._unwritable(error) from error
        if self._key.fingerprint != self._keys.newest.fingerprint:
            self._change_key()
        return first

    def append(self, entries: Sequence[Entry], claims: Iterable[Claim] = ()) -> None:
        """Commit all of these, or none. When this returns they are on the disk.

        Raises:
            RecordingError: none of them may be taken as written. The next call starts anew by itself.
            Exception: the same; and it is one of these, not the journal, that something is wrong with.
        """
        self._write(entries, claims)

    def sign(self, reason: str) -> Checkpoint:
        """Sign everything up to the newest record, and keep the signature.

        Raises:
            RecordingError: it is not kept.
        """
        checkpoint = self._write((), (), reason)
        assert checkpoint is not None
        return checkpoint

    def use(self, keys: RecordingKeys) -> bool:
        """Sign with the newest of ``keys`` from now on; whether that is another one than before.

        Raises:
            RecordingError: the change is not recorded. The old key signs until it is.
        """
        self._keys = keys
        if self._connection is None or keys.newest.fingerprint == self._key.fingerprint:
            return False
        self._change_key()
        return True

    def close(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None

    def _begin(self, begin: Beginning, signs: RecordingKey) -> None:
        path = self._layout.segment(begin.first)
        chain = replace(begin.chain)
        if not begin.reuse:
            first = []
            if begin.is_new:
                first = [_record_row(seal(chain, "genesis", genesis(chain, signs, begin.after)), {})]
            make(path, begin.chain, signs.fingerprint, first)
        self._connection = open_for_writing(path)
        # Makes the log, whose size says when the segment is full.
        self._connection.executescript("BEGIN IMMEDIATE; COMMIT")
        self._log = f"{path}-wal"
        self._files = {name: _inode(name) for name in (str(path), self._log)}
        self._chain, self._key = chain, signs
        self._next_body = 1
        self._in_segment = {}

    def _change_key(self) -> None:
        old, new = self._key, self._keys.newest
        note = {
            "previous": old.fingerprint,
            "key": new.fingerprint,
            "public": new.public.public_bytes_raw().hex(),
        }
        # Together: under a key that no signature of the old one introduces nothing would count.
        self._write([Entry("key", note)], (), "rotation")
        self._key = new

    def _write(self, entries: Sequence[Entry], claims: Iterable[Claim], sign: str | None = None) -> Checkpoint | None:
        try:
            if self._connection is not None and not self._intact():
                self.close()
            if self._connection is None or os.stat(self._log).st_size > SEGMENT:  # noqa: PTH116
                self._layout.make()
                self.open()
            assert self._connection is not None
            checkpoint = self._commit(self._connection, entries, claims, sign)
        except RecordingError:
            self.close()
            raise
        except (OSError, sqlite3.Error) as error:
            self.close()
            raise self._unwritable(error) from error
        except Exception:
            # One of these cannot be written at all; the others must not be left in a transaction with it.
            self.close()
            raise
        if checkpoint is not None:
            self._note(checkpoint)
        return checkpoint

    def _commit(
        self,
        connection: sqlite3.Connection,
        entries: Sequence[Entry],
        claims: Iterable[Claim],
        sign: str | None,
    ) -> Checkpoint | None:
        assert self._chain is not None
        # A copy: what is not committed has not happened.
        chain = replace(self._chain)
        known: dict[bytes, _Kept] = {}
        bodies: list[tuple[int, int, bytes]] = []
        records: list[RecordRow] = []
        for entry in entries:
            note, places = entry.note, _outside(entry)
            for side, body in entry.bodies.items():
                kept = self._in_segment.get(body.digest) or known.get(body.digest)
                if kept is None:
                    first = self._next_body + len(bodies)
                    ids = list(range(first, first + len(body.parts)))
                    bodies += [(i, part.size, part.data) for i, part in zip(ids, body.parts, strict=True)]
                    kept = known[body.digest] = _Kept(body.salt, body.commitment, ids)
                elif kept.commitment != body.commitment:
                    note = _renamed(note, side, kept.commitment)
                places[side] = {"salt": kept.salt.hex(), "parts": kept.parts}
            records.append(_record_row(seal(chain, entry.kind, note), places))
        checkpoint = chain.sign(self._key, sign) if sign else None
        owners = [(c.resource.kind, c.resource.id, c.owner.principal, c.owner.connection, c.at) for c in claims]
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(_ADD_BODY, bodies)
        connection.executemany(ADD_RECORD, records)
        connection.executemany(_ADD_CLAIM, owners)
        if checkpoint:
            connection.execute(_ADD_CHECKPOINT, (checkpoint.number, orjson.dumps(checkpoint.as_json()).decode()))
        connection.execute("COMMIT")
        self._chain = chain
        self._next_body += len(bodies)
        self._in_segment |= known
        for digest in list(itertools.islice(self._in_segment, max(0, len(self._in_segment) - _REMEMBERED))):
            del self._in_segment[digest]
        return checkpoint

    def _note(self, checkpoint: Checkpoint) -> None:
        try:
            replace_durably(self._layout.head, orjson.dumps(checkpoint.as_json()) + b"\n")
        except OSError as error:
            # It is in the segment; this only helps to miss a segment that is gone.
            log.warning("%s cannot be written: %s", self._layout.head, reason(error))
        if self._signed:
            self._signed(checkpoint)

    def _intact(self) -> bool:
        # SQLite would go on writing into a file that somebody has removed.
        try:
            return all(_inode(name) == inode for name, inode in self._files.items())
        except OSError:
            return False

    def _unwritable(self, error: Exception) -> RecordingError:
        return RecordingError(
            f"The journal in {self._layout.journal} cannot be written ({reason(error)}). Requests are refused until it can "
            "be: free some space, or make it writable; the gateway then goes on by itself."
        )


def reason(error: Exception) -> str:
    """An error of the operating system or of SQLite in a few plain words."""
    text = (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
    if text in {"database or disk is full", "No space left on device"}:
        return "the disk is full"
    return text[:1].lower() + text[1:]


def claims(layout: Layout) -> list[Claim]:
    """Every claim that is remembered on the disk, the oldest first.

    Raises:
        RecordingError: the file of older claims cannot be read. (A damaged segment is passed over.)
    """
    # Segments first: one that is folded and removed meanwhile has left its claims in the file that is read last.
    recent: list[Claim] = []
    for _, path in layout.segments():
        with contextlib.suppress(sqlite3.Error):
            recent += claims_in(path)
    try:
        return [*(claims_in(layout.owners) if layout.owners.exists() else ()), *recent]
    except sqlite3.Error as error:
        raise RecordingError(
            f"{layout.owners} is damaged ({error}). Move it away to go on: jobs and results from before are then refused "
            "to everyone."
        ) from error


def claims_in(path: Path) -> list[Claim]:
    with contextlib.closing(connect(path)) as connection:
        # One that an earlier version of the gateway only just began has no tables.
        if not connection.execute(_HAS_CLAIMS).fetchone():
            return []
        rows = connection.execute(_CLAIMS).fetchall()
    return [Claim(Resource(kind, name), Owner(principal, target), at) for kind, name, principal, target, at in rows]


def _outside(entry: Entry) -> dict[str, dict[str, Any]]:
    return {
        side: {"salt": body.salt.hex(), "file": body.name, "frames": body.frames} for side, body in entry.files.items()
    }


def _renamed(note: Mapping[str, Any], side: str, commitment: bytes) -> Mapping[str, Any]:
    """The note of a flow that names the body of ``side`` as the one that is kept already."""
    message = note[side]
    return {**note, side: {**message, "body": {**message["body"], "hash": commitment.hex()}}}


def _record_row(record: Sealed, places: Mapping[str, Any]) -> RecordRow:
    parts = [record.parts.get(name) for name in PARTS]
    values = [value for part in parts for value in ((part.salt, part.value) if part else (None, None))]
    return (record.seq, record.kind, record.data, record.digest, record.link, *values, orjson.dumps(places).decode())


def _inode(name: str) -> tuple[int, int]:
    status = os.stat(name)  # noqa: PTH116
    return status.st_dev, status.st_ino
