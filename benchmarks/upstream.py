"""``python -m benchmarks.upstream``: BigQuery as far as a benchmark needs it, in a process of its own, and fast.

HTTP/1.1 with keep-alive over TLS on one port, the Storage Read API on another. It checks nothing and computes nothing:
a request's own words (``orders_2k``, ``orders_100k``, ``orders_huge``) say which of the answers made at the start it gets.
It says its ports in a line of JSON, and ends when its standard input does.
"""

import argparse
import asyncio
import json
import os
import re
import ssl
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, count, cycle, islice
from pathlib import Path
from typing import Any

from benchmarks import answers

_NAME = re.compile(rb"orders_(2k|100k|huge)(?:-(\d{12}))?\b")
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json; charset=UTF-8\r\nvary: Origin, X-Origin, Referer\r\n"
_CHUNK = 64 * 2**10
_MESSAGE = 2**20


class _Answers:
    def __init__(self, large: int) -> None:
        self.number = count(1)
        self.small = {name.encode(): answers.Answer.of(name, size) for name, size in answers.SIZES.items()}
        self.small[b"huge"] = answers.Answer.of(answers.HUGE, answers.SIZES["2k"])
        self._large = answers.LargeAnswer.of(large)
        self._block = _chunked(self._large.block)

    def large(self, job: int) -> Iterator[bytes]:
        """The chunks of the large answer."""
        yield _chunked(self._large.head.numbered(job, next(self.number)))
        for _ in range(self._large.repeated):
            yield self._block
        yield _chunked(self._large.tail) + b"0\r\n\r\n"


class _Connection(asyncio.Protocol):
    def __init__(self, answers: _Answers) -> None:
        self._answers = answers
        self._waiting = bytearray()
        self._may_write = asyncio.Event()
        self._may_write.set()
        self._streaming: asyncio.Task[None] | None = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def connection_lost(self, _: Exception | None) -> None:
        if self._streaming:
            self._streaming.cancel()

    def pause_writing(self) -> None:
        self._may_write.clear()

    def resume_writing(self) -> None:
        self._may_write.set()

    def data_received(self, data: bytes) -> None:
        self._waiting += data
        while (end := self._waiting.find(b"\r\n\r\n")) >= 0:
            length = _LENGTH.search(self._waiting, 0, end)
            whole = end + 4 + (int(length[1]) if length else 0)
            if len(self._waiting) < whole:
                return
            request = bytes(self._waiting[:whole])
            del self._waiting[:whole]
            self._answer(request)

    def _answer(self, request: bytes) -> None:
        name = _NAME.search(request)
        if name is None:
            self._transport.write(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")
            return
        number = next(self._answers.number)
        # A page is of the job in its path; a statement is a new job.
        job = int(name[2] or number)
        if name[1] == b"huge" and request.startswith(b"GET "):
            self._streaming = asyncio.get_running_loop().create_task(self._stream(job))
        else:
            body = self._answers.small[name[1]].numbered(job, number)
            self._transport.write(b"%scontent-length: %d\r\n\r\n%s" % (_HEAD, len(body), body))

    async def _stream(self, job: int) -> None:
        self._transport.write(_HEAD + b"transfer-encoding: chunked\r\n\r\n")
        for piece in self._answers.large(job):
            view = memoryview(piece)
            for start in range(0, len(view), _MESSAGE):
                self._transport.write(view[start : start + _MESSAGE])
                await self._may_write.wait()


def _chunked(data: bytes) -> bytes:
    pieces = (data[start : start + _CHUNK] for start in range(0, len(data), _CHUNK))
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)


def _serve_grpc(chain_file: Path, key: Path, size: int) -> int:
    """Serves CreateReadSession and ReadRows (``size`` bytes of Arrow record batches); returns the port."""
    import grpc

    service = "/google.cloud.bigquery.storage.v1.BigQueryRead/"
    numbers = count(1)
    first, rest = _batches()

    def create(_: bytes, __: Any) -> bytes:
        return _read_session(next(numbers))

    def read(_: bytes, __: Any) -> Iterator[bytes]:
        yield from islice(chain([first], cycle(rest)), max(1, round(size / len(rest[0]))))

    class Handlers(grpc.GenericRpcHandler):  # type: ignore[misc] # grpc has no types
        def service(self, details: Any) -> Any:
            match details.method.removeprefix(service):
                case "CreateReadSession":
                    return grpc.unary_unary_rpc_method_handler(create)
                case "ReadRows":
                    return grpc.unary_stream_rpc_method_handler(read)
                case _:
                    return None

    server = grpc.server(ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers([Handlers()])
    credentials = grpc.ssl_server_credentials([(key.read_bytes(), chain_file.read_bytes())])
    port: int = server.add_secure_port("127.0.0.1:0", credentials)
    server.start()
    _alive.append(server)
    return port


_alive: list[object] = []


def _batches() -> tuple[bytes, list[bytes]]:
    """Answers of ReadRows, the first one with the schema: about a MiB each, eight before they repeat."""
    import random

    import pyarrow as pa
    from google.cloud.bigquery_storage_v1 import types

    chance = random.Random("arrow")
    made: list[Any] = []
    for _ in range(answers.BLOCK // _MESSAGE):
        rows = 16_000
        notes = [f"{chance.getrandbits(160):x}" for _ in range(rows)]
        table = pa.record_batch(
            {"id": pa.array(range(rows)), "note": pa.array(notes), "total": pa.array([chance.random() for _ in notes])}
        )
        answer = types.ReadRowsResponse(row_count=rows)
        answer.arrow_record_batch.serialized_record_batch = table.serialize().to_pybytes()
        made.append(answer)
    rest: list[bytes] = [types.ReadRowsResponse.serialize(answer) for answer in made]
    made[0].arrow_schema.serialized_schema = table.schema.serialize().to_pybytes()
    return types.ReadRowsResponse.serialize(made[0]), rest


def _read_session(number: int) -> bytes:
    from google.cloud.bigquery_storage_v1 import types

    name = f"projects/{answers.PROJECT}/locations/eu/sessions/s{number}"
    session = types.ReadSession(name=name, streams=[types.ReadStream(name=f"{name}/streams/1")])
    serialized: bytes = types.ReadSession.serialize(session)
    return serialized


async def _serve(options: argparse.Namespace) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(options.chain, options.key)
    context.set_alpn_protocols(["http/1.1"])
    ready = _Answers(options.large)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Connection(ready), "127.0.0.1", 0, ssl=context)
    ports = {
        "rest": server.sockets[0].getsockname()[1],
        "grpc": _serve_grpc(options.chain, options.key, options.stream),
    }
    print(json.dumps(ports), flush=True)
    # The parent's end of it is closed when the parent is gone, in whatever way.
    await loop.run_in_executor(None, sys.stdin.read)
    # Threads of gRPC's have nothing to say any more, and would be waited for.
    os._exit(0)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.upstream", description=__doc__)
    parser.add_argument("--chain", type=Path, required=True, help="certificate chain, PEM")
    parser.add_argument("--key", type=Path, required=True, help="its key, PEM")
    parser.add_argument("--large", type=int, required=True, help="bytes of the one large answer")
    parser.add_argument("--stream", type=int, required=True, help="bytes of one stream of the Storage Read API")
    asyncio.run(_serve(parser.parse_args()))


if __name__ == "__main__":
    main()
