"""A recording that others than its owner may read: who may do what with which file.

    recordings/        2750   the owner writes; the group of the directory reads
      hoop.duckdb      0640
      looks/           3730   the group may leave notes, and neither list nor change them
      journal/         0700   the owner's alone

That there is ``looks/`` is the mark: readers honour it, and have no other way to know.
"""

import contextlib
import grp
import os
import stat
import time
from pathlib import Path

from hoop_mitm.errors import RecordingError
from hoop_mitm.recording.layout import Layout

DIRECTORY, LOOKS = 0o2750, 0o3730
_ALONE = 0o700


def share(layout: Layout) -> bool:
    """Mark the recording as shared with its directory's group, and set its permissions; whether it was not before.

    Raises:
        RecordingError: they cannot be set; nobody may believe that the recording is shared.
    """
    try:
        layout.make()
        group = layout.directory.stat().st_gid
        if os.geteuid() != 0 and group not in (os.getegid(), *os.getgroups()):
            raise RecordingError(
                f"{layout.directory} belongs to the group {group_name(group)}, of which this user is no member, so it cannot be "
                "shared with it (`recording.shared`). Make the user a member, or give the directory another group with chgrp."
            )
        new = not layout.is_shared
        with contextlib.suppress(FileExistsError):
            layout.looks.mkdir(mode=_ALONE)
        if not stat.S_ISDIR(layout.looks.lstat().st_mode):
            raise RecordingError(
                f"{layout.looks} is no directory. Remove it: readers of the recording leave notes there."
            )
        _give(layout.looks, group, LOOKS)
        keep_permissions(layout)
        # Last, so that nobody reads before notes can be left.
        _give(layout.directory, group, DIRECTORY)
    except OSError as error:
        raise RecordingError(
            f"{layout.directory} cannot be shared ({error.strerror}), as `recording.shared` asks for. Make it this user's "
            "own, or set `shared: false`."
        ) from error
    return new


def unshare(layout: Layout) -> bool:
    """Take the mark and the group's permissions away; whether there were any.

    Raises:
        RecordingError: they cannot be taken away.
    """
    if not layout.is_shared:
        return False
    try:
        layout.directory.chmod(_ALONE)
        _set_aside(layout.looks)
        keep_permissions(layout)
    except OSError as error:
        raise RecordingError(
            f"{layout.directory} is shared, and that cannot be ended ({error.strerror}), as `recording.shared` asks for. "
            f"Remove {layout.looks} yourself."
        ) from error
    return True


def keep_permissions(layout: Layout) -> None:
    """Give the archive, which folds and retention make anew, the permissions that it should have. Raises ``OSError``."""
    group = layout.directory.stat().st_gid
    with contextlib.suppress(FileNotFoundError):
        status = layout.archive.lstat()
        if stat.S_ISREG(status.st_mode) and (stat.S_IMODE(status.st_mode), status.st_gid) != (
            layout.archive_mode,
            group,
        ):
            _give(layout.archive, group, layout.archive_mode)


def _set_aside(looks: Path) -> None:
    """Remove the mark. What cannot be removed with it, because readers left it there, is kept under another name."""
    if stat.S_ISDIR(looks.lstat().st_mode):
        looks.chmod(_ALONE)
    try:
        looks.rmdir()
    except OSError:
        looks.rename(looks.with_name(f"{looks.name}.{time.time_ns()}"))


def _give(path: Path, group: int, mode: int) -> None:
    os.chown(path, -1, group, follow_symlinks=False)
    path.chmod(mode)
    if stat.S_IMODE(path.stat().st_mode) != mode:
        raise PermissionError(1, "its permissions cannot be set")


def group_name(group: int) -> str:
    """Its name, or its number where it has none."""
    try:
        return grp.getgrgid(group).gr_name
    except KeyError:
        return str(group)
