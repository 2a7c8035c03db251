"""What ``run`` and ``env`` share: their options, and the way from a client file to a client's variables."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hoop_mitm.cli.options import client_option
from hoop_mitm.cli.progress import progress

if TYPE_CHECKING:
    from hoop_mitm.client.outfit import Outfit

type Command = Callable[..., Any]


def outfit_options(command: Command) -> Command:
    """``--connection``, ``--project``, ``--identity`` and ``--client``."""
    for option in (
        client_option,
        click.option(
            "--identity",
            default="login",
            show_default=True,
            metavar="login|github|FILE",
            help="Whose token is traded: yours; that of the GitHub Action that this is; or one in a file that "
            "somebody keeps fresh.",
        ),
        click.option("--project", help="Asked by clients that name none; default: the connection's first."),
        click.option("--connection", help="One of the client file's connections; default: the first."),
    ):
        command = option(command)
    return command


@contextmanager
def dressed(
    client: Path | None,
    name: str,
    *,
    connection: str | None,
    project: str | None,
    identity: str,
    start: float | None,
) -> Iterator["Outfit"]:
    """A client's outfit, for a session of its own, and the gateway held for as long as the context is open.

    ``start``: start the gateway where none runs, one that lingers for so many seconds; ``None``: say so.
    """
    from uuid_utils import uuid7

    from hoop_mitm.client.keeper import LINGER, Keeper
    from hoop_mitm.client.outfit import Session, fit_out, source_of
    from hoop_mitm.client.place import session_directory
    from hoop_mitm.client.upstream import upstream_of
    from hoop_mitm.login import default_file, fresh_id_token, load_profile
    from hoop_mitm.login.profile import CHAINED, chosen_file

    profile = load_profile(client)
    file = chosen_file(client).absolute()
    if identity == "login":
        # Said here, once, and not by each client in its own way, later.
        fresh_id_token(profile)
    with Keeper(profile, linger=LINGER if start is None else start) as keeper:
        if start is None:
            found = keeper.look()
            if not found:
                click.echo(f"hoop-mitm: there is no gateway at {profile.gateway.url} now: {found.why}.", err=True)
        else:
            with progress("Looking for the gateway") as say:
                keeper.ensure(say)
        if start is not None and (why := keeper.unchained()):
            click.echo(f"hoop-mitm: {why}", err=True)
        session = Session(str(uuid7()), name)
        directory = session_directory(session.id)
        source = source_of(identity, profile, file, directory, os.environ)
        outfit = fit_out(
            profile, source, directory, os.environ, session=session, connection=connection, project=project
        )
        if file != default_file():
            outfit.variables["HOOP_CLIENT"] = str(file)
        if upstream := upstream_of(os.environ, profile.gateway.url):
            outfit.variables[CHAINED] = upstream.url
        yield outfit
