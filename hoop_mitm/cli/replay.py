"""``hoop-mitm replay``."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hoop_mitm.cli.options import reading, session_argument

if TYPE_CHECKING:
    from rich.console import RenderableType

    from hoop_mitm.archive import Beat, JobEntry, Result, SessionDetail

_PREVIEW_ROWS = 5
_READ_AHEAD = 50


@click.command(
    epilog="""\b
Examples:
  hoop-mitm replay
  hoop-mitm replay nightly --speed 10
  hoop-mitm replay @last --instant --json
"""
)
@session_argument(required=False)
@click.option(
    "--speed", type=click.FloatRange(min=0, min_open=True), default=1.0, show_default=True, help="2 is twice as fast."
)
@click.option(
    "--max-idle",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="Cut longer pauses to this many seconds of the recording.  [default: no cut]",
)
@click.option("--instant", is_flag=True, help="Do not wait at all.")
@reading
def replay(session: str, db: Path, *, as_json: bool, speed: float, max_idle: float | None, instant: bool) -> None:
    """Play a session back: who asked what, and what came back.

    It plays in the session's own rhythm. SESSION is an id, the start of one, a name, @last (the newest, and the default) or @last~1 (the one before).
    With --json each moment is one line of JSON.
    """
    from hoop_mitm.archive import open_archive, play, shapes, timeline
    from hoop_mitm.cli import terminal

    # Playing takes as long as the session did: the gateway must not wait for that.
    with open_archive(db) as archive:
        terminal.say_pending(archive.pending)
        detail = archive.show(archive.find(session))
    beats = play(
        timeline(detail),
        speed=speed,
        max_idle=None if max_idle is None else timedelta(seconds=max_idle),
        instant=instant,
    )
    if as_json:
        for beat in beats:
            terminal.print_json_line(shapes.moment(beat.moment))
        return
    previews = _Previews(db, detail)
    terminal.print_all(_screen(beats, detail, previews))


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

    def _following(self, job: "JobEntry") -> "Iterator[tuple[str, Result | None]]":
        from hoop_mitm.archive import open_archive

        with open_archive(self._db) as archive:
            for each in self._jobs[job.number - 1 : job.number - 1 + _READ_AHEAD]:
                yield each.key, archive.rows(each, _PREVIEW_ROWS)
