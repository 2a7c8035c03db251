"""What every part of the REST front shares: Google's error envelope, page tokens, paths."""

import base64
import binascii
import hashlib
import json
import re
from typing import Any
from urllib.parse import quote

from hoop_mitm.devkit.estimates import TableName
from hoop_mitm.devkit.http import Request, Response

#: Where everything is that is kept. Jobs that touch none of it may run anywhere.
LOCATION = "US"
LOCATIONS = ("US", "EU", "us-central1", "us-east1", "europe-west1", "europe-west3", "asia-northeast1")
OK = 200
_SERVER_ERROR = 500

API = re.compile(r"^/(?:bigquery/v2|resumable/upload/bigquery/v2|upload/bigquery/v2)(?=/)")
DEFAULT_PAGE = 100_000
STATUS_OF_REASON = {
    "accessDenied": 403,
    "bytesBilledLimitExceeded": 400,
    "duplicate": 409,
    "invalid": 400,
    "invalidQuery": 400,
    "notFound": 404,
    "notImplemented": 501,
    "resourceInUse": 400,
}
_STATUS_NAMES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ALREADY_EXISTS",
    412: "FAILED_PRECONDITION",
    429: "RESOURCE_EXHAUSTED",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
}


class ApiError(Exception):
    """An error answer, in the envelope of Google's REST APIs."""

    def __init__(self, status: int, reason: str, message: str, location: str | None = None) -> None:
        self.status, self.reason, self.message, self.location = status, reason, message, location
        super().__init__(message)

    def response(self) -> Response:
        detail = {"message": self.message, "domain": "global", "reason": self.reason}
        if self.location:
            detail |= {"location": self.location, "locationType": "parameter"}
        error: dict[str, Any] = {"code": self.status, "message": self.message, "errors": [detail]}
        if self.status in _STATUS_NAMES:
            error["status"] = _STATUS_NAMES[self.status]
        return Response.json({"error": error}, self.status)


def unauthenticated() -> ApiError:
    return ApiError(
        401,
        "authError",
        "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other "
        "valid authentication credential. See https://developers.google.com/identity/sign-in/web/devconsole-project.",
    )


def translated(status: int, body: Any) -> ApiError:
    """The emulator's error as Google would answer it."""
    error = body.get("error", {}) if isinstance(body, dict) else {}
    first = (error.get("errors") or [{}])[0]
    if status >= _SERVER_ERROR:
        # Its own failure, most often at something that it lacks: clients would try again and again for minutes.
        return ApiError(501, "notImplemented", f"The local BigQuery cannot do this. {error.get('message', '')}".strip())
    reason = first.get("reason") or {403: "accessDenied", 404: "notFound", 409: "duplicate"}.get(status, "invalid")
    message = str(error.get("message") or "Not Found")
    return ApiError(STATUS_OF_REASON.get(reason, status), reason, message, first.get("location"))


def relayed(status: int, body: Any) -> Response:
    if status >= 400:  # noqa: PLR2004
        return translated(status, body).response()
    return Response.json(body, status) if body is not None else Response(status)


def json_object(request: Request) -> dict[str, Any]:
    try:
        body = json.loads(request.content() or b"{}")
    except ValueError as error:
        raise ApiError(400, "parseError", "Parse Error") from error
    if not isinstance(body, dict):
        raise ApiError(400, "parseError", "Parse Error")
    return body


def table_path(name: TableName) -> str:
    return f"/bigquery/v2/projects/{quote(name.project)}/datasets/{quote(name.dataset)}/tables/{quote(name.table)}"


def page_of(request: Request, scope: str, *, default: int) -> tuple[int, int]:
    size = int(request.argument("maxResults") or default)
    token = request.argument("pageToken")
    return (_offset(token, scope) if token else int(request.argument("startIndex") or 0)), size


def page_token(scope: str, offset: object) -> str:
    return base64.urlsafe_b64encode(f"{scope}\0{offset}".encode()).decode().rstrip("=")


def _offset(token: str, scope: str) -> int:
    try:
        of, _, offset = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode().rpartition("\0")
        if of == scope:
            return int(offset)
    except (ValueError, binascii.Error):
        pass
    raise ApiError(400, "invalid", "Invalid page token.", "pageToken")


def etag_of(*parts: str) -> str:
    return hashlib.sha256("/".join(parts).encode()).hexdigest()[:22] + "=="


def wants_integers(request: Request) -> bool:
    """Whether the client asks for timestamps in microseconds."""
    return request.argument("formatOptions.useInt64Timestamp").lower() == "true"
