"""``hoop-mitm sessions revoke``."""

import getpass
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import click

from hoop_mitm.cli.options import config_option, noted

if TYPE_CHECKING:
    from hoop_mitm.archive import Archive
    from hoop_mitm.config import Config
    from hoop_mitm.identity import Revocation


@click.command(
    epilog="""\b
Examples:
  hoop-mitm sessions revoke @last
  hoop-mitm sessions revoke 019a3c2e
  hoop-mitm sessions revoke --principal alice@acme.example
"""
)
@click.argument("session", required=False)
@click.option(
    "--principal", help="Everything that this person or machine holds: e-mail address, subject, or issuer#subject."
)
@config_option
@noted
def revoke(session: str | None, principal: str | None, config: Path | None) -> None:
    """End a session, or everything that a principal holds, at once.

    Running gateways heed it within a second: on the next request of open connections, in running streams at their next
    message, and for whatever a token could be traded for again. It outlives restarts. After --principal the person has
    to sign in anew; to keep somebody out for good, take them out of the identity provider.
    """
    from hoop_mitm.config import load
    from hoop_mitm.identity import Revocations

    if (session is None) == (principal is None):
        raise click.UsageError("Name a session, or a principal with --principal.")
    settings = load(config or Path("hoop.yaml"))
    made = _principal(settings, principal) if principal else [_session(settings, str(session))]
    revocations = Revocations(settings.gateway.state)
    for revocation in made:
        revocations.add(revocation)
        click.echo(revocation.session_id or revocation.principal)


def _session(settings: "Config", reference: str) -> "Revocation":
    from hoop_mitm.errors import ArchiveError
    from hoop_mitm.identity.revocations import of_session

    try:
        with _archive(settings) as archive:
            found = archive.find(reference)
    except ArchiveError:
        if not _is_uuid(reference):
            raise
        # It may have been given out, and not been used yet.
        return of_session(reference.lower(), getpass.getuser())
    return of_session(found.id, getpass.getuser(), found)


def _principal(settings: "Config", principal: str) -> "list[Revocation]":
    """One by what was written, and one for each that is known by that name: an address can be taken off a token."""
    from hoop_mitm.errors import ArchiveError
    from hoop_mitm.identity.revocations import of_principal

    names = {principal}
    try:
        with _archive(settings) as archive:
            names |= {
                entry.principal.key
                for entry in archive.sessions()
                if principal.lower() in {(entry.principal.email or "").lower(), entry.principal.subject.lower()}
            }
    except ArchiveError as error:
        click.echo(
            f"Nothing recorded says who {principal} is: tokens are refused by that name alone. {error}", err=True
        )
    return [of_principal(name, getpass.getuser()) for name in sorted(names)]


def _archive(settings: "Config") -> "Archive":
    from hoop_mitm.archive import open_archive

    return open_archive(settings.recording.directory)


def _is_uuid(text: str) -> bool:
    try:
        return str(UUID(text)) == text.lower()
    except ValueError:
        return False
