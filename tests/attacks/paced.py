"""Two ends that say, stream by stream, how much they take: a 'Google' and a client of HTTP/2, with the gateway in between."""

import contextlib
import select
import socket
import ssl
import threading
from typing import Self

import h2.config
import h2.connection
import h2.events

from hoop_mitm.devkit.pki import Certificate
from tests.attacks.raw import BIGQUERY, Raw
from tests.gateways import RunningGateway
from tests.waiting import until

MIB = 2**20
LARGEST = 2**31 - 1
_TICK = 0.02
_STUCK = 150
"""Looks in a row at which nothing could be sent, after which an HTTP/1 connection is full."""


def rows(table: str) -> str:
    """The path of a page of a table's rows."""
    return f"/bigquery/v2/projects/acme/datasets/shop/tables/{table}/data"


def content(path: str, size: int) -> bytes:
    """A page's body: no two paths have the same."""
    block = f'{{"of":"{path}"}},'.encode()
    return b"[" + (block * (size // len(block) + 1))[: size - 2].rpartition(b",")[0] + b"]"


class Google:
    """Answers GET with ``size`` bytes as its streams allow, and reads the bodies of others when it is told to.

    Attributes:
        asked: method and path of each request, in the order in which they came.
        sent: bytes of each answer that were sent, by path.
        stalled: paths whose answers cannot go on, because nobody takes them.
        got: bytes of each request's body that came, by path.
        reset: paths whose streams the gateway has reset.
        broken_off: paths whose answers could not be sent, because the connection was closed.
        takes: whether the windows of uploads are opened again.
        breaks: paths whose answers it breaks off.
        hasty: whether it answers uploads before it has read them, and reads no more.
        resets: whether it then asks not to be sent the rest.
    """

    def __init__(self, certificate: Certificate, size: int, *, http2: bool = True, at_once: int = 100) -> None:
        """``at_once`` is how many requests it takes at once on a connection of HTTP/2."""
        self.size, self.http2, self.at_once = size, http2, at_once
        self.hasty = self.resets = False
        self.sent: dict[str, int] = {}
        self.got: dict[str, int] = {}
        self.stalled: set[str] = set()
        self.asked: list[tuple[str, str]] = []
        self.reset: set[str] = set()
        self.broken_off: set[str] = set()
        self.takes = threading.Event()
        self.breaks: set[str] = set()
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate.chain, certificate.key)
        self._context.set_alpn_protocols(["h2"] if http2 else ["http/1.1"])
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._closed = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError, ssl.SSLError), self._context.wrap_socket(connection, server_side=True) as tls:
            (self._h2 if self.http2 else self._h1)(tls)

    def _h1(self, tls: ssl.SSLSocket) -> None:
        seen = b""
        while not self._closed.is_set() and (data := tls.recv(65_536)):
            seen += data
            if b"\r\n\r\n" not in seen:
                continue
            path = seen.split(b" ", 2)[1].decode().partition("?")[0]
            seen = b""
            tls.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
            body = content(path, self.size)
            self.sent[path] = 0
            tls.setblocking(False)
            for start in range(0, len(body), MIB):
                piece = body[start : start + MIB]
                self._push(tls, path, b"%x\r\n%s\r\n" % (len(piece), piece))
                self.sent[path] = start + len(piece)
            self._push(tls, path, b"0\r\n\r\n")
            tls.setblocking(True)

    def _push(self, tls: ssl.SSLSocket, path: str, data: bytes) -> None:
        waited = 0
        while data and not self._closed.is_set():
            try:
                data = data[tls.send(data) :]
                waited = 0
                self.stalled.discard(path)
            except (BrokenPipeError, ConnectionResetError, ssl.SSLEOFError):
                self.broken_off.add(path)
                raise
            except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
                select.select([], [tls], [], _TICK)
                waited += 1
                if waited > _STUCK:
                    self.stalled.add(path)

    def _h2(self, tls: ssl.SSLSocket) -> None:
        connection = _Http2(self)
        tls.settimeout(60)
        tls.sendall(connection.peer.data_to_send())
        while not self._closed.is_set():
            tls.settimeout(_TICK)
            data = b""
            with contextlib.suppress(TimeoutError):
                data = tls.recv(65_536)
                if not data:
                    return
            connection.go_on(data)
            tls.settimeout(60)
            tls.sendall(connection.peer.data_to_send())


