"""A client with no manners: it says to the gateway exactly what a test wants it to say."""

import json
import socket
import ssl
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import Any, Self

BIGQUERY = "bigquery.googleapis.com"


@dataclass(frozen=True)
class Got:
    """An answer. ``status`` 0: the connection was closed without one."""

    status: int
    body: bytes = b""

    @property
    def message(self) -> str:
        """What the client's user would read."""
        try:
            parsed = json.loads(self.body)
        except ValueError:
            return self.body.decode(errors="replace")
        if "error_description" in parsed:
            return str(parsed["error_description"])
        return str(parsed.get("error", {}).get("message", ""))


class Raw:
    """One connection to the gateway; as a context manager it is closed at the end."""

    def __init__(self, proxy: tuple[str, int], bundle: Path) -> None:
        self.connection: socket.socket = socket.create_connection(proxy, timeout=60)
        self._bundle = bundle

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def connect(self, host: str = BIGQUERY, port: int = 443, *headers: str) -> Got:
        lines = [f"CONNECT {host}:{port} HTTP/1.1", f"Host: {host}:{port}", *headers, "", ""]
        self.connection.sendall("\r\n".join(lines).encode())
        return self._answer("CONNECT")

    def tls(self, sni: str = BIGQUERY, *, verify: bool = True) -> Self:
        context = ssl.create_default_context(cafile=str(self._bundle))
        if not verify:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        self.connection = context.wrap_socket(self.connection, server_hostname=sni)
        return self

    def send(self, data: bytes) -> Got:
        try:
            self.connection.sendall(data)
        except OSError:
            return Got(0)
        return self._answer(data.split(b" ", 1)[0].decode(errors="replace"))

    def request(
        self,
        method: str,
        target: str,
        *,
        host: str = BIGQUERY,
        token: str | None = None,
        body: bytes | dict[str, Any] = b"",
        headers: tuple[str, ...] = (),
    ) -> Got:
        if isinstance(body, dict):
            body = json.dumps(body).encode()
            headers = (*headers, "Content-Type: application/json")
        if token:
            headers = (*headers, f"Authorization: Bearer {token}")
        head = [f"{method} {target} HTTP/1.1", f"Host: {host}", f"Content-Length: {len(body)}", *headers, "", ""]
        return self.send("\r\n".join(head).encode() + body)

    def _answer(self, method: str) -> Got:
        response = HTTPResponse(self.connection, method=method)
        try:
            response.begin()
            # After a CONNECT that succeeded, what follows is the tunnel's.
            body = b"" if response.status == 200 and method == "CONNECT" else response.read()
        except (OSError, HTTPException):
            return Got(0)
        return Got(response.status, body)


def bigquery(proxy: tuple[str, int], bundle: Path) -> Raw:
    """A connection on which BigQuery can be spoken to."""
    raw = Raw(proxy, bundle)
    raw.connect()
    return raw.tls()
