"""What is beside an archive, or in its way, when something of it is to go: an older version, damage, a link, a log set aside."""

import os
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from ruamel.yaml import YAML

from hoop_mitm.cli import main
from hoop_mitm.errors import RecordingError
from hoop_mitm.recording.archive_file import ArchiveDamagedError, ArchiveIsOlderError
from hoop_mitm.recording.fold import fold_once
from hoop_mitm.recording.layout import Layout
from hoop_mitm.recording.retention import apply, erase, look, remove_copies, trace
from hoop_mitm.recording.retention.maintaining import fold_what_can_be, maintained
from hoop_mitm.recording.retention.places import old_copies
from tests.recording.building import ask
from tests.recording.damaging import flip, leave_log
from tests.recording.folding import keys
from tests.recording.retention.recorded import ISSUER, Recorded, cutoff, cutoffs
from tests.recording.retention.searching import finds

OLDER = Path(__file__).parents[1] / "data"
KEPT = cutoffs(cutoff(bodies=30))
ALICE = "alice@acme.example"
LOOKING = {
    "apply --dry-run": ("apply", "--dry-run"),
    "show": ("show",),
    "erase --dry-run": ("erase", "--principal", ALICE, "--dry-run"),
}


@pytest.fixture
def recorded(tmp_path: Path) -> Recorded:
    """Something of Alice's that is due, and something of Bob's that is not."""
    made = Recorded(tmp_path / "recordings")
    made.job("alice", age=50)
    made.job("bob", age=10)
    return made.fold()


def unpacked(directory: Path, version: int, name: str) -> Path:
    with tarfile.open(OLDER / f"version-{version}-{name}.tar.gz") as packed:
        packed.extractall(directory, filter="data")
    return directory


def files(directory: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in directory.rglob("*") if path.is_file() and path.suffix != ".sqlite-shm"}


def run(directory: Path, *arguments: str, expect: int) -> str:
    """What a retention command prints that is run on a recordings directory."""
    config = directory.parent / "hoop.yaml"
    document = {
        "gateway": {"state": "state"},
        "recording": {"directory": str(directory)},
        "identity": {"issuers": [{"issuer": ISSUER, "audiences": ["hoop"]}]},
        "connections": [
            {"name": "acme", "projects": ["acme"], "credential": {"type": "adc"}, "keep": {"bodies": "30d"}}
        ],
    }
    with config.open("w") as file:
        YAML().dump(document, file)
    done = CliRunner(env={"COLUMNS": "200"}).invoke(main, ["retention", *arguments, "--config", str(config)])
    assert done.exit_code == expect, done.output
    return done.output


