import contextlib
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import duckdb
import pytest

from hoop_mitm.archive import open_archive
from hoop_mitm.errors import ArchiveError

HOLD = """
import duckdb, sys
with duckdb.connect(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextlib.contextmanager
def held(path):
    """Another process has the file open for writing, as a gateway's fold has, until it is told to let go, or the end."""
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"held\n"
        yield process.stdin.close
    assert process.returncode == 0


def test_a_file_and_its_directory_open_alike(builder):
    builder.session()
    path = builder.write()
    for given in (path, path.parent):
        with open_archive(given) as archive:
            assert [session.name for session in archive.sessions()] == ["nightly"]


def test_a_reader_waits_until_a_writer_lets_go(builder):
    path = builder.write()
    with held(path) as let_go, ThreadPoolExecutor(1) as elsewhere:
        reader = elsewhere.submit(open_archive, path, wait=60)
        with pytest.raises(TimeoutError):
            reader.result(0.5)
        let_go()
        with reader.result() as archive:
            assert archive.sessions() == ()


def test_a_writer_in_the_same_process_is_waited_for_too(builder):
    path = builder.write()
    writer = duckdb.connect(str(path))
    threading.Timer(0.3, writer.close).start()
    with open_archive(path, wait=60) as archive:
        assert archive.sessions() == ()


def test_a_writer_that_never_lets_go_is_named_as_the_cause(builder):
    path = builder.write()
    with held(path), pytest.raises(ArchiveError, match="held by another program"):
        open_archive(path, wait=0.3)


def test_two_readers_do_not_disturb_each_other(builder):
    path = builder.write()
    with open_archive(path) as first, open_archive(path) as second:
        assert first.sessions() == second.sessions()


def no_file(path):
    pass


def not_duckdb(path):
    path.write_bytes(b"SQLite format 3\0" + b"\0" * 5000)


def garbage(path):
    path.write_bytes(b"x" * 5000)


def empty_file(path):
    path.write_bytes(b"")


def other_database(path):
    duckdb.connect(str(path)).execute("CREATE TABLE t (i INT)").close()


def newer(path):
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE TABLE archive (version INT, created_at TIMESTAMPTZ, written_by VARCHAR)")
        connection.execute("INSERT INTO archive VALUES (99, now(), 'hoop-mitm 99')")


def of_no_version(path, version="NULL"):
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE TABLE archive (version VARCHAR, created_at TIMESTAMPTZ, written_by VARCHAR)")
        connection.execute(f"INSERT INTO archive VALUES ({version}, now(), 'hoop-mitm 99')")


def of_a_word_for_a_version(path):
    of_no_version(path, "'four'")


def without_tables(path):
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE TABLE archive AS SELECT 4 AS version, now() AS created_at, 'somebody' AS written_by")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (of_no_version, "is a DuckDB file, but not a hoop-mitm recording"),
        (of_a_word_for_a_version, "is a DuckDB file, but not a hoop-mitm recording"),
        (no_file, "There is no recording at"),
        (not_duckdb, "is not a hoop-mitm recording: it is no DuckDB file"),
        (garbage, "is not a hoop-mitm recording: it is no DuckDB file"),
        (empty_file, "not a hoop-mitm recording"),
        (other_database, "is a DuckDB file, but not a hoop-mitm recording"),
        (newer, r"version 99 .* hoop-mitm 99; this program reads up to version 4\. Upgrade"),
    ],
)
def test_what_is_no_archive_is_refused_in_plain_words(tmp_path, make, words):
    path = tmp_path / "hoop.duckdb"
    make(path)
    with pytest.raises(ArchiveError, match=words) as raised:
        open_archive(path, wait=0.2)
    assert raised.value.exit_code == 3


def test_one_that_lacks_what_every_archive_has_is_refused_when_it_is_read(tmp_path):
    without_tables(tmp_path / "hoop.duckdb")
    with (
        pytest.raises(ArchiveError, match="is a DuckDB file, but not a hoop-mitm recording"),
        open_archive(tmp_path / "hoop.duckdb") as archive,
    ):
        archive.sessions()


def test_a_refused_file_is_let_go(tmp_path):
    path = tmp_path / "hoop.duckdb"
    other_database(path)
    with pytest.raises(ArchiveError):
        open_archive(path)
    duckdb.connect(str(path)).close()


def test_a_view_in_a_foreign_archive_cannot_read_files(builder, tmp_path):
    secret = tmp_path / "secret.csv"
    secret.write_text("a\nsecret\n")
    path = builder.write()
    with duckdb.connect(str(path)) as connection:
        connection.execute("DROP TABLE journals")
        connection.execute(f"CREATE OR REPLACE VIEW archive_copy AS SELECT * FROM read_csv('{secret}')")
        connection.execute("DROP TABLE archive")
        connection.execute("CREATE VIEW archive AS SELECT 1 AS version, a AS written_by FROM archive_copy")
    with pytest.raises(ArchiveError, match="cannot be read"):
        open_archive(path)


def test_reading_leaves_the_file_as_it_was(builder):
    builder.session()
    path = builder.write()
    copy = path.with_name("copy")
    shutil.copy(path, copy)
    with open_archive(path) as archive:
        archive.show(archive.find("@last"))
    assert path.read_bytes() == copy.read_bytes()


def test_a_journal_that_cannot_be_folded_does_not_hide_what_is_in_the_archive(builder):
    builder.session()
    path = builder.write()
    (path.parent / "journal").mkdir()
    (path.parent / "journal" / "identity").write_text("damaged")
    with open_archive(path) as archive:
        assert archive.pending is None
        assert len(archive.sessions()) == 1


def test_without_a_journal_nothing_is_pending(builder):
    with open_archive(builder.write()) as archive:
        assert archive.pending == 0
