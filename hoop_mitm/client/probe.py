"""Who listens where a client would send its requests: our gateway, nobody, or a stranger.

Nothing is sent but what anybody on the way could see: a CONNECT for BigQuery's host, and a TLS greeting. Only our
gateway can answer that greeting with a certificate of its authority.
"""

import socket
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

_HOST = "bigquery.googleapis.com"
_CONNECT = f"CONNECT {_HOST}:443 HTTP/1.1\r\nHost: {_HOST}:443\r\n\r\n".encode()
# The system accepts for a program that is busy; one that is none does not answer.
_CONNECT_SECONDS = 5
_LONGEST_ANSWER = 16 * 1024
_PORTS = {"http": 80, "https": 443}

type Listener = Literal["gateway", "nobody", "stranger"]


@dataclass(frozen=True, slots=True)
class Found:
    """What answers. ``why`` is a clause in words when it is not the gateway."""

    listener: Listener
    why: str = ""

    def __bool__(self) -> bool:
        return self.listener == "gateway"


def address_of(url: str) -> tuple[str, int]:
    """Host and port of a proxy's URL."""
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or _PORTS.get(parts.scheme, 443)


def probe(url: str, ca_cert: Path, *, timeout: float = 20) -> Found:
    """Ask who listens at a proxy's URL.

    Args:
        url: ``http://host:port`` or ``https://host:port``.
        ca_cert: the gateway's authority.
        timeout: seconds for each step but the first. A gateway that is slow is no stranger.
    """
    try:
        connection = socket.create_connection(address_of(url), min(timeout, _CONNECT_SECONDS))
    except OSError as error:
        return Found("nobody", f"nothing listens there ({error.strerror or error})")
    with connection:
        connection.settimeout(timeout)
        try:
            return _greeted(connection, url, ca_cert)
        except ssl.SSLCertVerificationError as error:
            return Found("stranger", f"it has no certificate of this gateway's authority ({error.verify_message})")
        except OSError as error:
            return Found("stranger", f"it does not speak as a proxy ({error.strerror or error})")


def _greeted(connection: socket.socket, url: str, ca_cert: Path) -> Found:
    if url.startswith("https:"):
        try:
            connection = ssl.create_default_context().wrap_socket(connection, server_hostname=address_of(url)[0])
        except ssl.SSLCertVerificationError as error:
            return Found("stranger", f"its own TLS certificate is not trusted here ({error.verify_message})")
    connection.sendall(_CONNECT)
    answer = b""
    while b"\r\n\r\n" not in answer:
        more = connection.recv(4096)
        answer += more
        if not more or len(answer) > _LONGEST_ANSWER:
            return Found("stranger", "it does not speak as a proxy")
    if not answer.startswith((b"HTTP/1.1 200", b"HTTP/1.0 200")):
        return Found("stranger", "it is a proxy that lets nobody through to BigQuery")
    context = ssl.create_default_context(cafile=str(ca_cert))
    if isinstance(connection, ssl.SSLSocket):
        return _within(connection, context)
    with context.wrap_socket(connection, server_hostname=_HOST):
        return Found("gateway")


def _within(outer: ssl.SSLSocket, context: ssl.SSLContext) -> Found:
    """TLS within TLS, which sockets cannot do."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    inner = context.wrap_bio(incoming, outgoing, server_hostname=_HOST)
    while True:
        try:
            inner.do_handshake()
        except ssl.SSLWantReadError:
            outer.sendall(outgoing.read())
            more = outer.recv(16 * 1024)
            if not more:
                return Found("stranger", "it does not speak as a proxy")
            incoming.write(more)
        else:
            return Found("gateway")
