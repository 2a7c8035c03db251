"""A terminal that a test sits at: what a program shows there, as text, while it runs and when it has ended."""

import contextlib
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

_PATIENCE = 90.0
# Colours, cursors, and what a line said before it was written over.
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[^\n]*\r(?!\n)|\r")


class Terminal:
    """A program with a terminal of its own as its standard input, output and error."""

    def __init__(
        self, command: Sequence[str], *, cwd: Path, environment: Mapping[str, str], columns: int = 100
    ) -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        self._raw = b""
        self._open = True
        # Whoever leads a session and opens a terminal is the one that its Ctrl-C is typed at.
        opening = ["sh", "-c", 'exec "$@" <"$0" >"$0" 2>&1', os.ttyname(theirs), *command]
        self._process = subprocess.Popen(
            opening, cwd=cwd, env=dict(environment), stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
        )
        os.close(theirs)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        os.close(self._ours)

    @property
    def shown(self) -> str:
        """What is on the screen, without colours and what was taken back."""
        return _CONTROL.sub("", self._raw.decode(errors="replace").replace("\r\n", "\n"))

    @property
    def status(self) -> int | None:
        return self._process.poll()

    def until(self, pattern: str) -> re.Match[str]:
        """Waits until the pattern is on the screen."""
        deadline = time.monotonic() + _PATIENCE
        while not (found := re.search(pattern, self.shown)):
            assert self._open, f"it ended with {self._process.wait()}:\n{self.shown}"
            assert time.monotonic() < deadline, self.shown
            self._read(deadline)
        return found

    def type(self, text: str) -> None:
        """Presses keys."""
        os.write(self._ours, text.encode())

    def finish(self) -> str:
        """Waits until the program has ended; all that it has shown.

        What it leaves running has the terminal no longer, or this would wait for that, too.
        """
        deadline = time.monotonic() + _PATIENCE
        while self._open:
            assert time.monotonic() < deadline, self.shown
            self._read(deadline)
        self._process.wait(60)
        return self.shown

    def _read(self, deadline: float) -> None:
        if not select.select([self._ours], [], [], max(0.0, deadline - time.monotonic()))[0]:
            return
        chunk = b""
        with contextlib.suppress(OSError):  # Linux's way to say that the other side of a terminal has closed
            chunk = os.read(self._ours, 65536)
        self._raw += chunk
        self._open = bool(chunk)
