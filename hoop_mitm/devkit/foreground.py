"""Runs a command as if it had been started directly: it has the terminal, gets our signals, and its status is ours."""

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from types import FrameType

from hoop_mitm.errors import SandboxError

_FORWARDED = (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP)
_FROM_KEYBOARD = (signal.SIGINT, signal.SIGQUIT)
_LOOK_SECONDS = 0.25
_GRACE_SECONDS = 5


def run(command: Sequence[str], environment: Mapping[str, str], broken: Callable[[], str | None]) -> int:
    """Run ``command`` to its end; its exit status, or 128 plus the signal that ended it, as shells say it.

    Args:
        command: the program (found on the ``PATH`` of ``environment``) and its arguments.
        environment: all of its environment.
        broken: asked now and then; when it gives a reason, the command is ended.

    Raises:
        SandboxError: with that reason.
    """
    child = _Child(broken)
    previous = {number: signal.signal(number, child.signalled) for number in _FORWARDED}
    try:
        status = child.run(command, environment)
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    if child.reason:
        raise SandboxError(child.reason)
    return 128 - status if status < 0 else status


class _Child:
    def __init__(self, broken: Callable[[], str | None]) -> None:
        self._broken = broken
        self._process: subprocess.Popen[bytes] | None = None
        self._early: list[int] = []
        self._ended = threading.Event()
        self.reason: str | None = None

    def signalled(self, number: int, _frame: FrameType | None) -> None:
        if number in _FROM_KEYBOARD and _has_terminal():
            return  # The terminal sent it to the command too.
        if self._process is None:
            self._early.append(number)
        else:
            self._process.send_signal(number)

    def run(self, command: Sequence[str], environment: Mapping[str, str]) -> int:
        program = shutil.which(command[0], path=environment.get("PATH"))
        self._process = subprocess.Popen(command, executable=program, env=dict(environment))  # noqa: S603 - asked for
        for number in self._early:
            self._process.send_signal(number)
        watch = threading.Thread(target=self._watch, name="sandbox-watch", daemon=True)
        watch.start()
        try:
            return self._process.wait()
        finally:
            self._ended.set()
            watch.join()

    def _watch(self) -> None:
        assert self._process
        while not self._ended.wait(_LOOK_SECONDS):
            if reason := self._broken():
                self.reason = reason
                self._process.terminate()
                if not self._ended.wait(_GRACE_SECONDS):
                    self._process.kill()
                return


def _has_terminal() -> bool:
    """Whether a key such as Ctrl-C reaches this process and its child, because both are the terminal's foreground."""
    try:
        return os.tcgetpgrp(sys.__stdin__.fileno()) == os.getpgrp() if sys.__stdin__ else False
    except (OSError, ValueError):
        return False
