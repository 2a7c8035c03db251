"""One socket, as the kernel tells it by netlink and in its tables."""

import os
import socket
import sys

import pytest

from hoop_mitm.programs import kernel

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="this is Linux's way")

WAYS = [kernel._asked, kernel._looked_up, kernel.inode_and_user]


@pytest.mark.parametrize("ask", WAYS)
@pytest.mark.parametrize(
    ("host", "family", "target"),
    [
        ("127.0.0.1", socket.AF_INET, "127.0.0.1"),
        ("127.0.0.1", socket.AF_INET6, "::ffff:127.0.0.1"),
        ("::1", socket.AF_INET6, "::1"),
    ],
)
def test_a_socket_is_found_by_its_two_ends(ask, host, family, target) -> None:
    server_family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=server_family) as listener, socket.socket(family) as client:
        client.connect((target, listener.getsockname()[1]))
        accepted, peer = listener.accept()
        with accepted:
            ours, theirs = listener.getsockname()[:2], peer[:2]
            assert ask(theirs, ours) == (os.fstat(client.fileno()).st_ino, os.getuid())
            assert ask(ours, theirs) == (os.fstat(accepted.fileno()).st_ino, os.getuid())
            assert ask((host, 1), ours) is None
            # A socket that only listens is nobody's end of a connection.
            assert ask(ours, (host, 1)) is None
