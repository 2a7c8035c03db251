"""Is a text in any byte of a directory? As it stands, in whatever DuckDB and SQLite give for it, and within zstd."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import zstandard

from tests.recording.building import opened

_MAGIC = b"\x28\xb5\x2f\xfd"
_MOST = 64 * 2**20


def finds(directory: Path, marker: str) -> set[str]:
    """Where ``marker`` is: ``FILE`` for its bytes, ``FILE zstd`` for a frame anywhere in them, ``FILE TABLE.COLUMN``."""
    found = set()
    wanted = marker.encode()
    for path in sorted(directory.rglob("*")):
        if not path.is_file():
            continue
        name = str(path.relative_to(directory))
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            # Of a gateway that runs.
            continue
        if wanted in data:
            found.add(name)
        if any(wanted in plain for plain in _frames(data)):
            found.add(f"{name} zstd")
        found |= {f"{name} {column}" for column, value in _values(path, data) if wanted in value}
    return found


def _frames(data: bytes) -> Iterator[bytes]:
    """What zstd frames decompress to, wherever they begin: also those that nothing points to any more."""
    place = data.find(_MAGIC)
    while place >= 0:
        with contextlib.suppress(zstandard.ZstdError, MemoryError):
            yield zstandard.ZstdDecompressor().decompressobj().decompress(data[place : place + _MOST])
        place = data.find(_MAGIC, place + 1)


def _values(path: Path, data: bytes) -> Iterator[tuple[str, bytes]]:
    if data[:16] == b"SQLite format 3\0":
        yield from _sqlite(path)
    elif data[8:12] == b"DUCK":
        yield from _duckdb(path)


def _sqlite(path: Path) -> Iterator[tuple[str, bytes]]:
    with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True)) as connection:
        for (table,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall():
            cursor = connection.execute(f"SELECT * FROM {table}")
            names = [column[0] for column in cursor.description]
            for row in cursor:
                yield from ((f"{table}.{name}", _bytes(value)) for name, value in zip(names, row, strict=True))


def _duckdb(path: Path) -> Iterator[tuple[str, bytes]]:
    with opened(path) as connection:
        for (table,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall():
            cursor = connection.execute(f'SELECT * FROM "{table}"')
            names = [column[0] for column in cursor.description]
            while rows := cursor.fetchmany(1000):
                for row in rows:
                    yield from ((f"{table}.{name}", _bytes(value)) for name, value in zip(names, row, strict=True))


def _bytes(value: Any) -> bytes:
    if isinstance(value, bytes):
        return b"\n".join([value, *_frames(value)])
    return str(value).encode()
