"""A client that asks one thing after another."""

import http.client
import socket
import ssl
from typing import Self

from benchmarks.requests import Request
from benchmarks.variants import Place

_TIMEOUT = 300


class Client:
    """One connection to a place; a context manager."""

    def __init__(self, place: Place) -> None:
        self._place = place

    def __enter__(self) -> Self:
        trust = ssl.create_default_context(cafile=str(self._place.trust))
        self._connection = http.client.HTTPConnection(self._place.host, self._place.port)
        self._connection.sock = trust.wrap_socket(connect(self._place), server_hostname=self._place.host)
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def ask(self, request: Request) -> http.client.HTTPResponse:
        """The answer; its body is still to be read.

        Raises:
            RuntimeError: it is not 200.
        """
        self._connection.request(request.method, request.path, request.body or None, request.headers(self._place))
        response = self._connection.getresponse()
        if response.status != http.client.OK:
            raise RuntimeError(
                f"{request.method} {request.path} was answered {response.status}: {response.read()[:600]!r}"
            )
        return response


def connect(place: Place) -> socket.socket:
    """A connection to a place, through its proxy's CONNECT where it has one; without TLS so far.

    Raises:
        RuntimeError: the proxy refused.
    """
    tunnel = socket.create_connection(place.proxy or (place.host, place.port), timeout=_TIMEOUT)
    tunnel.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if place.proxy is None:
        return tunnel
    target = f"{place.host}:{place.port}"
    tunnel.sendall(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
    answer = b""
    while not answer.endswith(b"\r\n\r\n") and (data := tunnel.recv(4096)):
        answer += data
    if b" 200 " not in answer.partition(b"\r\n")[0]:
        raise RuntimeError(f"CONNECT {target} was answered {answer[:200]!r}")
    return tunnel
