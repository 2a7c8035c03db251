"""``hoop-mitm show``."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from hoop_mitm.cli.options import reading, session_argument
from hoop_mitm.cli.parameters import HOW_MANY

if TYPE_CHECKING:
    from hoop_mitm.archive import Exchange, FlowEntry, JobEntry, Result, SessionDetail

_SHOWN_ROWS = 100
_PREVIEW_ROWS = 10


@click.command(
    epilog="""\b
Examples:
  hoop-mitm show
  hoop-mitm show @last~1 --flows
  hoop-mitm show nightly --job 3
  hoop-mitm show nightly --job 3 --rows --csv > rows.csv
  hoop-mitm show @last --json | jq '.jobs[] | {statement, bytes_billed}'
"""
)
@session_argument(required=False)
@click.option("--job", "job_reference", metavar="ID", help="One job: its id, the start of it, or its number.")
@click.option(
    "--flow", "flow_reference", metavar="ID", help="One exchange with headers and bodies: its id, or its end."
)
@click.option("--rows", "with_rows", is_flag=True, help="With --job or --flow: the rows that the client got.")
@click.option("--csv", "as_csv", is_flag=True, help="With --rows: print CSV.")
@click.option(
    "--limit",
    type=HOW_MANY,
    default=None,
    help=f"With --rows: how many; 0 for all.  [default: {_SHOWN_ROWS}; all with --json and --csv]",
)
@click.option("--flows", "with_flows", is_flag=True, help="List every exchange too.")
@reading
def show(
    session: str,
    db: Path,
    *,
    as_json: bool,
    job_reference: str | None,
    flow_reference: str | None,
    with_rows: bool,
    as_csv: bool,
    limit: int | None,
    with_flows: bool,
) -> None:
    """Tell what happened in a session.

    SESSION is an id, the start of one, a name, @last (the newest, and the default) or @last~1 (the one before).
    """
    _check(job_reference, flow_reference, with_rows=with_rows, as_csv=as_csv, as_json=as_json, limit=limit)
    if limit is None and not (as_csv or as_json):
        limit = _SHOWN_ROWS

    from hoop_mitm.archive import open_archive
    from hoop_mitm.cli import terminal

    # What is shown is read first and the file let go, since the gateway waits for it.
    with open_archive(db) as archive:
        terminal.say_pending(archive.pending)
        detail = archive.show(archive.find(session))
        if flow_reference is not None:
            flow = detail.flow(flow_reference)
            if with_rows:
                result = archive.rows_of_flow(flow, limit or None)
            else:
                exchange = archive.exchange(flow)
        elif job_reference is not None:
            job = detail.job(job_reference)
            result = None
            if with_rows or not as_json:
                result = archive.rows(job, (limit or None) if with_rows else _PREVIEW_ROWS)

    if with_rows:
        what = f"flow {flow.id}" if flow_reference is not None else f"job {job.label}"
        _print_rows(
            result,
            f"{what}: {_why_no_rows(flow if flow_reference is not None else job)}",
            as_json=as_json,
            as_csv=as_csv,
        )
    elif flow_reference is not None:
        _print_flow(exchange, as_json=as_json)
    elif job_reference is not None:
        _print_job(job, detail, result, session, as_json=as_json)
    else:
        _print_session(detail, session, as_json=as_json, with_flows=with_flows)


def _check(
    job: str | None, flow: str | None, *, with_rows: bool, as_csv: bool, as_json: bool, limit: int | None
) -> None:
    if with_rows and job is None and flow is None:
        raise click.UsageError("--rows needs --job ID: the rows of which job?")
    if (as_csv or limit is not None) and not with_rows:
        raise click.UsageError("--csv and --limit belong to --rows.")
    if as_csv and as_json:
        raise click.UsageError("--csv and --json: choose one.")
    if flow and job:
        raise click.UsageError("--flow and --job: choose one.")


def _print_session(detail: "SessionDetail", reference: str, *, as_json: bool, with_flows: bool) -> None:
    from hoop_mitm.archive import shapes
    from hoop_mitm.cli import terminal
    from hoop_mitm.cli.render import session as render

    if as_json:
        terminal.print_json(shapes.detail(detail))
        return
    terminal.print_all(render.whole(detail, with_flows=with_flows))
    if detail.jobs:
        terminal.hint(
            f"`hoop-mitm show {reference} --job 1` tells all about job #1, `--rows` prints what the client got; "
            f"`hoop-mitm replay {reference}` plays it back."
        )


def _print_job(
    job: "JobEntry", detail: "SessionDetail", result: "Result | None", reference: str, *, as_json: bool
) -> None:
    from hoop_mitm.archive import shapes
    from hoop_mitm.cli import terminal
    from hoop_mitm.cli.render import job as render

    if as_json:
        terminal.print_json(shapes.job(job))
        return
    terminal.print_all(render.whole(job, detail.flows, result))
    if result is not None:
        terminal.hint(f"`hoop-mitm show {reference} --job {job.number} --rows` prints more rows, `--csv` for a file.")


def _print_rows(result: "Result | None", why_none: str, *, as_json: bool, as_csv: bool) -> None:
    from hoop_mitm.archive import shapes
    from hoop_mitm.cli import terminal
    from hoop_mitm.cli.render import job as render

    if result is None:
        if as_json:
            terminal.print_json([])
        click.echo(f"The recording holds no rows of {terminal.safe(why_none)}", err=True)
        return
    if as_json:
        terminal.print_json(shapes.rows(result))
    elif as_csv:
        _print_csv(result)
    else:
        terminal.print_all([terminal.rows_table(result.columns, (row.values() for row in result.rows()))])
        terminal.hint(render.rows_title(result))
    if result.complete is False:
        click.echo("The client did not read the whole result; these are the rows that it got.", err=True)


def _print_csv(result: "Result") -> None:
    """A header and the rows; NULL is an empty field, nested values are JSON."""
    import csv
    import json
    import sys

    from hoop_mitm.archive import shapes

    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow([column.name for column in result.columns])
    for row in shapes.rows(result):
        writer.writerow(
            json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list | bool) else value
            for value in row.values()
        )


def _why_no_rows(of: "JobEntry | FlowEntry") -> str:
    if of.verdict.decision == "deny":
        return "it was denied."
    if of.error is not None:
        return "it failed."
    if getattr(of, "dry_run", False):
        return "it was an estimate only."
    if at := of.deleted.get("response_body"):
        return f"they were deleted by retention on {at:%Y-%m-%d}."
    return "the client asked for none, or the connection's recording level keeps none."


def _print_flow(exchange: "Exchange", *, as_json: bool) -> None:
    from hoop_mitm.archive import shapes
    from hoop_mitm.cli import terminal
    from hoop_mitm.cli.render import flow as render

    if as_json:
        terminal.print_json(shapes.exchange(exchange))
    else:
        terminal.print_all(render.whole(exchange))
