import contextlib
import os
import signal
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from hoop_mitm.archive.comparing.workspace import Shelf, Workspace
from tests.waiting import until

# More than the workspace may hold, counted over and over.
_SPILLING = """
from hoop_mitm.archive.comparing.workspace import Workspace
with Workspace() as workspace:
    workspace.run("CREATE TABLE t AS SELECT i, repeat('x', 90) || hash(i) AS s FROM range(8000000) AS r(i)")
    print("full", flush=True)
    while True:
        workspace.run("SELECT s FROM t ORDER BY s DESC LIMIT 1").fetchall()
"""


def files(directory):
    return [path for path in Path(directory).rglob("*") if path.is_file()]


def modes(directory):
    """Rights of the files that are there; some go while they are looked at."""
    for path in files(directory):
        with contextlib.suppress(FileNotFoundError):
            yield stat.S_IMODE(path.stat().st_mode)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.exhaustive)])
def test_what_spills_is_for_its_owner_only_and_gone_after_an_interruption(tmp_path, number):
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(
        [sys.executable, "-c", _SPILLING], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        try:
            assert process.stdout.readline() == b"full\n"
            found: set[int] = set()
            until(lambda: found.update(modes(tmp_path)) or found)
            [directory] = tmp_path.iterdir()
            assert stat.S_IMODE(directory.stat().st_mode) == 0o700
            assert found == {0o600}
            process.send_signal(number)
            process.wait(timeout=120)
        finally:
            process.kill()
    assert process.returncode != 0
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_left_and_rights_are_as_before(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = os.umask(0o022)
    try:
        with Workspace() as workspace:
            assert workspace.number("SELECT 1") == 1
        assert os.umask(0o022) == 0o022
    finally:
        os.umask(before)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("query", ["SELECT * FROM '/etc/passwd'", "COPY (SELECT 1) TO 'x.csv'", "INSTALL httpfs"])
def test_it_reaches_nothing_outside(query):
    with Workspace() as workspace, pytest.raises(duckdb.Error):
        workspace.run(query)


@pytest.mark.parametrize("rows", [0, 3, 50_000])
def test_a_shelf_gives_back_what_was_laid_there(rows):
    with Workspace() as workspace:
        shelf = Shelf(workspace, "there", [pa.int64()])
        for start in reversed(range(0, rows, 10_000)):
            shelf.lay([pa.array(range(start, min(start + 10_000, rows)), pa.int64())], start)
        shelf.close()
        assert shelf.rows == rows
        if shelf.small is not None:
            workspace.show("there", shelf.small)
        assert workspace.row("SELECT count(*), coalesce(max(c0), -1) FROM there WHERE c0 = p") == (rows, rows - 1)
        assert (shelf.small is None) == (rows > 20_000)
        workspace.sweep()
        assert workspace.number("SELECT count(*) FROM information_schema.tables") == 0
