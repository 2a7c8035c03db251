"""The clients, under `hoop-mitm proxy`; each asks once under an ordinary mitmdump with `-s addons/hoop.py`, too."""

from collections.abc import Iterator

import pytest

from hoop_mitm.devkit.world import World
from tests.clients.clients import CLIENTS, Client
from tests.clients.environments import NotHere
from tests.gateways import RunningGateway


@pytest.fixture(scope="session")
def mitmdump(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    with RunningGateway(world, tmp_path_factory.mktemp("mitmdump"), "mitmdump") as running:
        yield running


@pytest.fixture(params=["gateway", pytest.param("mitmdump", marks=pytest.mark.exhaustive)], ids=["proxy", "mitmdump"])
def either(request: pytest.FixtureRequest) -> RunningGateway:
    """A gateway, by each way to start one."""
    running: RunningGateway = request.getfixturevalue(request.param)
    return running


def ready(client: Client) -> Client:
    try:
        client.ready()
    except NotHere as reason:
        pytest.skip(str(reason))
    return client


@pytest.fixture(params=CLIENTS, ids=lambda client: client.name)
def client(request: pytest.FixtureRequest) -> Client:
    return ready(request.param)


@pytest.fixture(
    params=[
        # It has Google's library for Python, as two others have.
        pytest.param(each, marks=pytest.mark.exhaustive) if each.name == "mcp-server-bigquery" else each
        for each in CLIENTS
    ],
    ids=lambda client: client.name,
)
def kind(request: pytest.FixtureRequest) -> Client:
    """A client of each kind: for what comes after a first statement and its rows."""
    return ready(request.param)
