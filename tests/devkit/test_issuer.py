"""The issuer is one that a company could have: discovery, keys, and every way to sign in that the CLI will use."""

import base64
import hashlib
import secrets
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
import pytest
import requests

from hoop_mitm.devkit.http import Request
from hoop_mitm.devkit.issuer import CLIENT_ID, Issuer
from hoop_mitm.devkit.world import World

REDIRECT = "http://127.0.0.1:9/callback"


@pytest.fixture
def http(world: World) -> requests.Session:
    session = requests.Session()
    session.trust_env = False
    session.verify = str(world.ca)
    return session


@pytest.fixture
def discovery(world: World, http: requests.Session) -> dict[str, Any]:
    answer: dict[str, Any] = http.get(f"{world.issuer.url}/.well-known/openid-configuration").json()
    return answer


def verified(http: requests.Session, discovery: dict[str, Any], token: str) -> dict[str, Any]:
    """What a stranger finds in a token, who has only the discovery document."""
    keys = jwt.PyJWKSet.from_dict(http.get(discovery["jwks_uri"]).json())
    key = keys[jwt.get_unverified_header(token)["kid"]]
    claims: dict[str, Any] = jwt.decode(
        token, key, algorithms=["RS256"], audience=CLIENT_ID, issuer=discovery["issuer"]
    )
    return claims


@pytest.mark.parametrize(
    ("user", "groups"), [("alice", ["analysts"]), ("bob", ["analysts", "reviewers"])], ids=["alice", "bob"]
)
def test_a_stranger_can_verify_a_users_token(
    world: World, http: requests.Session, discovery: dict[str, Any], user: str, groups: list[str]
) -> None:
    claims = verified(http, discovery, world.issuer.token(user))

    assert claims["email"] == f"{user}@acme.example"
    assert claims["groups"] == groups
    assert claims["exp"] - claims["iat"] == 3600


def test_a_device_signs_in_once_a_person_has_approved_it(
    world: World, http: requests.Session, discovery: dict[str, Any]
) -> None:
    asked = http.post(discovery["device_authorization_endpoint"], data={"client_id": CLIENT_ID}).json()
    grant = {
        "grant_type": "urn:ietf:params:oauth:grant-type:device_code",
        "device_code": asked["device_code"],
        "client_id": CLIENT_ID,
    }
    early = http.post(discovery["token_endpoint"], data=grant)
    page = http.get(asked["verification_uri_complete"])
    approved = http.post(asked["verification_uri"], data={"user_code": asked["user_code"], "user": "bob"})
    tokens = http.post(discovery["token_endpoint"], data=grant).json()
    again = http.post(discovery["token_endpoint"], data=grant)

    assert (early.status_code, early.json()["error"]) == (400, "authorization_pending")
    assert asked["user_code"] in page.text
    assert approved.status_code == 200
    assert verified(http, discovery, tokens["id_token"])["email"] == "bob@acme.example"
    assert again.json()["error"] == "invalid_grant"


def test_a_script_can_approve_a_device(world: World, http: requests.Session, discovery: dict[str, Any]) -> None:
    asked = http.post(discovery["device_authorization_endpoint"], data={"client_id": CLIENT_ID}).json()

    world.issuer.approve(asked["user_code"], "alice")

    grant = {"grant_type": "urn:ietf:params:oauth:grant-type:device_code", "device_code": asked["device_code"]}
    tokens = http.post(discovery["token_endpoint"], data={**grant, "client_id": CLIENT_ID}).json()
    assert verified(http, discovery, tokens["id_token"])["email"] == "alice@acme.example"


class Pkce:
    """One code flow, as far as the browser is concerned."""

    def __init__(self, http: requests.Session, discovery: dict[str, Any], **changes: str) -> None:
        self.verifier = secrets.token_urlsafe(48)
        digest = hashlib.sha256(self.verifier.encode()).digest()
        asked = {
            "client_id": CLIENT_ID,
            "response_type": "code",
            "redirect_uri": REDIRECT,
            "state": "s1",
            "nonce": "n1",
            "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
            "login_hint": "alice",
            "prompt": "none",
        } | changes
        self.answer = http.get(discovery["authorization_endpoint"], params=asked, allow_redirects=False)
        self.returned = {
            name: v[0] for name, v in parse_qs(urlsplit(self.answer.headers.get("location", "")).query).items()
        }

    def redeem(self, http: requests.Session, discovery: dict[str, Any], **changes: str) -> dict[str, Any]:
        form = {
            "grant_type": "authorization_code",
            "code": self.returned.get("code", ""),
            "code_verifier": self.verifier,
            "redirect_uri": REDIRECT,
            "client_id": CLIENT_ID,
        } | changes
        answer: dict[str, Any] = http.post(discovery["token_endpoint"], data=form).json()
        return answer