class _Http2:
    """One connection to `Google`."""

    def __init__(self, google: Google) -> None:
        self._google = google
        self._paths: dict[int, tuple[str, str]] = {}
        self._bodies: dict[int, bytes] = {}
        self._owed: dict[int, int] = {}
        self._hastily: list[int] = []
        self.peer = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        self.peer.local_settings.max_concurrent_streams = google.at_once
        # Without it h2 sends what held before.
        self.peer.local_settings.acknowledge()
        self.peer.initiate_connection()
        self.peer.increment_flow_control_window(LARGEST - 65_535)

    def go_on(self, data: bytes) -> None:
        for event in self.peer.receive_data(data):
            self._heed(event)
        if self._google.takes.is_set():
            for number, size in self._owed.items():
                self.peer.acknowledge_received_data(size, number)
            self._owed.clear()
        for number in list(self._bodies):
            self._send(number)
        while self._google.resets and self._hastily:
            self.peer.reset_stream(self._hastily.pop(), 0)

    def _heed(self, event: h2.events.Event) -> None:
        google = self._google
        match event:
            case h2.events.RequestReceived(stream_id=int(number)):
                headers = {str(name): str(value) for name, value in event.headers or ()}
                self._paths[number] = headers[":method"], headers[":path"].partition("?")[0]
                google.asked.append(self._paths[number])
                if google.hasty and headers[":method"] == "PUT":
                    self._begin(number)
            case h2.events.DataReceived(stream_id=int(number)):
                path = self._paths[number][1]
                google.got[path] = google.got.get(path, 0) + len(event.data or b"")
                self._owed[number] = self._owed.get(number, 0) + (event.flow_controlled_length or 0)
            case h2.events.StreamEnded(stream_id=int(number)):
                if not (google.hasty and self._paths[number][0] == "PUT"):
                    self._begin(number)
            case h2.events.StreamReset(stream_id=int(number)):
                self._bodies.pop(number, None)
                google.reset.add(self._paths[number][1])
            case _:
                pass

    def _begin(self, number: int) -> None:
        method, path = self._paths[number]
        headers = [(":status", "200"), ("content-type", "application/json")]
        if method == "POST" and path.startswith("/upload/"):
            headers.append(("location", f"https://{BIGQUERY}{path}?uploadType=resumable&upload_id=of-a-test"))
        self.peer.send_headers(number, headers)
        self._google.sent[path] = 0
        self._bodies[number] = content(path, self._google.size) if method == "GET" else b"{}"

    def _send(self, number: int) -> None:
        google, path, body = self._google, self._paths[number][1], self._bodies[number]
        if path in google.breaks:
            self.peer.reset_stream(number, 2)
            del self._bodies[number]
            return
        done = google.sent[path]
        while done < len(body):
            room = min(self.peer.local_flow_control_window(number), self.peer.max_outbound_frame_size, len(body) - done)
            if not room:
                google.stalled.add(path)
                break
            self.peer.send_data(number, body[done : done + room])
            done += room
        else:
            if self._paths[number][0] == "GET":
                # gRPC ends with trailers; here they stand for themselves.
                self.peer.send_headers(number, [("x-checksum", str(len(body)))], end_stream=True)
            else:
                self.peer.end_stream(number)
                if self._paths[number][0] == "PUT":
                    self._hastily.append(number)
            del self._bodies[number]
        google.sent[path] = done


