"""``hoop-mitm sandbox``."""

import sys
from pathlib import Path

import click


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
    from hoop_mitm.cli import installation
    from hoop_mitm.devkit.sandbox import Sandbox

    installation.check(command)
    chosen = Sandbox(directory, user=user, own_config=config)
    session = f"{user} {Path(command[0]).name}" if command else None
    status = installation.live(chosen, command, session=session, called="the sandbox")
    if sys.stderr.isatty():
        click.echo(f"Recorded in {chosen.archive}; see: hoop-mitm sessions --db {chosen.archive}", err=True)
    click.get_current_context().exit(status)
