"""A recordings directory belongs to one gateway at a time, and is nobody else's to read."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from hoop_mitm.errors import RecordingError
from hoop_mitm.recording.layout import Hold, Layout, is_held, replace_durably

HOLDER = "import sys; from pathlib import Path; from hoop_mitm.recording.layout import Hold; "
HOLDER += "assert Hold(Path(sys.argv[1])).take(); print('held', flush=True); sys.stdin.read()"


def test_a_lock_ends_with_its_process_even_when_that_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert not is_held(path)
    with subprocess.Popen([sys.executable, "-c", HOLDER, path], stdin=-1, stdout=-1) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        assert is_held(path)
        mine = Hold(path)
        assert not mine.take(wait=0.1)
        assert mine.holder() == str(holder.pid)
        holder.kill()
        holder.wait()
    assert not is_held(path)
    assert mine.take()
    mine.release()


def test_what_is_recorded_is_for_this_user_only(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "recordings")
    layout.make()
    layout.identity()
    assert {path.stat().st_mode & 0o077 for path in [layout.directory, *layout.directory.rglob("*")]} == {0}


def test_a_journal_keeps_its_identity_and_does_not_show_its_key(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    layout.make()
    identity = layout.identity()
    assert Layout(tmp_path).identity() == identity
    assert len(identity.key) == 32
    assert identity.key.hex() not in repr(identity)


def test_a_damaged_identity_is_no_new_identity(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    layout.make()
    layout.identity()
    (layout.journal / "identity").write_text("nonsense")
    with pytest.raises(RecordingError, match="is damaged"):
        layout.identity()


def test_a_directory_that_cannot_be_made_is_said_in_plain_words(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RecordingError, match=r"recording\.directory"):
        Layout(tmp_path / "file" / "recordings").make()


def test_a_file_is_replaced_as_a_whole_or_not_at_all(tmp_path: Path) -> None:
    """The system takes the first part of it, as it does when the disk is nearly full."""
    path = tmp_path / "levels"
    replace_durably(path, b"before" * 100)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            replace_durably(path, b"after" * 1000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == b"before" * 100
    replace_durably(path, b"after" * 1000)
    assert path.read_bytes() == b"after" * 1000
