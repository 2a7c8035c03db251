"""BigQuery's JSON rows (``rows[].f[].v``) as Python values."""

import base64
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final

type Schema = str | bytes | Mapping[str, Any] | Sequence[Mapping[str, Any]]
type Decode = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Field:
    """One column. ``element`` is the type inside a ``RANGE``."""

    name: str
    type: str = "STRING"
    mode: str = "NULLABLE"
    fields: tuple["Field", ...] = ()
    element: str = "DATE"


def schema_fields(schema: Schema | None) -> tuple[Field, ...]:
    """The columns of a schema: ``{"fields": […]}``, the list alone, or either as JSON text."""
    if isinstance(schema, str | bytes):
        schema = json.loads(schema)
    if isinstance(schema, Mapping):
        schema = schema.get("fields")
    listed: Sequence[Any] = schema or ()
    return tuple(_field(each) for each in listed)


def _field(given: Mapping[str, Any]) -> Field:
    return Field(
        name=given.get("name", ""),
        type=str(given.get("type") or "STRING").upper(),
        mode=str(given.get("mode") or "NULLABLE").upper(),
        fields=schema_fields(given.get("fields")),
        element=str((given.get("rangeElementType") or {}).get("type") or "DATE").upper(),
    )


def decode_rows(schema: Schema | Sequence[Field], rows: Iterable[Mapping[str, Any]]) -> list[tuple[Any, ...]]:
    """Rows as tuples in the order of the schema; a column that a row does not have is ``None``.

    INTEGER → int, NUMERIC and BIGNUMERIC → Decimal, TIMESTAMP → aware datetime (from microseconds, seconds or text),
    RECORD → dict, REPEATED → list, BYTES → bytes, JSON → what it holds, RANGE → dict of ``start`` and ``end``;
    GEOGRAPHY, INTERVAL and types that are not known stay text.
    """
    columns = [each if isinstance(each, Field) else _field(each) for each in _listed(schema)]
    decoders = [_decoder(column) for column in columns]
    return [_row(decoders, row) for row in rows]


def _listed(schema: Schema | Sequence[Field]) -> Sequence[Any]:
    return schema_fields(schema) if isinstance(schema, str | bytes | Mapping) else schema


def _row(decoders: list[Decode], row: Mapping[str, Any]) -> tuple[Any, ...]:
    cells = row.get("f") or ()
    values = [decode(cell.get("v")) for decode, cell in zip(decoders, cells, strict=False)]
    return tuple(values) if len(values) == len(decoders) else (*values, *[None] * (len(decoders) - len(values)))


def _decoder(column: Field) -> Decode:
    single = _record(column.fields) if column.fields else _SCALARS.get(column.type, _same)
    if column.type == "RANGE":
        single = _range(_SCALARS.get(column.element, _same))

    def one(value: Any) -> Any:
        return None if value is None else single(value)

    def many(value: Any) -> list[Any]:
        return [one(cell.get("v")) for cell in value or ()]

    return many if column.mode == "REPEATED" else one


def _record(columns: tuple[Field, ...]) -> Decode:
    names = [column.name for column in columns]
    decoders = [_decoder(column) for column in columns]
    return lambda value: dict(zip(names, _row(decoders, value), strict=True))


_RANGE = re.compile(r"\[\s*(.*?)\s*,\s*(.*?)\s*\)", re.DOTALL)
_OPEN: Final = frozenset({"UNBOUNDED", "NULL"})


def _range(element: Decode) -> Decode:
    def decode(value: str) -> Any:
        bounds = _RANGE.fullmatch(value)
        if bounds is None:
            return value
        start, end = (None if bound.upper() in _OPEN else element(bound) for bound in bounds.groups())
        return {"start": start, "end": end}

    return decode


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECONDS = re.compile(r"-?\d+")
_SECONDS = re.compile(r"-?[\d.]+(?:[eE][+-]?\d+)?")


def _timestamp(value: Any) -> datetime | str:
    """With ``useInt64Timestamp`` whole microseconds, otherwise seconds that always have a point or an exponent."""
    text = str(value)
    try:
        if _MICROSECONDS.fullmatch(text):
            return _EPOCH + timedelta(microseconds=int(text))
        if _SECONDS.fullmatch(text):
            return _EPOCH + timedelta(microseconds=int((Decimal(text) * 1_000_000).to_integral_value()))
        return datetime.fromisoformat(text.replace(" UTC", "+00:00")).astimezone(UTC)
    except (ValueError, OverflowError):
        return text


def _boolean(value: Any) -> bool:
    return str(value).lower() == "true"


def _json(value: Any) -> Any:
    try:
        return json.loads(value)
    except (ValueError, TypeError):
        return value


def _same(value: Any) -> Any:
    return value


_SCALARS: Final[Mapping[str, Decode]] = {
    "INTEGER": int,
    "INT64": int,
    "FLOAT": float,
    "FLOAT64": float,
    "NUMERIC": Decimal,
    "BIGNUMERIC": Decimal,
    "BOOLEAN": _boolean,
    "BOOL": _boolean,
    "BYTES": base64.b64decode,
    "DATE": date.fromisoformat,
    "TIME": time.fromisoformat,
    "DATETIME": datetime.fromisoformat,
    "TIMESTAMP": _timestamp,
    "JSON": _json,
}
