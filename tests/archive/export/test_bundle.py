"""One session as a file: everything reads it, it verifies alone, and it tells nothing of others."""

import json

import duckdb
import pytest
from click.testing import CliRunner

from hoop_mitm.archive import open_archive
from hoop_mitm.archive.export import bundle
from hoop_mitm.archive.verify import verify
from hoop_mitm.cli import main
from tests.archive.verify.changing import ask, chain_again, change, other, schema
from tests.archive.verify.conftest import path, recorded
from tests.attacks.test_mutations import ATTACKER, DERIVED, KEYS

__all__ = ["path", "recorded"]

SCHEMA = schema()
NAMES = ["nightly", "other", "killed", "carol", "old-100", "old-200"]


@pytest.fixture
def made(recorded, tmp_path):
    """Make a bundle of the session with a name."""

    def make(name):
        [(session,)] = ask(recorded.path, f"SELECT id FROM sessions WHERE name = '{name}'")
        target = tmp_path / f"{name}.duckdb"
        bundle.write(recorded.path, session, target)
        return target

    return make


@pytest.mark.parametrize("name", NAMES)
def test_it_verifies_alone_and_says_what_it_cannot_prove(made, recorded, name):
    path = made(name)
    report = verify(path, keys=[recorded.keys[0]], heads=[recorded.heads])
    assert report.verified, report.findings
    assert report.bundle == ask(path, "SELECT session_id FROM bundle")[0][0]
    assert "bundle" in {limit.what for limit in report.limits}
    assert all(chain.proven_to == chain.signed_to for chain in report.chains)
    assert sum(chain.withheld for chain in report.chains) > 0
    assert report.checked["sessions"] == 1
    removed = {part for chain in report.chains for part in chain.removed}
    assert bool(removed) == name.startswith("old-")


def test_all_of_the_session_is_in_it_and_nothing_of_others(made, recorded):
    path = made("nightly")
    for table in DERIVED:
        where = (
            "name = 'nightly'"
            if table == "sessions"
            else "session_id = (SELECT id FROM sessions WHERE name = 'nightly')"
        )
        assert ask(path, f"SELECT * FROM {table} ORDER BY ALL") == ask(
            recorded.path, f"SELECT * FROM {table} WHERE {where} ORDER BY ALL"
        )
    data = path.read_bytes()
    with duckdb.connect(path, read_only=True) as connection:
        told = str([connection.execute(f"FROM {table}").fetchall() for table in SCHEMA]).encode()
    for found in (data, told):
        assert b"alice@acme.example" in found or found is data
        assert b"bob@acme.example" not in found
        assert b"job_bob" not in found
        assert b"carol" not in found


def test_the_session_at_the_end_of_a_chain_that_goes_on_is_signed_later(made):
    report = verify(made("carol"))
    assert {chain.signed_to >= chain.last for chain in report.chains} == {True}


@pytest.mark.parametrize(
    "command", [["sessions"], ["show"], ["replay"], ["search", "SELECT"], ["export", "@last", "--format", "har"]]
)
def test_every_command_reads_it(made, command):
    result = CliRunner(env={"HOOP_DB": str(made("nightly"))}).invoke(main, command)
    assert result.exit_code == 0, result.output
    assert "SELECT" in result.stdout or "nightly" in result.stdout


def test_the_command_writes_one_that_the_command_checks(recorded, tmp_path):
    target = tmp_path / "one.duckdb"
    written = CliRunner().invoke(main, ["export", "nightly", "--bundle", "-o", str(target), "--db", str(recorded.path)])
    assert written.exit_code == 0, written.output
    checked = CliRunner().invoke(main, ["verify", str(target), "--key", recorded.keys[0], "--json"])
    assert checked.exit_code == 0, checked.output
    assert json.loads(checked.stdout)["verified"]
    with open_archive(target) as archive:
        assert [session.name for session in archive.sessions()] == ["nightly"]


