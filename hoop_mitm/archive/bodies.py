"""Bodies and headers as the archive stores them."""

import json
from collections.abc import Sequence

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


def read(database: Database, hash: bytes | None) -> bytes | None:  # noqa: A002
    """The body that ``hash`` addresses, decoded and redacted; ``None`` where there is none."""
    return None if hash is None else read_all(database, [hash]).get(hash)


def read_all(database: Database, hashes: Sequence[bytes]) -> dict[bytes, bytes]:
    """The bodies that ``hashes`` address. At once, because each look-up goes through all of the table's hashes."""
    import zstandard

    decompressor = zstandard.ZstdDecompressor()
    parts: dict[bytes, list[bytes]] = {}
    for hash, data in database.all(_PARTS, [list(hashes)]) if hashes else ():  # noqa: A001
        try:
            parts.setdefault(hash, []).append(decompressor.decompress(data, max_output_size=_LARGEST_PART))
        except zstandard.ZstdError as error:
            raise ArchiveError(f"{database.path} holds a body that is damaged and cannot be decompressed.") from error
    return {hash: b"".join(pieces) for hash, pieces in parts.items()}  # noqa: A001


def headers(text: str) -> tuple[tuple[str, str], ...]:
    """A JSON list of ``[name, value]``."""
    return tuple((str(name), str(value)) for name, value in json.loads(text))


def details(text: str) -> dict[str, object]:
    """A JSON object."""
    value = json.loads(text)
    return value if isinstance(value, dict) else {}
