"""HTTP Archive 1.2 (https://w3c.github.io/web-performance/specs/HAR/Overview.html), for browsers' developer tools.

Bodies are decoded, as the recording holds them. What HAR has no word for is in fields that begin with an underscore,
as it asks. A time is known for the whole exchange only, so all of it counts as waiting.
"""

import base64
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import parse_qsl, quote

from hoop_mitm import __version__
from hoop_mitm.archive import words
from hoop_mitm.archive.archive import Archive
from hoop_mitm.archive.entries import Exchange, FlowEntry, JobEntry, SessionDetail
from hoop_mitm.archive.export import wording
from hoop_mitm.archive.values import instant

type Json = dict[str, Any]

_UNKNOWN = -1
_ABSOLUTE = re.compile(r"https?://", re.IGNORECASE)
#: Bytes of the largest body that is written: browsers do not open files of more than some hundred megabytes.
LARGEST = 64 * 2**20


def write(archive: Archive, detail: SessionDetail, _max_rows: int | None) -> Iterator[bytes]:
    """The file's bytes."""
    session = detail.session
    head = {
        "version": "1.2",
        "creator": {"name": "hoop-mitm", "version": __version__},
        "pages": [],
        "comment": f"Session {session.id} ({session.name}) of {session.principal} through {session.connection}",
    }
    yield f'{{"log": {json.dumps(head)[:-1]}, "entries": ['.encode()
    jobs = {job.key: job for job in detail.jobs}
    for number, exchange in enumerate(archive.exchanges(detail.flows)):
        job = jobs.get(exchange.flow.job_key or "")
        yield (b",\n" if number else b"\n") + json.dumps(entry(exchange, job)).encode()
    yield b"\n]}}\n"


def entry(exchange: Exchange, job: JobEntry | None) -> Json:
    """One exchange."""
    flow = exchange.flow
    milliseconds = round(flow.duration.total_seconds() * 1000, 3) if flow.duration is not None else 0
    return {
        "startedDateTime": instant(flow.started_at),
        "time": milliseconds,
        "request": _request(exchange),
        "response": _response(exchange) if flow.status is not None else _no_response(flow),
        "cache": {},
        "timings": {"send": 0, "wait": milliseconds, "receive": 0},
        "comment": wording.comment(flow, job),
        "_resourceType": "fetch",
        "_hoop": {
            "flow": flow.id,
            "state": flow.state,
            "door": flow.door,
            "job": flow.job_id,
            "job_number": job.number if job else None,
            "decision": flow.verdict.decision,
            "rule": flow.verdict.rule,
            "message": flow.verdict.message or None,
            "grpc_status": flow.grpc_status,
            "level": flow.level,
        },
    }


def _request(exchange: Exchange) -> Json:
    flow = exchange.flow
    query = flow.url.partition("#")[0].partition("?")[2]
    shape: Json = {
        "method": flow.method,
        "url": _url(flow),
        "httpVersion": flow.http_version,
        "cookies": [],
        "headers": _headers(exchange.request_headers),
        "queryString": [{"name": name, "value": value} for name, value in parse_qsl(query, keep_blank_values=True)],
        "headersSize": _UNKNOWN,
        "bodySize": flow.request_size,
    }
    if exchange.request_body is None:
        return shape | ({"comment": _missing(flow, "request_body")} if flow.request_size else {})
    text, encoding = _text(exchange.request_body)
    if text is None:
        return shape | {"comment": _too_large(flow)}
    if text:
        # HAR has no word for binary data in a request.
        encoded = {"_encoding": encoding} if encoding else {}
        shape["postData"] = {"mimeType": _type(exchange.request_headers), "text": text, **encoded}
    return shape


def _missing(flow: FlowEntry, part: str) -> str:
    at = flow.deleted.get(part)
    return f"The body was {words.missing(at)}." if at else f"The body was not recorded (level {flow.level})."


def _response(exchange: Exchange) -> Json:
    flow = exchange.flow
    status = flow.status or 0
    return {
        "status": status,
        "statusText": wording.reason(status),
        "httpVersion": flow.http_version,
        "cookies": [],
        "headers": _headers(exchange.response_headers),
        "content": _content(exchange),
        "redirectURL": dict(exchange.response_headers).get("location", ""),
        "headersSize": _UNKNOWN,
        "bodySize": flow.response_size,
        **({"_error": flow.error} if flow.error else {}),
    }


def _no_response(flow: FlowEntry) -> Json:
    """As browsers write what was never answered."""
    return {
        "status": 0,
        "statusText": "",
        "httpVersion": "",
        "cookies": [],
        "headers": [],
        "content": {"size": 0, "mimeType": "x-unknown"},
        "redirectURL": "",
        "headersSize": _UNKNOWN,
        "bodySize": _UNKNOWN,
        "_error": flow.error or "no answer is recorded",
    }


def _content(exchange: Exchange) -> Json:
    body, flow = exchange.response_body, exchange.flow
    shape: Json = {
        "size": flow.response_size if body is None else len(body),
        "mimeType": _type(exchange.response_headers),
    }
    if body is None:
        return shape | ({"comment": _missing(flow, "response_body")} if flow.response_size else {})
    if len(body) > flow.response_size:
        shape["compression"] = len(body) - flow.response_size
    text, encoding = _text(body)
    if text is None:
        return shape | {"comment": _too_large(flow)}
    return shape | {"text": text} | ({"encoding": encoding} if encoding else {})


def _too_large(flow: FlowEntry) -> str:
    return f"The body is too large for this file; `hoop-mitm export --format mitm` has it, as flow {flow.id}."


def _text(body: bytes) -> tuple[str | None, str | None]:
    """A body as text, and how that is encoded when it is no text; ``None`` for what is too large."""
    if len(body) > LARGEST:
        return None, None
    text = wording.text(body)
    return (base64.b64encode(body).decode(), "base64") if text is None else (text, None)


def _headers(headers: Sequence[tuple[str, str]]) -> list[Json]:
    return [{"name": name, "value": value} for name, value in headers]


def _type(headers: Sequence[tuple[str, str]]) -> str:
    return next((value for name, value in headers if name.lower() == "content-type"), "application/octet-stream")


def _url(flow: FlowEntry) -> str:
    """As recorded, but for what no URL has."""
    whole = flow.url if _ABSOLUTE.match(flow.url) else f"https://{flow.host}/{flow.url}"
    return quote(whole, safe="%/:=&?~#+!$,;'@()*[]-._")
