"""mitmproxy's own flow file: ``mitmdump -nr FILE``, ``mitmweb -r FILE``.

The only place below the addons that imports mitmproxy, and it does so when it is called: nobody but mitmproxy can
promise to write the format that mitmproxy reads. No hook, no option and no connection of mitmproxy's is used.

Bodies were recorded decoded; here they are encoded again as their headers say, so lengths may differ from the wire's.
"""

import io
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from hoop_mitm.archive.archive import Archive
from hoop_mitm.archive.entries import Exchange, FlowEntry, JobEntry, SessionDetail
from hoop_mitm.archive.export import wording

if TYPE_CHECKING:
    from mitmproxy import http

_HTTPS = 443
_ADDRESS = re.compile(r"(?P<scheme>https?)://[^/?#]*?(?::(?P<port>\d{1,5}))?(?P<path>[/?#].*)?", re.DOTALL)
_TRAILERS = ("grpc-status", "grpc-message", "grpc-status-details-bin")


def write(archive: Archive, detail: SessionDetail, _max_rows: int | None) -> Iterator[bytes]:
    """The file's bytes."""
    from mitmproxy.io import FlowWriter

    jobs = {job.key: job for job in detail.jobs}
    for exchange in archive.exchanges(detail.flows):
        piece = io.BytesIO()
        FlowWriter(piece).add(flow(exchange, jobs.get(exchange.flow.job_key or ""), detail))
        yield piece.getvalue()


def flow(exchange: Exchange, job: JobEntry | None, detail: SessionDetail) -> "http.HTTPFlow":
    """One exchange as mitmproxy would hold it; what was denied is marked, and the comment says by which rule."""
    from mitmproxy import connection, http
    from mitmproxy.flow import Error

    recorded = exchange.flow
    started, ended = recorded.started_at.timestamp(), (recorded.ended_at or recorded.started_at).timestamp()
    client = connection.Client(peername=(recorded.client_address, 0), sockname=("", 0), timestamp_start=started)
    server = connection.Server(address=(recorded.host, _HTTPS), timestamp_start=started)
    client.id, server.id = f"{recorded.id}-client", f"{recorded.id}-server"
    for end in (client, server):
        end.tls, end.sni, end.timestamp_end = True, recorded.host, ended
        end.alpn = b"h2" if _is_h2(recorded) else b"http/1.1"
    made = http.HTTPFlow(client, server)
    made.id = recorded.id
    made.timestamp_created = started
    made.request = _request(exchange, started)
    if recorded.status is not None:
        made.response = _response(exchange, recorded.status, ended)
    if recorded.error is not None or recorded.status is None:
        made.error = Error(recorded.error or "No answer is recorded.", ended)
    made.marked = ":no_entry:" if recorded.verdict.decision == "deny" else ""
    made.comment = wording.comment(recorded, job)
    made.metadata = {
        "hoop_session": detail.session.id,
        "hoop_principal": str(detail.session.principal),
        "hoop_job": recorded.job_id or "",
        "hoop_door": recorded.door or "",
        "hoop_rule": recorded.verdict.rule,
        "hoop_state": recorded.state,
        "hoop_level": recorded.level,
    }
    return made


def _request(exchange: Exchange, started: float) -> "http.Request":
    from mitmproxy import http

    recorded = exchange.flow
    address = _ADDRESS.fullmatch(recorded.url)
    request = http.Request(
        host=recorded.host,
        port=int(address["port"] or _HTTPS) if address else _HTTPS,
        method=recorded.method.encode(),
        scheme=(address["scheme"] if address else "https").encode(),
        authority=recorded.host.encode() if _is_h2(recorded) else b"",
        path=(address["path"] or "/" if address else "/").encode(),
        http_version=recorded.http_version.encode(),
        headers=http.Headers(_bytes(exchange.request_headers)),
        content=None,
        trailers=None,
        timestamp_start=started,
        timestamp_end=started,
    )
    _fill(request, exchange.request_body, recorded.request_size)
    return request


def _response(exchange: Exchange, status: int, ended: float) -> "http.Response":
    from mitmproxy import http

    # gRPC's status comes behind the body; an answer that has none is headers alone.
    trailers = [each for each in exchange.response_headers if each[0] in _TRAILERS and exchange.response_body]
    known = exchange.flow.grpc_status
    if known is not None and "grpc-status" not in dict(exchange.response_headers):
        trailers.append(("grpc-status", str(known)))
    response = http.Response(
        http_version=exchange.flow.http_version.encode(),
        status_code=status,
        reason=wording.reason(status).encode(),
        headers=http.Headers(_bytes([each for each in exchange.response_headers if each not in trailers])),
        content=None,
        trailers=http.Headers(_bytes(trailers)) if trailers else None,
        timestamp_start=ended,
        timestamp_end=ended,
    )
    _fill(response, exchange.response_body, exchange.flow.response_size)
    return response


def _fill(message: "http.Message", body: bytes | None, size: int) -> None:
    """The body as ``message``'s headers say; mitmproxy shows a body of ``None`` as missing."""
    if body is None:
        message.raw_content = None if size else b""
    elif "content-encoding" in message.headers:
        message.content = body
    else:
        message.raw_content = body


def _is_h2(recorded: FlowEntry) -> bool:
    return recorded.http_version.upper().startswith("HTTP/2")


def _bytes(headers: Sequence[tuple[str, str]]) -> tuple[tuple[bytes, bytes], ...]:
    return tuple((name.encode(), value.encode()) for name, value in headers)
