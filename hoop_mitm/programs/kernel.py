"""What Linux knows of one socket: its inode and its user.

Asked by netlink (sock_diag(7)) it is one look-up. `/proc/net/tcp` tells the same, but walks the kernel's whole table,
which takes milliseconds on a machine with much memory, however few its sockets; it is for where netlink is shut.
"""

import socket
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

type Address = tuple[str, int]

_NETLINK_SOCK_DIAG, _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST = 4, 20, 1
_NLMSG_ERROR = 2
_ENOENT = 2
_HEADER = struct.Struct("=IHHII")
_ANY_STATE = _NO_COOKIE = 0xFFFFFFFF
_LONGEST_ANSWER = 8192


def inode_and_user(client: Address, server: Address) -> tuple[int, int] | None:
    """Of the socket whose own end is ``client`` and whose other end is ``server``; ``None`` when there is none here."""
    try:
        found = _asked(client, server)
    except OSError:
        found = _looked_up(client, server)
    # One whose process has closed it has no inode any more.
    return found if found and found[0] else None


def _asked(client: Address, server: Address) -> tuple[int, int] | None:
    family = _family(client)
    ports = struct.pack(">HH", client[1], server[1])
    ends = b"".join(socket.inet_pton(family, host).ljust(16, b"\0") for host, _ in (client, server))
    # inet_diag_req_v2, inet_diag_sockid
    request = struct.pack("=BBxxI", family, socket.IPPROTO_TCP, _ANY_STATE) + ports + ends
    request += struct.pack("=III", 0, _NO_COOKIE, _NO_COOKIE)
    header = _HEADER.pack(_HEADER.size + len(request), _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG) as kernel:
        kernel.settimeout(1)
        kernel.send(header + request)
        answer = kernel.recv(_LONGEST_ANSWER)
    if _HEADER.unpack_from(answer)[1] == _NLMSG_ERROR:
        (error,) = struct.unpack_from("=i", answer, _HEADER.size)
        if error == -_ENOENT:
            return None
        raise OSError(-error, "sock_diag")
    # inet_diag_msg: family, state, timer, retransmits; sockid; expires, queues, user, inode. A socket that listens at
    # the client's port is given for want of another: it has no port at its other end.
    if answer[20:24] != ports:
        return None
    user, inode = struct.unpack_from("=II", answer, 80)
    return inode, user


def _looked_up(client: Address, server: Address) -> tuple[int, int] | None:
    for table, ends in _in_tables(client, server):
        rows = Path("/proc/net", table).read_bytes() if Path("/proc/net", table).exists() else b""
        start = rows.find(ends)
        if start >= 0:
            # After both ends: state, queues, timer, retransmits, user, timeout, inode (proc(5)).
            fields = rows[start + len(ends) : rows.find(b"\n", start)].split()
            return int(fields[6]), int(fields[4])
    return None


def _in_tables(client: Address, server: Address) -> Iterator[tuple[str, bytes]]:
    """Each table that may have the socket, and how its two ends are written there. A socket for IPv6 may speak IPv4."""
    family = _family(client)
    ends = [(socket.inet_pton(family, host), port) for host, port in (client, server)]
    if family == socket.AF_INET:
        yield "tcp", _row(ends)
        ends = [(bytes(10) + b"\xff\xff" + address, port) for address, port in ends]
    yield "tcp6", _row(ends)


def _row(ends: list[tuple[bytes, int]]) -> bytes:
    return f" {' '.join(_hex(*end) for end in ends)} ".encode()


def _hex(address: bytes, port: int) -> str:
    """As the kernel prints it: words of four bytes in the machine's own order."""
    words = (int.from_bytes(address[place : place + 4], sys.byteorder) for place in range(0, len(address), 4))
    return f"{''.join(f'{word:08X}' for word in words)}:{port:04X}"


def _family(address: Address) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address[0] else socket.AF_INET
