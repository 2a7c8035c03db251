"""Bodies and headers as the archive stores them."""

import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hoop_mitm.archive.database import Database
from hoop_mitm.errors import ArchiveError

# The limit that the fold keeps to is 4 MiB; an archive from elsewhere must not make us allocate without bound.
_LARGEST_PART = 64 * 2**20

# By the place of the row: else DuckDB reads all bodies there are beside their hashes.
_PARTS = """
    SELECT hash, data
    FROM bodies
    WHERE rowid IN (SELECT rowid FROM bodies WHERE hash IN (SELECT unnest(?::BLOB[])))
    ORDER BY hash, part
"""

# Many values are given as one text, because DuckDB takes long over each.
_PLACES = """
    SELECT hash, rowid, size
    FROM bodies
    WHERE hash IN (SELECT unhex(unnest(string_split(?, ','))))
    ORDER BY hash, part
"""

_AT_PLACES = """
    SELECT rowid, data
    FROM bodies
    WHERE rowid IN (SELECT unnest(string_split(?, ','))::BIGINT) AND rowid BETWEEN ? AND ?
"""

# Bytes of bodies that are held compressed at once, by their size when they are not.
_HELD = 64 * 2**20


def read(database: Database, hash: bytes | None) -> bytes | None:  # noqa: A002
    """The body that ``hash`` addresses, decoded and redacted; ``None`` where there is none."""
    return None if hash is None else read_all(database, [hash]).get(hash)


def read_all(database: Database, hashes: Sequence[bytes]) -> dict[bytes, bytes]:
    """The bodies that ``hashes`` address. At once, because each look-up goes through all of the table's hashes."""
    parts: dict[bytes, list[bytes]] = {}
    for hash, data in database.all(_PARTS, [list(hashes)]) if hashes else ():  # noqa: A001
        parts.setdefault(hash, []).append(decompressed(database, data))
    return {hash: b"".join(pieces) for hash, pieces in parts.items()}  # noqa: A001


def stream(database: Database, hash: bytes) -> Iterator[bytes]:  # noqa: A002
    """The body that ``hash`` addresses, part by part, each looked up when it is asked for."""
    places = [place for _, place, _ in database.all(_PLACES, [hash.hex()])]
    for place in places:
        for _, data in database.all(_AT_PLACES, [str(place), place, place]):
            yield decompressed(database, data)


@dataclass(frozen=True, slots=True)
class Stored:
    """A body as it lies there: ``frames`` are its parts, compressed; none where they are too many to hold at once."""

    hash: bytes
    frames: tuple[bytes, ...]


def portions(database: Database, hashes: Sequence[bytes]) -> Iterator[list[Stored]]:
    """The bodies that ``hashes`` address, so many at a time as can be held."""
    some: list[tuple[bytes, list[int]]] = []
    size = 0
    places = database.all(_PLACES, [",".join(hash.hex() for hash in hashes)]) if hashes else []  # noqa: A001
    for hash, group in itertools.groupby(places, key=lambda place: place[0]):  # noqa: A001
        parts = list(group)
        own = sum(part[2] for part in parts)
        if some and size + own > _HELD:
            yield _stored(database, some)
            some, size = [], 0
        some.append((hash, [part[1] for part in parts] if own <= _HELD else []))
        size += own if own <= _HELD else 0
    if some:
        yield _stored(database, some)


def _stored(database: Database, some: Sequence[tuple[bytes, Sequence[int]]]) -> list[Stored]:
    wanted = [place for _, places in some for place in places]
    data = dict(database.all(_AT_PLACES, [",".join(map(str, wanted)), min(wanted), max(wanted)])) if wanted else {}
    return [Stored(hash, tuple(data[place] for place in places)) for hash, places in some]  # noqa: A001


def decompressed(database: Database, frame: bytes) -> bytes:
    """A part of a body.

    Raises:
        ArchiveError: it is damaged.
    """
    import zstandard

    try:
        return zstandard.ZstdDecompressor().decompress(frame, max_output_size=_LARGEST_PART)
    except zstandard.ZstdError as error:
        raise ArchiveError(f"{database.path} holds a body that is damaged and cannot be decompressed.") from error


def headers(text: str) -> tuple[tuple[str, str], ...]:
    """A JSON list of ``[name, value]``; of what is none, because somebody changed it, the text as it is."""
    try:
        return tuple((str(name), str(value)) for name, value in json.loads(text))
    except (ValueError, TypeError, RecursionError):
        return (("unreadable", str(text)),)


def details(text: str | None) -> dict[str, object]:
    """A JSON object; of what is none, because somebody changed it, the text as it is."""
    if text is None:
        return {}
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {"text": text}
    return value if isinstance(value, dict) else {}