class Client:
    """An HTTP/2 client at the gateway that takes nothing but what it is told to. A context manager.

    Attributes:
        bodies: what came, by stream.
        ended, reset: streams that came to their end, or were reset.
        headers, trailers: by stream.
    """

    def __init__(self, gateway: RunningGateway, token: str) -> None:
        bundle = gateway.config.gateway.certs / "bundle.pem"
        raw = Raw(gateway.process.address, bundle)
        assert raw.connect().status == 200
        context = ssl.create_default_context(cafile=str(bundle))
        context.set_alpn_protocols(["h2"])
        self._tls = context.wrap_socket(raw.connection, server_hostname=BIGQUERY)
        self._token = token
        self._h2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self._h2.initiate_connection()
        # The connection's window is none of a stream's concern.
        self._h2.increment_flow_control_window(LARGEST - 65_535)
        self.bodies: dict[int, bytearray] = {}
        self.trailers: dict[int, dict[str, str]] = {}
        self.headers: dict[int, dict[str, str]] = {}
        self.ended: set[int] = set()
        self.reset: set[int] = set()
        self._reading: set[int] = set()
        self._owed: dict[int, int] = {}
        self._unsent: dict[int, bytes] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._tls.close()

    def ask(self, method: str, path: str, body: bytes = b"") -> int:
        """Begins a request and returns its stream. Of its body goes what there is room for, now and with each look."""
        number = self._h2.get_next_available_stream_id()
        fields = [(":method", method), (":scheme", "https"), (":authority", BIGQUERY), (":path", path)]
        fields += [("authorization", f"Bearer {self._token}"), ("content-type", "application/json")]
        self._h2.send_headers(number, fields, end_stream=not body)
        self.bodies[number] = bytearray()
        if body:
            self._unsent[number] = body
        self._flush()
        return number

    def take(self, number: int) -> bytes:
        """Reads a stream to its end, and no other."""
        self._reading.add(number)
        if owed := self._owed.pop(number, 0):
            self._h2.acknowledge_received_data(owed, number)
            self._flush()
        until(lambda: self.look() or number in self.ended | self.reset)
        return bytes(self.bodies[number])

    def room(self, number: int) -> int:
        """Bytes that may be sent on a stream now."""
        return self._h2.local_flow_control_window(number)

    def left(self, number: int) -> int:
        """Bytes of a request's body that were not sent so far."""
        return len(self._unsent.get(number, b""))

    def cancel(self, number: int) -> None:
        self._unsent.pop(number, None)
        self._h2.reset_stream(number, 8)
        self._flush()

    def look(self) -> bool:
        """Takes in all that comes until nothing does, and is false, for `until`. Opens the windows of what is being read."""
        with contextlib.suppress(TimeoutError):
            while True:
                self._tls.settimeout(_TICK)
                self._heed(self._tls.recv(MIB))
        return False

    def _heed(self, data: bytes) -> None:
        assert data, "the gateway has closed the connection"
        for event in self._h2.receive_data(data):
            match event:
                case h2.events.ResponseReceived(stream_id=int(number)):
                    self.headers[number] = {str(name): str(value) for name, value in event.headers or ()}
                case h2.events.DataReceived(stream_id=int(number)):
                    self.bodies[number] += event.data or b""
                    if number in self._reading:
                        self._h2.acknowledge_received_data(event.flow_controlled_length or 0, number)
                    else:
                        self._owed[number] = self._owed.get(number, 0) + (event.flow_controlled_length or 0)
                case h2.events.TrailersReceived(stream_id=int(number)):
                    self.trailers[number] = {str(name): str(value) for name, value in event.headers or ()}
                case h2.events.StreamEnded(stream_id=int(number)):
                    self.ended.add(number)
                case h2.events.StreamReset(stream_id=int(number)):
                    self.reset.add(number)
                case _:
                    pass
        self._flush()

    def _flush(self) -> None:
        for number, body in list(self._unsent.items()):
            done = 0
            while room := min(self.room(number), self._h2.max_outbound_frame_size, len(body) - done):
                self._h2.send_data(number, body[done : done + room])
                done += room
            self._unsent[number] = body[done:]
            if not self._unsent[number]:
                self._h2.end_stream(number)
                del self._unsent[number]
        self._tls.settimeout(60)
        self._tls.sendall(self._h2.data_to_send())
