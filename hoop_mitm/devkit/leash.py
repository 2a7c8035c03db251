"""``python -m hoop_mitm.devkit.leash MODULE:FUNCTION ARGUMENT…``: a program that ends when its parent does.

The parent keeps the other end of standard input. When it goes, in whatever way, standard input ends, and the program
is told to stop as by ``kill``. Nothing is left running after a ``kill -9`` of the sandbox.
"""

import importlib
import os
import signal
import sys
import threading


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
