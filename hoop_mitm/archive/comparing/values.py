"""Columns of a result as they are compared: one value has one spelling, whichever way it came.

JSON is text with its names sorted and ``1.0`` as ``1``; BIGNUMERIC, which DuckDB does not have, is text without zeros
that say nothing; a missing REPEATED is an empty one; everything else has its Arrow type.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from hoop_mitm.archive import arrow
from hoop_mitm.archive.comparing.schemas import standard
from hoop_mitm.archive.values import plain
from hoop_mitm.bigquery.rows import Field, decode_rows

if TYPE_CHECKING:
    import pyarrow as pa

_LARGEST_WHOLE = 2**53
# Types that Arrow reads from text by itself, in BigQuery's spelling.
_READ_BY_ARROW = frozenset({"INTEGER", "FLOAT", "NUMERIC", "BOOLEAN", "DATE", "DATETIME"})
_KEPT_AS_TEXT = frozenset({"STRING", "GEOGRAPHY"})
_SECONDS_DIGITS = 20


def types(columns: Sequence[Field]) -> "list[pa.DataType]":
    """The Arrow types that these columns have here."""
    return list(arrow.schema([_stored(column) for column in columns]).types)


def _stored(column: Field) -> Field:
    kind = "STRING" if column.type in ("JSON", "BIGNUMERIC", "BIGDECIMAL") else column.type
    return replace(column, type=kind, fields=tuple(_stored(field) for field in column.fields))


def of_cells(column: Field, cells: Sequence[Any]) -> "pa.Array":
    """A column of REST rows: what stands in the ``v`` of its cells.

    Raises:
        ValueError, TypeError, AttributeError, ArithmeticError or pyarrow.ArrowException: a value does not fit.
    """
    import pyarrow as pa

    kind = standard(column.type)
    if column.mode != "REPEATED" and not column.fields and kind in _READ_BY_ARROW | _KEPT_AS_TEXT | {"TIMESTAMP"}:
        try:
            return _read(kind, pa.array(cells, pa.string()), types([column])[0])
        except pa.ArrowException:
            # An unusual spelling: Python's reader knows more of them.
            pass
    decoded = decode_rows([column], [{"f": [{"v": cell}]} for cell in cells])
    return pa.array([_canonical(column, row[0], text=False) for row in decoded], types([column])[0])


def _read(kind: str, texts: "pa.Array", to: "pa.DataType") -> "pa.Array":
    import pyarrow.compute as pc

    if kind != "TIMESTAMP":
        return texts if kind in _KEPT_AS_TEXT else pc.cast(texts, to)
    return _timestamps(texts).cast(to)


def _timestamps(texts: "pa.Array") -> "pa.Array":
    """Whole microseconds, or seconds with a point or an exponent, as microseconds."""
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        return pc.cast(texts, pa.int64())
    except pa.ArrowException:
        seconds = pc.cast(texts, pa.decimal128(_SECONDS_DIGITS, 6))
        million = pa.scalar(Decimal(1_000_000), pa.decimal128(7, 0))
        return pc.cast(pc.multiply(seconds, million), pa.int64())


def of_arrow(column: Field, array: "pa.Array") -> "pa.Array":
    """A column of the Storage API.

    Raises:
        as ``of_cells``.
    """
    import pyarrow as pa

    kind = types([column])[0]
    if array.type == kind and not _needs_work(column):
        return array
    if not _needs_work(column) and not pa.types.is_interval(array.type):
        return array.cast(kind)
    return pa.array([_canonical(column, value, text=True) for value in array.to_pylist()], kind)


def _needs_work(column: Field) -> bool:
    """Whether a value may have more than one spelling, or a NULL that means an empty list."""
    if column.mode == "REPEATED" or column.type in ("JSON", "BIGNUMERIC", "BIGDECIMAL"):
        return True
    return any(_needs_work(field) for field in column.fields)


def _canonical(column: Field, value: Any, *, text: bool) -> Any:
    """``text``: JSON comes as text, not as what it holds."""
    if column.mode == "REPEATED":
        single = replace(column, mode="NULLABLE")
        return [_canonical(single, each, text=text) for each in value or ()]
    if value is None:
        return None
    if column.fields:
        return {field.name: _canonical(field, value.get(field.name), text=text) for field in column.fields}
    match standard(column.type):
        case "JSON":
            return json.dumps(
                _number(plain(json.loads(value) if text else value)),
                ensure_ascii=False,
                sort_keys=True,
                separators=(",", ":"),
            )
        case "BIGNUMERIC":
            return plain(value if isinstance(value, Decimal) else Decimal(str(value)))
        case "INTERVAL" if not isinstance(value, str):
            return _interval(value)
    return value


def _number(value: Any) -> Any:
    """What JSON holds with one spelling for each number."""
    match value:
        case float() if value.is_integer() and abs(value) <= _LARGEST_WHOLE:
            return int(value)
        case dict():
            return {name: _number(inner) for name, inner in value.items()}
        case list():
            return [_number(inner) for inner in value]
    return value


def _interval(value: Any) -> str:
    """As BigQuery writes one: ``1-2 3 4:5:6.7``."""
    months, days, nanoseconds = value
    years, months = divmod(abs(months), 12)
    sign = "-" if value[0] < 0 else ""
    seconds, rest = divmod(abs(nanoseconds), 10**9)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    fraction = f".{rest:09}".rstrip("0") if rest else ""
    return f"{sign}{years}-{months} {days} {'-' if nanoseconds < 0 else ''}{hours}:{minutes}:{seconds}{fraction}"
