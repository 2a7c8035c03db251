"""``hoop-mitm reconcile``."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hoop_mitm.cli.options import json_option, noted
from hoop_mitm.cli.parameters import When
from hoop_mitm.cli.progress import progress

if TYPE_CHECKING:
    from hoop_mitm.config import Config, Connection
    from hoop_mitm.reconciling import BigQuery

_DAY = timedelta(days=1)


@click.command(
    epilog="""\b
Examples:
  hoop-mitm reconcile
  hoop-mitm reconcile --config /etc/hoop-mitm/hoop.yaml --since 26h
  hoop-mitm reconcile --connection warehouse --location EU --location us-central1
  hoop-mitm reconcile --since 2026-11-01 --until 2026-11-30 --json | jq '.findings[] | {kind, job, user}'
"""
)
@click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path),
    envvar="HOOP_CONFIG",
    default=Path("hoop.yaml"),
    show_default=True,
    show_envvar=True,
    help="The gateway's configuration: connections, credentials, and where it records.",
)
@click.option(
    "--connection", "connections", metavar="NAME", multiple=True, help="Only this connection; may be repeated."
)
@click.option(
    "--since",
    type=When(),
    metavar="TIME",
    help="Jobs created then or later: 2026-11-22, 7d, 26h; default 24 hours ago.",
)
@click.option(
    "--until",
    type=When(end=True),
    metavar="TIME",
    help="Jobs created before then; default 10 minutes ago, as far as BigQuery's list may be behind.",
)
@click.option(
    "--location",
    "locations",
    metavar="L",
    multiple=True,
    help="Ask this BigQuery location, too; may be repeated. Those that jobs or datasets are in are asked anyway.",
)
@click.option(
    "--db",
    type=click.Path(path_type=Path),
    envvar="HOOP_DB",
    show_envvar=True,
    help="The recording, where it is not the one that the configuration names.",
)
@json_option
@noted
def reconcile(
    config_file: Path,
    connections: tuple[str, ...],
    since: datetime | None,
    until: datetime | None,
    locations: tuple[str, ...],
    *,
    db: Path | None,
    as_json: bool,
) -> None:
    """Compare the recording with BigQuery's own list of jobs.

    Asks INFORMATION_SCHEMA.JOBS with the gateway's own credential, and names what does not fit: jobs that ran without
    passing the gateway, recorded jobs that BigQuery does not know, statements whose outcome nobody saw, other texts,
    other sessions, other costs. A day that you name is one of your own time zone; the report is in UTC.

    Exit status 0: everything fits; 1: something does not; 3: nothing was found, but something could not be looked at.
    """
    from hoop_mitm.cli import terminal
    from hoop_mitm.cli.render import reconcile as render
    from hoop_mitm.config import load
    from hoop_mitm.reconciling import Question, jobs_view, shapes
    from hoop_mitm.reconciling import reconcile as compare

    config = load(config_file)
    _check(config, connections)
    now = datetime.now(UTC)
    until = (until or now - jobs_view.LAG).astimezone(UTC)
    since = (since or now - _DAY).astimezone(UTC)
    if since >= until:
        raise click.UsageError(f"--since must be before --until, and that is {until:%Y-%m-%d %H:%M} UTC.")
    with progress("Reading the recording") as say:
        report = compare(
            config,
            db or config.recording.directory,
            Question(since, until, locations, connections),
            lambda connection: _client(config, connection),
            say,
        )
    if as_json:
        terminal.print_json(shapes.report(report))
    else:
        terminal.print_all(render.whole(report))
    click.get_current_context().exit(report.exit_code)


def _check(config: "Config", connections: tuple[str, ...]) -> None:
    known = [connection.name for connection in config.connections]
    for name in connections:
        if name not in known:
            raise click.UsageError(f"There is no connection {name!r}. The configuration has: {', '.join(known)}.")


def _client(config: "Config", connection: "Connection") -> "BigQuery":
    """BigQuery as the gateway reaches it for this connection, or as the configuration says for this purpose."""
    from hoop_mitm.credentials import own_token
    from hoop_mitm.outbound import session
    from hoop_mitm.reconciling import BigQuery

    http = session(config.gateway.upstream)
    return BigQuery(http, own_token(connection.reconcile.credential or connection.credential, http))
