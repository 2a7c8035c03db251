"""``hoop-mitm verify``."""

from pathlib import Path

import click

from hoop_mitm.cli.options import db_option, json_option


@click.command(
    epilog="""\b
Exit status: 0 when nothing is wrong (what was not proved is said), 1 when something is, 3 when the file cannot be opened.

\b
Examples:
  hoop-mitm verify
  hoop-mitm verify audit.duckdb --key 3f1c…64 digits…a9 --heads heads.jsonl
  hoop-mitm verify session.duckdb --key recording.pem
  hoop-mitm verify --quick --json | jq .verified
"""
)
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option(
    "--key",
    "keys",
    multiple=True,
    metavar="KEY",
    help="The gateway's key: its fingerprint, the public key, or a file that holds it. May be given several times.",
)
@click.option(
    "--heads",
    multiple=True,
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="HEADS",
    help="Signed heads that were kept elsewhere (recording.heads), one JSON object a line. May be given several times.",
)
@click.option("--quick", is_flag=True, help="Leave out what takes longest: the bodies, and joining jobs again.")
@db_option
@json_option
def verify(
    file: Path | None, keys: tuple[str, ...], heads: tuple[Path, ...], db: Path, *, quick: bool, as_json: bool
) -> None:
    """Say whether a recording is what its gateway wrote.

    FILE is a recording, or one session of it (export --bundle); without it, the one of --db. Nothing is written to it,
    and no network is needed. What cannot be proved is said, and what would prove it.
    """
    from hoop_mitm.archive.verify import verify as verified
    from hoop_mitm.archive.verify.shape import as_json as shape
    from hoop_mitm.cli import terminal
    from hoop_mitm.cli.progress import progress
    from hoop_mitm.cli.render import verify as render

    with progress("Opening") as say:
        report = verified(file or db, keys=keys, heads=heads, quick=quick, progress=say)
    if as_json:
        terminal.print_json(shape(report))
    else:
        terminal.print_all(render.whole(report))
    if not report.verified:
        raise SystemExit(1)
