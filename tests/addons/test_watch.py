"""A session whose client goes on from another address is noted, once for each change."""

import socket

from uuid_utils import uuid7

from hoop_mitm.devkit.world import World
from tests.attacks.raw import Got, Raw
from tests.attacks.tokens import DATASETS, session_token
from tests.gateways import RunningGateway
from tests.waiting import until


def use_from(gateway: RunningGateway, address: str, token: str) -> Got:
    """All of 127.0.0.0/8 is this machine."""
    raw = Raw(gateway.process.address, gateway.config.gateway.certs / "bundle.pem")
    raw.connection.close()
    raw.connection = socket.create_connection(gateway.process.address, timeout=60, source_address=(address, 0))
    with raw:
        raw.connect()
        raw.tls()
        return raw.request("GET", DATASETS, token=token)


def test_a_change_of_address_is_an_event(gateway: RunningGateway, world: World) -> None:
    session = str(uuid7())
    token = session_token(gateway, world.issuer.token("alice"), session)
    for address in ("127.0.0.1", "127.0.0.1", "127.0.0.2", "127.0.0.2", "127.0.0.1"):
        assert use_from(gateway, address, token).status == 200
    question = (
        "SELECT details->>'before', client_address FROM events "
        f"WHERE type = 'session.address_changed' AND session_id = '{session}' ORDER BY id"
    )
    # No answer waits for an event.
    until(lambda: len(gateway.ask(question)) > 1)
    assert gateway.ask(question) == [("127.0.0.1", "127.0.0.2"), ("127.0.0.2", "127.0.0.1")]


def test_a_session_that_is_bound_to_one_address_does_not_move(world: World, tmp_path: object) -> None:
    from pathlib import Path

    identity = {"session_tokens": {"bind_address": "address"}}
    with RunningGateway(world, Path(str(tmp_path)), identity=identity) as gateway:
        token = session_token(gateway, world.issuer.token("alice"), str(uuid7()))
        assert use_from(gateway, "127.0.0.1", token).status == 200
        refused = use_from(gateway, "127.0.0.2", token)
        assert (refused.status, "another network address" in refused.message) == (403, True)
        [[reason]] = gateway.ask("SELECT details->>'reason' FROM events WHERE type = 'identity.refused'")
        assert reason == "wrong_address"
