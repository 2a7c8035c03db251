"""Google's own BigQuery behind the gateway, and a local issuer in front of it. Only `make test-live` comes here."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from hoop_mitm.devkit.gateway_process import free_port
from hoop_mitm.devkit.http import Servers
from hoop_mitm.devkit.issuer import CLIENT_ID, Issuer
from hoop_mitm.devkit.pki import WorldCA
from tests.gateways import RunningGateway


class LiveWorld:
    """As much of a `World` as a gateway needs, when BigQuery is Google's."""

    def __init__(self, project: str, key_file: str | None, issuer: Issuer, ca: Path) -> None:
        self.project = project
        self.issuer = issuer
        self._ca = ca
        self._credential = {"type": "service_account", "key_file": key_file} if key_file else {"type": "adc"}

    def write_config(self, path: Path, *, gateway: dict[str, Any], recording: dict[str, Any]) -> Path:
        document = {
            "gateway": {name: str(value) for name, value in gateway.items()} | {"listen": f"127.0.0.1:{free_port()}"},
            "identity": {"issuers": [{"issuer": self.issuer.url, "audiences": [CLIENT_ID], "ca": str(self._ca)}]},
            "connections": [{"name": "live", "projects": [self.project], "credential": self._credential}],
            "recording": {name: str(value) for name, value in recording.items()},
        }
        with path.open("w") as file:
            YAML().dump(document, file)
        return path


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveWorld]:
    if os.environ.get("HOOP_LIVE") != "1":
        pytest.skip("these tests ask Google's own BigQuery; `make test-live` runs them")
    project = os.environ.get("HOOP_LIVE_PROJECT")
    if not project:
        pytest.skip("no Google project is configured: set HOOP_LIVE_PROJECT (CONTRIBUTING.md says what else)")
    directory = tmp_path_factory.mktemp("live")
    authority, issuer, servers = WorldCA(directory / "tls"), Issuer(), Servers()
    servers.start()
    try:
        port = servers.listen(issuer.handle, authority.issue("issuer", ("127.0.0.1", "localhost")))
        issuer.url = f"https://127.0.0.1:{port}"
        yield LiveWorld(project, os.environ.get("HOOP_LIVE_KEY_FILE"), issuer, authority.certificate)
    finally:
        servers.stop()


@pytest.fixture(scope="session", params=["proxy", "mitmdump"])
def gateway(
    world: LiveWorld, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[RunningGateway]:
    with RunningGateway(world, tmp_path_factory.mktemp(request.param), request.param) as running:
        yield running
