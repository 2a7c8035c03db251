"""What a session did, as far as it is recorded where this user can read it."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

from hoop_mitm.errors import ArchiveError, NotInArchive

if TYPE_CHECKING:
    from hoop_mitm.archive import SessionEntry

_WAIT_SECONDS = 5.0


def summary_of(archive: Path, session: str) -> "tuple[SessionEntry, str] | None":
    """The session's entry and the shortest id that finds it; ``None``: nothing is recorded of it, or not readable here.

    What the gateway has recorded is in the archive within seconds; this waits for it, but not for long.
    """
    from hoop_mitm.archive import open_archive

    deadline = time.monotonic() + _WAIT_SECONDS
    while True:
        pending: int | None = 1  # A new recording has no archive before its first fold.
        try:
            with open_archive(archive, wait=_WAIT_SECONDS) as opened:
                pending = opened.pending
                if not pending or time.monotonic() > deadline:
                    return opened.find(session), opened.short_ids()[session]
        except NotInArchive:
            if not pending or time.monotonic() > deadline:
                return None
        except (ArchiveError, OSError):
            if not (archive.parent / "journal").is_dir() or time.monotonic() > deadline:
                return None
        time.sleep(0.1)
