"""One way to write a value as JSON: keys sorted, no white space, UTF-8 (RFC 8785 without its rules for fractions)."""

from typing import Any

import orjson

_OPTIONS = orjson.OPT_SORT_KEYS | orjson.OPT_NAIVE_UTC | orjson.OPT_UTC_Z


def canonical(value: Any) -> bytes:
    """``value`` (plain JSON types and aware datetimes) as the one encoding it has."""
    return orjson.dumps(value, option=_OPTIONS)


def is_canonical(data: bytes | str) -> bool:
    """Whether ``data`` is what :func:`canonical` would have written, so that it can be read in one way only."""
    try:
        return canonical(orjson.loads(data)) == (data.encode() if isinstance(data, str) else data)
    except (orjson.JSONDecodeError, orjson.JSONEncodeError, UnicodeEncodeError):
        return False
