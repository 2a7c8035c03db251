"""SQLite files of the gateway's state: opened by several at once, and by nobody else."""

import contextlib
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hoop_mitm import databases
from hoop_mitm.databases import open_private


@contextlib.contextmanager
def being_made(path: Path) -> Iterator[None]:
    """Somebody else opened the file first, and writes its tables just now."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


def test_who_comes_while_another_makes_it_waits(tmp_path: Path) -> None:
    path, opened = tmp_path / "state.sqlite", []
    second = threading.Thread(target=lambda: opened.append(open_private(path)))
    with being_made(path):
        second.start()
        time.sleep(0.3)
        assert opened == []
    second.join()
    [connection] = opened
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


def test_but_not_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(databases, "_PATIENCE", 0.1)
    with being_made(tmp_path / "state.sqlite"), pytest.raises(sqlite3.OperationalError, match="locked"):
        open_private(tmp_path / "state.sqlite")


def test_nobody_else_may_read_it(tmp_path: Path) -> None:
    open_private(tmp_path / "state.sqlite").close()
    assert (tmp_path / "state.sqlite").stat().st_mode & 0o777 == 0o600
