"""The archive is made, opened and refused in plain words."""

import resource
from pathlib import Path

import duckdb
import pytest

from hoop_mitm.errors import RecordingError
from hoop_mitm.recording.archive_file import VERSION, ArchiveBusyError, ArchiveDamagedError, ArchiveFile, version_of
from hoop_mitm.recording.retention.source import Source


def test_it_is_made_at_the_first_opening_for_this_user_only(tmp_path: Path) -> None:
    path = tmp_path / "hoop.duckdb"
    with ArchiveFile(path) as archive:
        [row] = archive.rows("FROM archive")
    assert row["version"] == VERSION
    assert row["written_by"].startswith("hoop-mitm ")
    assert path.stat().st_mode & 0o077 == 0
    with ArchiveFile(path) as archive:
        assert len(archive.rows("FROM archive")) == 1


def test_what_is_not_committed_is_not_there(tmp_path: Path) -> None:
    body = {"hash": b"h", "part": 0, "size": 1, "data": b"d", "salt": b"s"}
    with ArchiveFile(tmp_path / "x.duckdb") as archive:
        archive.begin()
        archive.insert("bodies", [body])
    with ArchiveFile(tmp_path / "x.duckdb") as archive:
        assert archive.rows("FROM bodies") == []
        archive.insert("bodies", [body])
        archive.insert("bodies", [])
    with ArchiveFile(tmp_path / "x.duckdb") as archive:
        assert archive.rows("FROM bodies") == [body]


def test_a_reader_in_the_same_process_is_waited_for_too(tmp_path: Path) -> None:
    path = tmp_path / "it's.duckdb"
    ArchiveFile(path).close()
    with duckdb.connect(path, read_only=True), pytest.raises(ArchiveBusyError):
        ArchiveFile(path, wait=0.05)


def test_one_that_cannot_be_made_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "hoop.duckdb"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(RecordingError, match="cannot be made"):
            ArchiveFile(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []
    ArchiveFile(path).close()


def test_the_log_of_a_file_that_was_taken_away_does_not_stand_in_the_way(tmp_path: Path) -> None:
    path = tmp_path / "hoop.duckdb"
    path.with_name("hoop.duckdb.wal").write_bytes(b"of another file" * 100)
    with ArchiveFile(path) as archive:
        assert len(archive.rows("FROM archive")) == 1


def test_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "hoop.duckdb"
    with ArchiveFile(path) as archive:
        archive.execute("UPDATE archive SET version = 99")
    with pytest.raises(RecordingError, match=r"version 99 .* Upgrade hoop-mitm"):
        ArchiveFile(path)


def test_somebody_elses_duckdb_file_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "hoop.duckdb"
    with duckdb.connect(path) as other:
        other.execute("CREATE TABLE mine (x INTEGER)")
    with pytest.raises(RecordingError, match="no hoop-mitm archive"):
        ArchiveFile(path)


@pytest.mark.parametrize("version", ["NULL", "'four'", "'4'", "4.0"])
def test_one_of_no_version_is_left_alone(tmp_path: Path, version: str) -> None:
    path = tmp_path / "hoop.duckdb"
    with duckdb.connect(path) as other:
        other.execute(f"CREATE TABLE archive AS SELECT {version} AS version, 'somebody' AS written_by")
    for opened in (ArchiveFile, Source, lambda path: version_of(path, 0)):
        with pytest.raises(RecordingError, match="is a DuckDB file, but no hoop-mitm archive"):
            opened(path)


@pytest.mark.parametrize("tables", ["", "CREATE TABLE records (x INTEGER); CREATE TABLE events (x INTEGER)"])
def test_one_that_lacks_what_every_archive_has_is_no_archive(tmp_path: Path, tables: str) -> None:
    path = tmp_path / "hoop.duckdb"
    with duckdb.connect(path) as other:
        other.execute(f"CREATE TABLE archive AS SELECT 4 AS version, 'somebody' AS written_by; {tables}")
    words = "is a DuckDB file, but no hoop-mitm archive"
    with ArchiveFile(path) as archive:
        for ask in (
            lambda: archive.rows("SELECT chain FROM records"),
            lambda: archive.execute("UPDATE events SET chain = ''"),
            lambda: archive.insert("flows", []),
        ):
            with pytest.raises(RecordingError, match=words):
                ask()
    with Source(path) as source:
        for ask in (
            lambda: source.rows("SELECT chain FROM old.main.records"),
            lambda: source.execute("CREATE TABLE mine AS SELECT chain FROM old.main.events"),
            lambda: list(source.stream("SELECT chain FROM old.main.records")),
        ):
            with pytest.raises(RecordingError, match=words):
                ask()


def test_what_is_no_duckdb_file_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "hoop.duckdb"
    path.write_text("something else entirely" * 1000)
    with pytest.raises(ArchiveDamagedError, match=r"is damaged: .* not a valid DuckDB"):
        ArchiveFile(path)
    assert path.read_text().startswith("something else")


def test_its_format_is_one_that_every_duckdb_of_ours_opens(tmp_path: Path) -> None:
    """Whichever DuckDB made it: in the newest one's own format an older one would not open it."""
    path = tmp_path / "hoop.duckdb"
    ArchiveFile(path).close()
    with duckdb.connect(path, read_only=True) as archive:
        found = archive.execute("SELECT tags['storage_version'] FROM duckdb_databases() WHERE database_name = 'hoop'")
        assert found.fetchall() == [("v1.4.0+",)]
