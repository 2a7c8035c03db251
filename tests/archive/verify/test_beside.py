"""Beside its journal a recording is verified as it is: nothing is folded, mended or brought up to date before."""

import shutil
import tarfile
from pathlib import Path

import pytest
from click.testing import CliRunner

from hoop_mitm.archive.verify import verify
from hoop_mitm.cli import main
from hoop_mitm.recording.fold import fold_once
from hoop_mitm.recording.layout import Layout
from tests import another_user
from tests.recording.building import flow
from tests.recording.folding import Gateway

OLDER = Path(__file__).parents[2] / "recording" / "data"


@pytest.fixture
def directory(recorded, tmp_path) -> Path:
    """A copy of all that a gateway has left."""
    return Path(shutil.copytree(recorded.path.parent, tmp_path / "recordings"))


def files(directory: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in directory.rglob("*") if path.is_file() and path.suffix != ".sqlite-shm"}


def newer(report) -> list[str]:
    return [limit.words for limit in report.limits if limit.what == "journal"]


def test_what_is_damaged_is_neither_set_aside_nor_made_again(directory):
    archive = directory / "hoop.duckdb"
    with archive.open("r+b") as file:
        file.seek(archive.stat().st_size // 3)
        file.write(bytes(archive.stat().st_size // 3))
    before = files(directory)

    done = CliRunner().invoke(main, ["verify", str(archive)])

    assert done.exit_code in {1, 3}, done.output
    assert "damaged" in done.output
    assert files(directory) == before


@pytest.mark.parametrize(("version", "name"), [(1, "folded"), (2, "reviewed"), (3, "joined")])
def test_what_is_of_an_older_version_stays_so(tmp_path, version, name):
    with tarfile.open(OLDER / f"version-{version}-{name}.tar.gz") as packed:
        packed.extractall(tmp_path, filter="data")
    before = files(tmp_path)

    done = CliRunner().invoke(main, ["verify", str(tmp_path)])

    assert done.exit_code == 3, done.output
    assert "hoop-mitm migrate" in done.output
    assert files(tmp_path) == before


def test_what_is_not_folded_yet_stays_where_it_is_and_is_said(tmp_path):
    gateway = Gateway(tmp_path)
    gateway.fold(flow())
    report = verify(tmp_path)
    assert newer(report) == []
    gateway.write(flow(), flow())
    gateway.die()
    before = files(tmp_path)

    report = verify(tmp_path)

    assert len(newer(report)) == 1
    assert newer(report)[0].startswith("2 newer records lie in the journal")
    assert files(tmp_path) == before
    fold_once(tmp_path)
    assert newer(verify(tmp_path)) == []


@another_user.needs_root
def test_a_journal_that_may_not_be_read_is_said(directory):
    with another_user.place() as place:
        shared = Path(shutil.copytree(directory, place / "recordings"))
        shared.chmod(0o755)
        (shared / "hoop.duckdb").chmod(0o644)
        (shared / "journal").chmod(0o700)
        done = another_user.run(directory, shared, "verify")
    assert done.returncode == 0, done.stderr
    assert "The journal beside the file cannot be read by this user" in " ".join(done.stdout.split())


def test_a_journal_that_is_damaged_is_said_and_left_alone(directory):
    newest = Layout(directory).segments()[-1][1]
    newest.write_bytes(b"no journal" * 1000)
    newest.with_name(f"{newest.name}-wal").unlink(missing_ok=True)
    before = files(directory)

    [words] = newer(verify(directory))

    assert "cannot be read" in words
    assert files(directory) == before
