"""``hoop-mitm rerun``."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hoop_mitm.cli.options import reading, session_argument
from hoop_mitm.cli.outfit import outfit_options
from hoop_mitm.cli.parameters import Size
from hoop_mitm.cli.progress import progress

if TYPE_CHECKING:
    from hoop_mitm.client.outfit import Outfit
    from hoop_mitm.rerunning import Estimate, Plan
    from hoop_mitm.serving import Recorded

_LINGER = 1800.0
_LONGEST_NAME = 100
# What a program that Google's library starts for a token looks for.
_FOR_TOKENS = ("GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES", "HOOP_CLIENT", "HOOP_CHAINED_PROXY")


@click.command(
    epilog="""\b
Examples:
  hoop-mitm rerun @last --max-bytes 10GB
  hoop-mitm rerun nightly --as-of recorded --yes
  hoop-mitm rerun nightly --serial --yes --json | jq .summary
"""
)
@session_argument()
@click.option("--yes", is_flag=True, help="Do not ask before it is run.")
@click.option("--max-bytes", type=Size(), help="What all of it may process and be billed; beyond, nothing is run.")
@click.option("--allow-writes", is_flag=True, help="Also what writes, or may write: it writes again.")
@click.option(
    "--as-of",
    type=click.Choice(["recorded"]),
    help="Read tables as they were at the time of the recording, at most 7 days ago.",
)
@click.option("--serial", is_flag=True, help="One job after the other; default: side by side, as they were.")
@outfit_options
@reading
@click.pass_context
def rerun(
    context: click.Context,
    session: str,
    db: Path,
    *,
    as_json: bool,
    yes: bool,
    max_bytes: int | None,
    allow_writes: bool,
    as_of: str | None,
    serial: bool,
    connection: str | None,
    project: str | None,
    identity: str,
    client: Path | None,
) -> None:
    """Ask a session's jobs of BigQuery again, as yourself, and say what differs.

    Through the gateway, as a session of its own whose jobs carry the recorded session's id (label rerun-of). First
    dry runs tell what it would cost and what is new; then it asks. Only what is known to read is run. At the end
    comes the diff: exit status 0: the same; 1: different, or more than --max-bytes.
    """
    from hoop_mitm.rerunning import plan
    from hoop_mitm.serving import load

    with progress("Reading the recording"):
        recorded = load(db, [session])
        chosen = plan(recorded, allow_writes=allow_writes, travel=as_of is not None)
    _say_left(chosen)
    if not chosen.steps:
        click.echo("hoop-mitm: nothing is left to ask again.", err=True)
        context.exit(1)
    ways = _Ways(client, connection or recorded.first.connection, project, identity)
    _agree(ways, recorded, chosen, max_bytes, yes=yes)
    outfit = _run(ways, recorded, chosen, max_bytes, serial=serial)
    context.exit(_compare(recorded, db, outfit, as_json=as_json))


class _Ways:
    """How the gateway is reached, for a session of any name."""

    def __init__(self, client: Path | None, connection: str, project: str | None, identity: str) -> None:
        self._client, self._connection, self._project, self._identity = client, connection, project, identity

    def dressed(self, name: str) -> "Outfit":
        from hoop_mitm.cli.outfit import dressed

        outfit = click.get_current_context().with_resource(
            dressed(
                self._client, name[:_LONGEST_NAME], connection=self._connection, project=self._project,
                identity=self._identity, start=_LINGER,
            )
        )  # fmt: skip
        os.environ.update({each: outfit.variables[each] for each in _FOR_TOKENS if each in outfit.variables})
        return outfit


def _say_left(chosen: "Plan") -> None:
    from hoop_mitm.cli import terminal

    for left in chosen.left:
        terminal.note(f"Left out: {left.ask.label}, {left.why}.")


def _agree(ways: _Ways, recorded: "Recorded", chosen: "Plan", max_bytes: int | None, *, yes: bool) -> None:
    """Tells what it would cost, holds that against ``max_bytes``, and asks.

    Raises:
        TooMuch: it would cost more.
    """
    from hoop_mitm.archive import words
    from hoop_mitm.cli import terminal
    from hoop_mitm.rerunning import Asking, Rerun, TooMuch

    outfit = ways.dressed(f"estimate of {recorded.first.name}")
    with progress("Estimating") as say:
        estimates = Rerun(chosen.steps, recorded.first.id).estimate(
            Asking(outfit.variables), lambda done: say(f"Estimating job {done + 1:,} of {len(chosen.steps):,}")
        )
    for line in _news(estimates):
        terminal.note(line)
    total = sum(each.bytes or 0 for each in estimates if not each.step.dry_run)
    was = sum(each.recorded or 0 for each in estimates if not each.step.dry_run)
    jobs = words.count(len(estimates), "job")
    terminal.note(f"{jobs}, {words.size(total)} to process; it was {words.size(was)} when it was recorded.")
    if max_bytes is not None and total > max_bytes:
        raise TooMuch(
            f"It would process {words.size(total)} ({total:,} bytes), and --max-bytes is {max_bytes:,}. Nothing was run."
        )
    if not yes:
        if not sys.stdin.isatty():
            raise click.UsageError("Nobody is here to ask. Say --yes to run it.")
        click.confirm("Run it?", abort=True, err=True)


def _news(estimates: "tuple[Estimate, ...]") -> list[str]:
    from hoop_mitm.cli import terminal

    return [
        f"{'Refused' if each.bytes is None else 'New'}: {each.step.ask.label}, {terminal.one_line(each.new, 300)}"
        for each in estimates
        if each.new
    ]


def _run(ways: _Ways, recorded: "Recorded", chosen: "Plan", max_bytes: int | None, *, serial: bool) -> "Outfit":
    from hoop_mitm.rerunning import Asking, Rerun

    outfit = ways.dressed(f"rerun of {recorded.first.name}")
    with progress("Asking again") as say:
        Rerun(chosen.steps, recorded.first.id).run(
            Asking(outfit.variables),
            serial=serial,
            max_bytes=max_bytes,
            progress=lambda done: say(f"{done:,} of {len(chosen.steps):,} jobs done"),
        )
    return outfit


def _compare(recorded: "Recorded", db: Path, outfit: "Outfit", *, as_json: bool) -> int:
    """Prints the diff; the exit status."""
    from hoop_mitm.archive import open_archive
    from hoop_mitm.archive.comparing import diff, shape
    from hoop_mitm.archive.opening import open_settled
    from hoop_mitm.cli import terminal
    from hoop_mitm.cli.render import diff as render

    assert outfit.session
    mine = Path(outfit.variables.get("HOOP_DB", ""))
    if not mine.parent.is_dir() or not outfit.variables.get("HOOP_DB"):
        terminal.note(f"hoop-mitm: the gateway records elsewhere: compare there with the session {outfit.session.id}.")
        return 0
    with progress("Comparing"), open_settled(mine) as now:
        after = now.find(outfit.session.id)
        same_file = mine.resolve() == db.resolve() or mine.parent.resolve() == db.resolve()
        if same_file:
            found = diff(now, now.find(recorded.first.id), after)
        else:
            with open_archive(db) as then:
                found = diff(then, then.find(recorded.first.id), after, other=now)
    if as_json:
        terminal.print_json(shape.of_sessions(found))
    else:
        terminal.print_all(render.whole(found))
    return 0 if found.same else 1