@pytest.mark.parametrize("table", DERIVED)
def test_every_column_of_a_row_that_is_edited(made, table):
    path = made("nightly")
    columns = {name: type_ for name, (type_, _) in SCHEMA[table].items() if name not in KEYS[table]}
    edits = ", ".join(f'"{name}" = {other(name, type_)}' for name, type_ in columns.items())
    change(path, f"UPDATE {table} SET {edits} WHERE rowid = (SELECT max(rowid) FROM {table})")
    named = {finding.place.column for finding in verify(path).findings if finding.place.table == table}
    assert named >= columns.keys()


#: A record of another session, between those of this one and the signature behind them.
WITHHELD = """(
    SELECT max(seq) FROM records
    WHERE data IS NULL AND seq < (SELECT max(seq) FROM checkpoints) AND seq NOT IN (SELECT seq FROM checkpoints)
        AND NOT EXISTS (
            FROM checkpoints AS c
            WHERE c.seq < records.seq AND c.seq >= (
                SELECT max(mine.seq) FROM records AS mine WHERE mine.data IS NOT NULL AND mine.seq < records.seq
            )
        )
)"""
FIRST = "(SELECT min(seq) FROM records WHERE kind = 'flow' AND data IS NOT NULL)"


@pytest.mark.parametrize(
    ("statements", "what"),
    [
        # Another session is named, or added.
        (["UPDATE bundle SET session_id = 'x'"], "bundle.sessions"),
        (["DELETE FROM bundle"], "bundle.sessions"),
        (["INSERT INTO sessions SELECT * REPLACE ('x' AS id) FROM sessions"], "bundle.sessions"),
        # A record is edited, or what connects it to a signature is cut.
        ([f"UPDATE records SET data = replace(data, 'POST', 'PUTS') WHERE seq = {FIRST}"], "record.changed"),
        ([f"UPDATE records SET statement = '{{}}' WHERE seq = {FIRST}"], "part.changed"),
        ([f"DELETE FROM records WHERE seq = {WITHHELD}"], "record.unsigned"),
        (["UPDATE records SET digest = from_hex(sha256('x')) WHERE data IS NULL"], "chain.broken"),
        (["DELETE FROM checkpoints"], "chain.unsigned"),
        # What it is an archive of, is not said any more.
        (["DROP TABLE bundle"], "record.missing"),
    ],
)
def test_what_is_forged_is_caught(made, statements, what):
    path = made("nightly")
    change(path, *statements)
    assert what in verify(path).found


def test_made_anew_under_another_key_it_is_consistent_and_the_key_tells(made, recorded):
    path = made("nightly")
    change(
        path, "DELETE FROM records WHERE data IS NULL", "UPDATE checkpoints SET seq = (SELECT max(seq) FROM records)"
    )
    chain_again(path, key=ATTACKER)
    assert "key.foreign" in verify(path, keys=[recorded.keys[0]]).found


def test_that_a_record_of_the_session_was_withheld_it_cannot_show(made):
    """The page says so, and so does the report: the whole archive shows it."""
    path = made("other")
    withheld = f"UPDATE records SET {{}} WHERE seq = {FIRST} AND kind = 'flow'"
    nothing = "data = NULL, who = NULL, who_salt = NULL, statement = NULL, statement_salt = NULL, exchange = NULL, exchange_salt = NULL"
    change(
        path,
        f"CREATE TABLE x AS SELECT {FIRST} AS s",
        "CREATE TABLE y AS SELECT request_body AS hash, job_key FROM flows, x WHERE flows.seq = s "
        "UNION SELECT response_body, job_key FROM flows, x WHERE flows.seq = s",
        "DELETE FROM flows USING x WHERE flows.seq = s",
        "DELETE FROM jobs WHERE key IN (SELECT job_key FROM y)",
        "DELETE FROM bodies WHERE hash IN (SELECT hash FROM y)",
        withheld.format(nothing),
        "DROP TABLE x",
        "DROP TABLE y",
    )
    report = verify(path)
    assert report.verified, report.findings
    [words] = [limit.words for limit in report.limits if limit.what == "bundle"]
    assert "cannot show that no record of that session was left out" in words
