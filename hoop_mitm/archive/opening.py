"""Opening an archive, with what its journal still holds."""

import contextlib
import time
from pathlib import Path

from hoop_mitm.archive.archive import Archive
from hoop_mitm.archive.database import Database
from hoop_mitm.errors import ArchiveError, RecordingError

FILE_NAME = "hoop.duckdb"
_PAUSE, _WAIT = 0.1, 10.0


def open_archive(path: Path, *, wait: float = _WAIT, fold: bool = True) -> Archive:
    """Open the archive at ``path`` (the file, or the directory of recordings) for reading.

    What the journal next to it still holds is folded in first when no gateway does so (not without ``fold``). ``wait`` is how many
    seconds to keep asking while somebody else holds the file. Close the archive soon: while it is open the gateway's
    fold waits (nothing is lost, but nothing new becomes visible either).

    Raises:
        ArchiveBusy: it stayed locked.
        ArchiveError: there is no such file, it is no archive, or it is newer than this program.
    """
    path = file_of(path)
    pending = fold_beside(path) if fold else None
    if not path.exists():
        raise ArchiveError(
            f"There is no recording at {path}. Record a session first with `hoop-mitm run -- CMD` (`hoop-mitm sandbox` has "
            "a local world to try), or name another file with --db."
        )
    return Archive(Database(path, wait=wait), pending)


def open_settled(path: Path, *, wait: float = 60) -> Archive:
    """As ``open_archive``, with all in it that a gateway which runs has answered so far; ``wait``: seconds for that.

    Raises:
        ArchiveError: there is none after that time.
    """
    deadline = time.monotonic() + wait
    while True:
        left = deadline - time.monotonic()
        late = left < 0
        if late or file_of(path).exists():
            archive = open_archive(path, wait=max(left, _WAIT))
            if late or not archive.pending:
                return archive
            archive.close()
        time.sleep(_PAUSE)


def file_of(path: Path) -> Path:
    """The archive's file, of which ``path`` may be the directory."""
    return path / FILE_NAME if path.is_dir() else path


def fold_beside(path: Path) -> int | None:
    """Fold the journal beside ``path``; the number of records that still lie there, ``None`` when nobody knows."""
    if path.name != FILE_NAME or not (path.parent / "journal").is_dir():
        return 0
    from hoop_mitm.recording.fold import fold_once

    # A reader without the right to write, or with a full disk, still reads what is folded already.
    with contextlib.suppress(RecordingError, OSError):
        return fold_once(path.parent).remaining
    return None
