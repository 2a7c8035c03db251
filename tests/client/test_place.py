"""Where clients' files lie, and how long."""

import os
import time
from pathlib import Path

import pytest

from hoop_mitm.client import place


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    return tmp_path


def test_it_is_for_its_owner_alone() -> None:
    assert place.home().stat().st_mode & 0o777 == 0o700
    assert place.session_directory("one").stat().st_mode & 0o777 == 0o700


def test_a_path_with_a_space_is_avoided_since_go_would_split_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "Application Support"))
    assert place.home() == tmp_path / ".hoop-mitm"


def test_what_nobody_has_used_for_a_month_goes_and_nothing_else() -> None:
    old, used = place.session_directory("old"), place.session_directory("used")
    (old / "credentials.json").write_text("{}")
    long_ago = time.time() - (place.UNUSED_DAYS + 1) * 86400
    for directory in (old, used):
        os.utime(directory, (long_ago, long_ago))
    os.utime(used)
    place.session_directory("new")
    assert sorted(each.name for each in old.parent.iterdir()) == ["new", "used"]
