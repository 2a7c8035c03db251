"""``python -m hoop_mitm.devkit.leash MODULE:FUNCTION ARGUMENT…``: a program that ends when its parent does.

The parent keeps the other end of standard input. When it goes, in whatever way, standard input ends, and the program
is told to stop as by ``kill``. Nothing is left running after a ``kill -9`` of the sandbox.
"""

import importlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import Any, Protocol


class Leashed(Protocol):
    """Such a program, seen from its parent, as `subprocess.Popen` is. ``stdin`` is the leash: closing it ends it."""

    @property
    def pid(self) -> int: ...

    @property
    def stdin(self) -> Any: ...

    def poll(self) -> int | None: ...

    def wait(self, timeout: float | None = None) -> int: ...

    def terminate(self) -> None: ...

    def kill(self) -> None: ...


def start(command: Sequence[str], log: int, environment: Mapping[str, str]) -> Leashed:
    """Start ``MODULE:FUNCTION ARGUMENT…`` in a session of its own: Ctrl-C at the terminal is not for it.

    ``log`` is the descriptor of the file that takes all its output.
    """
    return subprocess.Popen(  # noqa: S603 - our own command
        [sys.executable, "-m", "hoop_mitm.devkit.leash", *command],
        stdin=subprocess.PIPE,
        stdout=log,
        stderr=log,
        env=environment,
        start_new_session=True,
    )


def _end_with_parent() -> None:
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def main(target: str, arguments: list[str]) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    module, _, function = target.partition(":")
    sys.argv = [function, *arguments]
    sys.exit(getattr(importlib.import_module(module), function)(arguments))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
