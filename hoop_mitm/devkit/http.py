"""Small HTTP servers on loopback: a handler is a function from request to response.

Handlers are synchronous and run in threads, so that they read as plain code and may block; TLS, HTTP/1.1 and
HTTP/2 are hypercorn's.
"""

import asyncio
import contextlib
import gzip
import json
import socket
import threading
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from hypercorn.asyncio import serve
from hypercorn.config import Config

from hoop_mitm.devkit.pki import Certificate
from hoop_mitm.errors import SandboxError

_START_TIMEOUT = 60
_STOP_TIMEOUT = 30
_WORTH_COMPRESSING = 256


@dataclass(frozen=True, slots=True)
class Request:
    """One request. Header names are lower case; ``body`` is as sent, still encoded."""

    method: str
    host: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = field(default=b"", repr=False)

    def argument(self, name: str, default: str = "") -> str:
        """The last value of a query parameter."""
        return next((value for key, value in reversed(self.query) if key == name), default)

    def content(self) -> bytes:
        """The body, decoded from gzip if it says so."""
        if self.headers.get("content-encoding", "").lower() == "gzip":
            return gzip.decompress(self.body)
        return self.body

    def form(self) -> dict[str, str]:
        """The body as ``application/x-www-form-urlencoded``."""
        return dict(parse_qsl(self.content().decode(), keep_blank_values=True))

    def bearer(self) -> str | None:
        """The token of ``Authorization: Bearer``, if there is one."""
        scheme, _, token = self.headers.get("authorization", "").partition(" ")
        return token.strip() if scheme.lower() == "bearer" and token.strip() else None


@dataclass(slots=True)
class Response:
    status: int = 200
    body: bytes = field(default=b"", repr=False)
    headers: dict[str, str] = field(default_factory=dict)

    @classmethod
    def json(cls, value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> "Response":
        kind = {"content-type": "application/json; charset=UTF-8"}
        return cls(status, json.dumps(value).encode(), {**kind, **(headers or {})})

    @classmethod
    def html(cls, text: str, status: int = 200) -> "Response":
        return cls(status, text.encode(), {"content-type": "text/html; charset=UTF-8"})


type Handler = Callable[[Request], Response]


class Servers:
    """All HTTP servers of a world, on one thread with one event loop."""

    def __init__(self) -> None:
        self._loop = _Loop()
        self._loop.set_exception_handler(_unless_the_client_left)
        self._threads = ThreadPoolExecutor(64, thread_name_prefix="world-http")
        self._thread = threading.Thread(target=self._loop.run_forever, name="world-servers", daemon=True)
        self._stopping = threading.Event()
        self._running: list[tuple[asyncio.Event, asyncio.Task[None]]] = []

    def start(self) -> None:
        self._thread.start()

    def listen(self, handler: Handler, certificate: Certificate) -> int:
        """Serves ``handler`` over TLS on 127.0.0.1; returns the port.

        Raises:
            SandboxError: if the server does not come up.
        """
        listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        port: int = listener.getsockname()[1]
        config = Config()
        config.bind = [f"fd://{listener.detach()}"]
        config.certfile, config.keyfile = str(certificate.chain), str(certificate.key)
        config.errorlog = config.accesslog = None
        config.include_server_header = False
        # Longer than any client keeps an idle connection, so that none is closed under a request.
        config.keep_alive_timeout = 900
        config.graceful_timeout = 0.2
        self.submit(self._serve(_asgi(handler, self._threads), config), timeout=_START_TIMEOUT)
        return port

    def submit[T](self, work: Coroutine[Any, Any, T], *, timeout: float) -> T:
        """Runs a coroutine on the servers' loop, from another thread.

        Raises:
            SandboxError: if it takes longer than ``timeout`` seconds.
        """
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result(timeout)
        except TimeoutError as error:
            raise SandboxError("A server of the local world did not come up in time. Try again.") from error

    def stop(self) -> None:
        if self._stopping.is_set():
            return
        self._stopping.set()
        if self._thread.is_alive():
            with contextlib.suppress(SandboxError):
                self.submit(self._shut_down(), timeout=_STOP_TIMEOUT)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(_STOP_TIMEOUT)
        self._threads.shutdown(wait=False, cancel_futures=True)
        if not self._loop.is_running():
            self._loop.close()

    async def _serve(self, app: Any, config: Config) -> None:
        stop = asyncio.Event()
        task = asyncio.create_task(serve(app, config, shutdown_trigger=stop.wait, mode="asgi"))
        self._running.append((stop, task))
        # The socket listens already: connections that come before the server wait in its backlog.
        await asyncio.sleep(0)

    async def _shut_down(self) -> None:
        for stop, _ in self._running:
            stop.set()
        # A server waits for its open connections, and clients keep theirs open: they are not asked for long.
        if self._running:
            await asyncio.wait([task for _, task in self._running], timeout=0.2)
        leftover = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in leftover:
            task.cancel()
        if leftover:
            await asyncio.wait(leftover, timeout=2)


class _Loop(asyncio.SelectorEventLoop):
    """Does not wait half a minute for the other side to say goodbye in TLS, which idle clients do not."""

    async def create_server(self, *arguments: Any, **options: Any) -> Any:
        if options.get("ssl"):
            options["ssl_shutdown_timeout"] = 0.1
        return await super().create_server(*arguments, **options)


def _unless_the_client_left(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    # Timeouts and resets (both OSError) are how clients are killed and servers stopped, not news.
    if not isinstance(context.get("exception"), OSError):
        loop.default_exception_handler(context)


def _asgi(
    handler: Handler, threads: ThreadPoolExecutor
) -> Callable[
    [dict[str, Any], Callable[[], Awaitable[dict[str, Any]]], Callable[[dict[str, Any]], Awaitable[None]]],
    Awaitable[None],
]:
    async def app(
        scope: dict[str, Any],
        receive: Callable[[], Awaitable[dict[str, Any]]],
        send: Callable[[dict[str, Any]], Awaitable[None]],
    ) -> None:
        if scope["type"] == "lifespan":
            while (message := await receive())["type"] != "lifespan.shutdown":
                await send({"type": f"{message['type']}.complete"})
            await send({"type": "lifespan.shutdown.complete"})
            return
        if scope["type"] != "http":
            return
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        request = _request(scope, bytes(body))
        response = await asyncio.get_running_loop().run_in_executor(threads, handler, request)
        _compress(request, response)
        response.headers["content-length"] = str(len(response.body))
        headers = [(name.lower().encode(), value.encode("latin-1")) for name, value in response.headers.items()]
        await send({"type": "http.response.start", "status": response.status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if request.method == "HEAD" else response.body})

    return app


def _request(scope: dict[str, Any], body: bytes) -> Request:
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
    return Request(
        method=scope["method"],
        host=headers.get("host", headers.get(":authority", "")).partition(":")[0].lower(),
        path=scope["path"],
        query=tuple(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)),
        headers=headers,
        body=body,
    )


def _compress(request: Request, response: Response) -> None:
    response.headers.setdefault("vary", "Origin, X-Origin, Referer")
    if "gzip" in request.headers.get("accept-encoding", "") and len(response.body) > _WORTH_COMPRESSING:
        response.body = gzip.compress(response.body, 3)
        response.headers["content-encoding"] = "gzip"
