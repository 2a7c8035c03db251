"""``hoop-mitm keys``."""

from pathlib import Path

import click

from hoop_mitm.cli.options import config_option, json_option


@click.group(
    epilog="""\b
Examples:
  hoop-mitm keys show
  hoop-mitm keys rotate --session-tokens
  hoop-mitm keys rotate --recording
"""
)
def keys() -> None:
    """Look at and rotate the gateway's signing keys."""


@keys.command()
@config_option
@json_option
def show(config: Path | None, *, as_json: bool) -> None:
    """List the keys with their age. The newest of each kind signs; older ones still verify what they signed.

    The fingerprint of a recording's key is what an auditor is given, by another way than the recording.
    """
    from hoop_mitm.cli import terminal
    from hoop_mitm.config import load
    from hoop_mitm.evidence import RecordingKeys
    from hoop_mitm.identity.keys import listed

    state = load(config or Path("hoop.yaml")).gateway.state
    found = [
        *(("recording", fingerprint, made) for fingerprint, made in RecordingKeys.made_at(state).items()),
        *(("session-tokens", key.kid, key.made_at) for key in listed(state)),
    ]
    if as_json:
        terminal.print_json([{"for": kind, "id": name, "made_at": made.isoformat()} for kind, name, made in found])
        return
    for kind, name, made in found:
        click.echo(f"{kind:<14}  {name}  made {made:%Y-%m-%d %H:%M} UTC")
    if not found:
        click.echo("There are no keys yet; the gateway makes them when it starts.", err=True)


@keys.command()
@config_option
@click.option(
    "--session-tokens", "purpose", flag_value="session-tokens", default=True, help="The key of session tokens."
)
@click.option("--recording", "purpose", flag_value="recording", help="The key that recordings are signed with.")
@click.option(
    "--end-sessions", is_flag=True, help="Forget the older keys at once: all session tokens end. For a key that leaked."
)
def rotate(config: Path | None, purpose: str, *, end_sessions: bool) -> None:
    """Make a new key, which signs from now on.

    A gateway that runs takes it within a second, and sessions go on: older keys verify until nothing can be alive that
    they signed. The chain of a recording goes on as well: the old key signs that the new one follows.
    """
    from hoop_mitm.config import load

    state = load(config or Path("hoop.yaml")).gateway.state
    if purpose == "recording":
        if end_sessions:
            raise click.UsageError("--end-sessions is about the key of session tokens.")
        from hoop_mitm.evidence import RecordingKeys

        click.echo(RecordingKeys.rotate(state).newest.fingerprint)
        click.echo("The new key signs recordings from now on. Give its fingerprint to your auditors.", err=True)
        return
    from hoop_mitm.identity import SigningKeys

    made = SigningKeys.rotate(state, end_sessions=end_sessions)
    click.echo(made.newest.kid)
    click.echo(
        "The new key signs from now on. All sessions have ended; clients get new ones by themselves, or are started again."
        if end_sessions
        else "The new key signs from now on; sessions go on.",
        err=True,
    )
