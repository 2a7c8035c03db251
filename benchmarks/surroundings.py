"""What all proxies under test have in common: one upstream, one certificate authority, one identity, one credential."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from benchmarks.answers import PROJECT
from hoop_mitm.devkit import google
from hoop_mitm.devkit.google import GoogleTokens
from hoop_mitm.devkit.http import Servers
from hoop_mitm.devkit.issuer import CLIENT_ID, Issuer
from hoop_mitm.devkit.pki import WorldCA

BIGQUERY = "bigquery.googleapis.com"
STORAGE = "bigquerystorage.googleapis.com"
_LOOPBACK = ("127.0.0.1", "localhost")


class Surroundings:
    """Started and stopped as a context manager.

    Attributes:
        ca: PEM file of the authority that vouches for the upstream.
        rest_port, grpc_port: of the upstream, on 127.0.0.1.
        token: an identity that the gateway takes.
    """

    ca: Path
    rest_port: int
    grpc_port: int
    token: str

    def __init__(self, directory: Path, *, large: int, stream: int) -> None:
        """``large`` and ``stream`` are bytes: of the one large answer, and of one stream of the Storage Read API."""
        self._directory = directory
        self._sizes = ("--large", str(large), "--stream", str(stream))
        self._servers = Servers()
        self._issuer = Issuer()
        self._key_file = directory / "service-account.json"
        self._upstream: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def _start(self) -> None:
        authority = WorldCA(self._directory / "tls")
        self.ca = authority.certificate
        tokens = GoogleTokens(self._issuer, PROJECT)
        tokens.write_service_account_key(self._key_file)
        self._servers.start()
        port = self._servers.listen(self._issuer.handle, authority.issue("issuer", _LOOPBACK))
        self._issuer.url = f"https://127.0.0.1:{port}"
        self._token_port = self._servers.listen(tokens.handle, authority.issue("google", (*google.HOSTS, *_LOOPBACK)))
        self.token = self._issuer.token("alice")
        certificate = authority.issue("bigquery", (BIGQUERY, STORAGE, *_LOOPBACK))
        command = [sys.executable, "-m", "benchmarks.upstream", *self._sizes]
        command += ["--chain", str(certificate.chain), "--key", str(certificate.key)]
        self._upstream = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._upstream.stdout
        ports = json.loads(self._upstream.stdout.readline())
        self.rest_port, self.grpc_port = ports["rest"], ports["grpc"]

    def _stop(self) -> None:
        if self._upstream:
            # Closes its standard input, which ends it, and waits.
            self._upstream.communicate(timeout=120)
        self._servers.stop()

    def write_config(
        self,
        path: Path,
        *,
        listen: str,
        recordings: Path,
        recording: Mapping[str, Any] | None = None,
        policy: Mapping[str, Any] | None = None,
    ) -> Path:
        """Writes a ``hoop.yaml`` for a gateway that stands here, and keeps its files beside it.

        ``recording`` are settings of that name, beside the directory; ``policy`` is the section of that name.
        """
        hosts = dict.fromkeys(google.HOSTS, f"127.0.0.1:{self._token_port}")
        hosts |= {BIGQUERY: f"127.0.0.1:{self.rest_port}", STORAGE: f"127.0.0.1:{self.grpc_port}"}
        document = {
            "version": 1,
            "gateway": {
                "listen": listen,
                "certs": str(path.parent / "certs"),
                "state": str(path.parent / "state"),
                "upstream": {"ca": str(self.ca), "hosts": hosts},
            },
            "identity": {"issuers": [{"issuer": self._issuer.url, "audiences": [CLIENT_ID], "ca": str(self.ca)}]},
            "connections": [
                {
                    "name": "acme",
                    "projects": [PROJECT],
                    "credential": {"type": "service_account", "key_file": str(self._key_file)},
                }
            ],
            "recording": {"directory": str(recordings), **(recording or {})},
            **({"policy": policy} if policy else {}),
        }
        # JSON is YAML.
        path.write_text(json.dumps(document, indent=2))
        return path
