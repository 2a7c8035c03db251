"""How to say no, so that each client shows our words to its user and does not try again."""

import json
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

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
