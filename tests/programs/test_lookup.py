"""From a connection to the program that opened it, with real programs of this machine."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hoop_mitm.programs import Lookup
from tests.programs.machine import HOLDER, connected


def test_the_program_that_connected_is_found_with_its_parents() -> None:
    with connected() as client:
        found = Lookup().program_of(client.client, client.server)
    assert found
    parent, asked = found.processes[-2:]
    assert (asked.pid, asked.name, asked.script) == (client.program.pid, "holder", str(HOLDER))
    assert Path(asked.path).samefile(sys.executable)
    assert parent.pid == os.getpid()
    assert str(found).endswith(" › holder")


@pytest.mark.parametrize(("mode", "host"), [("plain", "127.0.0.1"), ("mapped", "127.0.0.1"), ("plain", "::1")])
def test_it_is_found_whatever_kind_of_socket_it_uses(mode: str, host: str) -> None:
    with connected(mode, host=host) as client:
        found = Lookup().program_of(client.client, client.server)
        assert found
        assert found.processes[-1].pid == client.program.pid


def test_a_child_is_told_after_its_parent() -> None:
    with connected("by a child") as client:
        found = Lookup().program_of(client.client, client.server)
        assert found
        assert [process.pid for process in found.processes[-2:]] == [client.program.pid, *client.pids]
        subprocess.run(["kill", str(client.pids[0])], check=True)


def test_of_a_socket_that_a_child_was_born_with_the_parent_is_told() -> None:
    with connected("inherited") as client:
        parent, child = client.pids
        found = Lookup().program_of(client.client, client.server)
        assert found
        assert found.processes[-1].pid == parent != child


def test_who_asked_before_is_found_again_on_another_connection() -> None:
    lookup = Lookup()
    with connected() as first, connected() as second:
        for _ in range(2):
            for client in (first, second):
                found = lookup.program_of(client.client, client.server)
                assert found
                assert found.processes[-1].pid == client.program.pid


def test_nothing_is_told_of_a_program_that_is_gone() -> None:
    lookup = Lookup()
    with connected() as client:
        assert lookup.program_of(client.client, client.server)
        client.program.kill()
        client.program.wait()
        assert lookup.program_of(client.client, client.server) is None


def test_nothing_is_told_of_a_connection_that_its_program_has_closed() -> None:
    with connected("closed") as client:
        assert Lookup().program_of(client.client, client.server) is None


def test_nothing_is_told_of_a_connection_that_there_is_not() -> None:
    with connected() as client:
        host, port = client.server
        # The other way round it is our own end, which no client has; and nobody is at port 1.
        assert Lookup().program_of((host, 1), (host, port)) is None
        assert Lookup().program_of(client.client, (host, 1)) is None


@pytest.mark.skipif(os.getuid() != 0, reason="only root may become somebody else")
@pytest.mark.parametrize("shut", [True, False])
def test_nothing_is_told_of_somebody_elses_program(shut: bool) -> None:
    """Who looks is nobody, and who asks is root. The control: nobody's own program is found by nobody."""
    with connected(*([] if shut else ["as nobody"])) as client:
        look = (
            "import os, sys; from hoop_mitm.programs import Lookup; look = Lookup().program_of\n"
            "os.setgid(65534); os.setuid(65534)\n"
            f"print(look({client.client!r}, {client.server!r}))"
        )
        told = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True).stdout
    assert told.strip() == "None" if shut else told.strip().endswith("holder")
