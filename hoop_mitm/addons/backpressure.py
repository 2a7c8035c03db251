"""A message is taken in no faster than its receiver takes it.

mitmproxy gives every HTTP/2 stream a window of 2 GiB, opens it again with each byte that comes, and keeps what the other
side has no room for: one client that reads a large table slowly would have the gateway hold the table. Here a stream's window
is small, and only what has gone on opens it again (RFC 9113, section 5.2). HTTP/1 has no windows; there the connection is not
read for a while, as mitmproxy does where both sides speak HTTP/1.

All this is of one stream, never of an HTTP/2 connection: a client that reads its streams one after the other would wait for
ever for the second.

What nobody takes any more is let go: an answer that its client has left, the rest of a request that was answered before it
came to its end, and one that was taken back while it waited for its turn.

mitmproxy offers no hook there, so one of its classes is replaced and some of its methods are wrapped; the pinned version
(pyproject.toml) is the one that they were read in.
"""

import asyncio
import functools
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Generator
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import h2.config
import h2.events
from h2.errors import ErrorCodes
from mitmproxy.connection import Connection, ConnectionState
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.layers.http import HttpLayer, _http2
from mitmproxy.proxy.layers.http._base import HttpConnection, HttpEvent
from mitmproxy.proxy.layers.http._events import RequestProtocolError
from mitmproxy.proxy.layers.http._http1 import Http1Connection
from mitmproxy.proxy.layers.http._http2 import Http2Client, Http2Connection
from mitmproxy.proxy.layers.http._http_h2 import BufferedH2Connection, SendH2Data
from mitmproxy.proxy.server import ConnectionHandler

WINDOW = 4 * 2**20
"""Bytes of one message that may have come and not gone on: what Go's HTTP/2 client gives a stream. With 40 ms to BigQuery
and back a stream carries 100 MB/s."""

PIECE = 2**17
"""Bytes that one event of mitmproxy's carries at most: an HTTP/2 frame, or twice what it reads of a connection at once."""


AT_ONCE = 100
"""Streams that a client may have open on one connection, as mitmproxy tells it; towards HTTP/1 each needs a connection."""


@functools.cache
def engage() -> None:
    """Puts it in place, once for a process."""
    setattr(_http2, "BufferedH2Connection", PacedConnection)  # noqa: B010 - a class of mitmproxy's
    setattr(Http2Connection, "_handle_event", _sending(Http2Connection._handle_event))  # noqa: B010, SLF001
    setattr(Http2Client, "_handle_event", _forgetting(Http2Client._handle_event))  # noqa: B010, SLF001
    setattr(HttpLayer, "_handle_event", _settling(HttpLayer._handle_event))  # noqa: B010, SLF001
    setattr(ConnectionHandler, "__init__", _with_room(ConnectionHandler.__init__))  # noqa: B010
    setattr(ConnectionHandler, "drain_writers", _waiting(ConnectionHandler.drain_writers))  # noqa: B010


class PacedConnection(BufferedH2Connection):
    """An HTTP/2 connection whose streams' windows are small, and are opened by `give_back` alone.

    Attributes:
        owed: bytes that came and were not given back, by stream.
    """

    def __init__(self, config: h2.config.H2Configuration) -> None:
        super().__init__(config)
        self.local_settings.initial_window_size = WINDOW
        # As mitmproxy does: until it is acknowledged the old value holds.
        self.local_settings.acknowledge()
        self.stream_buffers: defaultdict[int, deque[SendH2Data]] = defaultdict(_Unsent)
        self.owed: dict[int, int] = {}
        self._ended: set[int] = set()

    def receive_data(self, data: bytes) -> list[h2.events.Event]:
        """Without resets of answers that are whole: a server may so ask not to be sent the rest of a request, and the answer
        stands (RFC 9113, section 8.1). mitmproxy would reset the client's stream."""
        received: list[h2.events.Event] = super().receive_data(data)
        if not self.config.client_side:
            return received
        told = []
        for event in received:
            if isinstance(event, h2.events.StreamEnded) and event.stream_id:
                self._ended.add(event.stream_id)
            if not (isinstance(event, h2.events.StreamReset) and event.stream_id in self._ended):
                told.append(event)
        if self._ended:
            self._ended = {number for number in self._ended if number in self.streams and self.streams[number].open}
        return told

    def acknowledge_received_data(self, acknowledged_size: int, stream_id: int) -> None:
        """What mitmproxy says of all that came: noted, and no more. An end without data has nothing to be given back."""
        if acknowledged_size:
            self.owed[stream_id] = self.owed.get(stream_id, 0) + acknowledged_size

    def give_back(self, stream_id: int, size: int) -> None:
        """Opens a stream's window by bytes that it is owed. Of a stream that has ended, only the connection's."""
        if size < self.owed[stream_id]:
            self.owed[stream_id] -= size
        else:
            del self.owed[stream_id]
        super().acknowledge_received_data(size, stream_id)

    def unsent(self, stream_id: int | None) -> int:
        """Bytes that are to be sent on a stream, for which the other side has no room."""
        buffer = self.stream_buffers.get(stream_id) if stream_id is not None else None
        return buffer.size if isinstance(buffer, _Unsent) else 0


