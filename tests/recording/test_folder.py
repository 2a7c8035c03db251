"""The fold's process is started, started again when it dies, and ended."""

import os
import signal
import time
from pathlib import Path

import pytest

from hoop_mitm.recording.folder import Folder
from hoop_mitm.recording.layout import Hold, is_held
from tests.recording.building import ask, flow
from tests.recording.folding import Gateway
from tests.waiting import until


def wait_for_fold(gateway: Gateway, *, other_than: int = 0) -> int:
    """The process id of whoever folds, once it has said so: a fold that has just begun finds its predecessor's in the file."""
    lock = gateway.layout.fold_lock
    until(lambda: is_held(lock) and Hold(lock).holder() not in {"", str(other_than)})
    return int(Hold(lock).holder())


def test_it_folds_until_it_is_stopped(gateway: Gateway) -> None:
    folder = Folder(gateway.layout, 0.1)
    folder.start()
    gateway.write(flow(id="a"))
    folder.stop()
    assert not is_held(gateway.layout.fold_lock)
    assert ask(gateway.layout.directory, "SELECT id FROM flows") == [("a",)]


def test_it_is_started_again_when_it_is_killed(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hoop_mitm.recording.folder._PAUSE_AFTER_DEATH", 0.0)
    folder = Folder(gateway.layout, 0.1)
    folder.start()
    first = wait_for_fold(gateway)
    folder.keep_running(0)
    assert wait_for_fold(gateway) == first
    os.kill(first, signal.SIGKILL)
    until(lambda: not is_held(gateway.layout.fold_lock))
    assert folder._process is not None
    folder._process.wait()
    folder.keep_running(0)
    assert wait_for_fold(gateway, other_than=first) != first
    gateway.write(flow(id="a"))
    folder.stop()
    assert ask(gateway.layout.directory, "SELECT id FROM flows") == [("a",)]


def test_modules_of_the_current_directory_are_not_imported(
    gateway: Gateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "duckdb.py").write_text("raise SystemExit('imported from the current directory')")
    monkeypatch.chdir(tmp_path)
    folder = Folder(gateway.layout, 0.1)
    folder.start()
    gateway.write(flow(id="a"))
    folder.stop()
    assert gateway.layout.fold_log.read_text() == ""
    (tmp_path / "duckdb.py").unlink()
    assert ask(gateway.layout.directory, "SELECT id FROM flows") == [("a",)]


def test_a_fold_that_does_not_get_on_is_complained_about_once_a_minute(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Folder, "start", lambda _: None)
    clock = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: clock)
    folder = Folder(gateway.layout, 1)
    gateway.layout.folded.write_text("7 0")
    complaints = []
    for last, seconds in [(7, 0), (7, 90), (9, 1), (9, 58), (9, 5), (9, 10), (9, 60)]:
        clock += seconds
        caplog.clear()
        folder.keep_running(last)
        complaints.append(len(caplog.records))
    assert complaints == [0, 0, 0, 0, 1, 0, 1]
    assert "2 records wait" in caplog.text


def test_stopping_what_was_never_started_is_harmless(gateway: Gateway) -> None:
    Folder(gateway.layout, 1).stop()
