"""What one client may take of the gateway before it has said who it is.

mitmproxy reads the head of a request, and a body that is not streamed, into memory without a bound; and a connection that
is told to close while what came on it waits for its turn stays open for good. It offers no hook there, so three of its
methods are wrapped; the pinned version (pyproject.toml) is the one that they were read in.
"""

import functools
import resource
from collections.abc import Generator
from typing import Any

from mitmproxy import flow
from mitmproxy.connection import Connection
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.layers.http import HttpStream, SendHttp
from mitmproxy.proxy.layers.http._events import ErrorCode, ResponseProtocolError
from mitmproxy.proxy.layers.http._hooks import HttpErrorHook
from mitmproxy.proxy.layers.http._http1 import Http1Server, make_error_response
from mitmproxy.proxy.server import ConnectionHandler

MAX_HEAD = 128 * 1024
"""Bytes of an HTTP/1 request line with its headers: two tokens of 60 KiB fit. For HTTP/2, hpack's own limit is 64 KiB."""

MAX_BUFFERED = 64 * 2**20
"""Bytes of a request body that is held whole. Up to here a refusal can still say why; beyond, the stream is ended."""

DESCRIPTORS = 65_536
"""Open files wanted; two for each client's connection."""


@functools.cache
def engage() -> None:
    """Puts the limits in place, once for a process."""
    setattr(Http1Server, "read_headers", _bounded_head(Http1Server.read_headers))  # noqa: B010 - a method
    setattr(HttpStream, "check_body_size", _bounded_body(HttpStream.check_body_size))  # noqa: B010
    setattr(ConnectionHandler, "handle_connection", _closed_after(ConnectionHandler.handle_connection))  # noqa: B010
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(DESCRIPTORS, hard)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _bounded_head(read_headers: Any) -> Any:
    @functools.wraps(read_headers)
    def bounded(self: Http1Server, event: events.ConnectionEvent) -> Generator[Any, Any, None]:
        if (
            isinstance(event, events.DataReceived)
            and len(self.buf) > MAX_HEAD
            and b"\r\n\r\n" not in bytes(self.buf)[:MAX_HEAD]
        ):
            self.buf = type(self.buf)()
            refusal = make_error_response(431, "The head of this request is longer than hoop-mitm reads.")
            yield commands.SendData(self.conn, refusal)
            yield commands.CloseConnection(self.conn)
            self.state = self.done
            return
        yield from read_headers(self, event)

    return bounded


def _bounded_body(check_body_size: Any) -> Any:
    @functools.wraps(check_body_size)
    def bounded(self: HttpStream, request: bool) -> Generator[Any, Any, bool]:  # noqa: FBT001 - mitmproxy's signature
        if request and len(self.request_body_buf) > MAX_BUFFERED:
            self.request_body_buf.clear()
            message = "The body of this request is longer than hoop-mitm reads."
            self.flow.error = flow.Error(message)
            yield HttpErrorHook(self.flow)
            refusal = ResponseProtocolError(self.stream_id, message, ErrorCode.REQUEST_TOO_LARGE)
            yield SendHttp(refusal, self.context.client)
            self.client_state = self.server_state = self.state_errored
            self.flow.live = False
            return True
        return bool((yield from check_body_size(self, request)))

    return bounded


def _closed_after(handle_connection: Any) -> Any:
    @functools.wraps(handle_connection)
    async def handled(self: ConnectionHandler, connection: Connection) -> None:
        try:
            await handle_connection(self, connection)
        finally:
            # Where it came to its end in order, it is no longer there.
            if (transport := self.transports.pop(connection, None)) and transport.writer:
                transport.writer.close()

    return handled
