"""Permissions of a shared recording, as the file system has them."""

import os
import stat
import subprocess
import sys

import pytest

from hoop_mitm.errors import RecordingError
from hoop_mitm.recording.layout import Layout
from hoop_mitm.recording.sharing import keep_permissions, share, unshare
from tests import another_user
from tests.recording.building import flow
from tests.recording.folding import Gateway


def mode(path):
    return oct(stat.S_IMODE(path.lstat().st_mode))


@pytest.fixture
def layout(tmp_path):
    return Layout(tmp_path / "recordings")


def modes(layout):
    return {path.name: mode(path) for path in (layout.directory, *sorted(layout.directory.iterdir()))}


@pytest.mark.parametrize("archive_first", [True, False])
def test_writing_and_reading_are_different_permissions(layout, archive_first):
    gateway = Gateway(layout.directory)
    if archive_first:
        gateway.fold(flow())
    assert share(layout)
    if not archive_first:
        gateway.fold(flow())
    assert modes(layout) == {
        "recordings": "0o2750",
        "hoop.duckdb": "0o640",
        "journal": "0o700",
        "looks": "0o3730",
    }
    assert not share(layout)
    gateway.die()


def test_not_shared_nothing_is_different(layout):
    gateway = Gateway(layout.directory)
    gateway.fold(flow())
    gateway.die()
    before = modes(layout)
    assert not unshare(layout)
    assert modes(layout) == before == {"recordings": "0o700", "hoop.duckdb": "0o600", "journal": "0o700"}


def test_what_was_shared_can_be_taken_back(layout):
    gateway = Gateway(layout.directory)
    gateway.fold(flow())
    gateway.die()
    share(layout)
    assert unshare(layout)
    assert modes(layout) == {"recordings": "0o700", "hoop.duckdb": "0o600", "journal": "0o700"}
    assert not layout.is_shared


def test_what_readers_left_does_not_keep_it_shared(layout):
    share(layout)
    (layout.looks / "stuck").mkdir()
    (layout.looks / "stuck" / "more").write_text("")
    assert unshare(layout)
    assert not layout.is_shared
    [aside] = [path for path in layout.directory.iterdir() if path.name.startswith("looks.")]
    assert (aside / "stuck" / "more").exists()


def test_a_file_that_takes_the_archives_place_is_given_the_same_permissions(layout):
    share(layout)
    layout.archive.write_text("new")
    layout.archive.chmod(0o600)
    keep_permissions(layout)
    assert mode(layout.archive) == "0o640"


def test_a_link_in_the_archives_place_changes_nothing_elsewhere(layout, tmp_path):
    share(layout)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("")
    elsewhere.chmod(0o600)
    layout.archive.symlink_to(elsewhere)
    keep_permissions(layout)
    assert mode(elsewhere) == "0o600"


@pytest.mark.parametrize("planted", ["file", "link"])
def test_something_else_in_the_place_of_the_mark_is_refused_and_still_a_mark(layout, tmp_path, planted):
    layout.make()
    if planted == "file":
        layout.looks.write_text("")
    else:
        layout.looks.symlink_to(tmp_path)
    with pytest.raises(RecordingError, match="is no directory"):
        share(layout)
    assert layout.is_shared


@another_user.needs_root
def test_a_group_that_the_gateway_is_no_member_of_is_refused():
    with another_user.place() as place:
        _share_as_another(place / "recordings")


def _share_as_another(directory):
    directory.mkdir()
    os.chown(directory, another_user.USER, 12345)
    script = (
        "import os, sys; os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "from pathlib import Path; from hoop_mitm.recording.layout import Layout; from hoop_mitm.recording.sharing import share\n"
        "try: share(Layout(Path(sys.argv[1])))\n"
        "except Exception as error: print(type(error).__name__, error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", IMPORTED + script, str(directory)], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith(
        f"RecordingError {directory} belongs to the group 12345, of which this user is no member"
    )


#: Imports first: another user need not be able to read where the tests' packages lie.
IMPORTED = "import hoop_mitm.recording.layout, hoop_mitm.recording.sharing, pwd, grp\n"
