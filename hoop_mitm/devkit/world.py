"""The whole local world: an issuer, Google's token endpoints and BigQuery, on loopback, with one certificate authority."""

import shutil
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from ruamel.yaml import YAML

from hoop_mitm.devkit import bigquery, google, seed, storage
from hoop_mitm.devkit.bigquery import BigQuery
from hoop_mitm.devkit.emulator import Emulator
from hoop_mitm.devkit.environment import Progress
from hoop_mitm.devkit.google import GoogleTokens
from hoop_mitm.devkit.http import Servers
from hoop_mitm.devkit.issuer import CLIENT_ID, Issuer
from hoop_mitm.devkit.pki import WorldCA
from hoop_mitm.devkit.storage import StorageFront
from hoop_mitm.errors import SandboxError

type Credential = Literal["service_account", "adc", "impersonation", "federation"]

_LOOPBACK = ("127.0.0.1", "localhost")


class World:
    """A local world whose files lie in ``directory``; start it, or use it as a context.

    Attributes, once it has started:
        issuer: signs in alice, bob and the machine ci (`issuer.token("alice")`).
        google: the token endpoints (`google.outage`, `google.issued()`).
        bigquery: BigQuery's front (`bigquery.requests()`, `hold`, `fail_next`).
        emulator: what is behind it; `seed.next_day(world.emulator)` changes the shop's data.
        ca: PEM file of the authority to trust for all of these.
        hosts: Google host name → ``127.0.0.1:port``, as `Upstream.hosts` takes it.
        rest_address, grpc_address: the two that BigQuery's names lead to.
        service_account_key: the key file that the gateway may hold.
        authorized_user: what ``gcloud auth application-default login`` would have left.
    """

    project = seed.PROJECT

    issuer: Issuer
    google: GoogleTokens
    bigquery: BigQuery
    ca: Path
    hosts: dict[str, str]
    rest_address: str
    grpc_address: str

    def __init__(self, directory: Path) -> None:
        self.directory = directory.absolute()
        self.service_account_key = self.directory / "service-account.json"
        self.authorized_user = self.directory / "application-default.json"
        self.emulator = Emulator(self.directory / "bigquery", self.directory / "bigquery.log")
        self._servers = Servers()
        self._storage: StorageFront | None = None

    def start(self, progress: Progress = lambda _: None) -> Self:
        """Brings everything up, seeded. ``progress`` is told in a few words what takes long.

        Raises:
            SandboxError: if a part does not come up; the others are stopped again.
        """
        try:
            self._start(progress)
        except BaseException:
            self.stop()
            raise
        return self

    def _start(self, progress: Progress) -> None:
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        data = _InBackground(self._start_data, progress)
        authority = WorldCA(self.directory / "tls")
        self.ca = authority.certificate
        self.issuer = Issuer()
        self.google = GoogleTokens(self.issuer, self.project)
        self.google.write_service_account_key(self.service_account_key)
        self.google.write_authorized_user(self.authorized_user)
        self.bigquery = BigQuery(self.emulator, self.google.grant, self.project)

        self._servers.start()
        issuer_port = self._servers.listen(self.issuer.handle, authority.issue("issuer", _LOOPBACK))
        self.issuer.url = f"https://127.0.0.1:{issuer_port}"
        token_port = self._servers.listen(self.google.handle, authority.issue("google", (*google.HOSTS, *_LOOPBACK)))
        certificate = authority.issue("bigquery", (*bigquery.HOSTS, *storage.HOSTS, *_LOOPBACK))
        self.rest_address = f"127.0.0.1:{self._servers.listen(self.bigquery.handle, certificate)}"

        progress("Starting the local BigQuery")
        data.join()
        self._storage = StorageFront(self.emulator.grpc_port, self.bigquery.jobs, self.bigquery.visitors)
        self.grpc_address = f"127.0.0.1:{self._storage.start(certificate)}"
        self.hosts = (
            dict.fromkeys(google.HOSTS, f"127.0.0.1:{token_port}")
            | dict.fromkeys(bigquery.HOSTS, self.rest_address)
            | dict.fromkeys(storage.HOSTS, self.grpc_address)
        )

    def _start_data(self, progress: Progress) -> None:
        self.emulator.start(progress)
        seed.seed(self.emulator)

    def stop(self) -> None:
        """Stops everything and removes what only the running world needed. May be called twice."""
        if self._storage is not None:
            self._storage.stop()
            self._storage = None
        self._servers.stop()
        self.emulator.stop()
        shutil.rmtree(self.emulator.directory, ignore_errors=True)

    @property
    def users(self) -> tuple[str, ...]:
        """Everybody that the issuer signs in, machines last."""
        return (*self.issuer.users, *self.issuer.machines)

    def broken(self) -> str | None:
        """What no longer works, in a sentence; ``None`` while everything does."""
        if not self.emulator.alive():
            return "The local BigQuery ended by itself."
        return None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def write_config(
        self, path: Path, *, credential: Credential | Mapping[str, Any] = "service_account", **overrides: Any
    ) -> Path:
        """Writes a ``hoop.yaml`` for a gateway that stands in this world: connection ``acme``, all local issuers.

        ``credential`` picks how the connection reaches Google. ``overrides`` are laid over the document by
        top-level key, mappings into mappings, anything else in place (``gateway={"listen": "127.0.0.1:8080"}``).
        With ``credential="adc"`` the gateway's process needs ``adc_environment``.
        """
        document: dict[str, Any] = {
            "version": 1,
            "gateway": {
                "listen": f"127.0.0.1:{_free_port()}",
                "upstream": {"ca": str(self.ca), "hosts": dict(self.hosts)},
            },
            "identity": {
                "issuers": [
                    {"issuer": self.issuer.url, "audiences": [CLIENT_ID], "ca": str(self.ca)},
                    {
                        "issuer": self.issuer.machine_url,
                        "audiences": [CLIENT_ID],
                        "kind": "machine",
                        "ca": str(self.ca),
                    },
                ]
            },
            "connections": [
                {
                    "name": "acme",
                    "projects": [self.project],
                    "credential": self.credential(credential) if isinstance(credential, str) else dict(credential),
                }
            ],
        }
        yaml = YAML()
        yaml.default_flow_style = False
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w") as file:
            yaml.dump(_merged(document, overrides), file)
        return path

    def credential(self, kind: Credential) -> dict[str, Any]:
        """A connection's ``credential`` of that kind, as ``hoop.yaml`` has it."""
        key = {"type": "service_account", "key_file": str(self.service_account_key)}
        match kind:
            case "service_account":
                return key
            case "adc":
                return {"type": "adc"}
            case "impersonation":
                return {
                    "type": "impersonation",
                    "service_account": self.google.analytics_account.email,
                    "source": key,
                }
            case "federation":
                return {"type": "federation", "audience": google.WORKFORCE_AUDIENCE, "user_project": self.project}

    @property
    def adc_environment(self) -> dict[str, str]:
        """Makes the local user credentials the application default ones."""
        return {"GOOGLE_APPLICATION_CREDENTIALS": str(self.authorized_user)}


class _InBackground:
    def __init__(self, work: Callable[[Progress], None], progress: Progress) -> None:
        self._error: BaseException | None = None
        self._work = work
        self._progress = progress
        self._thread = threading.Thread(target=self._run, name="world-data", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._work(self._progress)
        except BaseException as error:  # noqa: BLE001 - it is raised again in `join`.
            self._error = error

    def join(self) -> None:
        self._thread.join()
        if isinstance(self._error, SandboxError):
            raise self._error
        if self._error is not None:
            raise SandboxError(f"The local BigQuery did not start: {self._error}") from self._error


def _merged(base: Any, over: Any) -> Any:
    if isinstance(base, Mapping) and isinstance(over, Mapping):
        return {**base, **{name: _merged(base.get(name), value) for name, value in over.items()}}
    if isinstance(over, Mapping):
        return {name: _merged(None, value) for name, value in over.items()}
    if isinstance(over, Sequence) and not isinstance(over, str):
        return [_merged(None, item) for item in over]
    if isinstance(over, Path):
        return str(over)
    return over


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    return port
