"""Google's own client libraries trade tokens here as they would with Google; every refusal is one they show and do not retry."""

import asyncio
import json
import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl

import google.auth.exceptions
import google.auth.identity_pool
import google.auth.transport.requests
import google.oauth2.credentials
import pytest

from hoop_mitm.identity import Answer, Authenticator, Sessions, TokenExchange, audience_for
from tests.identity.local_issuer import CONNECTIONS, fetch, settings

GRANT = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS = "urn:ietf:params:oauth:token-type:access_token"
JWT = "urn:ietf:params:oauth:token-type:jwt"
ID = "0193e4a0-1111-7000-8000-00000000000a"


@pytest.fixture
def exchange(authenticator, clock):
    return TokenExchange(authenticator, Sessions(timedelta(minutes=30), clock))


def form(token: str, **changes) -> dict[str, str]:
    fields = {
        "grant_type": GRANT,
        "audience": audience_for("acme"),
        "scope": "https://www.googleapis.com/auth/bigquery",
        "requested_token_type": ACCESS,
        "subject_token": token,
        "subject_token_type": JWT,
    } | changes
    return {name: value for name, value in fields.items() if value is not None}


def traded(exchange, token, **changes) -> Answer:
    return asyncio.run(exchange.exchange(form(token, **changes)))


def refreshed(exchange, token, **changes) -> Answer:
    fields = {"grant_type": "refresh_token", "refresh_token": token, "client_id": "x", "client_secret": "y"}
    return asyncio.run(exchange.refresh(fields | changes))


def introspected(exchange, token) -> Answer:
    return asyncio.run(exchange.introspect({"token": token, "token_type_hint": ACCESS}))


def identified(authenticator: Authenticator, answer: Answer):
    assert answer.status == 200, answer.body
    return asyncio.run(authenticator.authenticate(answer.body["access_token"]))


def test_an_oidc_token_is_traded_for_a_session_token(exchange, authenticator, issuer):
    answer = traded(exchange, issuer.token())
    assert {**answer.body, "access_token": "…"} == {
        "access_token": "…",
        "issued_token_type": ACCESS,
        "token_type": "Bearer",
        "expires_in": 3600,
    }
    assert json.loads(answer.content) == answer.body
    assert answer.principal.email == "alice@example.com"
    who = identified(authenticator, answer)
    assert (who.principal, who.connection, who.session_id) == (answer.principal, "acme", None)


def test_the_audience_names_session_and_connection(exchange, authenticator, issuer):
    who = identified(authenticator, traded(exchange, issuer.token(), audience=audience_for("acme", ID, "my run")))
    assert (who.connection, who.session_id, who.session_name) == ("acme", ID, "my run")


def test_a_token_from_a_file_may_end_with_a_newline(exchange, issuer):
    assert traded(exchange, issuer.token() + "\n").status == 200


@pytest.mark.parametrize(("connection", "goes_along"), [("acme", False), ("own", True)])
def test_the_subject_token_goes_along_for_federation_only(exchange, authenticator, issuer, connection, goes_along):
    token = issuer.token()
    answer = traded(exchange, token, audience=audience_for(connection))
    assert identified(authenticator, answer).subject_token == (token if goes_along else None)
    assert answer.body["access_token"] not in repr(answer)


REFUSED = {
    # what is changed, OAuth's error, our reason
    "no grant type": ({"grant_type": None}, "unsupported_grant_type", "unsupported_grant_type"),
    "another grant type": ({"grant_type": "client_credentials"}, "unsupported_grant_type", "unsupported_grant_type"),
    "acting for another": ({"actor_token": "x"}, "invalid_request", "invalid_request"),
    "an ID token wanted": ({"requested_token_type": JWT}, "invalid_request", "invalid_request"),
    "SAML": ({"subject_token_type": "urn:ietf:params:oauth:token-type:saml2"}, "invalid_request", "invalid_request"),
    "AWS": ({"subject_token_type": "urn:ietf:params:aws:token-type:aws4_request"}, "invalid_request", "invalid_request"),
    "no subject token": ({"subject_token": None}, "invalid_grant", "missing"),
    "garbage": ({"subject_token": "garbage"}, "invalid_grant", "malformed"),
    "no audience": ({"audience": None}, "invalid_grant", "wrong_audience"),
    "Google's audience": ({"audience": "//iam.googleapis.com/projects/1/locations/global/x"}, "invalid_grant", "wrong_audience"),
    "an unknown connection": ({"audience": audience_for("nothing")}, "invalid_grant", "wrong_connection"),
    "a connection of other groups": ({"audience": audience_for("payroll")}, "invalid_grant", "wrong_connection"),
}  # fmt: skip


