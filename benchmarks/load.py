"""Load in a closed loop: each connection sends its next request when it has the answer to the last."""

import asyncio
import contextlib
import re
import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.client import connect
from benchmarks.variants import Place

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Load:
    """What came of it: seconds each answer took, seconds of all, bytes of all bodies."""

    latencies: Sequence[float]
    seconds: float
    size: int

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.latencies) / self.seconds

    def quantile(self, share: float) -> float:
        """Within how many seconds that share of the answers came."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


class Connections:
    """Connections to one place that are kept alive."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._context = ssl.create_default_context(cafile=str(place.trust))
        self._context.set_alpn_protocols(["http/1.1"])
        self._open: list[_Connection] = []

    async def open(self, number: int) -> None:
        """Opens as many as are missing to ``number``."""
        loop = asyncio.get_running_loop()
        while len(self._open) < number:
            tunnel = await asyncio.to_thread(connect, self._place)
            tunnel.settimeout(0)
            _, connection = await loop.create_connection(
                _Connection, sock=tunnel, ssl=self._context, server_hostname=self._place.host
            )
            self._open.append(connection)

    async def run(self, number: int, make: Callable[[], bytes], seconds: float) -> Load:
        """Keeps ``number`` of them busy for ``seconds`` with the requests that ``make`` makes.

        Raises:
            RuntimeError: an answer was not 200, or a connection was lost.
        """
        began = time.perf_counter()
        until = began + seconds
        await asyncio.gather(*(connection.run(make, until) for connection in self._open[:number]))
        took = time.perf_counter() - began
        used = self._open[:number]
        return Load([each for c in used for each in c.latencies], took, sum(c.size for c in used))

    def close(self) -> None:
        for connection in self._open:
            connection.close()
        self._open.clear()


class _Connection(asyncio.Protocol):
    def __init__(self) -> None:
        self.latencies: list[float] = []
        self.size = 0
        self._head = bytearray()
        self._missing = -1

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    async def run(self, make: Callable[[], bytes], until: float) -> None:
        self.latencies, self.size = [], 0
        self._make, self._until = make, until
        self._done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._send()
        await self._done

    def close(self) -> None:
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        if self._missing >= 0:
            self._missing -= len(data)
        else:
            self._head += data
            end = self._head.find(b"\r\n\r\n")
            if end < 0:
                return
            length = _LENGTH.search(self._head, 0, end)
            if length is None or not self._head.startswith(b"HTTP/1.1 200 "):
                self._fail(RuntimeError(f"An answer was {bytes(self._head[:600])!r}"))
                return
            self.size += int(length[1])
            self._missing = end + 4 + int(length[1]) - len(self._head)
        if self._missing == 0:
            self._answered()

    def connection_lost(self, error: Exception | None) -> None:
        self._fail(RuntimeError(f"A connection was lost ({error})."))

    def _send(self) -> None:
        self._head.clear()
        self._missing = -1
        request = self._make()
        self._began = time.perf_counter()
        self._transport.write(request)

    def _answered(self) -> None:
        now = time.perf_counter()
        self.latencies.append(now - self._began)
        if now < self._until:
            self._send()
        else:
            self._done.set_result(None)

    def _fail(self, error: Exception) -> None:
        with contextlib.suppress(AttributeError, asyncio.InvalidStateError):
            self._done.set_exception(error)
