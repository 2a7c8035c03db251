"""Columns of two results, and of the records in them."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from hoop_mitm.archive.comparing.found import ColumnChange, SchemaDiff
from hoop_mitm.bigquery.rows import Field

type Fields = Sequence[Field]

_NAMES = {
    "INT64": "INTEGER",
    "FLOAT64": "FLOAT",
    "BOOL": "BOOLEAN",
    "STRUCT": "RECORD",
    "DECIMAL": "NUMERIC",
    "BIGDECIMAL": "BIGNUMERIC",
}


def compare(before: Fields, after: Fields) -> SchemaDiff:
    """What differs: by name, in any case; modes other than REPEATED say nothing of the rows and are compared too."""
    changes = tuple(_changes(before, after, ""))
    old, new = ([column.name.lower() for column in columns] for columns in (before, after))
    in_both = set(old) & set(new)
    reordered = [name for name in old if name in in_both] != [name for name in new if name in in_both]
    return SchemaDiff(changes, reordered)


def _changes(before: Fields, after: Fields, path: str) -> Iterator[ColumnChange]:
    old = {column.name.lower(): column for column in before}
    new = {column.name.lower(): column for column in after}
    for name, column in old.items():
        other = new.get(name)
        if other is None:
            yield ColumnChange(path + column.name, column, None)
        elif _kind(column) != _kind(other) or column.name != other.name:
            yield ColumnChange(path + column.name, column, other)
        else:
            yield from _changes(column.fields, other.fields, f"{path}{column.name}.")
    for name, column in new.items():
        if name not in old:
            yield ColumnChange(path + column.name, None, column)


def _kind(column: Field) -> tuple[str, str, str]:
    kind = standard(column.type)
    return kind, column.mode or "NULLABLE", column.element if kind == "RANGE" else ""


def standard(kind: str) -> str:
    """One name for each type, of the two that BigQuery has for some."""
    return _NAMES.get(kind.upper(), kind.upper())


def common(before: Fields, after: Fields) -> tuple[Field, ...]:
    """The columns, and inside of records the fields, whose values can be compared: in both, and of one type."""
    new = {column.name.lower(): column for column in after}
    return tuple(_common(before, new))


def _common(before: Fields, new: dict[str, Field]) -> Iterator[Field]:
    for column in before:
        other = new.get(column.name.lower())
        if other is None or not _comparable(column, other):
            continue
        inner = common(column.fields, other.fields)
        if inner or not column.fields:
            yield replace(column, fields=inner)


def _comparable(column: Field, other: Field) -> bool:
    same_type = (standard(column.type), column.element) == (standard(other.type), other.element)
    repeated = (column.mode == "REPEATED") == (other.mode == "REPEATED")
    return same_type and repeated and bool(column.fields) == bool(other.fields)


def without(columns: Fields, names: Sequence[str]) -> tuple[tuple[Field, ...], tuple[str, ...]]:
    """``columns`` without those that ``names`` name (dotted inside of records, in any case), and which of the names did."""
    wanted = {name.lower(): name for name in names}
    found: list[str] = []

    def kept(each: Fields, path: str) -> Iterator[Field]:
        for column in each:
            name = f"{path}{column.name}".lower()
            if name in wanted:
                found.append(f"{path}{column.name}")
                continue
            inner = tuple(kept(column.fields, f"{path}{column.name}."))
            if inner or not column.fields:
                yield replace(column, fields=inner)

    return tuple(kept(columns, "")), tuple(found)


def find(columns: Fields, name: str) -> tuple[Field, ...] | None:
    """The columns that lead to the one with a dotted name; ``None`` where there is none, or it is in a repeated one."""
    first, _, rest = name.lower().partition(".")
    for column in columns:
        if column.name.lower() == first:
            if column.mode == "REPEATED":
                return None
            if not rest:
                return (column,)
            inner = find(column.fields, rest)
            return None if inner is None else (column, *inner)
    return None