def test_a_browser_signs_in_with_code_and_pkce(http: requests.Session, discovery: dict[str, Any]) -> None:
    flow = Pkce(http, discovery)
    tokens = flow.redeem(http, discovery)

    assert flow.returned["state"] == "s1"
    assert verified(http, discovery, tokens["id_token"])["nonce"] == "n1"
    assert flow.redeem(http, discovery)["error"] == "invalid_grant", "a code works once"


def test_the_sign_in_page_offers_everybody(http: requests.Session, discovery: dict[str, Any]) -> None:
    page = Pkce(http, discovery, prompt="login").answer

    assert 'value="alice"' in page.text
    assert 'value="bob"' in page.text


@pytest.mark.parametrize(
    ("asked", "redeemed", "error"),
    [
        ({"code_challenge_method": "plain"}, {}, "invalid_request"),
        ({"login_hint": "mallory"}, {}, "access_denied"),
        ({"response_type": "token"}, {}, "unsupported_response_type"),
        ({}, {"code_verifier": "wrong"}, "invalid_grant"),
        ({}, {"redirect_uri": "http://127.0.0.1:10/"}, "invalid_grant"),
    ],
    ids=["no S256", "unknown user", "implicit flow", "wrong verifier", "another redirect"],
)
def test_a_code_flow_that_is_not_in_order_is_refused(
    http: requests.Session,
    discovery: dict[str, Any],
    asked: dict[str, str],
    redeemed: dict[str, str],
    error: str,
) -> None:
    flow = Pkce(http, discovery, **asked)
    assert (flow.returned.get("error") or flow.redeem(http, discovery, **redeemed)["error"]) == error


def test_a_redirect_away_from_loopback_is_not_followed(http: requests.Session, discovery: dict[str, Any]) -> None:
    flow = Pkce(http, discovery, redirect_uri="https://evil.example/")
    assert flow.answer.status_code == 400
    assert "location" not in flow.answer.headers


def test_whoever_uses_a_refresh_token_twice_ends_the_login(http: requests.Session, discovery: dict[str, Any]) -> None:
    tokens = Pkce(http, discovery).redeem(http, discovery)

    def refresh(token: str) -> dict[str, Any]:
        grant = {"grant_type": "refresh_token", "refresh_token": token, "client_id": CLIENT_ID}
        answer: dict[str, Any] = http.post(discovery["token_endpoint"], data=grant).json()
        return answer

    second = refresh(tokens["refresh_token"])
    assert (
        verified(http, discovery, second["id_token"])["auth_time"]
        == verified(http, discovery, tokens["id_token"])["auth_time"]
    )
    assert refresh(tokens["refresh_token"])["error"] == "invalid_grant"
    assert refresh(second["refresh_token"])["error"] == "invalid_grant", "the thief's and the owner's alike"


def test_a_revoked_login_is_over(http: requests.Session, discovery: dict[str, Any]) -> None:
    tokens = Pkce(http, discovery).redeem(http, discovery)
    form = {"token": tokens["refresh_token"], "client_id": CLIENT_ID}
    assert http.post(discovery["revocation_endpoint"], data=form).status_code == 200
    assert http.post(discovery["revocation_endpoint"], data={**form, "token": "unknown"}).status_code == 200
    grant = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"], "client_id": CLIENT_ID}
    assert http.post(discovery["token_endpoint"], data=grant).json()["error"] == "invalid_grant"


def test_a_device_that_asks_too_often_is_told_to_slow_down(
    world: World, http: requests.Session, discovery: dict[str, Any]
) -> None:
    asked = http.post(discovery["device_authorization_endpoint"], data={"client_id": CLIENT_ID}).json()
    grant = {"grant_type": "urn:ietf:params:oauth:grant-type:device_code", "client_id": CLIENT_ID}
    grant["device_code"] = asked["device_code"]
    # However long a busy machine takes between the two.
    world.issuer._devices[asked["device_code"]].interval = 3600
    errors = [http.post(discovery["token_endpoint"], data=grant).json()["error"] for _ in range(2)]
    assert errors == ["authorization_pending", "slow_down"]


