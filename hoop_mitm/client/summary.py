"""What a session did, as far as it is recorded where this user can read it."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

from hoop_mitm.errors import ArchiveBusy, ArchiveError, NotInArchive

if TYPE_CHECKING:
    from hoop_mitm.archive import SessionEntry

_WAIT_SECONDS = 5.0
_LONGEST_WAIT_SECONDS = 20.0


def summary_of(archive: Path, session: str) -> "tuple[SessionEntry, str] | None":
    """The session's entry and the shortest id that finds it; ``None``: nothing is recorded of it, or not readable here.

    What the gateway has recorded is in the archive within seconds; this waits for it, but not for long.

    Raises:
        ArchiveBusy: the archive is too far behind to say.
    """
    from hoop_mitm.archive import open_archive

    began = time.monotonic()
    while True:
        waited = time.monotonic() - began
        longest = _LONGEST_WAIT_SECONDS
        pending: int | None = 1
        try:
            with open_archive(archive, wait=_WAIT_SECONDS) as opened:
                pending = opened.pending
                if not pending or waited > _WAIT_SECONDS:
                    return opened.find(session), opened.short_ids()[session]
        except NotInArchive:
            if not pending:
                return None
        except (ArchiveError, OSError) as error:
            if not (archive.parent / "journal").is_dir():
                return None
            # A new recording has no archive before its first fold.
            comes = isinstance(error, ArchiveBusy) or not archive.exists()
            longest = _LONGEST_WAIT_SECONDS if comes else _WAIT_SECONDS
        if waited > longest:
            raise ArchiveBusy(f"{archive} does not hold yet what was asked last.")
        time.sleep(0.1)
