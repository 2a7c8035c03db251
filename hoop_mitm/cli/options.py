"""Options that the commands which read a recording share."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

type Command = Callable[..., Any]

db_option = click.option(
    "--db",
    type=click.Path(path_type=Path),
    envvar="HOOP_DB",
    default=Path("recordings/hoop.duckdb"),
    show_default=True,
    show_envvar=True,
    help="The recording: its file, or the directory it lies in.",
)

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")

client_option = click.option(
    "--client",
    type=click.Path(path_type=Path, dir_okay=False),
    envvar="HOOP_CLIENT",
    show_envvar=True,
    help="The client file; default client.yaml in your configuration directory (~/.config/hoop-mitm).",
)

config_option = click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    envvar="HOOP_CONFIG",
    show_envvar=True,
    help="The gateway's configuration; default hoop.yaml in this directory.",
)


def reading(command: Command) -> Command:
    """What every reading command takes: ``--db`` and ``--json``."""
    return db_option(json_option(command))


def session_argument(name: str = "session", *, required: bool = True) -> Callable[[Command], Command]:
    """A session by id, the start of an id, name, ``@last`` or ``@last~1``; ``@last`` where it may be left out."""
    if required:
        return click.argument(name)
    return click.argument(name, default="@last", metavar=f"[{name.upper()}]")
