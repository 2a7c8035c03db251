"""Nobody folds into the archive while it is maintained; and everything that was recorded before is in it."""

import contextlib
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping

import duckdb

from hoop_mitm.errors import RecordingError
from hoop_mitm.recording.archive_file import ArchiveBusyError, ArchiveDamagedError, ArchiveFile, ArchiveIsOlderError
from hoop_mitm.recording.fold import damage_in_words, fold_once
from hoop_mitm.recording.journal import reason
from hoop_mitm.recording.layout import Hold, Layout
from hoop_mitm.recording.migrating import refuse_link
from hoop_mitm.recording.retention.choosing import NO_HORIZON, Horizon
from hoop_mitm.recording.retention.places import remove_leftovers
from hoop_mitm.recording.retention.source import Source
from hoop_mitm.recording.segment import end_of, make

type Progress = Callable[[str], None]

type Check = Callable[[Progress], Mapping[str, int]]
"""Says what is wrong with the archive, by kinds and how often, before something is deleted in it; or raises."""

#: How long is waited for a gateway, a fold or a reader, in seconds.
PATIENCE = 60.0
#: And by what only looks, before it folds.
_GLANCE = 2.0
_PAUSE = 0.1
_MARK = "SELECT folded_to, held FROM old.main.journals WHERE id = ?"


@contextlib.contextmanager
def maintained(layout: Layout, *, wait: float = PATIENCE) -> Iterator[None]:
    """Have the archive to oneself, but for readers. What somebody who was killed at this has left is removed.

    Raises:
        RecordingError: there is none, it is damaged, or somebody else maintains it, or folds, all the time.
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
        _refuse_damage(layout, wait)
        with _damage_in_words(layout, duckdb.Error):
            # What comes to light later, where it is read.
            yield
    finally:
        remove_leftovers(layout)
        hold.release()


def fold_what_can_be(layout: Layout) -> None:
    """Have in the archive what the journal holds, as far as that can be had just now. For what only looks: nothing is mended.

    Raises:
        RecordingError: the archive is of another version, or damaged; it is left as it is.
    """
    if layout.archive.exists():
        # Before anybody takes a lock, or opens it for writing: of what is refused not a byte changes.
        with contextlib.suppress(ArchiveBusyError), _damage_in_words(layout, RecordingError, duckdb.Error):
            Source(layout.archive, wait=_GLANCE).close()
    try:
        fold_once(layout.directory, mend=False)
    except (ArchiveIsOlderError, ArchiveDamagedError):
        raise
    except (RecordingError, OSError):
        # Then what is folded already is looked at.
        pass


def bring_up_to_date(layout: Layout, progress: Callable[[str], None], *, wait: float = PATIENCE) -> Horizon:
    """Have everything folded that was recorded up to now, and the journal go on in a new segment. For what rewrites the archive.

    Raises:
        RecordingError: it cannot be had within ``wait`` seconds: a reader has the archive, say; or the archive is a link to a
            file, whose place the new one would take.
    """
    refuse_link(layout.archive)
    if not layout.journal.is_dir() or not layout.segments():
        return NO_HORIZON
    give_up = time.monotonic() + wait
    progress("Waiting for the journal")
    first = _new_segment(layout, give_up)
    while True:
        # Also where nothing waits: the fold mends what is damaged, and brings up to date what is older.
        fold_once(layout.directory, wait=1.0)
        late = time.monotonic() > give_up
        try:
            if not _is_behind(layout, first):
                break
        except ArchiveDamagedError:
            # A gateway has the fold, which mends it when it next opens it.
            if late:
                raise
        if late:
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
    with _damage_in_words(layout, RecordingError, duckdb.Error), Source(layout.archive, wait=PATIENCE) as source:
        marks = source.rows(_MARK, [layout.identity().id])
    return not marks or marks[0][0] < first - 1 or any(seq < first for seq in marks[0][1])


def _refuse_damage(layout: Layout, wait: float) -> None:
    """Refuse what is damaged. What else is wrong with it is said by whoever opens it next."""
    try:
        with _damage_in_words(layout, RecordingError, duckdb.Error):
            Source(layout.archive, wait=wait).close()
    except ArchiveDamagedError:
        raise
    except RecordingError:
        pass


@contextlib.contextmanager
def _damage_in_words(layout: Layout, *kinds: type[Exception]) -> Iterator[None]:
    """Have errors of these kinds that tell of damage say what to do."""
    try:
        yield
    except kinds as error:
        if damaged := damage_in_words(layout, error):
            raise damaged from error
        raise


def _settle(layout: Layout, wait: float) -> None:
    """Have in the file what DuckDB left beside it when its last writer was killed."""
    if layout.archive.with_name(f"{layout.archive.name}.wal").exists():
        with _damage_in_words(layout, RecordingError):
            ArchiveFile(layout.archive, wait=wait).close()
