"""``hoop-mitm diff``."""

from pathlib import Path

import click

from hoop_mitm.cli.options import reading, session_argument

_SAMPLES = 10


@click.command(
    epilog="""\b
Examples:
  hoop-mitm diff @last~1 @last
  hoop-mitm diff nightly~1 nightly~0 --samples 50
  hoop-mitm diff @last~1 @last --json | jq '.jobs[] | select(.change != "same")'
"""
)
@session_argument("a")
@session_argument("b")
@click.option(
    "--samples",
    type=click.IntRange(min=0),
    default=_SAMPLES,
    show_default=True,
    help="How many rows of each kind of change to show.",
)
@reading
def diff(a: str, b: str, db: Path, *, as_json: bool, samples: int) -> None:
    """Say what changed from session A to session B.

    Named are jobs that only one has, and of the others statements, outcomes, schemas and rows that differ. Jobs are paired by their normalised statement and order. Differences in bytes and time are shown, but do not count.
    Exit status 0: the same; 1: different.
    """
    from hoop_mitm.archive import diff as compare
    from hoop_mitm.archive import open_archive, shapes
    from hoop_mitm.cli import terminal
    from hoop_mitm.cli.render import diff as render

    with open_archive(db) as archive:
        terminal.say_pending(archive.pending)
        found = compare(archive, archive.find(a), archive.find(b), samples=samples)
    if as_json:
        terminal.print_json(shapes.diff(found))
    else:
        terminal.print_all(render.whole(found))
    click.get_current_context().exit(0 if found.same else 1)
