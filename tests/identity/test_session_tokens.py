"""A session token is worth something to its gateway only, for what it says, and for a bounded time."""

import base64
import json
import time
from dataclasses import replace

import jwt
import pytest

from hoop_mitm.config import SessionTokens as Settings
from hoop_mitm.errors import IdentityError
from hoop_mitm.identity import Identified, Principal, SessionTokens, SigningKeys
from tests.identity.local_issuer import public_pem

ALICE = Principal("https://sso.example.com", "u1", "alice@example.com", ("analysts", "eng"), "user")
SECRET = "eyJhbGciOiJSUzI1NiJ9.c3ViamVjdC10b2tlbg.c2lnbmF0dXJl"


def login(hours: float = 8, **changes) -> Identified:
    return replace(Identified(ALICE, expires_at=time.time() + hours * 3600, subject_token=SECRET), **changes)


@pytest.fixture
def tokens(signing_keys, clock):
    return SessionTokens(signing_keys, Settings(), clock)


def reason(tokens: SessionTokens, token: str) -> str:
    with pytest.raises(IdentityError) as caught:
        tokens.verify(token)
    return caught.value.reason


def contents(token: str) -> dict:
    return jwt.decode(token, options={"verify_signature": False})


def test_what_goes_in_comes_out(tokens, clock):
    bound = login(connection="acme", session_id="0193e4a0-0000-7000-8000-000000000001", session_name="my run")
    token, lifetime = tokens.issue(bound)
    found = tokens.verify(token)
    assert found.principal == ALICE
    assert (found.connection, found.session_id, found.session_name) == ("acme", bound.session_id, "my run")
    assert lifetime == 3600
    assert found.expires_at == pytest.approx(clock() + 3600, abs=1)


def test_a_principal_of_few_words_too(tokens):
    machine = Identified(Principal("https://ci.example.com", "job-7", kind="machine"), time.time() + 900)
    assert tokens.verify(tokens.issue(machine)[0]).principal == machine.principal


def test_the_subject_token_goes_along_only_when_asked_and_never_readable(tokens):
    plain, _ = tokens.issue(login())
    sealed, _ = tokens.issue(login(), seal_subject_token=True)
    assert tokens.verify(plain).subject_token is None
    assert tokens.verify(sealed).subject_token == SECRET
    decoded = sealed + json.dumps(contents(sealed))
    for piece in (SECRET, *SECRET.split("."), base64.b64encode(SECRET.encode()).decode().rstrip("=")):
        assert piece not in decoded
        assert piece not in base64.urlsafe_b64decode(contents(sealed)["sealed"]).decode("latin1")


def test_the_subject_token_is_in_no_repr(tokens):
    assert SECRET not in repr(tokens.verify(tokens.issue(login(), seal_subject_token=True)[0]))


def test_a_sealed_token_cannot_be_moved_into_another_session_token(tokens, signing_keys):
    one, two = (tokens.issue(login(), seal_subject_token=True)[0] for _ in range(2))
    key = signing_keys.newest
    mixed = jwt.encode(
        contents(one) | {"sealed": contents(two)["sealed"]},
        key.private,
        algorithm="EdDSA",
        headers={"typ": "hoop-session+jwt", "kid": key.kid},
    )
    assert reason(tokens, mixed) == "bad_signature"


LIFETIMES = {
    # seconds left of the OIDC token, configured lifetime, seconds granted
    "a long login": (8 * 3600, "1h", 3600),
    "a login that ends sooner": (1200, "1h", 1200),
    "a login that ends exactly at the floor": (360, "1h", 360),
    "a login that is about to end": (30, "1h", 360),
    "a login that ended within the leeway": (-30, "1h", 360),
    "short tokens": (8 * 3600, "90s", 90),
    "short tokens and a login that is about to end": (30, "90s", 90),
}


@pytest.mark.parametrize(("left", "lifetime", "granted"), LIFETIMES.values(), ids=LIFETIMES.keys())
def test_lifetime(signing_keys, clock, left, lifetime, granted):
    tokens = SessionTokens(signing_keys, Settings.model_validate({"lifetime": lifetime}), clock)
    assert tokens.issue(login(expires_at=clock() + left))[1] == pytest.approx(granted, abs=1)


def test_it_ends_when_it_said(tokens, clock):
    token, lifetime = tokens.issue(login())
    clock.advance(lifetime - 3)
    assert tokens.verify(token).principal == ALICE
    clock.advance(4)
    assert reason(tokens, token) == "expired"


def test_trading_again_and_again_never_outlives_the_login(tokens, clock):
    began = clock()
    token, lifetime = tokens.issue(login(expires_at=began + 2 * 3600))
    while lifetime > 1:
        clock.advance(lifetime / 2)
        token, lifetime = tokens.issue(tokens.verify(token))
    clock.advance(1)
    assert reason(tokens, token) == "expired"
    assert clock() - began <= 2 * 3600 + 2


def test_the_floor_is_granted_once(tokens, clock):
    token, lifetime = tokens.issue(login(expires_at=clock() + 4))
    assert lifetime == pytest.approx(360, abs=1)
    clock.advance(300)
    again, left = tokens.issue(tokens.verify(token))
    assert left <= 61
    clock.advance(62)
    assert reason(tokens, again) == "expired"


