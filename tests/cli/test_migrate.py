"""`hoop-mitm migrate`, on an archive that an older version made."""

import json
import tarfile
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from hoop_mitm.cli import main
from hoop_mitm.recording.layout import Hold, Layout

DATA = Path(__file__).parents[1] / "recording" / "data" / "version-1-folded.tar.gz"


@pytest.fixture
def old(tmp_path: Path) -> Path:
    with tarfile.open(DATA) as packed:
        packed.extractall(tmp_path, filter="data")
    return tmp_path / "hoop.duckdb"


def run(*arguments: object, expect: int = 0) -> Result:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == expect, result.output
    return result


def test_a_reader_names_the_command_and_can_read_afterwards(old: Path) -> None:
    alone = old.rename(old.parent / "evidence.duckdb")
    assert f"hoop-mitm migrate {alone}" in run("sessions", "--db", alone, expect=3).output
    said = run("migrate", alone).stdout
    assert "has version 4 now" in said
    assert "evidence.duckdb.v1-backup" in said
    assert json.loads(run("sessions", "--db", alone, "--json").stdout)
    assert "has version 4 already" in run("migrate", alone).stdout


def test_for_programs(old: Path) -> None:
    answer = json.loads(run("migrate", old, "--json").stdout)
    assert answer == {"path": str(old), "version": 4, "old_version": 1, "backup": f"{old}.v1-backup"}
    assert json.loads(run("migrate", old, "--json").stdout)["backup"] is None


def test_what_cannot_be_migrated_is_an_error_in_words(old: Path, tmp_path: Path) -> None:
    hold = Hold(Layout(tmp_path).fold_lock)
    assert hold.take()
    assert "stop one of an older version first" in run("migrate", old, expect=3).output
    hold.release()
    (tmp_path / "notes.txt").write_text("no archive")
    assert "damaged" in run("migrate", tmp_path / "notes.txt", expect=3).output
    run("migrate", tmp_path / "nothing.duckdb", expect=2)
