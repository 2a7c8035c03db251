"""Our own answers, as mitmproxy sends them: each client family gets the shape that it shows to its user."""

from mitmproxy import http

from hoop_mitm.bigquery import TOKEN_HOSTS, refusals

UNCHECKED = "hoop-mitm could not check this request, so it was not sent to BigQuery. Ask the gateway's owner."


def is_grpc(flow: http.HTTPFlow) -> bool:
    return str(flow.request.headers.get("content-type", "")).startswith("application/grpc")


def refuse(flow: http.HTTPFlow, message: str) -> http.Response:
    """A refusal with a message for the client's user, in the shape of the door that was knocked at."""
    if is_grpc(flow):
        return answer(refusals.grpc(message))
    if flow.request.host in TOKEN_HOSTS:
        return answer(refusals.oauth("invalid_grant", message))
    return answer(refusals.rest(message))


def internal_error(flow: http.HTTPFlow) -> http.Response:
    """What a client gets when we cannot say yes for a reason of our own."""
    return refuse(flow, UNCHECKED)


def answer(refusal: refusals.Refusal) -> http.Response:
    return http.Response.make(refusal.status, refusal.body, dict(refusal.headers))
