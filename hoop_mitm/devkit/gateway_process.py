"""The gateway as a process of its own, started and stopped as an operator would."""

import os
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from hoop_mitm.config import split_host_port
from hoop_mitm.devkit import leash
from hoop_mitm.errors import SandboxError

#: ``proxy`` is ours; ``mitmdump`` is an ordinary mitmproxy with ``addons/hoop.py``.
type EntryPoint = Literal["proxy", "mitmdump"]

# One that dies is noticed at once; on a busy machine one that lives may take long.
_START_SECONDS = 180
# Who is killed has not folded its recording.
_DRAIN_SECONDS = 60
# mitmproxy alone would have to reach Google to say yes to this. Nothing is recorded of it.
_KNOCK = b"CONNECT bigquery.googleapis.com:443 HTTP/1.1\r\nHost: bigquery.googleapis.com:443\r\n\r\n"
_ROOT = Path(__file__).parents[2]
_LOG_LINES_SHOWN = 8
# The ports that were given last, kept from everybody but those who ask for them by their number.
_given: deque[socket.socket] = deque()
_MOST_GIVEN = 64


class GatewayProcess:
    """A gateway that ends with its parent. Its log goes to a file, and holds no secrets.

    ``arguments`` are added to mitmdump's command line, and ``start`` starts it, as `leash.start` does.
    """

    def __init__(
        self,
        config: Path,
        listen: str,
        log: Path,
        entry_point: EntryPoint = "proxy",
        arguments: Sequence[str] = (),
        *,
        start: Callable[[Sequence[str], int, Mapping[str, str]], leash.Leashed] = leash.start,
    ) -> None:
        self.address = split_host_port(listen)
        self.log = log
        self._command = _target(entry_point)
        # The address too: mitmdump listens before it loads scripts, and would first take its own default port.
        self._command += ["--listen-host", self.address[0], "--listen-port", str(self.address[1])]
        self._command += ["--set", f"hoop_config={config}", *arguments]
        self._start = start
        self._process: leash.Leashed | None = None

    @property
    def url(self) -> str:
        return "http://{}:{}".format(*self.address)

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Start it, and return when it listens.

        Raises:
            SandboxError: it did not come up; the message has the end of its log.
        """
        # What a mitmproxy reads from the environment of whoever tries the sandbox must not reach it.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("HOOP_")}
        # mitmdump logs to its standard output; in a file that is to be read while it runs.
        environment["PYTHONUNBUFFERED"] = "1"
        with self.log.open("ab") as log:
            self._process = self._start(self._command, log.fileno(), environment)
        deadline = time.monotonic() + _START_SECONDS
        while not self._listens():
            if not self.alive():
                raise SandboxError(f"The gateway did not start. The end of its log, {self.log}:\n{self._end_of_log()}")
            if time.monotonic() > deadline:
                raise SandboxError(f"The gateway did not start within {_START_SECONDS} s. Its log is {self.log}.")
            time.sleep(0.05)

    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        """Ask it to end, and give it time to write what is under way."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(_DRAIN_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdin.close()

    def _listens(self) -> bool:
        """Whether it is the gateway that answers: mitmdump listens a moment before it has loaded its script."""
        try:
            with socket.create_connection(self.address, timeout=5) as connection:
                connection.sendall(_KNOCK)
                return connection.recv(64).startswith(b"HTTP/1.1 200")
        except OSError:
            return False

    def _end_of_log(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines()
        return "\n".join(f"  {line}" for line in lines[-_LOG_LINES_SHOWN:])


def free_port() -> int:
    """A port on loopback that nothing listens on just now, and that nobody else is given soon.

    A gateway needs seconds until it listens, and in them every other program that wants any port might be given the same.
    A socket that is bound and does not listen keeps Linux from that, and not the gateway from listening there.
    """
    taken = socket.socket()
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    taken.bind(("127.0.0.1", 0))
    port: int = taken.getsockname()[1]
    _given.append(taken)
    while len(_given) > (_MOST_GIVEN if sys.platform == "linux" else 0):
        _given.popleft().close()
    return port


def _target(entry_point: EntryPoint) -> list[str]:
    if entry_point == "proxy":
        return ["hoop_mitm.cli:main", "proxy"]
    return ["mitmproxy.tools.main:mitmdump", "-s", str(_ROOT / "addons" / "hoop.py")]
