"""Real programs with real connections, for a look-up to find."""

import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

HOLDER = Path(__file__).with_name("holder.py")


@dataclass
class Connected:
    """A program that has connected to us: both addresses of its connection, and what it told of itself."""

    client: tuple[str, int]
    server: tuple[str, int]
    program: subprocess.Popen[str]
    connection: socket.socket
    pids: tuple[int, ...]


@contextmanager
def connected(
    *modes: str, command: Sequence[str | Path] = (sys.executable, HOLDER), host: str = "127.0.0.1"
) -> Iterator[Connected]:
    """A program that opens one connection, does what ``modes`` say, and waits to be ended."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as listener:
        server = listener.getsockname()[:2]
        arguments = [*map(str, command), *map(str, server), *modes]
        with subprocess.Popen(arguments, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True) as program:
            try:
                listener.settimeout(60)
                connection, client = listener.accept()
                with connection:
                    assert program.stdout
                    pids = tuple(map(int, program.stdout.readline().split()))
                    yield Connected(client[:2], server, program, connection, pids)
            finally:
                program.kill()
