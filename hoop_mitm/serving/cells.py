"""Values of a result as BigQuery's REST API writes them (``rows[].f[].v``)."""

import base64
import json
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

from hoop_mitm.bigquery.rows import Field
from hoop_mitm.devkit.cells import float_timestamps

type Row = dict[str, Any]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def in_format(rows: Sequence[Row], columns: Sequence[Field], *, integers: bool) -> list[Row]:
    """``rows`` with their timestamps in microseconds (``integers``), or in seconds in floating point."""
    if not any(_has_timestamp(column) for column in columns):
        return list(rows)
    whole = [_converted(row, columns) for row in rows]
    if not integers:
        float_timestamps(whole, [_described(column) for column in columns])
    return whole


def written(columns: Sequence[Field], rows: Sequence[Sequence[Any]]) -> list[Row]:
    """Rows of Python values, as Arrow gives them, with timestamps in microseconds."""
    return [{"f": [{"v": _written(column, value)} for column, value in zip(columns, row, strict=True)]} for row in rows]


def _converted(row: Row, columns: Sequence[Field]) -> Row:
    """A copy with microseconds."""
    return {
        "f": [{"v": _cell(cell.get("v"), column)} for cell, column in zip(row.get("f") or (), columns, strict=False)]
    }


def _cell(value: Any, column: Field) -> Any:
    if column.mode == "REPEATED":
        return [{"v": _single(item.get("v"), column)} for item in value or ()]
    return _single(value, column)


def _single(value: Any, column: Field) -> Any:
    if value is None:
        return None
    if column.fields:
        return _converted(value, column.fields)
    return _microseconds(str(value)) if column.type == "TIMESTAMP" else value


def _microseconds(text: str) -> str:
    if text.lstrip("-").isdecimal():
        return text
    try:
        return str(int((Decimal(text) * 1_000_000).to_integral_value(ROUND_HALF_EVEN)))
    except ArithmeticError:
        return str((datetime.fromisoformat(text.replace(" UTC", "+00:00")) - _EPOCH) // timedelta(microseconds=1))


def _has_timestamp(column: Field) -> bool:
    return column.type == "TIMESTAMP" or any(_has_timestamp(each) for each in column.fields)


def _described(column: Field) -> dict[str, Any]:
    return {"type": column.type, "mode": column.mode, "fields": [_described(each) for each in column.fields]}


def _written(column: Field, value: Any) -> Any:
    if column.mode == "REPEATED":
        return [{"v": _scalar(column, item)} for item in value or ()]
    return None if value is None else _scalar(column, value)


def _scalar(column: Field, value: Any) -> Any:
    if column.fields:
        return {"f": [{"v": _written(each, value.get(each.name))} for each in column.fields]}
    if isinstance(value, dict):  # a RANGE
        bounds = (
            "UNBOUNDED" if value.get(end) is None else _scalar(Field("", column.element), value[end])
            for end in ("start", "end")
        )
        return f"[{', '.join(bounds)})"
    return next((write(value) for kind, write in _WRITERS if isinstance(value, kind)), str(value))


def _datetime(value: datetime) -> str:
    if value.tzinfo is not None:
        return str((value - _EPOCH) // timedelta(microseconds=1))
    return value.isoformat()


def _float(value: float) -> str:
    words = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
    return words.get(repr(value), repr(value))


# The first that fits: a boolean is an integer to Python, and a datetime a date.
_WRITERS: tuple[tuple[type | tuple[type, ...], Callable[[Any], str]], ...] = (
    (bool, lambda value: "true" if value else "false"),
    (float, _float),
    (bytes, lambda value: base64.b64encode(value).decode()),
    (datetime, _datetime),
    ((date, time), lambda value: str(value.isoformat())),
    (Decimal, lambda value: f"{value:f}"),
    ((dict, list), json.dumps),
)
