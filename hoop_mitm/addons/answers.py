"""Our own answers, as mitmproxy sends them: each client family gets the shape that it shows to its user."""

import time
from functools import cache

from mitmproxy import http

from hoop_mitm.bigquery import TOKEN_HOSTS, refusals

UNCHECKED = "hoop-mitm could not check this request, so it was not sent to BigQuery. Ask the gateway's owner."


def is_grpc(flow: http.HTTPFlow) -> bool:
    return str(flow.request.headers.get("content-type", "")).startswith("application/grpc")


def refuse(flow: http.HTTPFlow, message: str) -> http.Response:
    """A refusal with a message for the client's user, in the shape of the door that was knocked at."""
    return answer(_refusal(message, grpc=is_grpc(flow), token=flow.request.host in TOKEN_HOSTS))


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
