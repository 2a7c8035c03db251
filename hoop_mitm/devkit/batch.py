"""Batches of requests, as Google answers them: one part for each, in whatever order (here the same)."""

import email.parser
import email.policy
import secrets
from collections.abc import Callable
from http.client import responses
from urllib.parse import parse_qsl, unquote, urlsplit

from hoop_mitm.devkit.api import ApiError
from hoop_mitm.devkit.http import Request, Response

PATHS = ("/batch/bigquery/v2", "/batch")


def answered(request: Request, answer: Callable[[Request], Response]) -> Response:
    """The answers of all parts, each by ``answer``.

    Raises:
        ApiError: it is no batch.
    """
    head = f"Content-Type: {request.headers.get('content-type', '')}\r\n\r\n".encode()
    message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + request.content())
    if not message.is_multipart():
        raise ApiError(400, "badRequest", "Failed to parse batch request, error: no parts.")
    boundary = f"batch_{secrets.token_urlsafe(16)}"
    pieces: list[bytes] = []
    for part in message.iter_parts():
        inner = _request(part.get_payload(decode=True), request)
        response = answer(inner)
        kind = response.headers.get("content-type", "application/json")
        pieces.append(
            f"--{boundary}\r\nContent-Type: application/http\r\n"
            f"Content-ID: <response-{str(part.get('content-id', '')).strip('<>')}>\r\n\r\n"
            f"HTTP/1.1 {response.status} {responses[response.status]}\r\nContent-Type: {kind}\r\n"
            f"Content-Length: {len(response.body)}\r\n\r\n".encode()
            + response.body
            + b"\r\n"
        )
    body = b"".join(pieces) + f"--{boundary}--\r\n".encode()
    return Response(200, body, {"content-type": f"multipart/mixed; boundary={boundary}"})


def _request(raw: object, outer: Request) -> Request:
    assert isinstance(raw, bytes)
    line, _, rest = raw.lstrip().partition(b"\n")
    method, target = line.decode().split()[:2]
    head, _, body = rest.replace(b"\r\n", b"\n").partition(b"\n\n")
    headers = email.parser.BytesHeaderParser().parsebytes(head)
    url = urlsplit(target)
    return Request(
        method=method,
        host=outer.host,
        path=unquote(url.path),
        query=tuple(parse_qsl(url.query, keep_blank_values=True)),
        headers={name.lower(): str(value) for name, value in headers.items()},
        body=body,
    )
