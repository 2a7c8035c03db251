"""``hoop-mitm migrate``."""

from pathlib import Path

import click

from hoop_mitm.cli.options import json_option


@click.command(
    epilog="""\b
Examples:
  hoop-mitm migrate recordings/hoop.duckdb
  hoop-mitm migrate /mnt/evidence/2026-03.duckdb --json
"""
)
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@json_option
def migrate(file: Path, *, as_json: bool) -> None:
    """Bring a recording of an older version up to date.

    A gateway does this by itself when it starts; this is for files that lie somewhere else. The old file stays beside the new one, as FILE.v2-backup (named after its version). Killed at any moment, it leaves the old file or the new one, whole.
    """
    import json

    from hoop_mitm.cli import terminal
    from hoop_mitm.cli.progress import progress
    from hoop_mitm.recording.archive_file import VERSION
    from hoop_mitm.recording.migrating import migrate_file

    with progress(f"Bringing {file.name} up to date"):
        done = migrate_file(file.absolute())
    if as_json:
        answer = {
            "path": str(file),
            "version": VERSION,
            "old_version": done.old_version if done else VERSION,
            "backup": str(done.backup) if done else None,
        }
        click.echo(json.dumps(answer, indent=2))
    elif done is None:
        click.echo(f"{file} has version {VERSION} already.")
    else:
        click.echo(f"{file} has version {done.version} now. What it was is {done.backup}.")
        terminal.hint("Once you have looked at it, you may delete the backup: retention does not reach into it.")
