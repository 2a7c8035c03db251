"""Our own answers, as mitmproxy sends them: each client family gets the shape that it shows to its user."""

import time
from functools import cache

from mitmproxy import http

from hoop_mitm import bigquery
from hoop_mitm.bigquery import TOKEN_HOSTS, refusals
from hoop_mitm.bigquery.doors import MCP_PATH
from hoop_mitm.errors import Denied

FORBIDDEN = 403
NOT_ALLOWED = 405

UNCHECKED = "hoop-mitm could not check this request, so it was not sent to BigQuery. Ask the gateway's owner."


def is_grpc(flow: http.HTTPFlow) -> bool:
    return str(flow.request.headers.get("content-type", "")).startswith("application/grpc")


def is_mcp(flow: http.HTTPFlow) -> bool:
    return flow.request.path.partition("?")[0] == MCP_PATH and flow.request.host not in TOKEN_HOSTS


def refuse(flow: http.HTTPFlow, message: str) -> http.Response:
    """A refusal with a message for the client's user, in the shape of the door that was knocked at."""
    if is_mcp(flow):
        return answer(refusals.jsonrpc(message, _message(flow.request), _status(flow.request.method)))
    return answer(_refusal(message, grpc=is_grpc(flow), token=flow.request.host in TOKEN_HOSTS))


def _message(request: http.Request) -> bytes | None:
    """A JSON-RPC message as it was meant; ``None`` while it is not there, or when it cannot be read."""
    try:
        return bigquery.decoded(request.raw_content or b"", request.headers.get("content-encoding"))
    except Denied:
        return None


def _status(method: str) -> int:
    # "Method not allowed" is how an MCP server says that it offers no stream of its own, and no end of a session.
    return FORBIDDEN if method == "POST" else NOT_ALLOWED


def internal_error(flow: http.HTTPFlow) -> http.Response:
    """What a client gets when we cannot say yes for a reason of our own. Each flow carries it twice, and most give it up
    again: so its parts are made once."""
    made = _unchecked(is_grpc(flow), flow.request.host in TOKEN_HOSTS).data
    now = time.time()
    fields = http.Headers(made.headers.fields)
    return http.Response(made.http_version, made.status_code, made.reason, fields, made.content, None, now, now)


@cache
def _unchecked(grpc: bool, token: bool) -> http.Response:  # noqa: FBT001 - what it depends on
    return answer(_refusal(UNCHECKED, grpc=grpc, token=token))


def _refusal(message: str, *, grpc: bool, token: bool) -> refusals.Refusal:
    if grpc:
        return refusals.grpc(message)
    return refusals.oauth("invalid_grant", message) if token else refusals.rest(message)


def answer(refusal: refusals.Refusal) -> http.Response:
    return http.Response.make(refusal.status, refusal.body, dict(refusal.headers))
