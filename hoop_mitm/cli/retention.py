"""``hoop-mitm retention``."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hoop_mitm.cli.handing import hand_on
from hoop_mitm.cli.options import config_option, json_option, noted
from hoop_mitm.cli.parameters import When

if TYPE_CHECKING:
    from hoop_mitm.config import Config
    from hoop_mitm.evidence import RecordingKeys
    from hoop_mitm.recording.layout import Layout
    from hoop_mitm.recording.retention import Check, OldCopy, Plan, Progress, Stores

_now = click.option(
    "--now", type=When(), metavar="TIME", help="Reckon ages as of this time, to see what will go by then."
)
_copies = click.option(
    "--remove-copies",
    is_flag=True,
    help="Remove older copies of the archive in the recordings directory as well: a migration's backup, damaged files.",
)


_despite = click.option(
    "--despite-findings",
    is_flag=True,
    help="Delete although `hoop-mitm verify` finds something wrong with the recording. The signed event says what it found.",
)


@click.group(
    epilog="""\b
Examples:
  hoop-mitm retention show
  hoop-mitm retention apply --dry-run
  hoop-mitm retention hold nightly --reason "case 2026-17"
  hoop-mitm retention erase --principal alice@example.com --reason "ticket 4711"
"""
)
def retention() -> None:
    """Delete what is older than hoop.yaml keeps it, hold sessions back from that, or erase a person.

    What is deleted is in no byte of the recording any more, and its space is the disk's again. A signed event says what
    was deleted, and `hoop-mitm verify` tells it from tampering.
    """


@retention.command()
@config_option
@_now
@json_option
@noted
def show(config: Path | None, *, now: datetime | None, as_json: bool) -> None:
    """Show how long what is kept, what is due, and what is on hold."""
    from hoop_mitm.archive.looking import Looking
    from hoop_mitm.cli import terminal
    from hoop_mitm.cli.render import retention as render
    from hoop_mitm.recording.retention import cutoffs, holds, look

    known = _config(config)
    layout = _layout(known)
    asked = cutoffs(known, now or datetime.now(UTC))
    due, held = look(layout, asked, _stores(known)), holds(layout)
    Looking(layout.archive).at([each.session_id for each in held])
    if as_json:
        terminal.print_json({"keep": asked.periods, "due": render.plan_shape(due), "holds": render.holds_shape(held)})
        return
    terminal.print_all([render.periods(asked.periods), "", *render.due(due, "is due"), render.holds_line(held)])


@retention.command()
@config_option
@click.option("--dry-run", is_flag=True, help="Say what would go, and leave it.")
@_now
@_copies
@_despite
@json_option
def apply(
    config: Path | None,
    *,
    dry_run: bool,
    now: datetime | None,
    remove_copies: bool,
    despite_findings: bool,
    as_json: bool,
) -> None:
    """Delete what is older than hoop.yaml keeps it: from the recording, from reviews, and from what budgets count.

    The recording is verified first (--quick), and nothing is deleted where something is wrong with it: whoever changed it
    would choose what goes. The gateway may be running. The age of an exchange counts from its end. Needs as much room on the disk as what stays.
    Exit status 1 when something that was deleted may still be in an older copy of the archive beside it.
    """
    from hoop_mitm.cli import terminal
    from hoop_mitm.cli.progress import progress
    from hoop_mitm.cli.render import retention as render
    from hoop_mitm.recording.retention import apply as applied
    from hoop_mitm.recording.retention import cutoffs, look

    known = _config(config)
    layout = _layout(known)
    asked = cutoffs(known, now or datetime.now(UTC))
    if dry_run:
        with progress("Looking for what is too old"):
            found = look(layout, asked, _stores(known))
        _print_plan(found, "would go", as_json=as_json)
        return
    if now is not None and now > datetime.now(UTC):
        raise click.UsageError(
            "--now lies in the future: what is not too old yet is not deleted. Add --dry-run to look."
        )
    keys = _keys(known)
    with progress("Waiting for the journal") as say:
        check = _check(layout, despite_findings=despite_findings)
        done = applied(layout, keys, asked, _user(), say, stores=_stores(known), check=check)
    hand_on(known, done.rewritten.checkpoint if done.rewritten else None)
    left = _without_copies(done.copies, remove=remove_copies)
    if as_json:
        terminal.print_json(render.applied_shape(done, left))
    else:
        _print_plan(done.plan, "is gone", as_json=False)
        if done.rewritten:
            terminal.print_all([render.sizes(done.rewritten)])
    _exit_for(left)


@retention.command()
@click.argument("session")
@click.option("--reason", required=True, help="Why. It is recorded, and stays.")
@config_option
@noted
def hold(session: str, config: Path | None, *, reason: str) -> None:
    """Delete nothing of a session until its hold is released; it may still be going on.

    SESSION is an id, the start of one, a name, @last (the newest) or @last~1.
    """
    from hoop_mitm.recording.retention import place_hold

    known = _config(config)
    layout = _layout(known)
    session_id = _session_id(layout, session)
    placed = place_hold(layout, _keys(known), session_id, reason, _user(), stores=_stores(known))
    hand_on(known, placed)
    click.echo(session_id)
    if placed is None:
        click.echo("It was on hold already; the first reason stands.", err=True)


@retention.command()
@click.argument("session")
@click.option("--reason", default="", help="Why. It is recorded, and stays.")
@config_option
@noted
def release(session: str, config: Path | None, *, reason: str) -> None:
    """End a session's hold: the next `apply` deletes of it what is due. Exit status 1 when it is not on hold."""
    from hoop_mitm.recording.retention import release_hold

    known = _config(config)
    layout = _layout(known)
    session_id = _held_id(layout, session)
    released = release_hold(layout, _keys(known), session_id, reason, _user(), stores=_stores(known))
    hand_on(known, released)
    click.echo(session_id)
    if released is None:
        click.echo("The recording was made again since, and has no such session: no event says this.", err=True)


