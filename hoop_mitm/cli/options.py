"""Options that the commands which read a recording share."""

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

type Command = Callable[..., Any]

HERE = Path("recordings/hoop.duckdb")
"""Where a gateway that was started in this directory records, unless its hoop.yaml says otherwise."""


def usual_recording() -> Path:
    """The recording that is meant when none is named: that in this directory, else that of one's own gateway."""
    if HERE.parent.is_dir():
        return HERE
    from hoop_mitm.client.outfit import archive_of
    from hoop_mitm.errors import HoopError
    from hoop_mitm.login import load_profile

    try:
        return archive_of(load_profile()) or HERE
    except (HoopError, OSError):
        return HERE


_db = click.option(
    "--db",
    type=click.Path(path_type=Path),
    envvar="HOOP_DB",
    default=usual_recording,
    show_default=f"{HERE}; where there is none, that of the gateway which your client file names",
    show_envvar=True,
    help="The recording: its file, or the directory it lies in.",
)


def db_option(command: Command) -> Command:
    """``--db``; what the command reads of a shared recording is noted under its name."""
    return _db(noted(command))


def noted(command: Command) -> Command:
    """What the command reads of a shared recording is noted under its name. Of every command that reads one."""

    @functools.wraps(command)
    def named(*arguments: Any, **options: Any) -> Any:
        from hoop_mitm.archive import looking

        _, _, name = click.get_current_context().command_path.partition(" ")
        with looking.by(name, _login):
            return command(*arguments, **options)

    # That a command is one of these is told by it, to whoever looks through all of them.
    named.__dict__["is_noted"] = True
    return named


def _login() -> str | None:
    """As whom the reader is signed in on this machine, as far as that can be told without asking anybody."""
    from hoop_mitm.errors import HoopError
    from hoop_mitm.login import TokenStore, load_profile
    from hoop_mitm.login.id_token import principal_of

    try:
        profile = load_profile()
        tokens = TokenStore(profile).load()
        return str(principal_of(profile, tokens.id_token)) if tokens else None
    except (HoopError, OSError):
        return None


def refuse_to_overwrite(db: Path, output: Path | None) -> None:
    """What is made of a recording is not written over it, however that is spelled, nor to where its gateway works.

    Raises:
        click.UsageError: it would be.
    """
    if output is None or str(output) == "-":
        return
    from hoop_mitm.archive.opening import file_of

    named = file_of(db)
    # By a link, its log and journal lie beside the link or beside the file itself.
    for recording in (named, Path(os.path.realpath(named))):
        if _same(output, recording):
            raise click.UsageError(f"{output} is the recording that is read. Name another file.")
        if _same(output, recording.with_name(f"{recording.name}.wal")):
            raise click.UsageError(f"{output} is the log of the recording that is read. Name another file.")
        journal = recording.with_name("journal")
        if any(_same(place, journal) for place in (output, *Path(os.path.realpath(output)).parents)):
            raise click.UsageError(f"{output} lies in the journal of the recording that is read. Name another place.")


def _same(one: Path, other: Path) -> bool:
    """Whether two names are of one file, which need not exist yet."""
    try:
        if one.samefile(other):
            return True
    except OSError:
        pass
    return os.path.realpath(one) == os.path.realpath(other)


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
