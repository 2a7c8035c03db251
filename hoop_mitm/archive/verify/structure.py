"""Is the file built as an archive is built? A table that is a view, or a view that leaves rows out, deceives every reader."""

import functools
import re
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import duckdb

from hoop_mitm.archive.verify.definitions import mean_the_same
from hoop_mitm.archive.verify.file import File
from hoop_mitm.archive.verify.report import Findings, Place, shortened

_TABLES = "SELECT table_name, sql, comment FROM duckdb_tables() WHERE database_name = 'file' AND schema_name = 'main'"
_VIEWS = "SELECT view_name, sql, comment FROM duckdb_views() WHERE database_name = 'file' AND schema_name = 'main'"
_MACROS = """
    SELECT function_name, function_type || ' ' || parameters::VARCHAR || ' ' || coalesce(macro_definition, ''), comment
    FROM duckdb_functions() WHERE database_name = 'file' AND schema_name = 'main'
"""
_COLUMNS = """
    SELECT table_name, column_name, data_type, is_nullable, column_default, comment
    FROM duckdb_columns() WHERE database_name = 'file' AND schema_name = 'main'
"""
#: Whatever else can be in a DuckDB file, and no archive has.
_OTHERS = """
    SELECT 'schema', schema_name FROM duckdb_schemas() WHERE database_name = 'file' AND schema_name <> 'main'
    UNION ALL
    SELECT 'table', schema_name || '.' || table_name FROM duckdb_tables()
    WHERE database_name = 'file' AND schema_name <> 'main'
    UNION ALL
    SELECT 'view', schema_name || '.' || view_name FROM duckdb_views()
    WHERE database_name = 'file' AND schema_name <> 'main'
    UNION ALL
    SELECT 'index', index_name FROM duckdb_indexes() WHERE database_name = 'file'
    UNION ALL
    SELECT 'sequence', sequence_name FROM duckdb_sequences() WHERE database_name = 'file'
    UNION ALL
    SELECT 'type', type_name FROM duckdb_types() WHERE database_name = 'file' AND NOT internal
"""
_PRICE = "usd_per_tib"
_A_PRICE = re.compile(r"macro \[\] [0-9]+(\.[0-9]+)?")


@dataclass(frozen=True, slots=True)
class Structure:
    """What the file has of an archive.

    Attributes:
        tables: the tables that can be read: there, and shaped as they must be.
        bundle: whether the file is of one session.
        notes: what is unusual and allowed.
    """

    tables: frozenset[str]
    bundle: bool
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Thing:
    definition: str
    comment: str | None


@dataclass(frozen=True, slots=True)
class _Catalogue:
    tables: Mapping[str, _Thing]
    views: Mapping[str, _Thing]
    macros: Mapping[str, _Thing]
    columns: Mapping[tuple[str, str], tuple[object, ...]]
    others: tuple[tuple[str, str], ...]


def examine(file: File, findings: Findings) -> Structure:
    """Compare the file's catalogue with that of an archive as this program makes it."""
    found = _catalogue(file)
    bundle = "bundle" in found.tables
    expected = _reference(bundle=bundle)
    notes: list[str] = []
    for kind, name in found.others:
        findings.add(
            "structure.extra", f"There is a {kind} {shortened(name)!r}, which no archive has.", Place(table=name)
        )
    usable = {name for name in found.tables if _table_is_sound(name, found, expected, findings)}
    for name in expected.tables.keys() - found.tables.keys():
        what = "a view" if name in found.views else "missing"
        findings.add("structure.table", f"The table {name} is {what}.", Place(table=name))
    for name in sorted(expected.views.keys() | (found.views.keys() - expected.tables.keys())):
        _compare_view("view", name, found.views.get(name), expected.views.get(name), findings)
    for name in sorted(expected.macros.keys() | found.macros.keys()):
        macro = found.macros.get(name)
        if name == _PRICE and macro and _A_PRICE.fullmatch(macro.definition):
            if macro.definition != expected.macros[name].definition:
                price = macro.definition.rpartition(" ")[2]
                notes.append(f"{_PRICE}() is {price} in this file: cost_by_day counts with that price.")
            continue
        _compare_view("macro", name, macro, expected.macros.get(name), findings)
    return Structure(frozenset(usable), bundle, tuple(notes))


def _table_is_sound(name: str, found: _Catalogue, expected: _Catalogue, findings: Findings) -> bool:
    place = Place(table=name)
    wanted = expected.tables.get(name)
    if wanted is None:
        findings.add("structure.extra", f"There is a table {shortened(name)!r}, which no archive has.", place)
        return False
    if found.tables[name].comment != wanted.comment:
        findings.add("structure.comment", f"The comment on the table {name} is another one than an archive's.", place)
    sound = True
    for column in sorted({key for key in (*found.columns, *expected.columns) if key[0] == name}):
        there, must = found.columns.get(column), expected.columns.get(column)
        if there is None or must is None or there[:-1] != must[:-1]:
            what = "missing" if there is None else "none of an archive's" if must is None else f"of type {there[0]}"
            words = f"The column {shortened(column[1])!r} of {name} is {what}."
            findings.add("structure.column", words, Place(table=name, column=column[1]))
            sound = False
        elif there[-1] != must[-1]:
            words = f"The comment on the column {name}.{column[1]} is another one than an archive's."
            findings.add("structure.comment", words, Place(table=name, column=column[1]))
    # Collations, generated columns, constraints: all that stands in a definition. Their order may come of a migration.
    if sound and _elements(found.tables[name].definition) != _elements(wanted.definition):
        words = f"The table {name} is defined in another way than an archive's: {shortened(found.tables[name].definition, 300)}"
        findings.add("structure.table", words, place)
        sound = False
    return sound


def _elements(definition: str) -> list[str]:
    return sorted(definition.partition("(")[2].removesuffix(");").split(", "))


def _compare_view(kind: str, name: str, found: _Thing | None, expected: _Thing | None, findings: Findings) -> None:
    place = Place(table=name)
    if expected is None:
        findings.add("structure.extra", f"There is a {kind} {shortened(name)!r}, which no archive has.", place)
    elif found is None:
        findings.add(f"structure.{kind}", f"The {kind} {name} is missing.", place)
    elif not mean_the_same(found.definition, expected.definition):
        words = f"The {kind} {name} is not the archive's own: it may show something else than the tables hold."
        findings.add(f"structure.{kind}", words, place)
    elif found.comment != expected.comment:
        findings.add("structure.comment", f"The comment on the {kind} {name} is another one than an archive's.", place)


def _catalogue(file: File) -> _Catalogue:
    def things(question: str) -> Iterator[tuple[str, _Thing]]:
        for name, definition, comment in file.rows(question):
            yield name, _Thing(definition or "", comment)

    return _Catalogue(
        dict(things(_TABLES)),
        dict(things(_VIEWS)),
        dict(things(_MACROS)),
        {(row[0], row[1]): row[2:] for row in file.rows(_COLUMNS)},
        tuple((row[0], row[1]) for row in file.rows(_OTHERS)),
    )


@functools.cache
def _reference(*, bundle: bool) -> _Catalogue:
    # Through a file: definitions that were never written read a little differently.
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "reference.duckdb"
        with duckdb.connect(path) as connection:
            connection.begin()
            connection.execute(resources.files("hoop_mitm.recording").joinpath("schema.sql").read_text())
            if bundle:
                connection.execute(resources.files("hoop_mitm.archive.export").joinpath("bundle.sql").read_text())
            connection.commit()
        with File(path) as file:
            return _catalogue(file)
