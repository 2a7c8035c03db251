"""Whatever is changed in an archive, `verify` sees it and says where; and what it cannot see is asserted too.

docs/verify.md lists the latter, with what closes it.
"""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hoop_mitm.archive.verify import Report, verify
from hoop_mitm.errors import ArchiveError
from hoop_mitm.evidence import RecordingKey
from tests.archive.verify.changing import ask, change, other, schema
from tests.archive.verify.recorded import Recorded, record

SCHEMA = schema()
EVIDENCE = ("records", "checkpoints", "removals", "observations", "bodies")
DERIVED = ("sessions", "jobs", "flows", "read_sessions", "events")
#: What tells rows from each other, or where they come from: to change one makes another row of it.
KEYS = {
    "sessions": {"id"},
    "jobs": {"key", "session_id"},
    "flows": {"id", "chain", "seq", "session_id"},
    "read_sessions": {"name"},
    "events": {"id", "chain", "seq"},
}
#: Nothing that was recorded says these, and nobody signs them.
UNSEEN = {("archive", "created_at"), ("archive", "written_by"), ("journals", "folded_at")}
ATTACKER = RecordingKey.of(Ed25519PrivateKey.from_private_bytes(b"a" * 32))

FIRST_FLOW = "(SELECT min(seq) FROM records WHERE kind = 'flow' AND data LIKE '%complete%')"
GATEWAY = "(SELECT chain FROM records WHERE NOT starts_with(chain, 'kept-') LIMIT 1)"


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    return record(tmp_path_factory.mktemp("mutations") / "recordings")


@pytest.fixture
def path(recorded: Recorded, tmp_path: Path) -> Path:
    return recorded.copy(tmp_path)


def check(path: Path, recorded: Recorded, *, heads: bool = False) -> Report:
    return verify(path, keys=[recorded.keys[0]], heads=[recorded.heads] if heads else [])


def broken(path: Path, recorded: Recorded) -> Report:
    report = check(path, recorded)
    assert not report.verified
    assert all(finding.words and finding.place.__class__ for finding in report.findings)
    return report


def told(report: Report) -> set[str]:
    return set(report.found)


def test_unchanged_it_verifies(path, recorded):
    report = check(path, recorded, heads=True)
    assert report.verified, report.findings
    assert report.checked["records"] > 40
    assert {"sessions", "jobs", "flows", "read_sessions", "events", "bodies"} <= {
        name for name, number in report.checked.items() if number
    }
    assert {chain.origin for chain in report.chains} == {"gateway", "archive"}
    removed = {part for chain in report.chains for part in chain.removed}
    assert removed == {"record", "statement", "request_body", "response_body"}


@pytest.mark.parametrize("table", DERIVED)
def test_every_column_of_a_derived_table(path, recorded, table):
    columns = {name: type_ for name, (type_, _) in SCHEMA[table].items() if name not in KEYS[table]}
    edits = ", ".join(f'"{name}" = {other(name, type_)}' for name, type_ in columns.items())
    change(path, f"UPDATE {table} SET {edits} WHERE rowid = (SELECT max(rowid) FROM {table})")
    named = {finding.place.column for finding in broken(path, recorded).findings if finding.place.table == table}
    assert named >= columns.keys()


@pytest.mark.parametrize("table", DERIVED)
def test_every_value_that_is_taken_away(path, recorded, table):
    columns = [name for name, (_, nullable) in SCHEMA[table].items() if nullable and name not in KEYS[table]]
    counts = ", ".join(f'count("{name}")' for name in columns)
    there = [
        name for name, number in zip(columns, ask(path, f"SELECT {counts} FROM {table}")[0], strict=True) if number
    ]
    change(path, *(f'UPDATE {table} SET "{name}" = NULL WHERE "{name}" IS NOT NULL' for name in there))
    named = {finding.place.column for finding in broken(path, recorded).findings if finding.place.table == table}
    assert named >= set(there)


@pytest.mark.parametrize(("table", "column"), [(table, column) for table in DERIVED for column in sorted(KEYS[table])])
def test_every_key(path, recorded, table, column):
    first = f"(SELECT min(rowid) FROM {table})"
    change(path, f"UPDATE {table} SET {column} = {other(column, SCHEMA[table][column][0])} WHERE rowid = {first}")
    assert {finding.place.table for finding in broken(path, recorded).findings} >= {table}


@pytest.mark.parametrize(
    ("table", "column"),
    [(table, column) for table in (*EVIDENCE, "archive", "journals") for column in SCHEMA[table]],
)
def test_every_column_of_the_evidence(path, recorded, table, column):
    where = f"rowid = (SELECT min(rowid) FROM {table} WHERE {_there(column)})"
    change(path, f'UPDATE {table} SET "{column}" = {other(column, SCHEMA[table][column][0])} WHERE {where}')
    if (table, column) in UNSEEN:
        assert check(path, recorded).verified
    elif (table, column) == ("archive", "version"):
        with pytest.raises(ArchiveError, match="version 3"):
            check(path, recorded)
    else:
        broken(path, recorded)


def _there(column: str) -> str:
    return "data IS NOT NULL" if column == "data" else f'"{column}" IS NOT NULL'


@pytest.mark.parametrize("table", [*EVIDENCE, *DERIVED])
def test_a_row_that_is_deleted(path, recorded, table):
    change(path, f"DELETE FROM {table} WHERE rowid = (SELECT min(rowid) FROM {table})")
    broken(path, recorded)


@pytest.mark.parametrize("table", [*EVIDENCE, *DERIVED, "archive"])
def test_a_row_that_is_there_twice(path, recorded, table):
    change(path, f"INSERT INTO {table} FROM {table} WHERE rowid = (SELECT min(rowid) FROM {table})")
    broken(path, recorded)


@pytest.mark.parametrize("table", ["records", *DERIVED])
def test_a_table_that_is_emptied(path, recorded, table):
    change(path, f"DELETE FROM {table}")
    broken(path, recorded)