@retention.command()
@config_option
@json_option
@noted
def holds(config: Path | None, *, as_json: bool) -> None:
    """List the sessions that are on hold, the longest first; also those of which the recording does not say so any more."""
    from hoop_mitm.archive.looking import Looking
    from hoop_mitm.cli import terminal
    from hoop_mitm.cli.render import retention as render
    from hoop_mitm.recording.retention import holds as listed

    layout = _layout(_config(config))
    found = listed(layout)
    Looking(layout.archive).at([each.session_id for each in found])
    if as_json:
        terminal.print_json(render.holds_shape(found))
    elif found:
        terminal.print_all([render.holds_table(found)])
    else:
        click.echo("No session is on hold.", err=True)


@retention.command()
@click.option("--principal", required=True, metavar="WHO", help="Whom: an e-mail, or ISSUER#SUBJECT.")
@click.option("--reason", default="", help="Why, without naming them: it is recorded, and stays.")
@click.option("--dry-run", is_flag=True, help="Say what is recorded of them, and leave it.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@_copies
@_despite
@config_option
@json_option
def erase(
    config: Path | None,
    *,
    principal: str,
    reason: str,
    dry_run: bool,
    yes: bool,
    remove_copies: bool,
    despite_findings: bool,
    as_json: bool,
) -> None:
    """Erase all that is recorded of one person, and what reviews and budgets hold of them.

    Of their records only digests stay, so that everybody else's can still be verified; the event of the erasure names
    them by a salted commitment, and what is printed is the receipt that tells whom it was about. The recording is verified
    first, as for `apply`. What lies in sessions on hold is in the way. The gateway may be running. Exit status 1 when a hold forbids it, when something of theirs is
    still going on and stays for now, and when something may still be in an older copy of the archive.
    """
    from hoop_mitm.cli import terminal
    from hoop_mitm.cli.progress import progress
    from hoop_mitm.cli.render import retention as render
    from hoop_mitm.recording.retention import erase as erased
    from hoop_mitm.recording.retention import trace

    known = _config(config)
    layout = _layout(known)
    if dry_run or not yes:
        with progress("Looking for what is recorded of them"):
            found = trace(layout, principal, _stores(known))
        if dry_run:
            _print_traces(render.traces_shape(found), as_json=as_json)
            return
        _print_traces(render.traces_shape(found), as_json=False, err=True)
        click.confirm(f"Erase all of this for good, from {layout.archive}?", abort=True, err=True)
    keys = _keys(known)
    with progress("Waiting for the journal") as say:
        check = _check(layout, despite_findings=despite_findings)
        who = {"reason": reason, "by": _user()}
        done = erased(layout, keys, principal, **who, progress=say, stores=_stores(known), check=check)
    hand_on(known, done.rewritten.checkpoint if done.rewritten else None)
    left = _without_copies(done.copies, remove=remove_copies)
    if as_json:
        terminal.print_json(render.erased_shape(done, left))
    else:
        terminal.print_all(render.erased(done))
    if done.traces.under_way:
        click.echo(
            f"{done.traces.under_way} of their sessions, exchanges, reviews and bills are still open, or were a moment ago: they "
            "stay, or will name them again. End them (`hoop-mitm sessions revoke`, `hoop-mitm reviews reject`), and erase again.",
            err=True,
        )
    _exit_for(left, more=bool(done.traces.under_way))


def _config(path: Path | None) -> "Config":
    from hoop_mitm.config import load

    return load(path or Path("hoop.yaml"))


def _layout(config: "Config") -> "Layout":
    from hoop_mitm.recording.layout import Layout

    return Layout(config.recording.directory.absolute())


def _stores(config: "Config") -> "Stores":
    from hoop_mitm.recording.retention import Stores

    return Stores.of(config)


def _keys(config: "Config") -> "RecordingKeys":
    from hoop_mitm.evidence import RecordingKeys

    return RecordingKeys.load(config.gateway.state)


def _check(layout: "Layout", *, despite_findings: bool) -> "Check":
    def check(progress: "Progress") -> Mapping[str, int]:
        from hoop_mitm.archive.verify import verify
        from hoop_mitm.cli import terminal
        from hoop_mitm.errors import RecordingError

        report = verify(layout.archive, quick=True, wait=60, progress=progress)
        if report.findings and not despite_findings:
            raise RecordingError(
                f"{layout.archive} is not what its gateway wrote: {terminal.safe(report.findings[0].words)} Nothing was deleted, because whoever "
                f"changed it would choose what goes. `hoop-mitm verify {layout.archive}` says all that is wrong; "
                "--despite-findings deletes all the same, and the event says what was wrong."
            )
        return report.found

    return check


def _user() -> str:
    import getpass

    return getpass.getuser()


def _session_id(layout: "Layout", reference: str) -> str:
    from hoop_mitm.archive import open_archive

    with open_archive(layout.archive) as archive:
        return archive.find(reference).id


def _held_id(layout: "Layout", reference: str) -> str:
    """As `_session_id`, or the whole id of one on hold that is not in the recording, because that was made again since."""
    from hoop_mitm.archive.looking import Looking
    from hoop_mitm.errors import NotInArchive
    from hoop_mitm.recording.retention import holds as listed

    try:
        return _session_id(layout, reference)
    except NotInArchive:
        if reference not in {each.session_id for each in listed(layout)}:
            raise
    Looking(layout.archive).at([reference])
    return reference


def _print_plan(plan: "Plan", verb: str, *, as_json: bool) -> None:
    from hoop_mitm.cli import terminal
    from hoop_mitm.cli.render import retention as render

    if as_json:
        terminal.print_json(render.plan_shape(plan))
    else:
        terminal.print_all(render.due(plan, verb))


def _print_traces(traces: dict[str, object], *, as_json: bool, err: bool = False) -> None:
    from hoop_mitm.cli import terminal

    if as_json:
        terminal.print_json(traces)
        return
    for name, value in traces.items():
        shown = ", ".join(value) if isinstance(value, list) else f"{value:,}" if isinstance(value, int) else value
        click.echo(f"{name.replace('_', ' '):<12} {terminal.safe(str(shown or '-'))}", err=err)


def _without_copies(copies: "tuple[OldCopy, ...]", *, remove: bool) -> "tuple[OldCopy, ...]":
    from hoop_mitm.recording.retention import remove_copies

    if not remove:
        return copies
    remove_copies(copies)
    return ()


def _exit_for(left: "tuple[OldCopy, ...]", *, more: bool = False) -> None:
    for copy in left:
        click.echo(
            f"{copy.path} ({copy.size:,} bytes) is an older copy that may still hold what was deleted. Remove it, or say "
            "--remove-copies.",
            err=True,
        )
    if left or more:
        click.get_current_context().exit(1)