@pytest.mark.parametrize(("changes", "error", "reason"), REFUSED.values(), ids=REFUSED.keys())
def test_refused(exchange, issuer, changes, error, reason):
    answer = traded(exchange, issuer.token(), **changes)
    assert (answer.status, answer.body["error"], answer.reason) == (400, error, reason)
    assert set(answer.body) == {"error", "error_description"}
    assert answer.body["error_description"].endswith(".")


def test_an_expired_login_says_what_to_do(exchange, issuer):
    answer = traded(exchange, issuer.token(iat=1, exp=2))
    assert answer.body == {
        "error": "invalid_grant",
        "error_description": "Your login has expired, so hoop-mitm cannot let you in. Sign in again.",
    }
    assert answer.reason == "expired"


def test_an_issuer_outage_is_no_5xx(exchange, issuer):
    issuer.outage = True
    answer = traded(exchange, issuer.token())
    assert (answer.status, answer.body["error"], answer.reason) == (400, "invalid_grant", "issuer_unreachable")


def test_a_session_token_is_no_subject_token(exchange, issuer):
    session_token = traded(exchange, issuer.token()).body["access_token"]
    for audience in (audience_for("acme"), audience_for("own")):
        assert traded(exchange, session_token, audience=audience).reason == "wrong_type"


def test_nobody_gets_a_token_for_anothers_session(exchange, issuer):
    audience = audience_for("acme", ID)
    assert traded(exchange, issuer.token(), audience=audience).status == 200
    bob = traded(exchange, issuer.token(sub="user-bob", email="bob@example.com"), audience=audience)
    assert (bob.status, bob.reason) == (400, "foreign_session")
    assert bob.principal.email == "bob@example.com", "the record names who tried"
    assert traded(exchange, issuer.token(), audience=audience_for("own", ID)).reason == "wrong_connection"
    assert traded(exchange, issuer.token(), audience=audience).status == 200


def test_refresh_takes_an_oidc_token(exchange, authenticator, issuer):
    answer = refreshed(exchange, issuer.token())
    assert set(answer.body) == {"access_token", "token_type", "expires_in"}
    who = identified(authenticator, answer)
    assert (who.principal.email, who.connection) == ("alice@example.com", None)


def test_refresh_takes_the_connection_and_session_from_the_client_id(exchange, authenticator, issuer):
    who = identified(authenticator, refreshed(exchange, issuer.token(), client_id=audience_for("acme", ID, "n")))
    assert (who.connection, who.session_id, who.session_name) == ("acme", ID, "n")


def test_refresh_keeps_what_a_session_token_is_bound_to(exchange, authenticator, issuer):
    first = traded(exchange, issuer.token(), audience=audience_for("acme", ID, "n")).body["access_token"]
    who = identified(authenticator, refreshed(exchange, first))
    assert (who.connection, who.session_id, who.session_name) == ("acme", ID, "n")
    for wanted in (audience_for("own", ID), audience_for("acme"), audience_for("acme", ID.replace("a", "b"))):
        assert refreshed(exchange, first, client_id=wanted).reason == "wrong_connection"


def test_refresh_keeps_the_subject_token_for_federation(exchange, authenticator, issuer):
    token = issuer.token()
    first = traded(exchange, token, audience=audience_for("own")).body["access_token"]
    assert identified(authenticator, refreshed(exchange, first)).subject_token == token


