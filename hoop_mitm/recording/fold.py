"""Folding: from the journal into the archive, everything once.

Run as ``python -m hoop_mitm.recording.fold DIRECTORY`` it folds every second until its standard input closes, which is
how it ends with its gateway, however that one ends. How far it has come is written into the archive in the transaction
that takes the records over: a fold that is killed at any moment has happened, or it has not.
"""

import argparse
import contextlib
import itertools
import logging
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from hoop_mitm.errors import RecordingError
from hoop_mitm.evidence import Checkpoint
from hoop_mitm.recording.archive_file import (
    ArchiveBusyError,
    ArchiveDamagedError,
    ArchiveFile,
    ArchiveIsOlderError,
    is_damage,
)
from hoop_mitm.recording.journal import reason
from hoop_mitm.recording.kept import Kept
from hoop_mitm.recording.layout import Hold, Layout, is_held
from hoop_mitm.recording.migrating import migrate, refuse_link
from hoop_mitm.recording.remarks import Remark
from hoop_mitm.recording.sealing import checkpoint_row
from hoop_mitm.recording.setting_aside import set_aside
from hoop_mitm.recording.tables import Batch, lose_open
from hoop_mitm.recording.unfolded import Row, Unfolded

log = logging.getLogger(__name__)

#: What a gateway says before it closes our input, when it has written its last record.
GOODBYE = b"goodbye\n"
#: How long an intent waits for its answer before it becomes visible as an open flow, in seconds.
YOUNG = 3.0
_MOST_ROWS = 4000
_LEAST_ROWS = 250
#: How long one batch keeps readers from the archive, in seconds: the next one is as large as fits into it.
_HOLD = 0.2
_MOST_BYTES = 96 * 2**20
_BODIES_AT_ONCE = 32 * 2**20
#: How long one attempt waits for a reader to let the archive go, in seconds; then comes the next attempt.
_PATIENCE = 1.0
_LAST_PATIENCE = 5.0
_PAUSE_FOR_LOCK = 0.1

#: Errors that come of what a record holds, not of the disk or the file.
_BAD_RECORD = (
    ArithmeticError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
    duckdb.DataError,
    duckdb.IntegrityError,
    pa.ArrowException,
)
_FEW = 16

_MARK = "SELECT folded_to, held FROM journals WHERE id = ?"
_SET_MARK = "UPDATE journals SET folded_to = ?, held = ?, folded_at = ? WHERE id = ?"
_FIRST_MARK = "INSERT INTO journals VALUES (?, 0, [], now())"
_CHECKPOINTS = 'SELECT chain, max(number) AS "number" FROM checkpoints GROUP BY chain'
_NEW_BODIES = """
    INSERT INTO bodies
    SELECT * FROM batch
    WHERE NOT EXISTS (FROM bodies AS old WHERE old.hash = batch.hash AND old.part = batch.part)
"""


@dataclass(frozen=True, slots=True)
class FoldReport:
    """``folded`` records were taken over; ``remaining`` still lie in the journal."""

    folded: int = 0
    remaining: int = 0


@dataclass(slots=True)
class _Mark:
    """How far the archive is, and which file said so. ``checkpoints`` holds each chain's last."""

    file: tuple[int, int]
    folded_to: int
    held: list[int] = field(default_factory=list)
    checkpoints: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _New:
    """What enters the chains in the archive."""

    rows: list[Row]
    checkpoints: list[Checkpoint]

    @property
    def numbers(self) -> dict[str, int]:
        return {checkpoint.chain: checkpoint.number for checkpoint in self.checkpoints}