class _Unsent(deque[SendH2Data]):
    """What waits to be sent on one stream, and its size; with the three changes that mitmproxy makes to it."""

    size = 0

    def append(self, piece: SendH2Data) -> None:
        self.size += len(piece.data)
        super().append(piece)

    def appendleft(self, piece: SendH2Data) -> None:
        self.size += len(piece.data)
        super().appendleft(piece)

    def popleft(self) -> SendH2Data:
        piece = super().popleft()
        self.size -= len(piece.data)
        return piece


@dataclass
class _Frames(HttpEvent):
    """Frames that are ready to be sent: they take the way of every message, through TLS."""

    data: bytes


def _sending(handle_event: Any) -> Any:
    @functools.wraps(handle_event)
    def handled(self: Http2Connection, event: events.Event) -> Generator[Any, Any, None]:
        if isinstance(event, _Frames):
            yield commands.SendData(self.conn, event.data)
        else:
            yield from handle_event(self, event)

    return handled


def _forgetting(handle_event: Any) -> Any:
    @functools.wraps(handle_event)
    def handled(self: Http2Client, event: events.Event) -> Generator[Any, Any, None]:
        # Google allows so many requests at once. Of one that was taken back before its turn nothing is kept, or sent.
        if not (isinstance(event, RequestProtocolError) and self.stream_queue.pop(event.stream_id, [])):
            yield from handle_event(self, event)

    return handled


def _settling(handle_event: Any) -> Any:
    @functools.wraps(handle_event)
    def handled(self: HttpLayer, event: events.Event) -> Generator[Any, Any, None]:
        yield from handle_event(self, event)
        # Whatever makes room comes through here: an open window, a hook that ended, a stream that was reset.
        for conn in [conn for conn in _gates if conn.state is ConnectionState.CLOSED]:
            _release(conn)
        # mitmproxy keeps those that are closed, too; towards HTTP/1 each request has one.
        open_ones = [
            (conn, top.context.layers[-1])
            for conn, top in self.connections.items()
            if conn.state is not ConnectionState.CLOSED
        ]
        for conn, protocol in open_ones:
            if isinstance(protocol, Http2Client):
                yield from _let_go(self, conn, protocol)
        for conn, protocol in open_ones:
            match protocol:
                case Http2Connection(h2_conn=PacedConnection(owed=owed)) if owed:
                    for stream_id in list(owed):
                        yield from _settle(self, conn, protocol, stream_id)
                case Http1Connection():
                    _hold_or_release(self, conn, protocol)
                case _:
                    pass

    return handled


def _let_go(layer: HttpLayer, conn: Connection, protocol: Http2Client) -> Generator[Any, Any, None]:
    """Ends Google's side of what has ended on the client's.

    mitmproxy leaves it open where a client went away, or a flow was killed, while a hook was at work; and where an answer
    was whole before its request was, the client waits for room to send the rest, and with it for the end of its answer.
    """
    for ours in list(protocol.streams):
        outside = protocol.their_stream_id[ours]
        stream = layer.streams.get(outside)
        if stream is None or stream.server_state in (stream.state_done, stream.state_errored):
            if protocol.is_closed(ours):
                del protocol.streams[ours]
                protocol.h2_conn.stream_buffers.pop(ours, None)
            else:
                protocol.h2_conn.reset_stream(ours, ErrorCodes.CANCEL)
                yield from _send(layer, conn, protocol, outside)