def test_the_device_page_is_a_form_with_labels_and_can_deny(http: requests.Session, discovery: dict[str, Any]) -> None:
    asked = http.post(discovery["device_authorization_endpoint"], data={"client_id": CLIENT_ID}).json()
    empty = http.get(asked["verification_uri"]).text
    assert '<label for="user_code">' in empty
    assert "no such code" in http.get(asked["verification_uri"], params={"user_code": "AAAA-AAAA"}).text
    page = http.get(asked["verification_uri_complete"]).text
    assert 'aria-label="Sign in as alice"' in page
    assert ">Deny</button>" in page
    done = http.post(asked["verification_uri"], data={"user_code": asked["user_code"], "user": ""})
    assert "Denied" in done.text
    grant = {"grant_type": "urn:ietf:params:oauth:grant-type:device_code", "client_id": CLIENT_ID}
    grant["device_code"] = asked["device_code"]
    assert http.post(discovery["token_endpoint"], data=grant).json()["error"] == "access_denied"


def test_a_refresh_token_works_once(http: requests.Session, discovery: dict[str, Any]) -> None:
    tokens = Pkce(http, discovery).redeem(http, discovery)
    grant = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"], "client_id": CLIENT_ID}

    first = http.post(discovery["token_endpoint"], data=grant).json()
    second = http.post(discovery["token_endpoint"], data=grant).json()

    assert verified(http, discovery, first["id_token"])["email"] == "alice@acme.example"
    assert second["error"] == "invalid_grant"


def test_userinfo_takes_the_access_token_only(http: requests.Session, discovery: dict[str, Any]) -> None:
    tokens = Pkce(http, discovery).redeem(http, discovery)

    def ask(token: str) -> requests.Response:
        return http.get(discovery["userinfo_endpoint"], headers={"Authorization": f"Bearer {token}"})

    assert ask(tokens["access_token"]).json()["email"] == "alice@acme.example"
    assert ask(tokens["id_token"]).status_code == 401


def test_a_machine_has_an_issuer_of_its_own(world: World, http: requests.Session) -> None:
    discovery = http.get(f"{world.issuer.machine_url}/.well-known/openid-configuration").json()
    machine = world.issuer.machines["ci"]
    answer = http.post(
        discovery["token_endpoint"], data={"grant_type": "client_credentials"}, auth=("ci", machine.secret or "")
    )
    refused = http.post(discovery["token_endpoint"], data={"grant_type": "client_credentials"}, auth=("ci", "guess"))
    claims = verified(http, discovery, answer.json()["access_token"])

    assert claims["iss"] == world.issuer.machine_url
    assert claims["sub"] == machine.subject
    assert "email" not in claims
    assert refused.status_code == 401


# The rest needs no network, and an issuer of its own.


@pytest.fixture
def issuer() -> Issuer:
    made = Issuer()
    made.url = "https://127.0.0.1:1"
    return made


def test_after_rotation_both_keys_are_published_and_the_new_one_signs(issuer: Issuer) -> None:
    old = issuer.token("alice")
    issuer.rotate_keys()
    new = issuer.token("alice")

    assert jwt.get_unverified_header(old)["kid"] != jwt.get_unverified_header(new)["kid"]
    assert issuer.verify(old, CLIENT_ID)["sub"] == issuer.verify(new, CLIENT_ID)["sub"]


def test_a_forgotten_key_verifies_nothing(issuer: Issuer) -> None:
    old = issuer.token("alice")
    issuer.rotate_keys(forget=True)

    with pytest.raises(jwt.InvalidTokenError):
        issuer.verify(old)


def test_claims_can_be_changed_and_removed(issuer: Issuer) -> None:
    claims = issuer.verify(issuer.token("alice", email=None, groups=["owners"], hd="acme.example"))

    assert "email" not in claims
    assert claims["groups"] == ["owners"]
    assert claims["hd"] == "acme.example"


def test_a_token_lives_as_long_as_it_is_asked_to(issuer: Issuer) -> None:
    with pytest.raises(jwt.ExpiredSignatureError):
        issuer.verify(issuer.token("alice", lifetime=timedelta(seconds=-1)))


def test_in_an_outage_nothing_is_answered(issuer: Issuer) -> None:
    issuer.outage = True
    assert issuer.handle(Request("GET", "127.0.0.1", "/jwks")).status == 503
