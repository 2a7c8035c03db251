"""Opening an archive, with what its journal still holds."""

import contextlib
from pathlib import Path

from hoop_mitm.archive.archive import Archive
from hoop_mitm.archive.database import Database
from hoop_mitm.errors import ArchiveError, RecordingError

FILE_NAME = "hoop.duckdb"


def open_archive(path: Path, *, wait: float = 10) -> Archive:
    """Open the archive at ``path`` (the file, or the directory of recordings) for reading.

    What the journal next to it still holds is folded in first when no gateway does so. ``wait`` is how many
    seconds to keep asking while somebody else holds the file. Close the archive soon: while it is open the gateway's
    fold waits (nothing is lost, but nothing new becomes visible either).

    Raises:
        ArchiveError: there is no such file, it is no archive, it is newer than this program, or it stayed locked.
    """
    path = path / FILE_NAME if path.is_dir() else path
    pending = _fold(path)
    if not path.exists():
        raise ArchiveError(
            f"There is no recording at {path}. Record a session first (`hoop-mitm sandbox` starts a local world to try), "
            "or name another file with --db."
        )
    return Archive(Database(path, wait=wait), pending)


def _fold(path: Path) -> int | None:
    """Fold the journal beside ``path``; the number of records that still lie there, ``None`` when nobody knows."""
    if path.name != FILE_NAME or not (path.parent / "journal").is_dir():
        return 0
    from hoop_mitm.recording.fold import fold_once

    # A reader without the right to write, or with a full disk, still reads what is folded already.
    with contextlib.suppress(RecordingError, OSError):
        return fold_once(path.parent).remaining
    return None
