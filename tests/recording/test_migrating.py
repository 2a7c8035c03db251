"""An archive that an older version of the program made goes on as one of this version, and stays beside it."""

import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pytest

from hoop_mitm.archive import open_archive
from hoop_mitm.archive.verify import verify
from hoop_mitm.errors import ArchiveError, RecordingError
from hoop_mitm.recording import migrating
from hoop_mitm.recording.archive_file import VERSION, ArchiveFile, ArchiveIsOlderError
from hoop_mitm.recording.fold import Fold, fold_once
from hoop_mitm.recording.layout import Hold, Layout
from hoop_mitm.recording.migrating import migrate, migrate_file
from tests.recording.building import ask, ask_one, body_of, flow
from tests.recording.evidence import sound
from tests.recording.folding import Gateway, keys

DATA = Path(__file__).with_name("data")
STATEMENT = "SELECT name FROM `acme.shop.customers`"


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A recordings directory of version 1, whose gateway stopped in order."""
    return unpacked("folded", tmp_path)


def unpacked(name: str, directory: Path, version: int = 1) -> Path:
    with tarfile.open(DATA / f"version-{version}-{name}.tar.gz") as packed:
        packed.extractall(directory, filter="data")
    return directory


def layout_of(path: Path) -> list[tuple[object, ...]]:
    """Every column of every table, and every comment."""
    with duckdb.connect(path, read_only=True) as connection:
        return connection.execute(
            "SELECT table_name, column_name, data_type, is_nullable, comment FROM duckdb_columns() "
            "WHERE NOT internal ORDER BY table_name, column_index"
        ).fetchall()


def test_the_data_is_of_version_one(old: Path) -> None:
    assert ask(old, "SELECT version FROM archive") == [(1,)]
    with pytest.raises(ArchiveIsOlderError, match="hoop-mitm migrate"):
        ArchiveFile(old / "hoop.duckdb")


def test_everything_is_taken_over(old: Path, tmp_path: Path) -> None:
    tables = ("sessions", "jobs", "flows", "events", "journals", "read_sessions")
    columns = "id, seq, session_id, job_key, state, door, url, status, response_body, started_at"
    before = {table: ask(old, f"SELECT count(*) FROM {table}") for table in tables}
    flows = ask(old, f"SELECT {columns} FROM flows ORDER BY seq")
    created = ask(old, "SELECT created_at FROM archive")

    done = migrate(old / "hoop.duckdb")

    assert done is not None
    assert (done.old_version, done.version, done.backup.name) == (1, VERSION, "hoop.duckdb.v1-backup")
    assert ask(old, f"SELECT {columns} FROM flows ORDER BY seq") == flows
    after = {table: ask(old, f"SELECT count(*) FROM {table}") for table in tables}
    assert after == before | {"events": [(before["events"][0][0] + 1,)]}
    assert ask(old, "SELECT created_at FROM archive") == created
    assert ask(old, "SELECT version FROM archive") == [(VERSION,)]
    assert ask(old, "SELECT DISTINCT chain FROM flows") == [(None,)]
    assert ask(old, "SELECT DISTINCT salt FROM bodies") == [(b"",)]
    for (name,) in ask(old, "SELECT DISTINCT response_body FROM flows WHERE response_body IS NOT NULL"):
        assert body_of(old, name)
    assert ask(old, "SELECT type FROM events WHERE type = 'recording.migrated'") == [("recording.migrated",)]
    ArchiveFile(tmp_path / "fresh.duckdb").close()
    assert layout_of(old / "hoop.duckdb") == layout_of(tmp_path / "fresh.duckdb")
    assert (old / "hoop.duckdb").stat().st_mode == done.backup.stat().st_mode


def test_in_version_two_a_job_that_was_held_said_so_for_good(tmp_path: Path) -> None:
    directory = unpacked("reviewed", tmp_path, version=2)
    path = directory / "hoop.duckdb"
    question = "SELECT id, decision, rule, state FROM jobs ORDER BY id"
    held = ["lost", "no", "ran", "under-way", "waits"]
    assert [row[0] for row in ask(directory, question) if row[1] == "review"] == held

    done = migrate(path)

    assert done is not None
    assert (done.old_version, done.backup.name) == (2, "hoop.duckdb.v2-backup")
    assert ask(directory, question) == [
        ("lost", "allow", "review.approved", "RUNNING"),
        ("no", "review", "review.rejected", "DONE"),
        ("plain", "allow", "everything", "DONE"),
        ("ran", "allow", "review.approved", "DONE"),
        ("under-way", "allow", "review.approved", "UNKNOWN"),
        ("waits", "review", "policy.deletions", "PENDING"),
    ]
    ArchiveFile(tmp_path / "fresh.duckdb").close()
    assert layout_of(path) == layout_of(tmp_path / "fresh.duckdb")
    report = verify(path)
    assert report.verified, report.findings


@pytest.mark.parametrize(
    ("version", "name", "says"),
    [
        (1, "folded", "had no chain"),
        (2, "reviewed", "chains and signatures stay"),
        (3, "joined", "chains and signatures stay"),
    ],
)
def test_before_it_is_migrated_there_is_no_verdict_on_it(tmp_path: Path, version: int, name: str, says: str) -> None:
    path = unpacked(name, tmp_path, version) / "hoop.duckdb"
    chained = "SELECT chain, seq, link FROM records ORDER BY ALL"
    signed = "SELECT chain, number, signature FROM checkpoints ORDER BY ALL"
    before = [[], []] if version == 1 else [ask(path.parent, chained), ask(path.parent, signed)]

    with pytest.raises(ArchiveError, match=f"version {version} of .*{says}.*hoop-mitm migrate"):
        verify(path)

    migrate(path)
    assert [ask(path.parent, chained), ask(path.parent, signed)] == before


def test_in_version_two_what_was_imported_told_of_the_gateways_own_jobs(tmp_path: Path) -> None:
    directory = unpacked("imported", tmp_path, version=2)
    question = "SELECT statement, bytes_processed FROM jobs ORDER BY ALL"
    told = "SELECT name FROM shop.customers"
    assert ask(directory, question) == [(told, 2)]

    migrate(directory / "hoop.duckdb")

    assert ask(directory, question) == [(told, 1024), (f"{told} LIMIT 1", 1), (f"{told} LIMIT 2", 2)]
    report = verify(directory / "hoop.duckdb")
    # A gateway that died so early has signed nothing.
    assert set(report.found) == {"chain.unsigned"}


@pytest.mark.parametrize("most", [2**26, 1])
def test_up_to_version_three_a_refused_request_gave_its_text_to_the_job_with_its_id(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """However few bodies are held at once."""
    monkeypatch.setattr("hoop_mitm.recording.retention.rejoining._BYTES_AT_ONCE", most)
    directory = unpacked("joined", tmp_path, version=3)
    question = "SELECT id, statement, state FROM jobs WHERE id = 'hidden' ORDER BY state DESC"
    reads = "SELECT job_key FROM flows WHERE door = 'tabledata.list' ORDER BY seq"
    assert ask(directory, question) == [("hidden", "SELECT 1", "RUNNING")]
    assert ask(directory, reads) == [("acme:second",), ("acme:second",)]

    done = migrate(directory / "hoop.duckdb")

    assert done is not None
    assert done.old_version == 3
    assert ask(directory, question) == [
        ("hidden", "DELETE FROM shop.orders WHERE true", "RUNNING"),
        ("hidden", "SELECT 1", "FAILED"),
    ]
    assert ask(directory, reads) == [("acme:first",), ("acme:second",)]
    report = verify(directory / "hoop.duckdb")
    assert report.verified, report.findings


def test_the_old_file_is_beside_it_as_it_was(old: Path) -> None:
    before = (old / "hoop.duckdb").read_bytes()
    done = migrate(old / "hoop.duckdb")
    assert done is not None
    assert done.backup.read_bytes() == before
    assert migrate(old / "hoop.duckdb") is None


def test_what_the_owner_pays_stays_what_it_was(old: Path) -> None:
    with duckdb.connect(old / "hoop.duckdb") as connection:
        connection.execute("CREATE OR REPLACE MACRO usd_per_tib() AS 5.5")
    migrate(old / "hoop.duckdb")
    assert ask_one(old, "SELECT usd_per_tib()::DOUBLE AS price") == {"price": 5.5}


def test_the_fold_migrates_by_itself_and_goes_on(old: Path) -> None:
    gateway = Gateway(old)
    gateway.fold(flow(id="new"))
    assert ask(old, "SELECT version FROM archive") == [(VERSION,)]
    assert ask(old, "SELECT count(*) FROM flows") == [(4,)]
    assert ask(old, "SELECT count(*) FROM flows WHERE chain IS NOT NULL") == [(1,)]
    assert (old / "hoop.duckdb.v1-backup").exists()
    # The chain begins behind what was recorded without one.
    gateway.journal.sign("minute")
    fold_once(old)
    [chain] = sound(old, keys()).values()
    assert chain["first"] > 1
    [(after,)] = ask(old, "SELECT data::JSON->'after'->>'why' FROM records WHERE kind = 'genesis'")
    assert after == "what came before was recorded without a chain"


def test_a_journal_of_the_old_version_is_folded_too(tmp_path: Path) -> None:
    directory = unpacked("unfolded", tmp_path)
    fold_once(directory)
    assert ask(directory, "SELECT count(*), count(chain) FROM flows") == [(4, 0)]
    assert ask(directory, "SELECT statement FROM jobs ORDER BY started_at") == [
        (STATEMENT,),
        ("SELECT 'only in the journal'",),
    ]
    [(streamed,)] = ask(directory, "SELECT response_body FROM flows WHERE door = 'storage.ReadRows'")
    assert body_of(directory, streamed) == b"0123456789abcdef" * 2**12
    assert ask(directory, "SELECT count(*) FROM records") == [(0,)]
    gateway = Gateway(directory)
    gateway.write(flow(id="new"))
    Fold(gateway.layout, keep=0).run()
    assert len(gateway.layout.segments()) == 1
    assert list(gateway.layout.bodies.iterdir()) == []
    assert ask(directory, "SELECT count(*), count(chain) FROM flows") == [(5, 1)]


def test_readers_read_it_once_it_is_migrated(old: Path) -> None:
    with open_archive(old / "hoop.duckdb") as archive:
        [session] = archive.sessions()
        assert [job.statement for job in archive.show(session).jobs] == [STATEMENT]


@pytest.mark.parametrize("moment", ["_copy", "_keep", "rename"])
def test_killed_at_any_moment_it_has_happened_or_it_has_not(
    old: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    class Killed(BaseException):
        pass

    def die(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        if moment == "rename":
            patch.setattr(Path, "rename", die)
        else:
            real = getattr(migrating, moment)
            patch.setattr(migrating, moment, lambda *args: (real(*args), die()))
        with pytest.raises(Killed):
            migrate(old / "hoop.duckdb")
    assert ask(old, "SELECT version FROM archive") == [(1,)]
    done = migrate(old / "hoop.duckdb")
    assert done is not None
    assert ask(old, "SELECT version FROM archive") == [(VERSION,)]
    assert {path.name for path in old.iterdir()} == {"hoop.duckdb", "hoop.duckdb.v1-backup", "journal"}


def test_a_backup_of_something_else_is_not_written_over(old: Path) -> None:
    (old / "hoop.duckdb.v1-backup").write_text("precious")
    with pytest.raises(RecordingError, match="is in the way"):
        migrate(old / "hoop.duckdb")
    assert ask(old, "SELECT version FROM archive") == [(1,)]
    assert (old / "hoop.duckdb.v1-backup").read_text() == "precious"


def test_a_newer_version_is_refused_with_the_one_that_is_needed(old: Path) -> None:
    with duckdb.connect(old / "hoop.duckdb") as connection:
        connection.execute("UPDATE archive SET version = 99, written_by = 'hoop-mitm 9.9'")
    for refusing in (migrate, lambda path: ArchiveFile(path).close()):
        with pytest.raises(RecordingError, match=r"version 99 .* Upgrade hoop-mitm"):
            refusing(old / "hoop.duckdb")


@contextmanager
def held(path: Path) -> Iterator[None]:
    hold = Hold(path)
    assert hold.take()
    yield
    hold.release()


def test_beside_a_fold_or_maintenance_nobody_else_migrates(old: Path) -> None:
    layout = Layout(old)
    for lock in (layout.fold_lock, layout.maintenance_lock):
        with held(lock), pytest.raises(RecordingError, match="Another program works on"):
            migrate_file(layout.archive, wait=0.1)
    assert migrate_file(layout.archive) is not None


def test_a_file_that_lies_alone_is_migrated(old: Path, tmp_path: Path) -> None:
    alone = tmp_path / "copy" / "evidence.duckdb"
    alone.parent.mkdir()
    (old / "hoop.duckdb").rename(alone)
    assert migrate_file(alone) is not None
    assert alone.with_name("evidence.duckdb.v1-backup").exists()


def test_on_a_full_disk_it_stays_what_it_was(old: Path) -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, hard))
    try:
        with pytest.raises(RecordingError, match="it is as it was"):
            migrate(old / "hoop.duckdb")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert ask(old, "SELECT version FROM archive") == [(1,)]
    assert {path.name for path in old.iterdir()} == {"hoop.duckdb", "journal"}


def test_a_link_to_a_file_is_refused(old: Path, tmp_path: Path) -> None:
    """The new file would take the link's place."""
    real = tmp_path / "big" / "hoop.duckdb"
    real.parent.mkdir()
    (old / "hoop.duckdb").rename(real)
    (old / "hoop.duckdb").symlink_to(real)
    (old / "evidence.duckdb").symlink_to(real)
    before = real.read_bytes()
    for migrating_it in (migrate, migrate_file, lambda path: fold_once(path.parent)):
        with pytest.raises(RecordingError, match=rf"is a link to {real}: .*link the directory instead of the file"):
            migrating_it(old / "hoop.duckdb")
    with pytest.raises(RecordingError, match=r"Name the file itself"):
        migrate_file(old / "evidence.duckdb")
    assert real.read_bytes() == before
    assert {path.name for path in old.iterdir()} == {"big", "evidence.duckdb", "hoop.duckdb", "journal"}
    assert [path.name for path in real.parent.iterdir()] == ["hoop.duckdb"]


def test_behind_a_link_to_a_directory_it_is_migrated(old: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(old)
    assert migrate_file(link / "hoop.duckdb") is not None
    assert migrate_file(link / "hoop.duckdb") is None
