"""The journal's write side: what is acknowledged here survives.

A segment is a SQLite file in WAL mode with full sync that is only ever appended to and is never checkpointed: each
byte goes to the disk once, and a whole segment is unlinked after its fold.
"""

import contextlib
import itertools
import os
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path

import orjson

from hoop_mitm.bigquery.operation import Resource
from hoop_mitm.errors import RecordingError
from hoop_mitm.recording.layout import Layout, remove_segment, sync_directory
from hoop_mitm.recording.owners import Claim, Owner
from hoop_mitm.recording.pressing import Part

#: A segment is left for the next when its log has this many bytes.
SEGMENT = 64 * 2**20
#: How far numbering jumps over a segment whose end cannot be read any more.
_LEAP = 10**9
_REMEMBERED = 4096


@dataclass(frozen=True, slots=True)
class Body:
    """A body that is kept in the journal itself."""

    digest: bytes
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """A record in the journal's form: its kind, its JSON, and its bodies by side (``request``, ``response``)."""

    kind: str
    data: bytes
    bodies: dict[str, Body] = field(default_factory=dict)


class Journal:
    """Appends to the newest segment. For one thread, and for one process (see :attr:`Layout.lock`)."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._connection: sqlite3.Connection | None = None
        self._files: dict[str, tuple[int, int]] = {}
        self._log = ""
        self._next = 0
        self._next_body = 1
        self._in_segment: dict[bytes, list[int]] = {}

    @property
    def last(self) -> int:
        """The number of the newest record."""
        return self._next - 1

    def open(self) -> int:
        """Begin a segment, and give the number of its first record.

        Raises:
            RecordingError: it cannot be made.
        """
        self.close()
        try:
            self._next = max(self._next, _end(self._layout) + 1)
            path = self._layout.segment(self._next)
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
            connection = connect(path)
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = FULL")
                connection.execute("PRAGMA wal_autocheckpoint = 0")
                connection.execute("PRAGMA locking_mode = NORMAL")
                connection.executescript(_schema())
            except sqlite3.Error:
                connection.close()
                # On a full disk this is tried every second.
                remove_segment(path)
                raise
            sync_directory(self._layout.journal)
            self._connection = connection
            self._log = f"{path}-wal"
            self._files = {name: _inode(name) for name in (str(path), self._log)}
        except (OSError, sqlite3.Error) as error:
            raise self._unwritable(error) from error
        self._next_body = 1
        self._in_segment = {}
        return self._next

    def append(self, entries: Sequence[Entry], claims: Iterable[Claim] = ()) -> None:
        """Commit all of these, or none. When this returns they are on the disk.

        Raises:
            RecordingError: none of them may be taken as written. The next call starts anew by itself.
            Exception: the same; and it is one of these, not the journal, that something is wrong with.
        """
        try:
            if self._connection is not None and not self._intact():
                self.close()
            if self._connection is None or os.stat(self._log).st_size > SEGMENT:  # noqa: PTH116
                self._layout.make()
                self.open()
            assert self._connection is not None
            self._commit(self._connection, entries, claims)
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

    def close(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None

    def _commit(self, connection: sqlite3.Connection, entries: Sequence[Entry], claims: Iterable[Claim]) -> None:
        known: dict[bytes, list[int]] = {}
        bodies: list[tuple[int, int, bytes]] = []
        records: list[tuple[int, str, bytes, str]] = []
        for seq, entry in enumerate(entries, self._next):
            parts: dict[str, list[int]] = {}
            for side, body in entry.bodies.items():
                ids = self._in_segment.get(body.digest) or known.get(body.digest)
                if ids is None:
                    first = self._next_body + len(bodies)
                    ids = list(range(first, first + len(body.parts)))
                    bodies += [(i, part.size, part.data) for i, part in zip(ids, body.parts, strict=True)]
                    known[body.digest] = ids
                parts[side] = ids
            records.append((seq, entry.kind, entry.data, orjson.dumps(parts).decode()))
        owners = [(c.resource.kind, c.resource.id, c.owner.principal, c.owner.connection, c.at) for c in claims]
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("INSERT INTO bodies VALUES (?, ?, ?)", bodies)
        connection.executemany("INSERT INTO records VALUES (?, ?, ?, ?)", records)
        connection.executemany(
            "INSERT INTO owners (kind, resource, principal, connection, at) VALUES (?, ?, ?, ?, ?)", owners
        )
        connection.execute("COMMIT")
        self._next += len(records)
        self._next_body += len(bodies)
        self._in_segment |= known
        for digest in list(itertools.islice(self._in_segment, max(0, len(self._in_segment) - _REMEMBERED))):
            del self._in_segment[digest]

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


def connect(path: Path) -> sqlite3.Connection:
    """Open a file of the journal that exists. Closing it never copies its log into it: a segment's log is its data."""
    uri = f"{path.absolute().as_uri()}?mode=rw"
    connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=10, check_same_thread=False)
    connection.setconfig(sqlite3.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, True)  # noqa: FBT003
    return connection


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
        # A gateway that died while it began a segment leaves one without tables.
        if not connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'owners'").fetchone():
            return []
        rows = connection.execute(
            "SELECT kind, resource, principal, connection, at FROM owners ORDER BY rowid"
        ).fetchall()
    return [Claim(Resource(kind, name), Owner(principal, target), at) for kind, name, principal, target, at in rows]


def _end(layout: Layout) -> int:
    """The number of the last record that any segment may hold."""
    segments = layout.segments()
    if not segments:
        return 0
    first, path = segments[-1]
    try:
        with contextlib.closing(connect(path)) as connection:
            return max(first - 1, int(connection.execute("SELECT coalesce(max(seq), 0) FROM records").fetchone()[0]))
    except sqlite3.Error as error:
        if "no such table" in str(error):
            # It was only just begun; its name is taken all the same.
            return first
        return first + _LEAP


def _inode(name: str) -> tuple[int, int]:
    status = os.stat(name)  # noqa: PTH116
    return status.st_dev, status.st_ino


def _schema() -> str:
    return resources.files("hoop_mitm.recording").joinpath("journal.sql").read_text()
