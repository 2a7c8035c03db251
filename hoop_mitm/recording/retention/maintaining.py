"""Nobody folds into the archive while it is maintained; and everything that was recorded before is in it."""

import contextlib
import sqlite3
import time
from collections.abc import Callable, Iterator

from hoop_mitm.errors import RecordingError
from hoop_mitm.recording.archive_file import ArchiveFile
from hoop_mitm.recording.fold import fold_once
from hoop_mitm.recording.journal import reason
from hoop_mitm.recording.layout import Hold, Layout
from hoop_mitm.recording.retention.choosing import NO_HORIZON, Horizon
from hoop_mitm.recording.retention.places import remove_leftovers
from hoop_mitm.recording.retention.source import Source
from hoop_mitm.recording.segment import end_of, make

#: How long is waited for a gateway, a fold or a reader, in seconds.
PATIENCE = 60.0
_PAUSE = 0.1
_MARK = "SELECT folded_to, held FROM old.main.journals WHERE id = ?"


@contextlib.contextmanager
def maintained(layout: Layout, *, wait: float = PATIENCE) -> Iterator[None]:
    """Have the archive to oneself, but for readers. What somebody who was killed at this has left is removed.

    Raises:
        RecordingError: there is none, or somebody else maintains it, or folds, all the time.
    """
    if not layout.archive.exists():
        raise RecordingError(f"There is no recording at {layout.archive}.")
    hold = Hold(layout.maintenance_lock)
    try:
        layout.journal.mkdir(mode=0o700, exist_ok=True)
        taken = hold.take(wait=wait)
    except OSError as error:
        raise RecordingError(f"{layout.maintenance_lock} cannot be written ({reason(error)}).") from error
    if not taken:
        raise RecordingError(
            f"{layout.archive} is being worked on by another program (process {hold.holder() or 'unknown'}). "
            "Try again when that is over."
        )
    try:
        remove_leftovers(layout)
        layout.workshop.mkdir(mode=0o700)
        _settle(layout, wait)
        yield
    finally:
        remove_leftovers(layout)
        hold.release()


def fold_what_can_be(layout: Layout) -> None:
    """Have in the archive what the journal holds, as far as that can be had just now."""
    with contextlib.suppress(RecordingError, OSError):
        fold_once(layout.directory)


def bring_up_to_date(layout: Layout, progress: Callable[[str], None], *, wait: float = PATIENCE) -> Horizon:
    """Have everything folded that was recorded up to now, and the journal go on in a new segment.

    Raises:
        RecordingError: it cannot be had within ``wait`` seconds: a reader has the archive, say.
    """
    if not layout.journal.is_dir() or not layout.segments():
        return NO_HORIZON
    give_up = time.monotonic() + wait
    progress("Waiting for the journal")
    first = _new_segment(layout, give_up)
    while _is_behind(layout, first):
        fold_once(layout.directory, wait=1.0)
        if time.monotonic() > give_up:
            raise RecordingError(
                f"Not all of {layout.journal} is folded after {wait:g} s: is {layout.archive.name} open in another program? "
                "Close it, and try again. Nothing was changed."
            )
        time.sleep(_PAUSE)
    return Horizon(layout.identity().id, first)


def _new_segment(layout: Layout, give_up: float) -> int:
    """Have the newest segment be an empty one, and give the number of its first record."""
    hold = Hold(layout.lock)
    before = layout.segments()[-1][0]
    try:
        while (newest := layout.segments()[-1])[0] == before and not end_of(*newest).empty:
            if hold.take():
                return _begin_segment(layout)
            # A gateway records here: it is asked for one.
            layout.rotate.touch(mode=0o600)
            if time.monotonic() > give_up:
                raise RecordingError(f"The gateway that records into {layout.directory} does not begin a new segment.")
            time.sleep(_PAUSE)
        return newest[0]
    except (OSError, sqlite3.Error) as error:
        raise RecordingError(f"The journal in {layout.journal} cannot be gone on with ({reason(error)}).") from error
    finally:
        layout.rotate.unlink(missing_ok=True)
        hold.release()


def _begin_segment(layout: Layout) -> int:
    end = end_of(*layout.segments()[-1])
    if end.chain is None:
        raise RecordingError(
            f"The journal in {layout.journal} was written by an older version. Start the gateway once, so that it goes on in a "
            "new segment. Nothing was changed."
        )
    if not end.empty:
        make(layout.segment(end.last + 1), end.chain, end.key)
    return end.last + 1


def _is_behind(layout: Layout, first: int) -> bool:
    """Whether the archive lacks a record before ``first``."""
    # A hint, that is quickly read.
    if not layout.archive.exists() or layout.folded_to()[0] < first - 1:
        return True
    with Source(layout.archive, wait=PATIENCE) as source:
        marks = source.rows(_MARK, [layout.identity().id])
    return not marks or marks[0][0] < first - 1 or any(seq < first for seq in marks[0][1])


def _settle(layout: Layout, wait: float) -> None:
    """Have in the file what DuckDB left beside it when its last writer was killed."""
    if layout.archive.with_name(f"{layout.archive.name}.wal").exists():
        ArchiveFile(layout.archive, wait=wait).close()