def test_refresh_does_not_outlive_the_login(exchange, issuer, clock):
    first = traded(exchange, issuer.token(exp=issuer.claims()["iat"] + 1800)).body["access_token"]
    clock.advance(1500)
    again = refreshed(exchange, first)
    assert again.body["expires_in"] <= 361
    clock.advance(400)
    for token in (first, again.body["access_token"]):
        answer = refreshed(exchange, token)
        assert (answer.status, answer.body["error"], answer.reason) == (400, "invalid_grant", "expired")


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer"}, "unsupported_grant_type"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"refresh_token": "1//0eXample-google-refresh-token"}, "invalid_grant"),
        ({"refresh_token": ""}, "invalid_grant"),
        ({"client_id": audience_for("nothing")}, "invalid_grant"),
        ({"client_id": audience_for("acme") + "/sessions/x"}, "invalid_grant"),
    ],
)
def test_refresh_refuses(exchange, issuer, changes, error):
    answer = refreshed(exchange, issuer.token(), **changes)
    assert (answer.status, answer.body["error"]) == (400, error)


def test_a_binding_is_lost_with_the_connection(issuer, signing_keys, clock, authenticator, exchange):
    token = traded(exchange, issuer.token()).body["access_token"]
    without = Authenticator(settings(issuer), CONNECTIONS[1:], signing_keys, fetch, clock=clock)
    assert refreshed(TokenExchange(without), token).reason == "wrong_connection"


def test_introspection_names_the_account(exchange, issuer):
    token = traded(exchange, issuer.token()).body["access_token"]
    answer = introspected(exchange, token)
    assert answer.status == 200
    assert answer.body["active"] is True
    assert answer.body["username"] == "alice@example.com"
    assert token not in answer.content.decode()


@pytest.mark.parametrize("token", ["", "garbage", "ya29.x"])
def test_introspection_of_anything_else_says_inactive_and_nothing_more(exchange, token):
    answer = introspected(exchange, token)
    assert (answer.status, answer.body) == (200, {"active": False})


# Google's own libraries, over HTTP.


@pytest.fixture
def endpoint(exchange) -> Iterator[tuple[str, list[str]]]:
    """The exchange behind a plain HTTP server: its address, and the paths that were asked."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(self.path)
            fields = dict(parse_qsl(self.rfile.read(int(self.headers["content-length"])).decode()))
            answer = asyncio.run((exchange.exchange if self.path == "/v1/token" else exchange.refresh)(fields))
            self.send_response(answer.status)
            self.send_header("content-type", "application/json")
            self.end_headers()
            self.wfile.write(answer.content)

        def log_message(self, *_args) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    server.server_close()


def pool_credentials(url: str, file) -> google.auth.identity_pool.Credentials:
    return google.auth.identity_pool.Credentials(
        audience=audience_for("acme", ID, "with blanks & more"),
        subject_token_type=JWT,
        token_url=f"{url}/v1/token",
        credential_source={"file": str(file)},
        scopes=["https://www.googleapis.com/auth/bigquery"],
    )


def test_google_auth_trades_and_refreshes_an_external_account(endpoint, authenticator, issuer, tmp_path):
    url, _ = endpoint
    (tmp_path / "token").write_text(issuer.token())
    credentials = pool_credentials(url, tmp_path / "token")
    credentials.refresh(google.auth.transport.requests.Request())
    who = asyncio.run(authenticator.authenticate(credentials.token))
    assert (who.connection, who.session_id, who.session_name) == ("acme", ID, "with blanks & more")
    assert credentials.valid


def test_google_auth_shows_our_message_after_one_request(endpoint, issuer, tmp_path):
    url, asked = endpoint
    (tmp_path / "token").write_text(issuer.token(iat=1, exp=2))
    with pytest.raises(google.auth.exceptions.OAuthError, match="Sign in again"):
        pool_credentials(url, tmp_path / "token").refresh(google.auth.transport.requests.Request())
    assert asked == ["/v1/token"]


def test_google_auth_refreshes_an_authorized_user(endpoint, authenticator, issuer):
    url, _ = endpoint
    credentials = google.oauth2.credentials.Credentials(
        None,
        refresh_token=issuer.token(),
        token_uri=f"{url}/token",
        client_id=audience_for("acme"),
        client_secret="unused",
        scopes=["https://www.googleapis.com/auth/bigquery"],
    )
    credentials.refresh(google.auth.transport.requests.Request())
    assert asyncio.run(authenticator.authenticate(credentials.token)).connection == "acme"
