"""``hoop-mitm whoami``."""

import time
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hoop_mitm.cli.options import client_option, json_option

if TYPE_CHECKING:
    from hoop_mitm.login.profile import ClientProfile

_MINUTE = 60


@click.command(
    epilog="""\b
Examples:
  hoop-mitm whoami
  hoop-mitm whoami --json | jq .gateway.connections
"""
)
@client_option
@json_option
def whoami(client: Path | None, *, as_json: bool) -> None:
    """Say who is signed in, and what the gateway makes of it.

    The exit status is 1 when nobody is signed in or the gateway does not accept the login, and 3 when the identity
    provider has to be asked and does not answer. A gateway that does not answer is no failure.
    """
    from hoop_mitm.cli import terminal
    from hoop_mitm.login import load_profile, tokens_of
    from hoop_mitm.login.id_token import principal_of

    profile = load_profile(client)
    tokens = tokens_of(profile)
    principal = principal_of(profile, tokens.id_token)
    view, refusal = _gateway(profile, tokens.id_token)
    if as_json:
        terminal.print_json(
            {
                "issuer": principal.issuer,
                "subject": principal.subject,
                "email": principal.email,
                "groups": list(principal.groups),
                "expires_at": int(tokens.expires_at),
                "renews": tokens.refresh_token is not None,
                "gateway": view,
            }
        )
    else:
        left = max(0, int(tokens.expires_at - time.time()) // _MINUTE)
        renewed = ", and is renewed by itself" if tokens.refresh_token else ""
        click.echo(f"{terminal.safe(str(principal))}, signed in at {principal.issuer}")
        click.echo(f"groups: {', '.join(map(terminal.safe, principal.groups)) or 'none'}")
        click.echo(f"the token is good for {left} more minutes{renewed}")
        click.echo(_in_words(profile, view))
    click.get_current_context().exit(1 if refusal else 0)


def _gateway(profile: "ClientProfile", id_token: str) -> tuple[dict[str, Any], bool]:
    """What the gateway says, and whether it says no."""
    from hoop_mitm.errors import LoginError, Unreachable
    from hoop_mitm.login.gateway import view_of

    known: dict[str, Any] = {"url": profile.gateway.url}
    try:
        view = view_of(profile, id_token)
    except Unreachable as error:
        return {**known, "reached": False, "message": str(error)}, False
    except LoginError as error:
        return {**known, "reached": True, "accepts": False, "message": str(error)}, True
    return {
        **known,
        "reached": True,
        "accepts": True,
        "name": view.name,
        "groups": list(view.groups),
        "connections": list(view.connections),
        "budgets": [asdict(budget) for budget in view.budgets],
    }, False


def _in_words(profile: "ClientProfile", view: dict[str, Any]) -> str:
    if not view["reached"]:
        return f"gateway: {view['message']}"
    if not view["accepts"]:
        return f"the gateway at {profile.gateway.url} does not accept this login: {view['message']}"
    lines = [f"the gateway at {profile.gateway.url} lets you use: {', '.join(view['connections']) or 'no connection'}"]
    return "\n".join([*lines, *map(_budget_in_words, view["budgets"])])


def _budget_in_words(budget: dict[str, Any]) -> str:
    from hoop_mitm.cli import terminal

    anew = datetime.fromisoformat(budget["begins_anew"])
    whose = f"{budget['per']} {terminal.safe(budget['of'])}"
    return (
        f"budget {budget['name']} ({whose}): {terminal.safe(budget['left'])} of {terminal.safe(budget['limit'])} a "
        f"{budget['every']} is left; it begins anew at {anew:%Y-%m-%d %H:%M %Z}"
    )
