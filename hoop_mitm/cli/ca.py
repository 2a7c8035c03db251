"""``hoop-mitm ca``."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hoop_mitm.cli.options import config_option, json_option

if TYPE_CHECKING:
    from hoop_mitm.certs import CA
    from hoop_mitm.config import Gateway


@click.group(
    epilog="""\b
Examples:
  hoop-mitm ca show
  hoop-mitm ca renew
  hoop-mitm ca remove
"""
)
def ca() -> None:
    """Look at, renew or remove the gateway's certificate authority.

    Clients trust it for the hosts that the gateway intercepts; a critical name constraint keeps it from being believed
    for any other. A gateway that runs renews it by itself.
    """


@ca.command()
@config_option
@json_option
def show(config: Path | None, *, as_json: bool) -> None:
    """Show what the authority may sign for, until when, and where its files are. Exit status 1 when there is none."""
    from hoop_mitm.cli import terminal

    gateway = _gateway(config)
    found = _read(gateway)
    if found is None:
        click.echo(f"There is no authority in {gateway.certs}; `hoop-mitm proxy` makes one when it starts.", err=True)
        click.get_current_context().exit(1)
    if as_json:
        terminal.print_json(_shape(found))
        return
    click.echo(f"certificate  {found.cert}")
    click.echo(f"for clients  {found.bundle}")
    click.echo(f"fingerprint  SHA-256 {found.fingerprint}")
    click.echo(f"good until   {found.expires_at:%Y-%m-%d %H:%M} UTC")
    if found.next_fingerprint:
        click.echo(f"the next     SHA-256 {found.next_fingerprint}, published already")
    click.echo("may sign for " + "\n             ".join(found.hosts))


@ca.command()
@config_option
@click.option("--now", is_flag=True, help="Let the new one take over at once: clients that run must be started again.")
@json_option
def renew(config: Path | None, *, now: bool, as_json: bool) -> None:
    """Make the next authority. It takes over near the end of this one, or at once with --now.

    Until then clients that are started trust both. A gateway that runs sees the change within seconds.
    """
    from hoop_mitm.certs import renew_ca, vouched_for
    from hoop_mitm.cli import terminal

    gateway = _gateway(config)
    made = renew_ca(gateway.certs, vouched_for(gateway), gateway.ca_lifetime, at_once=now)
    if as_json:
        terminal.print_json(_shape(made))
    elif now:
        click.echo(f"The new authority is in force, good until {made.expires_at:%Y-%m-%d}. Start your clients again.")
    else:
        click.echo(
            "The next authority is published to clients; it takes over shortly before this one ends, on "
            f"{made.expires_at:%Y-%m-%d}."
        )


@ca.command()
@config_option
@click.option("--yes", is_flag=True, help="Do not ask.")
def remove(config: Path | None, *, yes: bool) -> None:
    """Delete the authority and all that was made with it, and say how to untrust it."""
    from hoop_mitm.certs import remove_ca

    gateway = _gateway(config)
    found = _read(gateway)
    if found is None:
        click.echo(f"There is no authority in {gateway.certs}.", err=True)
        return
    click.echo(
        "hoop-mitm installs its authority nowhere: clients trust it because variables such as REQUESTS_CA_BUNDLE and "
        f"NODE_EXTRA_CA_CERTS name a bundle with it. `hoop-mitm setup cursor --remove` takes those out of Cursor's settings.\n"
        "If you added it to a store yourself, remove it there:\n"
        f"  macOS    security delete-certificate -Z {found.fingerprint.upper()} ~/Library/Keychains/login.keychain-db\n"
        "  Debian   rm /usr/local/share/ca-certificates/hoop-mitm.crt && update-ca-certificates --fresh\n"
        "  Fedora   rm /etc/pki/ca-trust/source/anchors/hoop-mitm.pem && update-ca-trust\n"
        "  Firefox  Settings, Certificates, Authorities: hoop-mitm",
        err=True,
    )
    if not yes:
        click.confirm(f"Delete the authority in {gateway.certs}?", abort=True, err=True)
    remove_ca(gateway.certs)
    click.echo("Deleted. A gateway that runs goes on with what it has in memory until it is stopped.", err=True)


def _gateway(config: Path | None) -> "Gateway":
    from hoop_mitm.config import load

    return load(config or Path("hoop.yaml")).gateway


def _read(gateway: "Gateway") -> "CA | None":
    from hoop_mitm.certs import read_ca

    return read_ca(gateway.certs)


def _shape(found: "CA") -> dict[str, Any]:
    return {
        "cert": str(found.cert),
        "bundle": str(found.bundle),
        "fingerprint": found.fingerprint,
        "next_fingerprint": found.next_fingerprint,
        "made_at": found.made_at.isoformat(),
        "expires_at": found.expires_at.isoformat(),
        "hosts": list(found.hosts),
    }
