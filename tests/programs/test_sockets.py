"""Both ways of finding who has a socket open: Linux's own, and the one that macOS uses, too."""

import os
import sys

import pytest

from hoop_mitm.programs.sockets import LinuxSocket, PortableSocket, Socket, client_socket
from tests.programs.machine import Connected, connected


def of_kernel(client: Connected) -> Socket:
    found = client_socket(client.client, client.server)
    assert isinstance(found, LinuxSocket)
    return found


def of_psutil(client: Connected) -> Socket:
    return PortableSocket(client.client, client.server)


WAYS = [of_psutil, *([of_kernel] if sys.platform == "linux" else [])]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("mode", "host"), [("plain", "127.0.0.1"), ("mapped", "127.0.0.1"), ("plain", "::1")])
def test_the_socket_is_open_in_its_program_alone(way, mode, host) -> None:
    with connected(mode, host=host) as client:
        held = way(client)
        assert [pid for pid in held.candidates() if held.is_open_in(pid)] == [client.program.pid]
        assert not held.is_open_in(os.getpid())
        client.program.kill()
        client.program.wait()
        assert not held.is_open_in(client.program.pid)
        assert not held.is_open_in(2**22 + 1)
