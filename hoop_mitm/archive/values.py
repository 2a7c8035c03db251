"""Values of a result as JSON can hold them, without losing anything."""

import base64
import datetime as dt
import math
from decimal import Decimal


def plain(value: object) -> object:
    """``value`` as plain JSON.

    INT64 stays a number; NUMERIC and BIGNUMERIC become strings, since most JSON readers make floats of numbers; NaN
    and infinities become BigQuery's words for them; BYTES base64; times ISO-8601, a TIMESTAMP in UTC with ``Z``.
    """
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else _unusual(value)
        case Decimal():
            return _decimal(value)
        case dt.datetime():
            return instant(value) if value.tzinfo else value.isoformat()
        case dt.date() | dt.time():
            return value.isoformat()
        case bytes() | bytearray() | memoryview():
            return base64.b64encode(value).decode()
        case dict():
            return {str(name): plain(inner) for name, inner in value.items()}
        case list() | tuple():
            return [plain(inner) for inner in value]
    return str(value)


def instant(at: dt.datetime) -> str:
    """An aware time as ISO-8601 in UTC, always with microseconds, so that the texts sort as the times do."""
    return at.astimezone(dt.UTC).isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"


def _decimal(value: Decimal) -> str:
    """As BigQuery writes it: without the zeros that only fill the scale of the type."""
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _unusual(value: float) -> str:
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
