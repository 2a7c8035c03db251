"""Rows as Arrow tables, with the types that the Storage API gives: so results compare whichever way they came."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hoop_mitm.archive.values import plain
from hoop_mitm.bigquery.rows import Field

if TYPE_CHECKING:
    import pyarrow as pa


def schema(columns: Sequence[Field]) -> "pa.Schema":
    import pyarrow as pa

    return pa.schema([pa.field(column.name, _type(column)) for column in columns])


def table(columns: Sequence[Field], rows: Sequence[Sequence[Any]]) -> "pa.Table":
    """Rows as ``decode_rows`` gives them.

    Raises:
        ValueError or pyarrow.ArrowException: a value does not fit its column.
    """
    import pyarrow as pa

    types = schema(columns)
    arrays = [
        pa.array(
            [_value(column, row[index]) for row in rows] if _needs_work(column) else [row[index] for row in rows], kind
        )
        for index, (column, kind) in enumerate(zip(columns, types.types, strict=True))
    ]
    return pa.Table.from_arrays(arrays, schema=types)


def fit(columns: Sequence[Field], found: "pa.Table") -> tuple[tuple[Field, ...], "pa.Table"]:
    """A table of the Storage API with its columns as ``columns`` name them, as far as they are among those."""
    import pyarrow as pa

    known = {column.name: column for column in columns}
    fitted = tuple(known.get(field.name) or described(field) for field in found.schema)
    arrays = []
    for column, array in zip(fitted, found.columns, strict=True):
        ready = array
        if _needs_work(column) and not pa.types.is_nested(array.type):
            ready = pa.chunked_array([[_value(column, value) for value in array.to_pylist()]], pa.string())
        arrays.append(ready.cast(_type(column)))
    return fitted, pa.Table.from_arrays(arrays, schema=schema(fitted))


def _type(column: Field) -> "pa.DataType":
    import pyarrow as pa

    return pa.list_(pa.field("item", _single(column))) if column.mode == "REPEATED" else _single(column)


def _single(column: Field) -> "pa.DataType":
    import pyarrow as pa

    if column.fields:
        return pa.struct([pa.field(field.name, _type(field)) for field in column.fields])
    if column.type == "RANGE":
        element = _single(Field("", column.element))
        return pa.struct([pa.field("start", element), pa.field("end", element)])
    simple = {
        "INTEGER": pa.int64(),
        "INT64": pa.int64(),
        "FLOAT": pa.float64(),
        "FLOAT64": pa.float64(),
        "NUMERIC": pa.decimal128(38, 9),
        "BIGNUMERIC": pa.decimal256(76, 38),
        "BOOLEAN": pa.bool_(),
        "BOOL": pa.bool_(),
        "BYTES": pa.binary(),
        "DATE": pa.date32(),
        "TIME": pa.time64("us"),
        "DATETIME": pa.timestamp("us"),
        "TIMESTAMP": pa.timestamp("us", tz="UTC"),
    }
    return simple.get(column.type, pa.string())


def described(field: "pa.Field") -> Field:
    """BigQuery's words for an Arrow column of which no schema is known."""
    import pyarrow as pa

    kind, mode = field.type, "NULLABLE"
    if pa.types.is_list(kind):
        kind, mode = kind.value_type, "REPEATED"
    if pa.types.is_struct(kind):
        return Field(field.name, "RECORD", mode, tuple(described(inner) for inner in kind))
    for name in (
        "INTEGER",
        "FLOAT",
        "NUMERIC",
        "BIGNUMERIC",
        "BOOLEAN",
        "BYTES",
        "DATE",
        "TIME",
        "DATETIME",
        "TIMESTAMP",
    ):
        if _single(Field("", name)) == kind:
            return Field(field.name, name, mode)
    return Field(field.name, "STRING", mode)


def _needs_work(column: Field) -> bool:
    return column.type == "JSON" or any(_needs_work(field) for field in column.fields)


def _value(column: Field, value: Any) -> Any:
    """JSON is kept as text, in one spelling whichever way it came."""
    if value is None or not _needs_work(column):
        return value
    if column.mode == "REPEATED":
        single = Field(column.name, column.type, fields=column.fields)
        return [_value(single, each) for each in value]
    if column.fields:
        return {field.name: _value(field, value.get(field.name)) for field in column.fields}
    return json.dumps(plain(value), ensure_ascii=False, sort_keys=True, separators=(",", ":"))
