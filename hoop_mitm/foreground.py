"""Runs a command as if it had been started directly: it has the terminal, gets our signals, and its status is ours.

The command stays in our process group. So it is in the terminal's foreground when we are, Ctrl-C and Ctrl-Z reach it
from the terminal, a shell's ``fg`` and ``bg`` move both, and a shell or an editor that makes groups of its own finds
everything as if it had no parent between it and the terminal.
"""

import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from types import FrameType
from typing import NoReturn

from hoop_mitm.errors import SandboxError

_FORWARDED = (
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGTSTP,
    signal.SIGCONT,
    signal.SIGWINCH,
)
_FROM_KEYBOARD = (signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP, signal.SIGWINCH)
_LOOK_SECONDS = 0.25
_GRACE_SECONDS = 5


def program(name: str, environment: Mapping[str, str]) -> str | None:
    """Where a command's program is, looked for on the ``PATH`` that it will have."""
    return shutil.which(name, path=environment.get("PATH", os.defpath))


def run(command: Sequence[str], environment: Mapping[str, str], broken: Callable[[], str | None] = lambda: None) -> int:
    """Run ``command`` to its end; its exit status, or 128 plus the signal that ended it, as shells say it.

    Args:
        command: the program (found on the ``PATH`` of ``environment``) and its arguments.
        environment: all of its environment.
        broken: asked now and then; when it gives a reason, the command is ended.

    Raises:
        SandboxError: with that reason.
        OSError: the program cannot be run.
    """
    child = _Child(broken)
    # What is ignored stays so: under nohup a hang-up is for neither of us.
    heard = [number for number in _FORWARDED if signal.getsignal(number) is not signal.SIG_IGN]
    previous = {number: signal.signal(number, child.signalled) for number in heard}
    try:
        status = child.run(command, environment)
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    if child.reason:
        raise SandboxError(child.reason)
    return 128 - status if status < 0 else status


def end_as(status: int) -> NoReturn:
    """End this process as a command with that status of :func:`run` has ended: by the same signal, if by one.

    A shell's loop stops at Ctrl-C only if it sees that the signal ended its command.
    """
    if status > 128 and status - 128 in signal.valid_signals():  # noqa: PLR2004 - as shells count
        number = status - 128
        sys.stdout.flush()
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
        if number not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    sys.exit(status)


class _Child:
    def __init__(self, broken: Callable[[], str | None]) -> None:
        self._broken = broken
        self._process: subprocess.Popen[bytes] | None = None
        self._early: list[int] = []
        self._ended = threading.Event()
        self.reason: str | None = None

    def signalled(self, number: int, _frame: FrameType | None) -> None:
        if not (number in _FROM_KEYBOARD and _has_terminal()):  # Else the terminal sent it to the command too.
            if self._process is None:
                self._early.append(number)
            else:
                self._process.send_signal(number)
        if number == signal.SIGTSTP:
            # We stop as well, or a shell would wait for us; by the default action, which knows of groups that nobody
            # would wake up again.
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            signal.signal(number, self.signalled)

    def run(self, command: Sequence[str], environment: Mapping[str, str]) -> int:
        found = program(command[0], environment)
        self._process = subprocess.Popen(command, executable=found, env=dict(environment))  # noqa: S603 - asked for
        for number in self._early:
            self._process.send_signal(number)
        watch = threading.Thread(target=self._watch, name="foreground-watch", daemon=True)
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
