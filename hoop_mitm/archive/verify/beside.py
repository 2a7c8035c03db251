"""What lies in the journal beside a recording and is not in it yet. To verify is to fold nothing, and to mend nothing."""

import contextlib
import os
import sqlite3
from collections.abc import Mapping
from pathlib import Path

from hoop_mitm.recording.layout import Layout

_END = "SELECT id, coalesce((SELECT max(seq) FROM records), seq) FROM chain"


def newer_records(archive: Path, folded_to: Mapping[str, int]) -> int | None:
    """How many records of the journal beside ``archive`` are newer than it; ``None`` where nobody can say.

    ``folded_to`` is what the archive says of each journal: the number of the last record that it has of it.
    """
    layout = Layout(archive.parent)
    if archive != layout.archive or not layout.journal.is_dir():
        return 0
    try:
        os.listdir(layout.journal)  # noqa: PTH208 - pathlib finds nothing where one may not look
        segments = layout.segments()
        if not segments:
            return 0
        chain, last = _end_of(segments[-1][1])
    except (OSError, sqlite3.Error, TypeError):
        return None
    # A chain of a journal has its name, or one that begins with it.
    known = [to for name, to in folded_to.items() if chain == name or chain.startswith(f"{name}.")]
    return max(0, last - max(known, default=0))


def _end_of(segment: Path) -> tuple[str, int]:
    """The chain that a segment is of, and the number of its last record."""
    log = segment.with_name(f"{segment.name}-wal")
    # SQLite makes a log beside what it opens, unless it is told that nobody writes: without a log nobody does.
    quietly = "" if log.exists() and log.stat().st_size else "&immutable=1"
    uri = f"{segment.absolute().as_uri()}?mode=ro{quietly}"
    with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=10)) as connection:
        chain, last = connection.execute(_END).fetchone()
        return str(chain), int(last)
