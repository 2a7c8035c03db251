"""A damaged archive makes way, so that what the journal still holds can be folded into a new one."""

import contextlib
from datetime import UTC, datetime
from pathlib import Path

from hoop_mitm.errors import RecordingError
from hoop_mitm.recording.archive_file import ArchiveDamagedError, ArchiveFile
from hoop_mitm.recording.layout import sync_directory


def set_aside(path: Path) -> Path:
    """Move away what is damaged, and give its new name.

    Where only DuckDB's log is damaged, that alone: without it the file is an older state of itself, and the journal
    has what is missing. Raises ``OSError``.
    """
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    log = path.with_name(f"{path.name}.wal")
    aside = path.with_name(f"{path.name}.damaged-{stamp}")
    if log.exists():
        log_aside = path.with_name(f"{log.name}.damaged-{stamp}")
        log.rename(log_aside)
        sync_directory(path.parent)
        with contextlib.suppress(ArchiveDamagedError):
            try:
                ArchiveFile(path).close()
            except ArchiveDamagedError:
                raise
            except RecordingError:
                # Busy, or older: sound in any case.
                pass
            return log_aside
    path.rename(aside)
    sync_directory(path.parent)
    return aside
