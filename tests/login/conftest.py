"""A company's issuer on loopback, and a person with an empty home directory."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from hoop_mitm.devkit.http import Servers
from hoop_mitm.devkit.issuer import CLIENT_ID, Issuer
from hoop_mitm.devkit.pki import WorldCA
from hoop_mitm.login import ClientProfile


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Servers, WorldCA]]:
    running = Servers()
    running.start()
    yield running, WorldCA(tmp_path_factory.mktemp("tls"))
    running.stop()


@pytest.fixture
def issuer(servers: tuple[Servers, WorldCA]) -> Issuer:
    running, authority = servers
    made = Issuer()
    certificate = authority.issue(f"issuer-{id(made)}", ("127.0.0.1", "localhost"))
    made.url = f"https://127.0.0.1:{running.listen(made.handle, certificate)}"
    made.lifetime = timedelta(hours=1)
    return made


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nobody's settings, no browser, no keyring but the file."""
    place = tmp_path / "home"
    place.mkdir()
    monkeypatch.setenv("HOME", str(place))
    for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "BROWSER", "DISPLAY", "WAYLAND_DISPLAY", "HOOP_CLIENT"):
        monkeypatch.delenv(name, raising=False)
    return place


@pytest.fixture
def profile(issuer: Issuer, servers: tuple[Servers, WorldCA]) -> ClientProfile:
    return ClientProfile(
        issuer=issuer.url, client_id=CLIENT_ID, ca=servers[1].certificate, connections={"acme": ("acme",)}, store="file"
    )
