"""mitmproxy's flow file: nobody but mitmproxy can promise to read what mitmproxy writes.

No hook, no option and no connection of mitmproxy's is used.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from hoop_mitm.errors import ArchiveError

if TYPE_CHECKING:
    from mitmproxy import http

type Fields = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Heard:
    """An exchange over HTTP, as it was on the wire.

    Attributes:
        host: that the client addressed, in lower case, without a port.
        path: with the query string.
        request_headers, response_headers: names in lower case; trailers follow them.
        status: ``None`` when there was no answer.
        error: what went wrong on the way.
    """

    method: str
    host: str
    path: str
    http_version: str
    client_address: str
    started_at: datetime
    ended_at: datetime
    request_headers: Fields = field(repr=False)
    request_body: bytes | None = field(repr=False)
    response_headers: Fields = field(repr=False)
    response_body: bytes | None = field(repr=False)
    status: int | None
    error: str | None


def read(path: Path) -> Iterator[Heard | None]:
    """The exchanges in the file, in its order; ``None`` for each flow that is none (raw TCP, DNS, WebSocket).

    Raises:
        ArchiveError: the file cannot be opened, or is no flow file, or breaks off.
    """
    from mitmproxy import http
    from mitmproxy.exceptions import FlowReadException
    from mitmproxy.io import FlowReader

    number = 0
    try:
        with path.open("rb") as file:
            for flow in FlowReader(file).stream():
                number += 1
                yield _heard(flow) if isinstance(flow, http.HTTPFlow) and flow.websocket is None else None
    except FlowReadException as error:
        where = f"breaks off after {number:,} flows" if number else "is no flow file of mitmproxy's"
        raise ArchiveError(f"{path} {where}: {error}. Nothing was imported.") from error
    except OSError as error:
        raise ArchiveError(f"{path} cannot be read: {error.strerror or error}.") from error


def _heard(flow: "http.HTTPFlow") -> Heard:
    request, response = flow.request, flow.response
    started = _time(request.timestamp_start)
    last = (response.timestamp_end or response.timestamp_start) if response else request.timestamp_end
    return Heard(
        method=request.method,
        host=request.pretty_host.lower(),
        path=request.path,
        http_version=request.http_version,
        client_address=flow.client_conn.peername[0] if flow.client_conn.peername else "",
        started_at=started,
        ended_at=max(started, _time(last)) if last else started,
        request_headers=_fields(request.headers, request.trailers),
        request_body=request.raw_content,
        response_headers=_fields(response.headers, response.trailers) if response else (),
        response_body=response.raw_content if response else None,
        status=response.status_code if response else None,
        error=flow.error.msg if flow.error else None,
    )


def _fields(headers: "http.Headers", trailers: "http.Headers | None") -> Fields:
    both = (*headers.items(multi=True), *(trailers.items(multi=True) if trailers else ()))
    return tuple((name.lower(), value) for name, value in both)


def _time(seconds: float) -> datetime:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise ArchiveError(f"A flow has the time {seconds!r}, which is none. Nothing was imported.") from error
