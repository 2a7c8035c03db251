"""One large answer: how long it takes, and how much memory a proxy needs for it."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from benchmarks import requests, usage
from benchmarks.answers import HUGE, PROJECT
from benchmarks.client import Client
from benchmarks.variants import Gateway, Variant

_READ = "/google.cloud.bigquery.storage.v1.BigQueryRead/"
FRAME = 5
"""Bytes of gRPC's header of a message."""
RESTS, REST = 20, 0.2
"""How often a slow client rests, and for how many seconds."""


@dataclass(frozen=True, slots=True)
class Received:
    """What a client got: bytes of the large body, and answers and bytes with those that led to it."""

    large: int
    answers: int
    size: int


@dataclass(frozen=True, slots=True)
class Passage:
    """How one large answer went through a proxy.

    Attributes:
        size: bytes of its body.
        seconds: from request to last byte.
        idle, peak: resident set of the proxy in bytes, before and at most.
        fold_peak: the same of the gateway's fold, when it had folded the answer.
        fold_seconds: how long that took after the answer's end.
    """

    size: int
    seconds: float
    idle: int
    peak: int
    fold_peak: int | None = None
    fold_seconds: float | None = None


def measure(variant: Variant, receive: Callable[[Variant], Received]) -> tuple[Passage, Received]:
    """Starts the variant, takes one answer through it, and looks at its memory."""
    with variant:
        assert variant.pid
        idle = usage.memory(variant.pid)
        began = time.monotonic()
        received = receive(variant)
        seconds = time.monotonic() - began
        if not isinstance(variant, Gateway):
            return Passage(received.large, seconds, idle, usage.peak_memory(variant.pid)), received
        variant.check(received.answers, received.size)
        folded = time.monotonic() - began - seconds
        peak, fold_peak = usage.peak_memory(variant.pid), usage.peak_memory(variant.fold)
        return Passage(received.large, seconds, idle, peak, fold_peak, folded), received


def rest(variant: Variant) -> Received:
    """``jobs.getQueryResults``, chunked."""
    size = 0
    buffer = bytearray(2**20)
    with Client(variant.rest()) as client:
        first = client.ask(requests.statement(HUGE, 1)).read()
        page = client.ask(requests.page(json.loads(first)["jobReference"]["jobId"], 0))
        while read := page.readinto(buffer):
            size += read
    return Received(size, 2, size + len(first))


def storage(variant: Variant) -> Received:
    """``ReadRows`` of a session that was just made, over HTTP/2."""
    with reading(variant) as (session, messages):
        size = sum(len(message) + FRAME for message in messages)
    return Received(size, 2, size + session)


def slowly(variant: Variant) -> Received:
    """`storage`, with a client that rests before each of its first messages. What it leaves lying somebody has to hold."""
    with reading(variant) as (session, messages):
        size = 0
        for number, message in enumerate(messages):
            if number < RESTS:
                time.sleep(REST)
            size += len(message) + FRAME
    return Received(size, 2, size + session)


@contextmanager
def reading(variant: Variant) -> Iterator[tuple[int, Iterator[bytes]]]:
    """A session of the Storage Read API: how many bytes it was to make it, and the messages of its one stream."""
    import grpc
    from google.cloud.bigquery_storage_v1 import types

    place = variant.storage()
    proxy = [("grpc.http_proxy", "http://{}:{}".format(*place.proxy))] if place.proxy else []
    trust = grpc.ssl_channel_credentials(place.trust.read_bytes())
    who = [("authorization", f"Bearer {place.token}")]
    with grpc.secure_channel(f"{place.host}:{place.port}", trust, options=proxy) as channel:
        table = types.ReadSession(
            table=f"projects/{PROJECT}/datasets/shop/tables/orders", data_format=types.DataFormat.ARROW
        )
        wanted = types.CreateReadSessionRequest(parent=f"projects/{PROJECT}", read_session=table)
        create = channel.unary_unary(f"{_READ}CreateReadSession")
        session = create(types.CreateReadSessionRequest.serialize(wanted), metadata=who, timeout=60)
        stream = types.ReadSession.deserialize(session).streams[0].name
        read = types.ReadRowsRequest.serialize(types.ReadRowsRequest(read_stream=stream))
        yield len(session) + FRAME, channel.unary_stream(f"{_READ}ReadRows")(read, metadata=who, timeout=300)
