"""``hoop-mitm import``."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from hoop_mitm.cli.handing import hand_on
from hoop_mitm.cli.options import config_option, json_option

if TYPE_CHECKING:
    from hoop_mitm.config import Config

_HERE = Path("hoop.yaml")


@click.command(
    "import",
    epilog="""\b
Examples:
  mitmdump -w day.mitm        # what another proxy saw
  hoop-mitm import day.mitm
  hoop-mitm import day.mitm --into case-17.duckdb
  hoop-mitm show day
""",
)
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--into",
    type=click.Path(path_type=Path),
    envvar="HOOP_DB",
    default=Path("recordings/hoop.duckdb"),
    show_default=True,
    show_envvar=True,
    help="The recording: its file, or the directory it lies in. It is made when there is none.",
)
@config_option
@json_option
def import_(file: Path, into: Path, config: Path | None, *, as_json: bool) -> None:
    """Take the exchanges with BigQuery in a mitmproxy flow file into a recording, marked as imported.

    They are shown, searched and replayed like all others, and named as what they are: no evidence of this gateway. Secrets
    are taken out. A file that was imported before is not imported again.

    The import is signed with the gateway's key when there is a hoop.yaml, and the signature goes where its heads go; else
    nobody vouches for who did it.
    """
    from hoop_mitm.archive.opening import file_of
    from hoop_mitm.cli import terminal
    from hoop_mitm.cli.progress import progress
    from hoop_mitm.evidence import RecordingKeys
    from hoop_mitm.importing import import_flows

    known = _config(config)
    key = None if known is None else RecordingKeys.load(known.gateway.state).newest
    path = file_of(into)
    with progress("Reading") as say:
        done = import_flows(file, path, key=key, progress=say)
        if known is not None:
            hand_on(known, done.checkpoint)
    if as_json:
        terminal.print_json(
            {
                "file": str(file),
                "into": str(path),
                "source": done.source,
                "chain": done.chain,
                "already": done.already,
                "sessions": [{"id": id_, "name": name} for id_, name in done.sessions],
                "flows": done.flows,
                "others": done.others,
                "signed_by": key.fingerprint if key and not done.already else None,
            }
        )
        return
    names = ", ".join(f"{terminal.safe(name)} ({id_[:8]})" for id_, name in done.sessions)
    if done.already:
        # Its chain stays when retention has taken what was in it.
        when = f"before, as {names}" if names else "before, and retention has deleted it since"
        click.echo(f"{terminal.safe(str(file))} was imported {when}. Nothing was done.")
        return
    left = f"; {terminal.count(done.others, 'other flow')} left out" if done.others else ""
    click.echo(f"{terminal.count(done.flows, 'exchange')} with BigQuery imported as {names}{left}.")


def _config(path: Path | None) -> "Config | None":
    """The gateway's, where this is the gateway's machine."""
    if path is None and not _HERE.exists():
        return None
    from hoop_mitm.config import load

    return load(path or _HERE)
