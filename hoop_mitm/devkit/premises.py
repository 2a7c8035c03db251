"""What every local world has: an identity provider and Google's token endpoints on loopback, under one authority."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from ruamel.yaml import YAML

from hoop_mitm.devkit import bigquery, google, storage
from hoop_mitm.devkit.environment import Progress
from hoop_mitm.devkit.gateway_process import free_port
from hoop_mitm.devkit.google import GoogleTokens
from hoop_mitm.devkit.http import Servers
from hoop_mitm.devkit.issuer import CLIENT_ID, Issuer
from hoop_mitm.devkit.pki import Certificate, WorldCA

type Credential = Literal["service_account", "adc", "impersonation", "federation"]

_LOOPBACK = ("127.0.0.1", "localhost")


class Premises(ABC):
    """An issuer, Google's token endpoints, and in BigQuery's place whatever a subclass opens.

    Attributes, once it has started:
        issuer: signs in alice, bob and the machine ci (`issuer.token("alice")`).
        google: the token endpoints (`google.outage`, `google.issued()`).
        ca: PEM file of the authority to trust for all of these.
        hosts: Google host name → ``127.0.0.1:port``, as `Upstream.hosts` takes it.
        rest_address, grpc_address: the two that BigQuery's names lead to.
        service_account_key: the key file that the gateway may hold.
        authorized_user: what ``gcloud auth application-default login`` would have left.
    """

    issuer: Issuer
    google: GoogleTokens
    ca: Path
    hosts: dict[str, str]
    rest_address: str
    grpc_address: str

    def __init__(self, directory: Path, connection: str, projects: Sequence[str]) -> None:
        """``connection``: the name of the one that `write_config` describes, which covers ``projects``."""
        self.directory = directory.absolute()
        self.connection = connection
        self.projects = tuple(projects)
        self.service_account_key = self.directory / "service-account.json"
        self.authorized_user = self.directory / "application-default.json"
        self._servers = Servers()

    @property
    def project(self) -> str:
        """The first project, which everything is in that names none."""
        return self.projects[0]

    def start(self, progress: Progress = lambda _: None) -> Self:
        """Brings everything up. ``progress`` is told in a few words what takes long.

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
        self._begin(progress)
        authority = WorldCA(self.directory / "tls")
        self.ca = authority.certificate
        self.issuer = Issuer()
        self.google = GoogleTokens(self.issuer, self.project)
        self.google.write_service_account_key(self.service_account_key)
        self.google.write_authorized_user(self.authorized_user)
        self._servers.start()
        issuer_port = self._servers.listen(self.issuer.handle, authority.issue("issuer", _LOOPBACK))
        self.issuer.url = f"https://127.0.0.1:{issuer_port}"
        token_port = self._servers.listen(self.google.handle, authority.issue("google", (*google.HOSTS, *_LOOPBACK)))
        certificate = authority.issue("bigquery", (*bigquery.HOSTS, *storage.HOSTS, *_LOOPBACK))
        rest_port, grpc_port = self._open(certificate, progress)
        self.rest_address, self.grpc_address = f"127.0.0.1:{rest_port}", f"127.0.0.1:{grpc_port}"
        self.hosts = (
            dict.fromkeys(google.HOSTS, f"127.0.0.1:{token_port}")
            | dict.fromkeys(bigquery.HOSTS, self.rest_address)
            | dict.fromkeys(storage.HOSTS, self.grpc_address)
        )

    def _begin(self, progress: Progress) -> None:  # noqa: B027 - most have nothing to begin early
        """Begins what takes long and can come up beside the rest."""

    @abstractmethod
    def _open(self, certificate: Certificate, progress: Progress) -> tuple[int, int]:
        """Opens what stands in BigQuery's place; the ports of its REST and its Storage API."""

    def stop(self) -> None:
        """Stops everything. May be called twice."""
        self._servers.stop()

    @property
    def users(self) -> tuple[str, ...]:
        """Everybody that the issuer signs in, machines last."""
        return (*self.issuer.users, *self.issuer.machines)

    def broken(self) -> str | None:
        """What no longer works, in a sentence; ``None`` while everything does."""
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
        """Writes a ``hoop.yaml`` for a gateway that stands in this world: one connection, all local issuers.

        ``credential`` picks how the connection reaches Google. ``overrides`` are laid over the document by
        top-level key, mappings into mappings, anything else in place (``gateway={"listen": "127.0.0.1:8080"}``).
        With ``credential="adc"`` the gateway's process needs ``adc_environment``.
        """
        document: dict[str, Any] = {
            "version": 1,
            "gateway": {
                "listen": f"127.0.0.1:{free_port()}",
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
                    "name": self.connection,
                    "projects": list(self.projects),
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
