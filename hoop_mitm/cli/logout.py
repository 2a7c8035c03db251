"""``hoop-mitm logout``."""

from pathlib import Path

import click

from hoop_mitm.cli.options import client_option


@click.command(
    epilog="""\b
Examples:
  hoop-mitm logout
"""
)
@client_option
def logout(client: Path | None) -> None:
    """Sign out: at the gateway, at the identity provider, and on this machine.

    What the gateway has accepted for you so far it refuses from now on, in running clients and on other machines too.
    The login is ended at the identity provider if it offers that, and your tokens are deleted here in any case. The
    exit status is 3 when the gateway or the identity provider could not be told.
    """
    from hoop_mitm.login import load_profile
    from hoop_mitm.login.signing_out import sign_out

    done = sign_out(load_profile(client))
    for line in done.said:
        click.echo(line, err=True)
    click.get_current_context().exit(0 if done.everywhere else 3)
