"""One segment of the journal as a file: making it, opening it, and how it ends."""

import contextlib
import os
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import orjson

from hoop_mitm.evidence import Chain, Checkpoint
from hoop_mitm.recording.layout import remove_segment, sync_directory

type RecordRow = tuple[object, ...]
ADD_RECORD = "INSERT INTO records VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"

_TABLES = "SELECT name FROM sqlite_schema WHERE type = 'table'"
_BEGIN_CHAIN = "INSERT INTO chain VALUES (?, ?, ?, ?, ?, ?, ?)"
_CHAIN = "SELECT id, seq, head, checkpoints, checkpoint, signed, key FROM chain"
_LAST = "SELECT seq, link FROM records ORDER BY seq DESC LIMIT 1"
_LAST_NUMBER = "SELECT coalesce(max(seq), 0) FROM records"
_LAST_CHECKPOINT = "SELECT line FROM checkpoints ORDER BY number DESC LIMIT 1"
_ALL_CHECKPOINTS = "SELECT line FROM checkpoints ORDER BY number"
_LAST_KEY = "SELECT data FROM records WHERE kind IN ('genesis', 'key') ORDER BY seq DESC LIMIT 1"

_BROKEN = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_UNREADABLE = frozenset({sqlite3.SQLITE_IOERR_READ, sqlite3.SQLITE_IOERR_SHORT_READ})


@dataclass(frozen=True, slots=True)
class End:
    """How a segment ends.

    Attributes:
        last: the number of its last record; of the one before it, when it has none.
        chain: the end of its chain; ``None`` when it was written before there were chains.
        key: fingerprint of the key that signs.
        empty: it holds no record.
    """

    last: int
    chain: Chain | None
    key: str
    empty: bool


def connect(path: Path) -> sqlite3.Connection:
    """Open a file of the journal that exists. Closing it never copies its log into it: a segment's log is its data."""
    uri = f"{path.absolute().as_uri()}?mode=rw"
    connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=10, check_same_thread=False)
    connection.setconfig(sqlite3.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, True)  # noqa: FBT003
    return connection


def make(path: Path, chain: Chain, key: str, records: Iterable[RecordRow] = ()) -> None:
    """Make a segment that goes on where ``chain`` ends and holds ``records``: whole, or not at all.

    Raises ``OSError`` and ``sqlite3.Error``; then nothing is left of it.
    """
    new = path.with_suffix(".new")
    try:
        remove_segment(new)
        os.close(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        with contextlib.closing(sqlite3.connect(new, isolation_level=None)) as connection:
            connection.executescript(f"BEGIN; {_schema()}")
            connection.execute(
                _BEGIN_CHAIN,
                (chain.id, chain.seq, chain.head, chain.checkpoints, chain.checkpoint, chain.signed, key),
            )
            connection.executemany(ADD_RECORD, records)
            connection.execute("COMMIT")
            connection.execute("PRAGMA journal_mode = WAL")
        # A log that was left behind by another file of this name would be taken for this one's.
        remove_segment(path)
        new.rename(path)
    except BaseException:
        with contextlib.suppress(OSError):
            remove_segment(new)
        raise
    sync_directory(path.parent)


def open_for_writing(path: Path) -> sqlite3.Connection:
    connection = connect(path)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute("PRAGMA locking_mode = NORMAL")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def end_of(first: int, path: Path) -> End:
    """How the segment ends whose first record is ``first``. Raises ``sqlite3.Error``; see :func:`is_broken`."""
    with contextlib.closing(connect(path)) as connection:
        tables = {name for (name,) in connection.execute(_TABLES)}
        if "chain" not in tables:
            # Of an earlier version of the journal. One that was only just begun has its name all the same.
            last = connection.execute(_LAST_NUMBER).fetchone()[0] if "records" in tables else first
            return End(max(first - 1, last), None, "", empty=False)
        row = connection.execute(_CHAIN).fetchone()
        if row is None:
            raise sqlite3.DatabaseError(f"{path} does not say which chain it belongs to")
        *state, key = row
        chain = Chain(*state)
        last_record = connection.execute(_LAST).fetchone()
        if last_record:
            chain.seq, chain.head = last_record
        try:
            if found := connection.execute(_LAST_CHECKPOINT).fetchone():
                checkpoint = Checkpoint.from_json(found[0])
                chain.checkpoints, chain.checkpoint, chain.signed = checkpoint.number, checkpoint.digest, checkpoint.seq
            if found := connection.execute(_LAST_KEY).fetchone():
                key = str(orjson.loads(found[0])["key"])
        except (ValueError, LookupError, TypeError) as error:
            raise sqlite3.DatabaseError(f"{path} cannot be understood: {error}") from error
    return End(chain.seq, chain, key, empty=last_record is None)


def checkpoints_in(path: Path) -> list[Checkpoint]:
    """The checkpoints that lie in a segment, in order. Raises ``sqlite3.Error``."""
    with contextlib.closing(connect(path)) as connection:
        if "checkpoints" not in {name for (name,) in connection.execute(_TABLES)}:
            return []
        return [Checkpoint.from_json(line) for (line,) in connection.execute(_ALL_CHECKPOINTS)]


def is_broken(error: sqlite3.Error) -> bool:
    """Whether the file is damaged, and not just out of reach for the moment."""
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:
        return type(error) is sqlite3.DatabaseError
    return code & 0xFF in _BROKEN or code in _UNREADABLE


def _schema() -> str:
    return resources.files("hoop_mitm.recording").joinpath("journal.sql").read_text()
