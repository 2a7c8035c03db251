"""Every test here runs twice: under `hoop-mitm proxy`, and under an ordinary mitmdump with `-s addons/hoop.py`."""

from collections.abc import Iterator

import pytest

from hoop_mitm.devkit.world import World
from tests.clients.clients import CLIENTS, Client
from tests.clients.environments import NotHere
from tests.gateways import RunningGateway


@pytest.fixture(scope="session", params=["proxy", "mitmdump"])
def gateway(
    world: World, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[RunningGateway]:
    with RunningGateway(world, tmp_path_factory.mktemp(request.param), request.param) as running:
        yield running


@pytest.fixture(params=CLIENTS, ids=lambda client: client.name)
def client(request: pytest.FixtureRequest) -> Client:
    chosen: Client = request.param
    try:
        chosen.ready()
    except NotHere as reason:
        pytest.skip(str(reason))
    return chosen
