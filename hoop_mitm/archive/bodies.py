"""Bodies and headers as the archive stores them."""

import json

from hoop_mitm.archive.database import Database

# The limit that the fold keeps to is 4 MiB; an archive from elsewhere must not make us allocate without bound.
_LARGEST_PART = 64 * 2**20

_PARTS = "SELECT data FROM bodies WHERE hash = ? ORDER BY part"


def read(database: Database, hash: bytes | None) -> bytes | None:  # noqa: A002
    """The body that ``hash`` addresses, decoded and redacted; ``None`` where there is none."""
    if hash is None:
        return None
    import zstandard

    parts = database.all(_PARTS, [hash])
    if not parts:
        return None
    decompressor = zstandard.ZstdDecompressor()
    return b"".join(decompressor.decompress(part, max_output_size=_LARGEST_PART) for (part,) in parts)


def headers(text: str) -> tuple[tuple[str, str], ...]:
    """A JSON list of ``[name, value]``."""
    return tuple((str(name), str(value)) for name, value in json.loads(text))


def details(text: str) -> dict[str, object]:
    """A JSON object."""
    value = json.loads(text)
    return value if isinstance(value, dict) else {}
