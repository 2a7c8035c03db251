"""bqemulator as a process of its own, and the one client it has: the front."""

import contextlib
import json
import os
import select
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import urllib3

from hoop_mitm.devkit.environment import Progress, ensure_environment, home_of, python_of
from hoop_mitm.errors import SandboxError

_MAIN = Path(__file__).with_name("emulator_main.py")
# One that dies is noticed at once; from a cold disk, or on a busy machine, one that lives may take long.
_START_SECONDS = 180


class Emulator:
    """A running bqemulator. It checks nobody's credentials: only the front may reach it.

    ``directory`` is where it runs, and where files must lie that it is to load.
    """

    def __init__(self, directory: Path, log: Path) -> None:
        self.directory = directory
        self._log = log
        self._process: subprocess.Popen[str] | None = None
        self._pool: urllib3.HTTPConnectionPool | None = None
        self.rest_port = self.grpc_port = 0

    def start(self, progress: Progress = lambda _: None) -> None:
        """Starts it with an empty catalogue, kept in memory.

        Raises:
            SandboxError: if it cannot be installed or does not come up.
        """
        environment = ensure_environment(progress)
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own command.
                [str(python_of(environment)), "-I", str(_MAIN)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                cwd=self.directory,
                env={
                    "HOME": str(home_of(environment)),
                    "PATH": os.environ.get("PATH", os.defpath),
                    "TZ": "UTC",
                    "BQEMU_ENABLE_FORMAT_EXTENSIONS": "false",
                    "BQEMU_METRICS_ENABLED": "false",
                    "BQEMU_QUERY_CACHE_TTL_SECONDS": "0",
                    "BQEMU_LOG_LEVEL": "warning",
                    "BQEMU_UPLOAD_STAGING_DIR": str(self.directory / "uploads"),
                },
                # Ctrl-C at the terminal is for the sandbox, which stops this in its own order.
                start_new_session=True,
            )
        ports = json.loads(self._first_line())
        self.rest_port, self.grpc_port = ports["rest"], ports["grpc"]
        self._pool = urllib3.HTTPConnectionPool("127.0.0.1", self.rest_port, maxsize=32, retries=False)

    def call(
        self,
        method: str,
        path: str,
        *,
        query: str = "",
        json_body: object = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, Any]:
        """One REST call; returns the status and the parsed JSON (or ``None``)."""
        assert self._pool is not None, "the emulator is not started"
        # A connection each: the emulator's server closes idle ones after 5 s, and no DML may be sent twice.
        sent = {"Connection": "close", **(headers or {})}
        if json_body is not None:
            body = json.dumps(json_body).encode()
        if body:
            sent.setdefault("Content-Type", "application/json")
        answer = self._pool.request(method, f"{path}?{query}" if query else path, body=body, headers=sent, timeout=300)
        return answer.status, json.loads(answer.data) if answer.data else None

    def stop(self) -> None:
        """Kills it: it ignores SIGTERM for longer than anybody wants to wait, and has nothing to save."""
        if self._pool is not None:
            self._pool.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe is not None:
                    with contextlib.suppress(OSError):
                        pipe.close()
            self._process = None

    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def _first_line(self) -> str:
        assert self._process is not None
        assert self._process.stdout is not None
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            ready, _, _ = select.select([self._process.stdout], [], [], 0.5)
            if ready:
                line = self._process.stdout.readline()
                if line:
                    return line
            if self._process.poll() is not None:
                break
        self.stop()
        raise SandboxError(f"The local BigQuery did not start. Its log is {self._log}.")
