"""Answers in BigQuery's shapes, and the places of pages."""

import base64
import binascii
import json
from dataclasses import dataclass, field
from typing import Self

from hoop_mitm.bigquery import refusals
from hoop_mitm.devkit.http import Request, Response
from hoop_mitm.serving.matching import Missed
from hoop_mitm.serving.question import Json

_NOT_FOUND = 404


@dataclass(slots=True)
class Reply:
    """An answer: JSON, or what the recording holds as it is (``body``)."""

    status: int
    json: Json | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    def response(self) -> Response:
        if self.json is None:
            return Response(self.status, self.body, dict(self.headers))
        return Response.json(self.json, self.status, self.headers)


def failed(status: int, reason: str, message: str) -> Reply:
    """An error of BigQuery's."""
    made = refusals.rest(message, status, reason)
    return Reply(status, json.loads(made.body))


def not_found(message: str) -> Reply:
    return failed(_NOT_FOUND, "notFound", message)


@dataclass(frozen=True, slots=True)
class Paging:
    """Which rows are asked for: ``size`` of them from ``start``, as many as there are at once where it is ``None``."""

    scope: str
    start: int
    size: int | None

    @classmethod
    def of(cls, request: Request, scope: str) -> Self:
        """
        Raises:
            ValueError: the page token is not one that was given out here.
        """
        most = request.argument("maxResults")
        token = request.argument("pageToken")
        start = _place(token, scope) if token else int(request.argument("startIndex") or 0)
        return cls(scope, start, int(most) if most else None)

    def token(self, place: int) -> str:
        """For the page that begins at ``place``."""
        return base64.urlsafe_b64encode(f"{self.scope}\0{place}".encode()).decode().rstrip("=")


def scope_of(token: str) -> str:
    """Of which rows a page token is.

    Raises:
        ValueError: it is not one that was given out here.
    """
    return _opened(token)[0]


def _place(token: str, scope: str) -> int:
    of, place = _opened(token)
    if of != scope:
        raise ValueError("Invalid page token.")
    return place


def _opened(token: str) -> tuple[str, int]:
    try:
        of, _, place = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode().rpartition("\0")
        return of, int(place)
    except (ValueError, binascii.Error) as error:
        raise ValueError("Invalid page token.") from error


def missed(error: Missed, *, query: bool) -> Reply:
    """What a client hears of something that is not in the recording: once, for none tries again."""
    message = f"hoop-mitm serve: {error.miss.message} Nothing was sent to BigQuery."
    return failed(400, "invalidQuery", message) if query else not_found(message)
