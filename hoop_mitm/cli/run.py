"""``hoop-mitm run``."""

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hoop_mitm.cli.options import noted, usual_recording
from hoop_mitm.cli.outfit import outfit_options
from hoop_mitm.cli.parameters import Length
from hoop_mitm.cli.progress import progress

if TYPE_CHECKING:
    from hoop_mitm.client.outfit import Outfit

# What shells say of a program that they cannot find, or not run.
_NOT_FOUND, _NOT_RUN = 127, 126


@click.command(
    context_settings={"allow_interspersed_args": False},
    epilog="""\b
Examples:
  hoop-mitm run -- bq query --nouse_legacy_sql 'SELECT 1'
  hoop-mitm run --session 'monthly report' -- python report.py
  hoop-mitm run --connection warehouse -- bash
  hoop-mitm run --identity github -- dbt build
""",
)
@click.option("--session", "name", help="What the session is called in recordings; default: the name of CMD's program.")
@outfit_options
@click.option(
    "--linger",
    type=Length(),
    default="30m",
    show_default=True,
    help="How long a gateway that this starts stays when nobody uses it any more.",
)
@click.option("--quiet", "-q", is_flag=True, help="Say nothing at the end.")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- CMD...")
@noted
def run(
    *,
    name: str | None,
    connection: str | None,
    project: str | None,
    identity: str,
    linger: float,
    quiet: bool,
    client: Path | None,
    command: tuple[str, ...],
) -> None:
    """Run a command whose requests to BigQuery go through the gateway.

    It is a session of its own. All that Google's clients read is set for CMD and what it starts: the proxy, the roots
    to trust, a credentials file that trades your login, project and settings of bq and gcloud. Nothing of your own
    settings is changed. CMD has the terminal and gets signals; the exit status is CMD's. When no gateway runs, one is
    started in the background, and shared by all who ask; it ends when nobody has used it for a while.

    At the end a line on standard error says what the session did, if the recording is on this machine.
    """
    from hoop_mitm import foreground
    from hoop_mitm.cli.outfit import dressed
    from hoop_mitm.client import child_environment
    from hoop_mitm.client.outfit import name_of

    if foreground.program(command[0], os.environ) is None:
        click.echo(f"hoop-mitm: there is no program {command[0]}.", err=True)
        click.get_current_context().exit(_NOT_FOUND)
    with dressed(
        client, name or name_of(command[0]), connection=connection, project=project, identity=identity, start=linger
    ) as outfit:
        try:
            status = foreground.run(command, child_environment(os.environ, outfit.variables))
        except OSError as error:
            click.echo(f"hoop-mitm: {command[0]} cannot be run: {error.strerror}.", err=True)
            click.get_current_context().exit(_NOT_RUN)
        if not quiet:
            _say(outfit)
    foreground.end_as(status)


def _say(outfit: "Outfit") -> None:
    """A line on what the session did. Whoever cannot read the recording, or recorded elsewhere, gets none."""
    from hoop_mitm.archive import words
    from hoop_mitm.client.summary import summary_of
    from hoop_mitm.errors import ArchiveBusy

    archive = Path(outfit.variables.get("HOOP_DB", ""))
    if outfit.session is None or not archive.parent.is_dir():
        return
    where = "" if _is_default(archive) else f" --db {shlex.quote(str(archive))}"
    try:
        with progress("Looking up what was recorded"):
            found = summary_of(archive, outfit.session.id)
    except ArchiveBusy:
        later = f"hoop-mitm show {outfit.session.id}{where}"
        click.echo(f"hoop-mitm: the recording is behind; see later what was asked: {later}", err=True)
        return
    if found is None:
        click.echo("hoop-mitm: nothing was asked of BigQuery.", err=True)
        return
    did, short = found
    told = [words.count(did.jobs, "job"), f"{did.denied:,} denied"]
    told += [f"{words.size(did.bytes_processed)} processed", f"{words.size(did.bytes_billed)} billed"]
    click.echo(f"hoop-mitm: {', '.join(told)}; see: hoop-mitm show {short}{where}", err=True)


def _is_default(archive: Path) -> bool:
    named = Path(os.environ.get("HOOP_DB") or usual_recording()).absolute()
    return archive in (named, named / archive.name)
