"""Where the files of clients lie: below the user's own state directory, readable for nobody else."""

import shutil
import time
from contextlib import suppress
from pathlib import Path

import platformdirs

UNUSED_DAYS = 30
"""A session's files that no client has used for so long are removed."""


def home() -> Path:
    """The directory, 0700: ``~/.local/state/hoop-mitm`` on Linux.

    Its path has no space where that can be had, because Go's client library splits a command at every space; a Mac's
    usual place, `Application Support`, has one.
    """
    place = platformdirs.user_state_path("hoop-mitm")
    if any(letter.isspace() for letter in str(place)):
        place = Path.home() / ".hoop-mitm"
    place.mkdir(parents=True, exist_ok=True, mode=0o700)
    return place


def session_directory(session: str) -> Path:
    """A new directory for the files of one session; those of sessions long over are removed."""
    sessions = home() / "sessions"
    sessions.mkdir(exist_ok=True, mode=0o700)
    oldest = time.time() - UNUSED_DAYS * 86400
    for other in sessions.iterdir():
        with suppress(OSError):
            if other.stat().st_mtime < oldest:
                shutil.rmtree(other)
    directory = sessions / session
    directory.mkdir(mode=0o700)
    return directory
