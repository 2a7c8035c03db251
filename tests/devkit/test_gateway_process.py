"""A port that is chosen for a gateway is the gateway's."""

import errno
import socket
import sys

import pytest

from hoop_mitm.devkit.gateway_process import free_port


def test_each_asking_is_given_another() -> None:
    assert len({free_port() for _ in range(20)}) == 20


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets one socket keep a port for another that listens")
def test_nobody_else_is_given_it_until_a_gateway_listens_there_and_again() -> None:
    port = free_port()
    with socket.socket() as other, pytest.raises(OSError, match="in use") as refused:
        other.bind(("127.0.0.1", port))
    assert refused.value.errno == errno.EADDRINUSE
    for _ in range(2):  # as a gateway that is started again does
        with socket.create_server(("127.0.0.1", port)) as gateway, socket.create_connection(("127.0.0.1", port)):
            gateway.accept()[0].close()
