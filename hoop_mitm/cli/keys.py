"""``hoop-mitm keys``."""

from pathlib import Path

import click

from hoop_mitm.cli.options import config_option, json_option


@click.group(
    epilog="""\b
Examples:
  hoop-mitm keys show
  hoop-mitm keys rotate --session-tokens
"""
)
def keys() -> None:
    """Look at and rotate the gateway's signing keys."""


@keys.command()
@config_option
@json_option
def show(config: Path | None, *, as_json: bool) -> None:
    """List the keys with their age. The newest signs; older ones still verify what they signed."""
    from hoop_mitm.cli import terminal
    from hoop_mitm.config import load
    from hoop_mitm.identity.keys import listed

    found = listed(load(config or Path("hoop.yaml")).gateway.state)
    if as_json:
        terminal.print_json(
            [{"for": "session-tokens", "id": key.kid, "made_at": key.made_at.isoformat()} for key in found]
        )
        return
    for key in found:
        click.echo(f"session tokens  {key.kid}  made {key.made_at:%Y-%m-%d %H:%M} UTC")
    if not found:
        click.echo("There are no keys yet; the gateway makes them when it starts.", err=True)


@keys.command()
@config_option
@click.option(
    "--session-tokens", "purpose", flag_value="session-tokens", default=True, help="The key of session tokens."
)
@click.option(
    "--end-sessions", is_flag=True, help="Forget the older keys at once: all session tokens end. For a key that leaked."
)
def rotate(config: Path | None, purpose: str, *, end_sessions: bool) -> None:
    """Make a new key, which signs from now on.

    A gateway that runs takes it within a second, and sessions go on: older keys verify until nothing can be alive that
    they signed.
    """
    from hoop_mitm.config import load
    from hoop_mitm.identity import SigningKeys

    assert purpose == "session-tokens"
    made = SigningKeys.rotate(load(config or Path("hoop.yaml")).gateway.state, end_sessions=end_sessions)
    click.echo(made.newest.kid)
    click.echo(
        "The new key signs from now on. All sessions have ended; clients get new ones by themselves, or are started again."
        if end_sessions
        else "The new key signs from now on; sessions go on.",
        err=True,
    )
