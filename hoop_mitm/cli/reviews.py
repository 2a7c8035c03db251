"""``hoop-mitm reviews``: what waits for somebody's yes, and one's own say in it."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hoop_mitm.cli.options import client_option, json_option

if TYPE_CHECKING:
    from hoop_mitm.client.reviews import ReviewsClient

_STATES = ("PENDING", "APPROVED", "EXECUTING", "EXECUTED", "REJECTED", "EXPIRED", "WITHDRAWN")
_OPEN = ("PENDING", "APPROVED", "EXECUTING")


@click.group(
    epilog="""\b
Examples:
  hoop-mitm reviews list
  hoop-mitm reviews show 019a3c2e
  hoop-mitm reviews approve 019a3c2e --message "once, for the audit"
  hoop-mitm reviews reject 019a3c2e --message "Filter by day, it reads all partitions."
  hoop-mitm reviews watch --json | jq 'select(.state == "PENDING") | .id'
"""
)
def reviews() -> None:
    """See requests that wait for a review, and decide on them.

    You are asked about as whoever is signed in on this machine (`hoop-mitm login`); the gateway says what you may see and
    decide. The exit status is 1 when it says no, 2 when there is no such review, 3 when it cannot be reached.
    """


@reviews.command(
    "list",
    epilog="""\b
Examples:
  hoop-mitm reviews list
  hoop-mitm reviews list --all --json | jq '.[] | select(.state == "REJECTED")'
""",
)
@click.option(
    "--state", "states", type=click.Choice(_STATES), multiple=True, help="Only in this state; may be repeated."
)
@click.option("--all", "everything", is_flag=True, help="Also those that are over.")
@client_option
@json_option
def list_(client: Path | None, states: tuple[str, ...], *, everything: bool, as_json: bool) -> None:
    """List what waits for a review, newest first."""
    from hoop_mitm.cli import terminal
    from hoop_mitm.cli.render import reviews as render

    found = _client(client).list(states or (() if everything else _OPEN))
    if as_json:
        terminal.print_json(found)
        return
    if not found:
        terminal.hint("Nothing waits for a review.")
        return
    terminal.print_all([render.table(found, terminal.console().width)])
    terminal.hint("`hoop-mitm reviews show ID` shows one, with its statement.")


@reviews.command(
    epilog="""\b
Examples:
  hoop-mitm reviews show 019a3c2e
  hoop-mitm reviews show 019a3c2e --json | jq -r .statement
"""
)
@click.argument("review")
@client_option
@json_option
def show(client: Path | None, review: str, *, as_json: bool) -> None:
    """Show who wants what and why, what it would cost, and what is new since the last time."""
    from hoop_mitm.cli import terminal
    from hoop_mitm.cli.render import reviews as render

    found = _asking(_client(client).show, review)
    if as_json:
        terminal.print_json(found)
    else:
        terminal.print_all(render.whole(found))


@reviews.command(
    epilog="""\b
Examples:
  hoop-mitm reviews approve 019a3c2e
  hoop-mitm reviews approve 019a3c2e --yes --message "as agreed in #data"
  hoop-mitm reviews approve 019a3c2e --digest "$(hoop-mitm reviews show 019a3c2e --json | jq -r .digest)"
"""
)
@click.argument("review")
@click.option("--message", "-m", default="", help="What you say to it; the requester and the recording keep it.")
@click.option(
    "--digest", help="Of what you have seen (`show --json`): nothing else is approved, and you are not asked."
)
@click.option("--yes", is_flag=True, help="Do not ask; approve what it is at this moment.")
@client_option
@json_option
def approve(client: Path | None, review: str, message: str, digest: str | None, *, yes: bool, as_json: bool) -> None:
    """Let it run, as far as it is yours to say. You are shown what it is, and asked.

    Your yes is for exactly what you are shown: another statement, policy or estimate needs another.
    """
    from hoop_mitm.cli import terminal
    from hoop_mitm.cli.render import reviews as render

    asked = _client(client)
    if digest is None:
        found = _asking(asked.show, review)
        digest, review = str(found["digest"]), str(found["id"])
        if not yes:
            if not sys.stdin.isatty():
                raise click.UsageError("Nobody can be asked here: give --digest of what you have seen, or --yes.")
            terminal.print_all(render.whole(found))
            click.confirm("Let it run?", abort=True, err=True)
    _say(_asking(asked.approve, review, digest, message), as_json=as_json)


@reviews.command(
    epilog="""\b
Examples:
  hoop-mitm reviews reject 019a3c2e --message "Filter by day, it reads all partitions."
"""
)
@click.argument("review")
@click.option("--message", "-m", default="", help="Why; the agent that asked reads it.")
@client_option
@json_option
def reject(client: Path | None, review: str, message: str, *, as_json: bool) -> None:
    """Refuse it. One no is enough; the client is told your words."""
    _say(_asking(_client(client).reject, review, message), as_json=as_json)


@reviews.command(
    epilog="""\b
Examples:
  hoop-mitm reviews watch
  hoop-mitm reviews watch --json
"""
)
@client_option
@json_option
def watch(client: Path | None, *, as_json: bool) -> None:
    """Follow reviews as they are asked for and decided: a line each, until you end it."""
    from hoop_mitm.cli import terminal
    from hoop_mitm.cli.render import reviews as render

    for found in _client(client).watch():
        if as_json:
            terminal.print_json_line(found)
        else:
            click.echo(render.line(found))
            sys.stdout.flush()


def _client(file: Path | None) -> "ReviewsClient":
    from hoop_mitm.client.reviews import ReviewsClient
    from hoop_mitm.login import load_profile

    return ReviewsClient(load_profile(file))


def _asking(ask: Any, *arguments: str) -> dict[str, Any]:
    """What the gateway says; that there is no such review is a mistake of whoever wrote its id."""
    from hoop_mitm.errors import Denied

    try:
        found: dict[str, Any] = ask(*arguments)
    except Denied as error:
        if error.rule != "review.unknown":
            raise
        raise click.UsageError(str(error)) from None
    return found


def _say(review: dict[str, Any], *, as_json: bool) -> None:
    from hoop_mitm.cli import terminal
    from hoop_mitm.cli.render import reviews as render

    if as_json:
        terminal.print_json(review)
    else:
        click.echo(render.line(review))
