"""``hoop-mitm serve``."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from hoop_mitm.cli.options import db_option
from hoop_mitm.cli.progress import progress

if TYPE_CHECKING:
    from hoop_mitm.serving import Serving

_COMMAND = "hoop_mitm.serve.command"
_SHOWN, _WIDTH = 10, 400


class _WithCommand(click.Command):
    """What follows ``--`` is a command, and no argument of ours."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if "--" in args:
            place = args.index("--")
            ctx.meta[_COMMAND] = tuple(args[place + 1 :])
            args = args[:place]
        return super().parse_args(ctx, args)

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        return [*super().collect_usage_pieces(ctx), "[-- CMD...]"]


@click.command(
    cls=_WithCommand,
    epilog="""\b
Examples:
  hoop-mitm serve @last -- python agent.py
  hoop-mitm serve nightly --strict --dir /tmp/served -- bq query 'SELECT COUNT(*) FROM shop.orders'
  hoop-mitm serve nightly --config policy-to-try.yaml -- python agent.py
  hoop-mitm serve nightly --latency recorded
""",
)
@click.argument("sessions", nargs=-1, required=True, metavar="SESSION...")
@click.option("--strict", is_flag=True, help="Jobs must be asked for in the recorded order, and as often.")
@click.option(
    "--latency",
    type=click.Choice(["recorded", "none"]),
    default="none",
    show_default=True,
    help="Whether answers take as long as they did.",
)
@click.option(
    "--dir",
    "directory",
    default="served",
    show_default=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Where all files go; what is asked is recorded in DIR/recordings.",
)
@click.option(
    "--config",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Your own hoop.yaml, to try its rules: all of it holds but addresses, issuers, files and credentials.",
)
@db_option
@click.pass_context
def serve(
    context: click.Context,
    sessions: tuple[str, ...],
    db: Path,
    *,
    strict: bool,
    latency: Literal["recorded", "none"],
    directory: Path,
    config: Path | None,
) -> None:
    """Serve a recorded session as a BigQuery, offline, to unmodified clients.

    Runs CMD with the environment that a client needs: each statement is answered as it was when it was recorded, by
    its text (layout apart), parameters and default dataset; of the same statement asked several times, each time in
    turn. What is not in the recording is an error that names the closest statement and what differs, and is sent
    nowhere. All of it passes a gateway and is recorded, to be compared with the original. The exit status is CMD's.
    Without CMD it prints the environment and serves until Ctrl-C. Several sessions are served as one.
    """
    from hoop_mitm.cli import installation
    from hoop_mitm.serving import Serving, load

    command: tuple[str, ...] = context.meta.get(_COMMAND, ())
    installation.check(command)
    with progress("Reading the recording"):
        recorded = load(db, sessions)
    serving = Serving(directory, recorded, strict=strict, latency=latency, own_config=config)
    status = installation.live(serving, command, session=serving.name, called="the recording")
    _tell(serving, sessions, db)
    context.exit(status)


def _tell(serving: "Serving", sessions: tuple[str, ...], db: Path) -> None:
    """What was asked and not found, and, on a terminal, how to compare."""
    from hoop_mitm.archive import words
    from hoop_mitm.cli import terminal

    if misses := serving.world.misses:
        terminal.note(f"hoop-mitm: {words.count(len(misses), 'question was', 'questions were')} not in the recording:")
        for miss in misses[:_SHOWN]:
            terminal.note(f"  {terminal.one_line(miss.asked)}\n    {terminal.one_line(miss.message, _WIDTH)}")
        if len(misses) > _SHOWN:
            terminal.note(f"  … and {len(misses) - _SHOWN} more")
    if len(sessions) == 1 and sys.stderr.isatty():
        served = shlex.join(["--db-a", str(db), "--db-b", str(serving.archive)])
        click.echo(f"Compare: hoop-mitm diff {shlex.quote(serving.world.recorded.first.id)} @last {served}", err=True)