def _settle(layer: HttpLayer, conn: Connection, protocol: Http2Connection, stream_id: int) -> Generator[Any, Any, None]:
    """Gives back what has gone on of what came on a stream."""
    paced: Any = protocol.h2_conn
    outside = protocol.their_stream_id[stream_id] if isinstance(protocol, Http2Client) else stream_id
    gone = paced.owed[stream_id] - _held(layer, protocol, outside)
    if gone > 0:
        paced.give_back(stream_id, gone)
        yield from _send(layer, conn, protocol, outside)


def _send(layer: HttpLayer, conn: Connection, protocol: Http2Connection, outside: int) -> Generator[Any, Any, None]:
    # Mostly nothing: h2 tells of a window when half of it is free.
    if frames := protocol.h2_conn.data_to_send():
        yield from layer.event_to_child(layer.connections[conn], _Frames(outside, frames))


def _has_enough(layer: HttpLayer, protocol: Http1Connection) -> bool:
    """Whether no more should be read: of a message that does not go on, or of requests sent before they can be answered."""
    if len(protocol.buf) > WINDOW:
        return True
    return protocol.stream_id is not None and _held(layer, protocol, protocol.stream_id) > WINDOW


def _held(layer: HttpLayer, protocol: HttpConnection, stream_id: int) -> int:
    """Bytes, or a few more, that came from a connection on a stream and did not go on to the other side."""
    stream = layer.streams.get(stream_id)
    # A hook is at work; what comes in the meantime waits.
    held = len(stream._paused_event_queue) * PIECE if stream else 0  # noqa: SLF001
    is_request = protocol.conn == layer.context.client
    receiver = (stream.context.server if stream else None) if is_request else layer.context.client
    if receiver in layer.connections:
        match layer.connections[receiver].context.layers[-1]:
            case Http2Client(h2_conn=PacedConnection() as paced) as far:
                held += len(far.stream_queue.get(stream_id, ())) * PIECE
                held += paced.unsent(far.our_stream_id.get(stream_id))
            case Http2Connection(h2_conn=PacedConnection() as paced):
                held += paced.unsent(stream_id)
            case _:
                pass
    return held


@dataclass(frozen=True)
class _Gate:
    """In front of an HTTP/1 connection that is not read now: who closed it, and what wakes who reads."""

    closed_by: Http1Connection
    opened: asyncio.Event


_gates: WeakKeyDictionary[Connection, _Gate] = WeakKeyDictionary()


def _hold_or_release(layer: HttpLayer, conn: Connection, protocol: Http1Connection) -> None:
    gate = _gates.get(conn)
    # In a tunnel there are two on the same connection; the outer one only passes on.
    if protocol.state != protocol.passthrough and _has_enough(layer, protocol):
        if gate is None:
            _gates[conn] = _Gate(protocol, asyncio.Event())
    elif gate is not None and gate.closed_by is protocol:
        _release(conn)


def _release(conn: Connection) -> None:
    if gate := _gates.pop(conn, None):
        gate.opened.set()


def _with_room(initialise: Any) -> Any:
    @functools.wraps(initialise)
    def initialised(self: ConnectionHandler, *args: Any, **kwargs: Any) -> None:
        initialise(self, *args, **kwargs)
        # mitmproxy opens five connections to a server. Five answers that are held back would leave no place for the sixth,
        # and a client may well read that one first.
        self.max_conns = defaultdict(lambda: asyncio.Semaphore(AT_ONCE))

    return initialised


def _waiting(drain_writers: Callable[[ConnectionHandler], Awaitable[None]]) -> Any:
    @functools.wraps(drain_writers)
    async def drained(self: ConnectionHandler) -> None:
        await drain_writers(self)
        if not _gates:
            return
        reader = asyncio.current_task()
        for conn, transport in list(self.transports.items()):
            if transport.handler is reader and (gate := _gates.get(conn)):
                await gate.opened.wait()

    return drained