class Fold:
    """Folds one recordings directory. The caller holds :attr:`Layout.fold_lock`."""

    def __init__(self, layout: Layout, keep: float | None = None, *, hold: float = _HOLD, mend: bool = True) -> None:
        """``keep`` is how many seconds the journal is kept after it was folded; ``None`` leaves that to others. ``hold`` is
        how many seconds one batch should keep readers from the archive. Without ``mend`` an archive of an older version, or
        a damaged one, is refused and left as it is."""
        self._layout = layout
        self._mend = mend
        self._journal = layout.identity().id
        self._unfolded = Unfolded(layout)
        self._kept = None if keep is None else Kept(layout, keep)
        self._hold = self._held = hold
        self._was_short = False
        self._segments: Sequence[tuple[int, Path]] = ()
        self._remarks: list[Remark] = []
        self._mark: _Mark | None = None
        self._first_seen: dict[int, float] = {}
        # How long one takes on this disk is not known yet.
        self._most = _LEAST_ROWS

    def close(self) -> None:
        if self._kept:
            self._kept.note()
        self._unfolded.close()

    def run(self, *, everything: bool = False, wait: float = _PATIENCE) -> FoldReport:
        """Take over all that is there.

        ``everything`` is for when no gateway lives: intents that are young are taken over too, and nobody will say any
        more how those that are open ended.

        Raises:
            ArchiveBusyError: somebody reads the archive; nothing is lost, try again.
            ArchiveIsOlderError, ArchiveDamagedError: without ``mend``: it is, and says what to do.
            RecordingError: the archive or the journal cannot be used.
        """
        folded = 0
        repaired = False
        while True:
            try:
                with self._undisturbed(wait):
                    while (more := self._step(everything=everything, wait=wait)) is not None:
                        folded += more
                    self._let_go()
            except OSError as error:
                raise RecordingError(f"{self._layout.directory} cannot be folded ({reason(error)}).") from error
            except (ArchiveDamagedError, ArchiveIsOlderError, duckdb.Error) as error:
                if not self._mend and (damaged := damage_in_words(self._layout, error)):
                    raise damaged from error
                if not self._mend or repaired or not self._repair(error, wait):
                    raise
                # Once: what is still wrong then is nothing that this helps against.
                repaired = True
            else:
                assert self._mark is not None
                return FoldReport(folded, len(self._mark.held))

    def _repair(self, error: Exception, wait: float) -> bool:
        """Make an archive usable that is damaged, or of an older version; whether there was anything to do."""
        archive = self._layout.archive
        if isinstance(error, ArchiveIsOlderError):
            migrate(archive, wait=wait)
            log.warning("%s was brought up to date; the old file is beside it", archive)
            return True
        if not isinstance(error, ArchiveDamagedError) and not (isinstance(error, duckdb.Error) and is_damage(error)):
            return False
        why = str(error).splitlines()[0]
        try:
            refuse_link(archive)
        except RecordingError as refusal:
            raise RecordingError(f"The archive is damaged ({why}), and is not set aside. {refusal}") from error
        aside = set_aside(archive)
        log.error("the archive was damaged (%s) and was set aside as %s", why, aside)
        self._remarks.append(
            Remark(
                "recording.damaged",
                f"The archive was damaged and was set aside as {aside.name}: {why}.",
                {"aside": aside.name},
            )
        )
        self._mark = None
        return True

    def remaining(self) -> int:
        """Records that are not in the archive yet, as far as that is known."""
        folded_to, held = (self._mark.folded_to, len(self._mark.held)) if self._mark else self._layout.folded_to()
        return max(0, self._unfolded.last() - folded_to) + held

    def mark_lost(self, wait: float) -> None:
        """Say of every open flow that nobody will say any more how it ended."""
        with self._undisturbed(wait), ArchiveFile(self._layout.archive, wait=wait) as archive:
            lose_open(archive)

    @contextlib.contextmanager
    def _undisturbed(self, wait: float) -> Iterator[None]:
        """While nobody changes the archive otherwise."""
        hold = Hold(self._layout.maintenance_lock)
        if not hold.take(wait=wait, shared=True):
            raise ArchiveBusyError(f"{self._layout.archive} is being worked on by another program; folding waits.")
        try:
            yield
        finally:
            hold.release()

    def _step(self, *, everything: bool, wait: float) -> int | None:
        """Fold one batch; ``None`` when nothing was left to do."""
        segments = self._layout.segments()
        mark = self._known_mark()
        if mark is None:
            with ArchiveFile(self._layout.archive, wait=wait) as archive:
                mark = self._read_mark(archive)
            self._remark_what_is_missing(mark)
        rows = self._unfolded.rows(mark.folded_to, mark.held, most=self._most, most_bytes=_MOST_BYTES)
        held = set() if everything else self._young(rows)
        taken = [row for row in rows if row.seq not in held]
        self._mark = mark
        # Not back to one that was held: what came after it is in the archive.
        folded_to = max([mark.folded_to, *(row.seq for row in rows)])
        checkpoints = self._unfolded.checkpoints(mark.folded_to, mark.checkpoints, folded_to)
        self._remark_damage()
        if not taken and not checkpoints and not self._remarks and held == set(mark.held):
            # Also every checkpoint in them is folded, but for the newest's.
            self._segments = segments
            return None
        new = _New([row for row in rows if row.seq > mark.folded_to], checkpoints)
        after = replace(mark, folded_to=folded_to, held=sorted(held), checkpoints=mark.checkpoints | new.numbers)
        bad: set[int] = set()
        while True:
            try:
                done = self._take_over(mark, after, taken, new, bad=bad, over=everything, wait=wait)
                break
            except _BAD_RECORD as error:
                if len(taken) > _FEW:
                    # One of them is bad: it will be among fewer next time.
                    self._most = max(1, self._most // 16)
                    return 0
                if bad:
                    raise
                log.warning("a record cannot be folded: %s", error)
                bad = self._bad(taken, wait)
        self._most = min(_MOST_ROWS, self._most * 2, max(_LEAST_ROWS, int(len(rows) * self._hold / self._held)))
        if done:
            self._first_seen = {seq: seen for seq, seen in self._first_seen.items() if seq in held}
            self._tidy(taken)
        return len(taken) if done else 0

    def _take_over(
        self, before: _Mark, after: _Mark, rows: Sequence[Row], new: _New, *, bad: set[int], over: bool, wait: float
    ) -> bool:
        """Write rows and the new mark in one transaction; ``False`` when the archive is not the one that it was."""
        # A bad record must not keep the others out for ever; that there was one stays visible as an event.
        good = [replace(row, kind="unreadable", note={}) if row.seq in bad else row for row in rows]
        batch = Batch(self._unfolded, good)
        with self._holding(wait) as archive:
            if self._read_mark(archive) != before:
                self._mark = None
                return False
            self._fold_bodies(archive, good)
            archive.begin()
            # As they are, also those that wait and those that cannot be read: the chain is whole at any time.
            archive.insert("records", [row.sealed.as_row() for row in new.rows if row.sealed])
            archive.insert("checkpoints", [checkpoint_row(checkpoint) for checkpoint in new.checkpoints])
            batch.fold_into(archive)
            archive.insert("events", [remark.as_row() for remark in self._remarks])
            if over:
                lose_open(archive)
            archive.execute(_SET_MARK, [after.folded_to, after.held, datetime.now(UTC), self._journal])
            archive.commit()
        self._mark = replace(after, file=_file(self._layout.archive))
        # A hint for readers who want to know how far behind the archive is.
        self._layout.folded.write_text(f"{after.folded_to} {len(after.held)}")
        self._leave_remarks()
        return True

    @contextlib.contextmanager
    def _holding(self, wait: float) -> Iterator[ArchiveFile]:
        """The archive; how long it was held is known afterwards."""
        with ArchiveFile(self._layout.archive, wait=wait) as archive:
            began = time.monotonic()
            yield archive
        self._held = max(0.001, time.monotonic() - began)

    def _leave_remarks(self) -> None:
        for remark in self._remarks:
            try:
                remark.leave(self._layout)
            except OSError as error:
                log.warning("what was noticed stays unsigned (%s): %s", reason(error), remark.message)
        self._remarks.clear()

    def _remark_damage(self) -> None:
        for path, why in self._unfolded.damaged:
            message = f"A segment of the journal is damaged and was set aside as {path.name}: {why}."
            log.error("%s", message)
            self._remarks.append(Remark("recording.damaged", message, {"aside": path.name}))
        self._unfolded.damaged.clear()

    def _remark_what_is_missing(self, mark: _Mark) -> None:
        """An archive that holds less than was folded before was taken away, or set aside, or put back."""
        before = self._layout.folded_to()[0]
        if mark.folded_to >= before:
            return
        first = self._unfolded.first(mark.folded_to)
        if first == mark.folded_to + 1:
            # What stands in the archive's own chains was never in the journal.
            message = (
                f"The archive is made again from the journal, from record {first} on. Nothing that a gateway recorded is missing. "
                "What was done to the archive itself (retention, erasures, imports, the events of holds) is not in the journal."
            )
        elif first:
            message = f"The archive is made again from the journal, which goes back to record {first}. What was before is not in it."
        else:
            message = "The archive is begun anew: the journal holds nothing of what was in it."
        log.warning("%s", message)
        details = {"first": first, "known": mark.folded_to, "folded_before": before}
        self._remarks.append(Remark("recording.rebuilt", message, details))

    def _bad(self, rows: Sequence[Row], wait: float) -> set[int]:
        """The records that cannot be folded even alone."""
        bad = set()
        with ArchiveFile(self._layout.archive, wait=wait) as archive:
            for row in rows:
                try:
                    archive.begin()
                    Batch(self._unfolded, [row]).fold_into(archive)
                except _BAD_RECORD:
                    bad.add(row.seq)
                archive.rollback()
        return bad

    def _known_mark(self) -> _Mark | None:
        return self._mark if self._mark and self._mark.file == _file(self._layout.archive) else None

    def _read_mark(self, archive: ArchiveFile) -> _Mark:
        found = archive.rows(_MARK, [self._journal])
        if not found:
            archive.execute(_FIRST_MARK, [self._journal])
            found = archive.rows(_MARK, [self._journal])
        checkpoints = {row["chain"]: row["number"] for row in archive.rows(_CHECKPOINTS)}
        return _Mark(_file(self._layout.archive), found[0]["folded_to"], list(found[0]["held"]), checkpoints)

    def _young(self, rows: Sequence[Row]) -> set[int]:
        """The intents that may still wait: without an outcome, seen a moment ago, of a gateway that lives."""
        now = time.monotonic()
        newest_start = max((row.seq for row in rows if row.kind == "start"), default=0)
        outcomes = {row.note["id"] for row in rows if row.kind == "flow" and row.note["state"] != "open"}
        young = set()
        for row in rows:
            if row.kind == "flow" and row.note["state"] == "open" and row.note["id"] not in outcomes:
                # By this process's own clock: the wall clock may jump.
                age = now - self._first_seen.setdefault(row.seq, now)
                if age < YOUNG and row.seq > newest_start:
                    young.add(row.seq)
        return young

    def _fold_bodies(self, archive: ArchiveFile, rows: Sequence[Row]) -> None:
        """Bodies go first and on their own: they are found by what they hold, so that twice does no harm."""
        for bodies in _in_portions(self._bodies(rows)):
            archive.begin()
            archive.execute_with(_NEW_BODIES, "bodies", bodies)
            archive.commit()

    def _bodies(self, rows: Sequence[Row]) -> Iterator[dict[str, Any]]:
        seen: set[str] = set()
        for row in rows:
            for side in ("request", "response"):
                note = row.body_note(side)
                if note is None or note["hash"] in seen:
                    continue
                seen.add(note["hash"])
                name, salt = bytes.fromhex(note["hash"]), row.salt(side)
                try:
                    for part, (size, data) in enumerate(self._unfolded.frames(row, side)):
                        yield {"hash": name, "part": part, "size": size, "data": data, "salt": salt}
                except (OSError, EOFError) as error:
                    log.error("a body of record %s is lost: %s", row.seq, error)  # noqa: TRY400

    def _tidy(self, taken: Sequence[Row]) -> None:
        if self._kept and self._kept.keeps_nothing:
            for row in taken:
                for place in row.bodies.values():
                    if "file" in place:
                        (self._layout.bodies / place["file"]).unlink(missing_ok=True)
        runs = [row.note.get("run", row.seq) for row in taken if row.kind == "start"]
        if runs:
            self._remove_unnamed_bodies(max(runs))

    def _remove_unnamed_bodies(self, run: int) -> None:
        """Whatever gateways before this one left and no record names."""
        named = {name for _, path in self._layout.segments() for name in self._unfolded.body_files(path, 2**62)}
        for path in self._layout.bodies.iterdir():
            if path.name < f"{run:016d}" and path.name not in named:
                path.unlink(missing_ok=True)

    def _let_go(self) -> None:
        """Remove of the journal what is folded and was kept for long enough; when the disk is short, what must go."""
        mark, segments = self._mark, self._segments
        if self._kept is None or mark is None:
            return
        folded = [
            (first, path)
            for (first, path), (beyond, _) in itertools.pairwise(segments)
            if beyond - 1 <= mark.folded_to and not any(first <= seq < beyond for seq in mark.held)
        ]
        self._kept.count([first for first, _ in folded])
        for index, (first, _) in enumerate(folded):
            if not self._kept.is_due(first) and not self._is_short():
                break
            self._unfolded.trim(segments[index : index + 2], mark.folded_to, mark.held)
        if segments and self._is_short():
            self._unfolded.drop_bodies(segments[-1][1], min([mark.folded_to, *(seq - 1 for seq in mark.held)]))

    def _is_short(self) -> bool:
        """Whether the disk is nearly full; it is said once, until it is no more."""
        short = self._kept is not None and self._kept.is_short()
        if short and not self._was_short:
            message = "The disk is nearly full: less of the journal is kept than was asked for."
            log.warning("%s", message)
            self._remarks.append(Remark("recording.journal_shortened", message))
        self._was_short = short
        return short


def damage_in_words(layout: Layout, error: Exception) -> ArchiveDamagedError | None:
    """What is said where a damaged archive is not mended, and what mends it; ``None`` for any other error."""
    cause = error if isinstance(error, duckdb.Error) else error.__cause__
    if not isinstance(cause, duckdb.Error) or not is_damage(cause):
        return None
    archive = layout.archive
    if layout.journal.is_dir() and layout.segments():
        advice = (
            "Start the gateway (again), or say `hoop-mitm sessions` while none runs: what is damaged is set aside, with "
            "`.damaged-` and the time in its name, and what is missing is made again from the journal, as far back as that is "
            f"kept. Where that comes across no damage, move {archive.name} away first."
        )
    else:
        advice = "There is no journal beside it to make it again from: put a backup in its place."
    return ArchiveDamagedError(f"{archive} is damaged ({str(cause).splitlines()[0]}) and is left as it is. {advice}")


def fold_once(directory: Path, *, wait: float = 2.0, hold: float = _HOLD, mend: bool = True) -> FoldReport:
    """Fold what the journal in ``directory`` holds; where a gateway's fold does so, wait for it to catch up.

    For readers. ``wait`` is how many seconds to wait, for somebody who reads the archive, or for the other fold; ``hold``
    how many seconds one batch should keep others from reading; ``mend`` as for :class:`Fold`.
    ``remaining`` in the report is what the archive does not hold yet.

    Raises:
        RecordingError: the journal or the archive cannot be used.
    """
    layout = Layout(directory.absolute())
    if not layout.journal.is_dir():
        return FoldReport()
    turn = Hold(layout.fold_lock)
    try:
        if not turn.take():
            return FoldReport(0, _catching_up(layout, wait))
    except OSError as error:
        raise RecordingError(f"{layout.fold_lock} cannot be written ({reason(error)}).") from error
    fold = Fold(layout, hold=hold, mend=mend)
    try:
        alive = is_held(layout.lock)
        report = fold.run(everything=not alive, wait=wait)
    except ArchiveBusyError:
        return FoldReport(0, fold.remaining())
    finally:
        fold.close()
        turn.release()
    return report


def _catching_up(layout: Layout, wait: float) -> int:
    """How many records another fold has still before it, after waiting for those that were there at the beginning."""
    with contextlib.closing(Unfolded(layout)) as unfolded:
        last = unfolded.last()
        give_up = time.monotonic() + wait
        while True:
            folded_to, held = layout.folded_to()
            if folded_to >= last or time.monotonic() >= give_up:
                return max(0, last - folded_to) + held
            time.sleep(_PAUSE_FOR_LOCK)


def _file(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except FileNotFoundError:
        return 0, 0
    return status.st_dev, status.st_ino


def _in_portions(bodies: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    portion: list[dict[str, Any]] = []
    size = 0
    for body in bodies:
        portion.append(body)
        size += len(body["data"])
        if size > _BODIES_AT_ONCE:
            yield portion
            portion, size = [], 0
    if portion:
        yield portion


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m hoop_mitm.recording.fold", description=__doc__)
    parser.add_argument("directory", type=Path, help="recordings directory")
    parser.add_argument("--interval", type=float, default=1.0, help="seconds between folds")
    parser.add_argument("--keep", type=float, default=0.0, help="seconds to keep the journal for after it was folded")
    options = parser.parse_args(arguments)
    logging.basicConfig(stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)
    # What it cannot parse is no news.
    logging.getLogger("sqlglot").setLevel(logging.CRITICAL)
    stop, orderly = threading.Event(), threading.Event()
    # Ctrl-C reaches the gateway too, which closes our input when it has written its last record.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: stop.set())

    def wait_for_end() -> None:
        while said := os.read(sys.stdin.fileno(), 4096):
            if GOODBYE in said:
                orderly.set()
        stop.set()

    threading.Thread(target=wait_for_end, daemon=True).start()
    layout = Layout(options.directory.absolute())
    _fold_until(stop, orderly, layout, interval=options.interval, keep=options.keep)
    return 0


def _fold_until(
    stop: threading.Event, orderly: threading.Event, layout: Layout, *, interval: float, keep: float
) -> None:
    hold = Hold(layout.fold_lock)
    if not _take_turn(hold, stop):
        return
    _clear_workshop(layout)
    fold = Fold(layout, keep)
    complained = ""
    try:
        while True:
            last = stop.is_set()
            began = time.monotonic()
            try:
                # A gateway that died may have a successor by now, whose intents are none of ours to give up.
                over = last and (orderly.is_set() or not is_held(layout.lock))
                fold.run(everything=over, wait=_LAST_PATIENCE if last else _PATIENCE)
                if over:
                    fold.mark_lost(_LAST_PATIENCE)
                complained = ""
            except ArchiveBusyError:
                log.debug("the archive is being read; folding waits")
            except Exception as error:
                # Whatever it is, the records are safe in the journal: say it once, and try again.
                if str(error) != complained:
                    complained = str(error)
                    log.exception("folding failed and is tried again")
            if last:
                return
            stop.wait(max(0.0, began + interval - time.monotonic()))
    finally:
        fold.close()
        hold.release()


def _take_turn(hold: Hold, stop: threading.Event) -> bool:
    """Wait for a dead gateway's fold, which soon ends by itself: a little also when it is time to go already."""
    while not hold.take():
        if stop.wait(_PAUSE_FOR_LOCK):
            return hold.take(wait=_LAST_PATIENCE)
    return True


def _clear_workshop(layout: Layout) -> None:
    """Remove what a retention that was killed has left: nobody may run it again for long."""
    hold = Hold(layout.maintenance_lock)
    with contextlib.suppress(OSError):
        if layout.workshop.exists() and hold.take():
            shutil.rmtree(layout.workshop, ignore_errors=True)
    hold.release()


if __name__ == "__main__":
    sys.exit(main())