def damage_log(archive: Path) -> None:
    log = leave_log(archive)
    flip(log, log.stat().st_size // 2)


def damage_blocks(archive: Path) -> None:
    # All but the headers: it opens, and whatever is read of it is broken.
    for at in range(12288 + 5000, archive.stat().st_size, 262144):
        flip(archive, at)


DAMAGE: dict[str, Callable[[Path], None]] = {
    "cut": lambda archive: os.truncate(archive, archive.stat().st_size // 2),
    "a flipped byte in its head": lambda archive: flip(archive, 100),
    "its log": damage_log,
    "its blocks": damage_blocks,
}


@pytest.mark.parametrize("command", LOOKING)
@pytest.mark.parametrize(("version", "name"), [(1, "folded"), (2, "reviewed"), (3, "joined")])
def test_what_only_looks_leaves_an_older_archive_as_it_is(
    tmp_path: Path, command: str, version: int, name: str
) -> None:
    directory = unpacked(tmp_path / "recordings", version, name)
    before = files(directory)

    said = run(directory, *LOOKING[command], expect=3)

    assert f"has version {version} of the archive's format" in said
    assert f"`hoop-mitm migrate {directory / 'hoop.duckdb'}`" in said
    assert files(directory) == before


@pytest.mark.parametrize("command", LOOKING)
@pytest.mark.parametrize("how", DAMAGE)
def test_what_only_looks_leaves_a_damaged_archive_as_it_is(recorded: Recorded, command: str, how: str) -> None:
    # All its locks are there, and name this process.
    look(recorded.layout, KEPT)
    DAMAGE[how](recorded.archive)
    before = files(recorded.directory)

    said = run(recorded.directory, *LOOKING[command], expect=3)

    assert "is damaged (" in said
    assert "say `hoop-mitm sessions` while none runs" in said
    assert files(recorded.directory) == before


def test_what_only_looks_folds_what_is_there(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path / "recordings")
    recorded.job("alice", age=50)
    recorded.fold()
    recorded = Recorded(tmp_path / "recordings")
    recorded.job("bob", age=50)
    recorded.gateway.die()
    look(recorded.layout, KEPT)
    assert ask(recorded.directory, "SELECT count(*) FROM sessions") == [(2,)]


def test_a_fold_that_does_not_mend_says_what_does(recorded: Recorded, tmp_path: Path) -> None:
    older = unpacked(tmp_path / "older", 3, "joined")
    with pytest.raises(ArchiveIsOlderError, match="hoop-mitm migrate"):
        fold_once(older, mend=False)
    assert not list(older.glob("*-backup"))
    DAMAGE["cut"](recorded.archive)
    with pytest.raises(ArchiveDamagedError, match="hoop-mitm sessions"):
        fold_once(recorded.directory, mend=False)
    assert not list(recorded.directory.glob("*.damaged-*"))
    # Which is true.
    fold_once(recorded.directory)
    assert look(recorded.layout, KEPT).shares


def test_where_no_journal_is_left_a_backup_is_asked_for(recorded: Recorded) -> None:
    shutil.rmtree(recorded.layout.journal)
    DAMAGE["cut"](recorded.archive)
    for looking in (lambda: look(recorded.layout, KEPT), lambda: recorded.apply(KEPT)):
        with pytest.raises(RecordingError, match="put a backup in its place"):
            looking()


@pytest.mark.parametrize("how", [name for name in DAMAGE if name != "its blocks"])
def test_what_deletes_mends_it_first(recorded: Recorded, how: str) -> None:
    """Also when it is the first command after the damage, and nothing waits to be folded."""
    DAMAGE[how](recorded.archive)
    done = erase(recorded.layout, keys(), ALICE, reason="ticket 1", by="the test", progress=lambda _: None)
    assert done.rewritten is not None
    [aside] = [copy.path for copy in done.copies]
    assert aside in list(recorded.directory.glob("*.damaged-*"))
    assert ask(recorded.directory, "SELECT name FROM sessions") == [("bob-python",)]


def test_what_deletes_brings_an_older_archive_up_to_date_first(tmp_path: Path) -> None:
    directory = unpacked(tmp_path, 3, "joined")
    applied = apply(Layout(directory), keys(), KEPT, "the test", lambda _: None)
    assert [copy.path.name for copy in applied.copies] == ["hoop.duckdb.v3-backup"]


def test_a_log_that_was_set_aside_is_an_older_copy_however_young(recorded: Recorded) -> None:
    damage_log(recorded.archive)
    fold_once(recorded.directory)
    orphan = recorded.directory / "hoop.duckdb.wal.orphan"
    orphan.write_text(ALICE)
    own = [recorded.directory / "hoop.duckdb.wal", recorded.directory / "hoop.duckdb.tmp"]
    for path in own:
        path.touch()

    copies = old_copies(recorded.layout)

    [damaged] = recorded.directory.glob("hoop.duckdb.wal.damaged-*")
    assert [copy.path for copy in copies] == [damaged, orphan]
    remove_copies(copies)
    assert finds(recorded.directory, "y" * 500) == set()
    for path in own:
        assert path.exists()


@pytest.fixture
def linked(recorded: Recorded) -> Path:
    """The archive lies elsewhere, and a link is in its place; the file."""
    real = recorded.directory.parent / "big" / "hoop.duckdb"
    real.parent.mkdir()
    recorded.archive.rename(real)
    recorded.archive.symlink_to(Path("..", "big", "hoop.duckdb"))
    return real


def test_behind_a_link_nothing_is_deleted(recorded: Recorded, linked: Path) -> None:
    """The new file would take the link's place, and what was deleted would stay in the old one."""
    before = files(recorded.directory.parent)
    for deleting in (
        lambda: recorded.apply(KEPT),
        lambda: erase(recorded.layout, keys(), ALICE, reason="1", by="the test", progress=lambda _: None),
    ):
        with pytest.raises(
            RecordingError, match=rf"is a link to {linked}: .*`recording.directory`.*link the directory"
        ):
            deleting()
    assert files(recorded.directory.parent) == before
    assert recorded.archive.is_symlink()


def test_behind_a_link_it_is_looked_at_and_folded_into(recorded: Recorded, linked: Path) -> None:
    again = Recorded(recorded.directory)
    again.job("carol", age=1)
    again.fold()
    assert recorded.archive.is_symlink()
    assert ask(linked.parent, "SELECT count(*) FROM sessions") == [(3,)]
    assert look(recorded.layout, KEPT).shares
    assert trace(recorded.layout, ALICE).sessions == 1


def test_behind_a_link_what_is_damaged_is_not_set_aside(recorded: Recorded, linked: Path) -> None:
    DAMAGE["cut"](linked)
    before = linked.read_bytes()
    with pytest.raises(RecordingError, match=r"is damaged .*, and is not set aside\. .* is a link to"):
        fold_once(recorded.directory)
    assert recorded.archive.is_symlink()
    assert linked.read_bytes() == before
    assert not list(recorded.directory.glob("*.damaged-*"))


def test_a_directory_behind_a_link_is_one_like_any_other(recorded: Recorded, tmp_path: Path) -> None:
    recorded.directory.rename(tmp_path / "elsewhere")
    recorded.directory.symlink_to("elsewhere")
    assert recorded.apply(KEPT).rewritten is not None
    assert not recorded.archive.is_symlink()
    DAMAGE["cut"](recorded.archive)
    fold_once(recorded.directory)
    assert list(recorded.directory.glob("*.damaged-*"))


def test_nothing_is_begun_on_a_damaged_archive(recorded: Recorded) -> None:
    DAMAGE["its log"](recorded.archive)
    with pytest.raises(ArchiveDamagedError, match="hoop-mitm sessions"), maintained(recorded.layout):
        pytest.fail("it was begun")
    with pytest.raises(ArchiveDamagedError):
        fold_what_can_be(recorded.layout)
