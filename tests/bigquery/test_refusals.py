"""Refusals in the shapes that clients show to their users."""

import json
from urllib.parse import unquote

from hoop_mitm.bigquery import refusals

MESSAGE = "Table `acme.shop.employees` is not for you – ask 100 % of the owners.\nOr run hoop-mitm login."


def test_rest_refuses_with_bigquerys_whole_envelope():
    refusal = refusals.rest(MESSAGE)
    assert refusal.status == 403
    assert dict(refusal.headers)["content-type"].startswith("application/json")
    assert dict(refusal.headers)["content-length"] == str(len(refusal.body))
    assert json.loads(refusal.body) == {
        "error": {
            "code": 403,
            "message": MESSAGE,
            "errors": [{"message": MESSAGE, "domain": "global", "reason": "accessDenied"}],
            "status": "PERMISSION_DENIED",
        }
    }


def test_rest_can_refuse_a_statement_as_invalid():
    error = json.loads(refusals.rest("no", 400, "invalidQuery").body)["error"]
    assert (error["code"], error["status"], error["errors"][0]["reason"]) == (400, "INVALID_ARGUMENT", "invalidQuery")


def test_token_endpoints_refuse_as_rfc_6749_says():
    refusal = refusals.oauth("invalid_grant", "run hoop-mitm login")
    assert refusal.status == 400
    assert dict(refusal.headers)["cache-control"] == "no-store"
    assert json.loads(refusal.body) == {"error": "invalid_grant", "error_description": "run hoop-mitm login"}


def test_grpc_refuses_in_headers_alone():
    refusal = refusals.grpc(MESSAGE)
    headers = dict(refusal.headers)
    assert (refusal.status, refusal.body, refusal.trailers) == (200, b"", ())
    assert (headers["content-type"], headers["grpc-status"]) == ("application/grpc", "7")
    assert headers["grpc-message"].isascii()
    assert headers["grpc-message"].isprintable()
    assert "not for you %E2%80%93 ask 100 %25" in headers["grpc-message"]
    assert unquote(headers["grpc-message"]) == MESSAGE
