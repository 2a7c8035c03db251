"""``hoop-mitm export``."""

import shutil
import sys
import tempfile
from pathlib import Path
from typing import IO, cast

import click

from hoop_mitm.cli.options import db_option, refuse_to_overwrite, session_argument
from hoop_mitm.cli.parameters import HOW_MANY

_FORMATS = ("har", "mitm", "html", "ocsf")
_MAX_ROWS = 200
_NEXT = {
    "har": "Open it in a browser's developer tools: Network, Import HAR file.",
    "mitm": "`mitmweb -nr {path}` opens it.",
    "html": "Open it in a browser; it needs no network.",
    "ocsf": "Each line is one OCSF event, for a SIEM.",
    "bundle": "`hoop-mitm verify {path}` checks it alone.",
}


@click.command(
    epilog="""\b
Examples:
  hoop-mitm export @last --format html -o session.html
  hoop-mitm export nightly --format har -o nightly.har
  hoop-mitm export nightly --format mitm -o nightly.mitm
  hoop-mitm export @last --format ocsf | jq 'select(.action_id == 2)'
  hoop-mitm export nightly --bundle -o nightly.duckdb
"""
)
@session_argument()
@click.option(
    "--format",
    "to",
    type=click.Choice(_FORMATS),
    help="har: HTTP Archive 1.2, for browsers. mitm: mitmproxy's flow file. html: a page to read. ocsf: for a SIEM.",
)
@click.option(
    "--bundle",
    is_flag=True,
    help="In its own format: a recording of this session alone, with its part of the chain, that `verify` checks.",
)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="The file; else stdout."
)
@click.option(
    "--max-rows",
    type=HOW_MANY,
    default=_MAX_ROWS,
    show_default=True,
    help="html: how many rows of each result; 0 for all.",
)
@db_option
def export(session: str, db: Path, *, to: str | None, bundle: bool, output: Path | None, max_rows: int) -> None:
    """Write a session in another program's format, or as a recording of its own.

    SESSION is an id, the start of one, a name, @last (the newest) or @last~1. What is written holds statements and rows: keep it as safe as the recording.
    """
    if bundle == (to is not None):
        raise click.UsageError("Give --format, or --bundle.")
    to_terminal = (output is None or str(output) == "-") and sys.stdout.isatty()
    if (to == "mitm" or bundle) and to_terminal:
        raise click.UsageError("That is no text for a terminal. Name a file with -o.")
    refuse_to_overwrite(db, output)

    from hoop_mitm.archive import open_archive
    from hoop_mitm.archive.export import Format
    from hoop_mitm.archive.export import export as written
    from hoop_mitm.cli import terminal
    from hoop_mitm.cli.output import writing

    with writing(output) as file:
        # The gateway waits for the archive, so a slow reader of standard output must not hold it.
        with open_archive(db) as archive:
            terminal.say_pending(archive.pending)
            found = archive.find(session)
            for piece in () if bundle else written(archive, found, cast("Format", to), max_rows=max_rows or None):
                file.write(piece)
        if bundle:
            _bundle(archive.path, found.id, file)
        size = file.tell()
    if not to_terminal and output is not None:
        terminal.hint(f"{output}: {terminal.size(size)}. {_NEXT[to or 'bundle'].format(path=output)}")


def _bundle(archive: Path, session: str, file: IO[bytes]) -> None:
    from hoop_mitm.archive.export import bundle

    # DuckDB writes to a file of its own only.
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "bundle.duckdb"
        bundle.write(archive, session, path)
        with path.open("rb") as made:
            shutil.copyfileobj(made, file)
