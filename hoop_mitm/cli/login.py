"""``hoop-mitm login``."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from hoop_mitm.cli.options import client_option

if TYPE_CHECKING:
    from hoop_mitm.login.device import Code
    from hoop_mitm.login.profile import ClientProfile
    from hoop_mitm.login.signing_in import SignedIn

_NEXT = "hoop-mitm run -- bq query --nouse_legacy_sql 'SELECT 1'"


@click.command(
    epilog="""\b
Examples:
  hoop-mitm login
  hoop-mitm login --device
  hoop-mitm login --store file
"""
)
@client_option
@click.option("--browser", "way", flag_value="browser", help="Sign in with this machine's browser.")
@click.option("--device", "way", flag_value="device", help="Show a code, to be entered in a browser anywhere.")
@click.option(
    "--store",
    type=click.Choice(["keyring", "file"]),
    help="Where the tokens are kept.  [default: the OS keyring if there is one, else a file that only you can read]",
)
@click.option("--again", is_flag=True, help="Have the identity provider ask who you are, also when it knows.")
def login(client: Path | None, way: str | None, store: str | None, *, again: bool) -> None:
    """Sign in at your identity provider.

    With the browser of this machine if there is one, else with a code for a browser anywhere. The tokens are kept for
    `hoop-mitm token`, `run` and `env`, which renew them by themselves; none is ever printed.
    """
    from hoop_mitm.login import load_profile
    from hoop_mitm.login.signing_in import Shown, sign_in

    profile = load_profile(client)
    if again:
        profile = profile.model_copy(update={"parameters": {**profile.parameters, "prompt": "login"}})
    signed_in = sign_in(profile, Shown(_address, _code), way=way, store=store)  # type: ignore[arg-type] # click's choices
    _tell(signed_in, profile)


def _address(url: str, opened: bool) -> None:  # noqa: FBT001 - a callback
    if opened:
        click.echo(
            "Sign in with the browser that has just opened. If none has, open this address on this machine:", err=True
        )
    else:
        click.echo("Open this address in a browser on this machine, and sign in there:", err=True)
    click.echo(f"  {url}", err=True)


def _code(code: "Code") -> None:
    click.echo(f"Open this page in a browser anywhere, and enter the code {code.user_code}:", err=True)
    click.echo(f"  {code.page}", err=True)
    if code.page_with_code:
        click.echo(f"With the code in it already:\n  {code.page_with_code}", err=True)
    click.echo("Waiting for you to sign in …", err=True)


def _tell(signed_in: "SignedIn", profile: "ClientProfile") -> None:
    from hoop_mitm.errors import LoginError, Unreachable
    from hoop_mitm.login.gateway import NotStarted, view_of

    place = "the keyring of this machine" if signed_in.kept == "keyring" else "a file that only you can read"
    click.echo(f"Signed in as {signed_in.principal}. Your tokens are in {place}.", err=True)
    if signed_in.tokens.refresh_token is None:
        click.echo(
            "Your identity provider gave nothing to renew this login with, so it ends with the token, usually in an hour. "
            "Have the scope `offline_access` allowed for the application.",
            err=True,
        )
    try:
        view = view_of(profile, signed_in.tokens.id_token)
    except Unreachable as error:
        after = f"Next: {_NEXT}" if isinstance(error, NotStarted) else "You can be signed in without it."
        click.echo(f"{error} {after}", err=True)
    except LoginError as error:
        raise LoginError(f"You are signed in, but the gateway does not let you in: {error}") from None
    else:
        _tell_view(view.groups, view.connections)


def _tell_view(groups: tuple[str, ...], connections: tuple[str, ...]) -> None:
    if not connections:
        named = (
            f"your groups ({', '.join(groups)}) are for none of"
            if groups
            else "your token names no groups, and there is none without, among"
        )
        click.echo(
            f"The gateway knows you, but {named} its connections. Ask its owner for access, or the identity provider's "
            "administrator for the groups claim.",
            err=True,
        )
        return
    click.echo(f"You can use: {', '.join(connections)}. Next: {_NEXT}", err=True)