def test_a_token_of_another_gateway_is_refused(tokens, clock, tmp_path):
    other = SessionTokens(SigningKeys.load_or_create(tmp_path / "other"), Settings(), clock)
    assert reason(tokens, other.issue(login())[0]) == "foreign_gateway"


def test_gateways_that_share_keys_but_not_the_name_do_not_share_tokens(tokens, signing_keys, clock):
    other = SessionTokens(signing_keys, Settings(name="staging"), clock)
    assert reason(tokens, other.issue(login())[0]) == "foreign_gateway"


def test_a_key_rotation_ends_no_session(tmp_path, clock):
    before = SessionTokens(SigningKeys.load_or_create(tmp_path), Settings(), clock)
    sealed, _ = before.issue(login(), seal_subject_token=True)
    after = SessionTokens(SigningKeys.rotate(tmp_path), Settings(), clock)
    assert after.verify(sealed).subject_token == SECRET
    assert reason(before, after.issue(login())[0]) == "foreign_gateway"


def test_a_token_from_the_future_is_refused(tokens, clock):
    token, _ = tokens.issue(login())
    clock.advance(-120)
    assert reason(tokens, token) == "not_yet_valid"


def forged(key, *, alg="EdDSA", changes=None, private=None, **headers):
    now = int(time.time())
    claims = {
        "iss": "hoop-mitm", "aud": "hoop-mitm", "jti": "j", "iat": now, "exp": now + 600, "until": now + 600,
        "idp": "https://sso.example.com", "sub": "u2", "groups": ["admins"], "kind": "user",
    } | (changes or {})  # fmt: skip
    header = {"typ": "hoop-session+jwt", "kid": key.kid} | headers
    return jwt.encode(claims, private or key.private, algorithm=alg, headers=header)


def test_the_forgery_helper_makes_good_tokens_when_nothing_is_forged(tokens, signing_keys):
    assert tokens.verify(forged(signing_keys.newest)).principal.subject == "u2"


def unsigned(key, alg):
    token = forged(key)
    header = base64.urlsafe_b64encode(json.dumps({"alg": alg, "typ": "hoop-session+jwt", "kid": key.kid}).encode())
    return f"{header.rstrip(b'=').decode()}.{token.split('.')[1]}."


def flipped(token):
    head, payload, signature = token.split(".")
    return f"{head}.{payload}.{'A' if signature[0] != 'A' else 'B'}{signature[1:]}"


FORGERIES = {
    "another's key under our kid": (lambda k, r: forged(k, private=r.ed25519), "bad_signature"),
    "a changed signature": (lambda k, _r: flipped(forged(k)), "bad_signature"),
    "an RSA signature": (lambda k, r: forged(k, alg="RS256", private=r.attacker), "algorithm"),
    "alg none": (lambda k, _r: unsigned(k, "none"), "algorithm"),
    "no signature": (lambda k, _r: unsigned(k, "EdDSA"), "bad_signature"),
    "an unknown kid": (lambda k, _r: forged(k, kid="0" * 16), "foreign_gateway"),
    "no kid": (lambda k, _r: forged(k, kid=""), "foreign_gateway"),
    "another audience": (lambda k, _r: forged(k, changes={"aud": "other"}), "foreign_gateway"),
    "a list of audiences": (lambda k, _r: forged(k, changes={"aud": ["hoop-mitm"]}), "foreign_gateway"),
    "another issuer": (lambda k, _r: forged(k, changes={"iss": "other"}), "foreign_gateway"),
    "another version's claims": (lambda k, _r: forged(k, changes={"until": "later"}), "foreign_gateway"),
    "expired": (lambda k, _r: forged(k, changes={"iat": 1, "exp": 2}), "expired"),
    "an ID token": (lambda k, _r: forged(k, typ="JWT"), "wrong_type"),
    "an extension that must be understood": (lambda k, _r: forged(k, crit=["exp"], exp=1), "malformed"),
    "garbage": (lambda _k, _r: "garbage", "malformed"),
    "nothing": (lambda _k, _r: "", "missing"),
}


@pytest.mark.parametrize(("forge", "expected"), FORGERIES.values(), ids=FORGERIES.keys())
def test_refused(tokens, signing_keys, keyring, forge, expected):
    assert reason(tokens, forge(signing_keys.newest, keyring)) == expected


def test_the_public_key_makes_no_hmac_token(tokens, signing_keys):
    key = signing_keys.newest
    header = {"typ": "hoop-session+jwt", "kid": key.kid, "alg": "HS256"}
    parts = [
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in (header, {"sub": "u2"})
    ]
    import hashlib
    import hmac

    mac = hmac.digest(public_pem(key.private), ".".join(parts).encode(), hashlib.sha256)
    assert reason(tokens, ".".join([*parts, base64.urlsafe_b64encode(mac).rstrip(b"=").decode()])) == "algorithm"


def test_what_would_not_fit_into_a_header_is_refused_in_words(tokens):
    with pytest.raises(IdentityError, match="fewer claims") as caught:
        tokens.issue(login(subject_token="x" * 60_000), seal_subject_token=True)
    assert caught.value.reason == "oversized"
