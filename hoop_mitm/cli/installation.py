"""What ``sandbox`` and ``serve`` share: an installation comes up, a command is run in it, or it stays, and goes."""

import os
import shutil
import signal
import sys
import time
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

import click

from hoop_mitm.cli.progress import progress

if TYPE_CHECKING:
    from hoop_mitm.devkit.sandbox import Installation

#: What a shell says of a program that it cannot find.
_NOT_FOUND = 127


def check(command: tuple[str, ...]) -> None:
    """Ends as a shell does where there is no such program, before anything is started."""
    from hoop_mitm.devkit.sandbox import search_path

    if command and shutil.which(command[0], path=search_path(os.environ)) is None:
        click.echo(f"hoop-mitm: there is no program {command[0]}.", err=True)
        click.get_current_context().exit(_NOT_FOUND)


def live(chosen: "Installation", command: tuple[str, ...], *, session: str | None, called: str) -> int:
    """Bring ``chosen`` up, run ``command`` in it (or stay until Ctrl-C where there is none), and stop it all.

    Args:
        chosen: not started yet.
        command: gets the environment of a client.
        session: what the command's session is called.
        called: what the installation is, for people: ``the sandbox``.

    Returns: the command's exit status.
    """
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGTERM, _end)
    try:
        with progress(f"Starting {called}") as say:
            chosen.start(say)
        return _run(chosen, command, session) if command else _stay(chosen, session, called)
    finally:
        # Once it is stopping, impatience must not leave something running or unfolded.
        for number in before:
            signal.signal(number, signal.SIG_IGN)
        with progress(f"Stopping {called}"):
            chosen.stop()
        for number, handler in before.items():
            # Whoever called us starts programs that would ignore them too.
            signal.signal(number, handler)


def _run(chosen: "Installation", command: tuple[str, ...], session: str | None) -> int:
    from hoop_mitm import foreground

    return foreground.run(command, chosen.environment(session), chosen.broken)


def _stay(chosen: "Installation", session: str | None, called: str) -> int:
    from hoop_mitm.client import BYPASSES, shells
    from hoop_mitm.errors import SandboxError

    click.echo(shells.sh(chosen.variables(session), [name for name in BYPASSES if name in os.environ]), nl=False)
    sys.stdout.flush()
    up = f"{called[0].upper()}{called[1:]} is up."
    click.echo(f"\n{up} Paste these lines into another terminal; Ctrl-C here stops it.", err=True)
    try:
        while not (reason := chosen.broken()):
            time.sleep(1)
    except (KeyboardInterrupt, SystemExit):
        return 0
    raise SandboxError(reason)


def _end(_number: int, _frame: FrameType | None) -> NoReturn:
    sys.exit(128 + signal.SIGTERM)
