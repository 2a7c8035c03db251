"""Gateways that begin as forks of a process that has imported everything.

Most of a gateway's first two seconds is importing, and the tests start hundreds of them. From the fork on each is the
same program as ever, with a session, an environment, a log and a leash of its own. Those of the sandbox, of
``hoop-mitm run`` and of services begin with Python itself.
"""

import atexit
import io
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from multiprocessing.reduction import DupFd
from pathlib import Path
from typing import Any

from hoop_mitm.devkit import leash

_PRELOADED = ["hoop_mitm.cli.proxy", "hoop_mitm.gateway", "mitmproxy.tools.main", "tests.warm"]


class WarmProcess:
    """A leashed program, with as much of `subprocess.Popen` as a `GatewayProcess` asks for.

    ``command`` is what comes after ``python -m hoop_mitm.devkit.leash``; ``log`` a file's descriptor.
    """

    def __init__(self, command: Sequence[str], log: int, environment: Mapping[str, str]) -> None:
        theirs, self.stdin = _context().Pipe(duplex=False)
        self._process = _context().Process(target=_Start(command, log, theirs, environment), daemon=True)
        self._process.start()
        theirs.close()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired("gateway", timeout or 0)
        return self._process.exitcode

    def terminate(self) -> None:
        self._process.terminate()

    def kill(self) -> None:
        self._process.kill()


class _Start:
    """What the fork does before it is the program."""

    def __init__(self, command: Sequence[str], log: int, leash_end: Connection, environment: Mapping[str, str]) -> None:
        self._command, self._log, self._leash_end = list(command), log, leash_end
        self._environment, self._directory = dict(environment), Path.cwd()

    def __getstate__(self) -> dict[str, Any]:
        # Asked for while the process is started: only then can a descriptor be sent along.
        return self.__dict__ | {"_log": DupFd(self._log)}

    def __call__(self) -> None:
        os.setsid()
        os.dup2(self._leash_end.fileno(), 0)
        log = self._log.detach()  # type: ignore[attr-defined]
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.close(log)
        self._leash_end.close()
        for stream in (sys.stdout, sys.stderr):
            assert isinstance(stream, io.TextIOWrapper)
            stream.reconfigure(line_buffering=True)
        os.environ.clear()
        os.environ.update(self._environment)
        os.chdir(self._directory)
        try:
            leash.main(self._command[0], self._command[1:])
        finally:
            # Processes of multiprocessing leave without; Python does this at the end of a program.
            atexit._run_exitfuncs()


@cache
def _context() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOADED)
    return context
