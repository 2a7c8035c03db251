"""What the gateway is asked about a token: nothing is sent to anybody who cannot prove to be the gateway."""

import socket

import pytest

from hoop_mitm.errors import Unreachable
from hoop_mitm.login.gateway import sign_out, view_of
from hoop_mitm.login.profile import GatewayPlace


@pytest.fixture
def listener():
    """Somebody listens where the client file says."""
    with socket.create_server(("127.0.0.1", 0)) as opened:
        opened.setblocking(False)
        yield opened


@pytest.mark.parametrize("names", ["no authority", "one that is not there"])
@pytest.mark.parametrize("ask", [view_of, sign_out])
def test_without_the_gateways_authority_nothing_is_sent(profile, tmp_path, listener, names, ask):
    # Any proxy that lets the roots of this machine through would pass for the gateway, and Google would have the token.
    ca = tmp_path / "none.pem" if names != "no authority" else None
    place = GatewayPlace(url=f"http://127.0.0.1:{listener.getsockname()[1]}", ca=ca)
    with pytest.raises(Unreachable, match="authority"):
        ask(profile.model_copy(update={"gateway": place}), "eyJhbGciOiJub25lIn0.e30.")
    with pytest.raises(BlockingIOError):
        listener.accept()
