"""``hoop-mitm replay``."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hoop_mitm.cli.options import reading, session_argument
from hoop_mitm.cli.parameters import Finite

if TYPE_CHECKING:
    from rich.console import RenderableType

    from hoop_mitm.archive import Beat, JobEntry, Moment, Result, SessionDetail

_PREVIEW_ROWS = 5
_READ_AHEAD = 50
_PAGE_ROWS = 20
# Slower, or in seconds longer, no clock can wait.
_SLOWEST, _LONGEST_IDLE = 0.001, 10**9


@click.command(
    epilog="""\b
Examples:
  hoop-mitm replay
  hoop-mitm replay nightly --speed 10
  hoop-mitm replay @last --instant --json
"""
)
@session_argument(required=False)
@click.option("--speed", type=Finite(min=_SLOWEST), default=1.0, show_default=True, help="2 is twice as fast.")
@click.option(
    "--max-idle",
    type=Finite(min=0, max=_LONGEST_IDLE),
    metavar="SECONDS",
    help="Cut longer pauses to this many seconds of the recording.  [default: no cut]",
)
@click.option("--instant", is_flag=True, help="Do not wait at all.")
@click.option("--from", "start", metavar="M:SS", help="Begin so long after the session's start.")
@click.option("--job", "job_reference", metavar="ID", help="Only one job: its id, the start of it, or its number.")
@click.option("--plain", is_flag=True, help="Play on by itself, also at a terminal.")
@reading
def replay(
    session: str,
    db: Path,
    *,
    as_json: bool,
    speed: float,
    max_idle: float | None,
    instant: bool,
    start: str | None,
    job_reference: str | None,
    plain: bool,
) -> None:
    """Play a session back: who asked what, and what came back.

    It plays in the session's own rhythm. SESSION is an id, the start of one, a name, @last (the newest, and the default) or @last~1 (the one before).
    At a terminal keys pause, step, seek, change the speed, jump to the next denial or error, follow one job and turn pages of rows; in a pipe it plays on by itself. With --json each moment is one line of JSON.
    """
    from hoop_mitm.archive import open_archive, play, shapes, timeline
    from hoop_mitm.cli import player, terminal

    begin = player.offset_of(start or "0")
    if begin is None:
        raise click.UsageError(f"--from {start}: a time is m:ss, h:mm:ss, or seconds.")

    # Playing takes as long as the session did: the gateway must not wait for that.
    with open_archive(db) as archive:
        terminal.say_pending(archive.pending)
        detail = archive.show(archive.find(session))
    moments = [moment for moment in timeline(detail) if moment.offset >= begin]
    if job_reference is not None:
        key = detail.job(job_reference).key
        moments = [moment for moment in moments if moment.job is not None and moment.job.key == key]
    previews = _Previews(db, detail)
    if moments and player.at_terminal() and not (as_json or instant or plain):
        _play_at_terminal(moments, detail, previews, speed=speed, max_idle=max_idle)
        return
    beats = play(
        moments,
        begin=moments[0].offset if moments and (start or job_reference) else None,
        speed=speed,
        max_idle=None if max_idle is None else timedelta(seconds=max_idle),
        instant=instant,
    )
    if as_json:
        for beat in beats:
            terminal.print_json_line(shapes.moment(beat.moment))
        return
    terminal.print_all(_screen(beats, detail, previews))


def _play_at_terminal(
    moments: "list[Moment]", detail: "SessionDetail", previews: "_Previews", *, speed: float, max_idle: float | None
) -> None:
    from hoop_mitm.archive.reel import Reel
    from hoop_mitm.cli import player, terminal
    from hoop_mitm.cli.render import moment as render

    screen = terminal.console()
    idle = None if max_idle is None else timedelta(seconds=max_idle)
    player.Player(
        Reel(moments),
        screen,
        lambda moment: render.moment(moment, detail.session, previews),
        previews.page,
        speed=speed,
        max_idle=idle,
    ).play()
    screen.print(render.summary(detail))


def _screen(beats: "Iterator[Beat]", detail: "SessionDetail", previews: "_Previews") -> "Iterator[RenderableType]":
    from hoop_mitm.cli.render import moment as render

    for beat in beats:
        if beat.skipped:
            yield render.pause(beat.skipped)
        yield render.moment(beat.moment, detail.session, previews)
    yield render.summary(detail)


class _Previews:
    """The first rows of each job, read a few jobs ahead, so that the file is open for a moment only."""

    def __init__(self, db: Path, detail: "SessionDetail") -> None:
        self._db = db
        self._jobs = detail.jobs
        self._read: dict[str, Result | None] = {}

    def __call__(self, job: "JobEntry") -> "Result | None":
        if job.key not in self._read:
            self._read = dict(self._following(job))
        return self._read[job.key]

    def page(self, job: "JobEntry", number: int) -> "RenderableType | None":
        """A page of rows of ``job``, from 0; ``None`` where there are no more."""
        from hoop_mitm.archive import open_archive
        from hoop_mitm.cli import terminal

        start = number * _PAGE_ROWS
        with open_archive(self._db) as archive:
            found = archive.rows(job, start + _PAGE_ROWS)
        if found is None or found.table.num_rows <= start:
            return None
        rows = found.table.slice(start, _PAGE_ROWS).to_pylist()
        return terminal.rows_table(found.columns, (row.values() for row in rows))

    def _following(self, job: "JobEntry") -> "Iterator[tuple[str, Result | None]]":
        from hoop_mitm.archive import open_archive

        with open_archive(self._db) as archive:
            for each in self._jobs[job.number - 1 : job.number - 1 + _READ_AHEAD]:
                yield each.key, archive.rows(each, _PREVIEW_ROWS)
