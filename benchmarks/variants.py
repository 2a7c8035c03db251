"""What is compared: ways for a client to reach the upstream, each a process, started and stopped as a context manager."""

import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from benchmarks import usage
from benchmarks.surroundings import BIGQUERY, STORAGE, Surroundings
from hoop_mitm.archive.database import Database
from hoop_mitm.devkit.gateway_process import GatewayProcess, free_port
from hoop_mitm.recording.fold import fold_once

_START_SECONDS = 60
_FOLD_SECONDS = 180
_ANSWERS = """
    SELECT count(*) FILTER (state = 'complete'), count(*) FILTER (state <> 'complete'),
        count(DISTINCT response_body), coalesce(sum(response_size), 0)::BIGINT
    FROM flows
"""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a client finds one of the upstream's two services.

    Attributes:
        proxy: address of the proxy, or ``None``.
        host, port: what it asks for, in CONNECT, in TLS and in ``Host``.
        trust: PEM file of the authority to trust.
        token: what it identifies itself with.
    """

    proxy: tuple[str, int] | None
    host: str
    port: int
    trust: Path
    token: str = field(repr=False)


class Direct:
    """No proxy: what the upstream and the benchmark's own client can do."""

    name = "direct"
    pid: int | None = None

    def __init__(self, surroundings: Surroundings) -> None:
        self._surroundings = surroundings

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def rest(self) -> Place:
        return Place(None, "127.0.0.1", self._surroundings.rest_port, self._surroundings.ca, self._surroundings.token)

    def storage(self) -> Place:
        return Place(None, "127.0.0.1", self._surroundings.grpc_port, self._surroundings.ca, self._surroundings.token)

    def settle(self) -> None:
        """Waits until nothing goes on in the background any more."""


class Mitmdump:
    """``mitmdump -q`` as it comes, with more arguments or none."""

    def __init__(self, surroundings: Surroundings, directory: Path, name: str, *arguments: str) -> None:
        self.name = name
        self._surroundings = surroundings
        self._address = ("127.0.0.1", free_port())
        self._trust = directory / "mitmproxy-ca-cert.pem"
        self._log = directory / "mitmdump.log"
        directory.mkdir()
        self._command = [sys.executable, "-m", "hoop_mitm.devkit.leash", "mitmproxy.tools.main:mitmdump", "-q"]
        self._command += ["--listen-host", self._address[0], "--listen-port", str(self._address[1])]
        self._command += ["--set", f"confdir={directory}", *arguments]
        self._command += ["--set", f"ssl_verify_upstream_trusted_ca={surroundings.ca}"]
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True
            )
        deadline = time.monotonic() + _START_SECONDS
        while not _listens(self._address):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"mitmdump did not start: {self._log.read_text()}")
            time.sleep(0.05)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process
        self._process.terminate()
        self._process.communicate(timeout=20)

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def rest(self) -> Place:
        return Place(self._address, "127.0.0.1", self._surroundings.rest_port, self._trust, self._surroundings.token)

    def storage(self) -> Place:
        return Place(self._address, "127.0.0.1", self._surroundings.grpc_port, self._trust, self._surroundings.token)

    def settle(self) -> None:
        """Nothing goes on in the background."""


class Gateway:
    """``hoop-mitm proxy`` with everything on: identity, ownership, labels, recording to the disk, and the fold."""

    name = "gateway"

    def __init__(
        self,
        surroundings: Surroundings,
        directory: Path,
        name: str = name,
        recording: Mapping[str, Any] | None = None,
        policy: Mapping[str, Any] | None = None,
    ) -> None:
        """``recording`` are settings beside the directory, ``policy`` is the section of that name."""
        directory.mkdir()
        self.name = name
        listen = f"127.0.0.1:{free_port()}"
        self._surroundings = surroundings
        self._trust = directory / "certs" / "mitmproxy-ca-cert.pem"
        self.recordings = directory / "recordings"
        config = surroundings.write_config(
            directory / "hoop.yaml", listen=listen, recordings=self.recordings, recording=recording or {}, policy=policy
        )
        self._process = GatewayProcess(config, listen, directory / "gateway.log")

    def __enter__(self) -> Self:
        self._process.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.stop()

    @property
    def pid(self) -> int | None:
        return self._process.pid

    @property
    def fold(self) -> int:
        """The process id of the child that folds the journal into the archive."""
        assert self.pid
        return usage.children(self.pid)[0]

    def rest(self) -> Place:
        return Place(self._process.address, BIGQUERY, 443, self._trust, self._surroundings.token)

    def storage(self) -> Place:
        return Place(self._process.address, STORAGE, 443, self._trust, self._surroundings.token)

    def settle(self) -> None:
        """Waits until the archive holds all that the journal held."""
        if remaining := fold_once(self.recordings, wait=_FOLD_SECONDS).remaining:
            raise SystemExit(f"{remaining} records were not folded within {_FOLD_SECONDS} s: no result.")

    def check(self, answers: int, size: int) -> None:
        """Sees that exactly these answers are in the archive, each with a body of its own.

        Ends the program when they are not: a fast gateway that loses records is no result.

        Args:
            answers: how many the clients got.
            size: bytes of all their bodies.
        """
        self.settle()
        database = Database(self.recordings / "hoop.duckdb", wait=30)
        found = database.all(_ANSWERS)[0]
        database.close()
        if found != (answers, 0, answers, size):
            raise SystemExit(
                f"No result: clients got {answers} answers ({size} bytes), and the archive has (complete, other, different "
                f"bodies, bytes) {found}."
            )


type Variant = Direct | Mitmdump | Gateway


def _listens(address: tuple[str, int]) -> bool:
    try:
        socket.create_connection(address, timeout=1).close()
    except OSError:
        return False
    return True
