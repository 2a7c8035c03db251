"""Who has the client's end of a connection open.

psutil lists the sockets of all processes in tens of milliseconds, and of a machine with a busy browser in hundreds. On
Linux the kernel tells the socket's inode and user, and only that user's processes are looked through, the newest first.
"""

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import psutil

from hoop_mitm.programs.kernel import Address, inode_and_user


class Socket(Protocol):
    """The client's end of a connection."""

    def candidates(self) -> Iterator[int]:
        """The processes that may have it open, newest first."""
        ...

    def is_open_in(self, pid: int) -> bool:
        """Whether a process has it open; ``False`` where that may not be known."""
        ...


def client_socket(client: Address, server: Address) -> Socket | None:
    """The client's end of a connection between two addresses of this machine; ``None`` when it is not there any more."""
    if sys.platform != "linux":
        return PortableSocket(client, server)
    found = inode_and_user(client, server)
    return LinuxSocket(*found) if found else None


@dataclass(frozen=True, slots=True)
class LinuxSocket:
    """A socket by its inode, which no other has as long as it is there."""

    inode: int
    user: int

    def candidates(self) -> Iterator[int]:
        for pid in sorted((int(name) for name in os.listdir("/proc") if name.isdecimal()), reverse=True):  # noqa: PTH208 - as fast as it gets
            try:
                if os.stat(f"/proc/{pid}").st_uid == self.user:  # noqa: PTH116
                    yield pid
            except OSError:
                continue

    def is_open_in(self, pid: int) -> bool:
        wanted = f"socket:[{self.inode}]"
        place = f"/proc/{pid}/fd"
        try:
            for descriptor in os.listdir(place):  # noqa: PTH208
                try:
                    if os.readlink(f"{place}/{descriptor}") == wanted:  # noqa: PTH115
                        return True
                except OSError:
                    continue  # Closed a moment ago.
        except OSError:
            pass  # Gone, or somebody else's.
        return False


@dataclass(frozen=True, slots=True)
class PortableSocket:
    """A socket by its two addresses, as psutil tells them of a process; for macOS."""

    client: Address
    server: Address

    def candidates(self) -> Iterator[int]:
        user = os.getuid()
        for pid in sorted(psutil.pids(), reverse=True):
            try:
                if user in (0, psutil.Process(pid).uids().real):
                    yield pid
            except psutil.Error:
                continue

    def is_open_in(self, pid: int) -> bool:
        try:
            connections = psutil.Process(pid).net_connections("tcp")
        except psutil.Error:
            return False
        return any(
            (_plain(connection.laddr), _plain(connection.raddr)) == (self.client, self.server)
            for connection in connections
        )


def _plain(address: tuple[str, int] | tuple[()]) -> Address | None:
    return (address[0].removeprefix("::ffff:"), address[1]) if address else None
