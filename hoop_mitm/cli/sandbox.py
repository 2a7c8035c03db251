"""``hoop-mitm sandbox``."""

import os
import shutil
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

import click

from hoop_mitm.cli.progress import progress

if TYPE_CHECKING:
    from hoop_mitm.devkit.sandbox import Sandbox

#: What a shell says of a program that it cannot find.
_NOT_FOUND = 127


@click.command(
    context_settings={
        "ignore_unknown_options": True,
        "allow_interspersed_args": False,
        "help_option_names": ["-h", "--help"],
    },
    epilog="""\b
Examples:
  hoop-mitm sandbox -- python my_client.py
  hoop-mitm sandbox --as bob -- bq query 'SELECT COUNT(*) FROM shop.orders'
  hoop-mitm sandbox --dir /tmp/try
""",
)
@click.option("--as", "user", default="alice", show_default=True, help="Who asks: alice, bob, or the machine ci.")
@click.option(
    "--dir",
    "directory",
    default="sandbox",
    show_default=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Where all files go; recordings in DIR/recordings.",
)
@click.option(
    "--config",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Your own hoop.yaml, to try it: all of it holds but addresses, issuers, files and credentials.",
)
@click.argument("command", nargs=-1, type=click.UNPROCESSED, metavar="[-- CMD...]")
def sandbox(user: str, directory: Path, config: Path | None, command: tuple[str, ...]) -> None:
    """Run a command against a BigQuery of your own, recorded.

    Starts an identity provider, a small BigQuery with a shop's data (project acme, dataset shop) and the gateway, all
    on this machine, runs CMD with the environment that a client needs, and stops everything. The exit status is
    CMD's. Without CMD it stays up, and prints the environment to copy into another terminal.
    """
    from hoop_mitm.devkit.sandbox import Sandbox, search_path

    if command and shutil.which(command[0], path=search_path(os.environ)) is None:
        click.echo(f"hoop-mitm: there is no program {command[0]}.", err=True)
        click.get_current_context().exit(_NOT_FOUND)
    chosen = Sandbox(directory, user=user, own_config=config)
    signal.signal(signal.SIGTERM, _end)
    try:
        with progress("Starting the sandbox") as say:
            chosen.start(say)
        status = _run(chosen, command) if command else _stay(chosen)
    finally:
        # Once it is stopping, impatience must not leave something running or unfolded.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        with progress("Stopping the sandbox"):
            chosen.stop()
    if sys.stderr.isatty():
        click.echo(f"Recorded in {chosen.archive}; see: hoop-mitm sessions --db {chosen.archive}", err=True)
    click.get_current_context().exit(status)


def _run(chosen: "Sandbox", command: tuple[str, ...]) -> int:
    from hoop_mitm import foreground

    return foreground.run(command, chosen.environment(f"{chosen.user} {Path(command[0]).name}"), chosen.broken)


def _stay(chosen: "Sandbox") -> int:
    from hoop_mitm.client import BYPASSES, shells
    from hoop_mitm.errors import SandboxError

    click.echo(shells.sh(chosen.variables(), [name for name in BYPASSES if name in os.environ]), nl=False)
    click.echo("\nThe sandbox is up. Paste these lines into another terminal; Ctrl-C here stops it.", err=True)
    try:
        while not (reason := chosen.broken()):
            time.sleep(1)
    except (KeyboardInterrupt, SystemExit):
        return 0
    raise SandboxError(reason)


def _end(_number: int, _frame: FrameType | None) -> NoReturn:
    sys.exit(128 + signal.SIGTERM)
