"""The README's set-up of a laptop, done as it says: its credentials file and Cursor's settings, and nothing else."""

import json
import os
from pathlib import Path

import pytest

from hoop_mitm.client import BYPASSES, client_environment
from tests.clients.clients import Bq, Client, Node, Python, Toolbox
from tests.clients.environments import NotHere
from tests.examples import blocks_of
from tests.gateways import RunningGateway

README = Path(__file__).parents[2] / "README.md"


def laptop(home: Path, gateway: RunningGateway) -> dict[str, str]:
    """The environment of a terminal in Cursor, with the README's names and places exchanged for real ones."""
    exchanged = {
        "providers/warehouse": f"providers/{gateway.config.connections[0].name}",
        "/home/you/.config/hoop-mitm/token": str(home / "token"),
        "/home/you/hoop-mitm/certs": str(gateway.config.gateway.certs),
        "/home/you/hoop-mitm": str(home),
        "http://127.0.0.1:8080": gateway.url,
        "acme-analytics": gateway.world.project,
    }
    credentials, settings = blocks_of(README, "json")
    for name, real in exchanged.items():
        credentials, settings = credentials.replace(name, real), settings.replace(name, real)
    (home / "token").write_text(gateway.world.issuer.token("alice"))
    (home / "credentials.json").write_text(credentials)
    set_elsewhere = client_environment("", home, home, "", {}).keys() | set(BYPASSES)
    bare = {name: value for name, value in os.environ.items() if name not in set_elsewhere}
    return bare | json.loads(settings)["terminal.integrated.env.linux"] | {"HOME": str(home)}


@pytest.mark.parametrize("client", [Python("query"), Bq(), Node(), Toolbox()], ids=lambda client: client.name)
def test_the_readmes_settings_are_enough(client: Client, gateway: RunningGateway, tmp_path: Path) -> None:
    try:
        client.ready()
    except NotHere as reason:
        pytest.skip(str(reason))

    outcome = client.query(laptop(tmp_path, gateway), "SELECT 1 AS one")

    assert outcome.result == [{"one": "1"}]
