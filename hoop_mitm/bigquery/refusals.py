"""How to say no, so that each client shows our words to its user and does not try again."""

import json
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from hoop_mitm.bigquery import mcp

_STATUS: Final = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ALREADY_EXISTS",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
}

PERMISSION_DENIED: Final = 7
"""gRPC's status code."""

# gRPC over HTTP/2, "Percent-Encoded": printable ASCII but the percent sign stays.
_PLAIN: Final = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) != "%")


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer of our own. ``trailers`` is empty for HTTP, and for gRPC's trailers-only form, where all is in headers."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes = b""
    trailers: tuple[tuple[str, str], ...] = ()


def rest(message: str, status: int = 403, reason: str = "accessDenied") -> Refusal:
    """BigQuery's own error envelope.

    Clients retry 5xx, 429, 409, 401 and anything that is not this JSON, so a decision is always 403 ``accessDenied`` or
    400 ``invalidQuery``.
    """
    error = {
        "code": status,
        "message": message,
        "errors": [{"message": message, "domain": "global", "reason": reason}],
        "status": _STATUS.get(status, "UNKNOWN"),
    }
    return _json(status, {"error": error})


def oauth(error: str, description: str, status: int = 400) -> Refusal:
    """An error of a token endpoint (RFC 6749, 5.2); ``invalid_grant`` is shown to the user and not tried again."""
    return _json(status, {"error": error, "error_description": description}, ("cache-control", "no-store"))


_SERVER_ERROR: Final = -32000
"""JSON-RPC: the first of the codes that are a server's own to give."""


def jsonrpc(message: str, request: bytes | None, status: int = 403) -> Refusal:
    """To a tool's call, a result that failed: the agent reads it. To anything else an error of JSON-RPC.

    Args:
        request: the message's body, without content-encoding; ``None`` while it is not there.
        status: HTTP's, for what is no request that an answer could go to: all others are answered with 200.
    """
    identity, is_call = mcp.asked(request)
    answer: dict[str, object] = {"jsonrpc": "2.0", "id": identity}
    if identity is not None and is_call:
        return _json(200, answer | {"result": {"content": [{"type": "text", "text": message}], "isError": True}})
    return _json(status if identity is None else 200, answer | {"error": {"code": _SERVER_ERROR, "message": message}})


def grpc(message: str, code: int = PERMISSION_DENIED) -> Refusal:
    """A gRPC status without a message, trailers-only: an HTTP error would show as a number."""
    headers = (
        ("content-type", "application/grpc"),
        ("grpc-status", str(code)),
        ("grpc-message", quote(message, safe=_PLAIN)),
    )
    return Refusal(200, headers)


def _json(status: int, body: dict[str, object], *headers: tuple[str, str]) -> Refusal:
    encoded = json.dumps(body, ensure_ascii=False).encode()
    length = ("content-length", str(len(encoded)))
    return Refusal(status, (("content-type", "application/json; charset=UTF-8"), length, *headers), encoded)
