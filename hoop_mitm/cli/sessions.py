"""``hoop-mitm sessions``."""

from pathlib import Path

import click

from hoop_mitm.cli.options import reading
from hoop_mitm.cli.parameters import HOW_MANY
from hoop_mitm.cli.revoke import revoke

_SHOWN = 50


@click.group(
    invoke_without_command=True,
    epilog="""\b
Examples:
  hoop-mitm sessions
  hoop-mitm sessions --limit 0 --db /backups/recordings
  hoop-mitm sessions --json | jq '.[] | select(.denied > 0)'
  hoop-mitm sessions revoke @last
""",
)
@click.option(
    "--limit",
    type=HOW_MANY,
    default=None,
    help=f"How many; 0 for all.  [default: {_SHOWN}; all with --json]",
)
@reading
def sessions(db: Path, *, as_json: bool, limit: int | None) -> None:
    """List the recorded sessions, newest first."""
    if click.get_current_context().invoked_subcommand:
        return
    from hoop_mitm.archive import open_archive, shapes
    from hoop_mitm.cli import terminal
    from hoop_mitm.cli.render import sessions as render

    most = None if limit == 0 or (limit is None and as_json) else _SHOWN if limit is None else limit
    with open_archive(db) as archive:
        found = archive.sessions(None if most is None else most + 1)
        short = {} if as_json else archive.short_ids()
        terminal.say_pending(archive.pending)
    shown = found[:most]
    if as_json:
        terminal.print_json([shapes.session(each) for each in shown])
        return
    if not shown:
        terminal.hint(f"{db} holds no session yet. Run a client through the gateway, for example:")
        terminal.hint("  hoop-mitm run -- bq query --nouse_legacy_sql 'SELECT 1'")
        return
    terminal.print_all([render.table(shown, short, terminal.console().width)])
    if len(found) > len(shown):
        terminal.hint(f"These are the newest {len(shown)}; `hoop-mitm sessions --limit 0` lists all.")
    terminal.hint("`hoop-mitm show ID` tells what happened in one; @last is the newest.")


sessions.add_command(revoke)
