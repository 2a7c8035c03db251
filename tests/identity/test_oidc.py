"""A token of a configured issuer is accepted for what it says, and every other one is refused for its own reason."""

import asyncio
import base64
import json
import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from hoop_mitm.config import Issuer
from hoop_mitm.config import SessionTokens as SessionTokenSettings
from hoop_mitm.errors import IdentityError
from hoop_mitm.identity import Identified, OidcVerifier, Principal, SessionTokens, SigningKeys, VerifiedToken
from hoop_mitm.identity.jws import MAX_SIZE
from tests.identity.forging import assembled, cut, hmac_with, reclaimed, signed_with
from tests.identity.local_issuer import AUDIENCE, Keyring, LocalIssuer, fetch, public_jwk, public_pem


def verifier(issuer: LocalIssuer, clock: Callable[[], float] = time.time, **settings: Any) -> OidcVerifier:
    entry = {"issuer": issuer.url, "audiences": [AUDIENCE], "algorithms": ["RS256", "ES256"]} | settings
    return OidcVerifier([Issuer.model_validate(entry)], fetch, clock)


def verify(issuer: LocalIssuer, token: str, clock: Callable[[], float] = time.time, **settings: Any) -> VerifiedToken:
    return asyncio.run(verifier(issuer, clock, **settings).verify(token))


def refused(issuer: LocalIssuer, token: str, clock: Callable[[], float] = time.time, **settings: Any) -> IdentityError:
    with pytest.raises(IdentityError) as caught:
        verify(issuer, token, clock, **settings)
    return caught.value


HEADER = b'{"alg":"RS256","kid":"first"}'


NOW = int(time.time())
"""When the tables below were written; their rows are tried minutes later."""


def as_if_now(changes: dict[str, Any]) -> dict[str, Any]:
    """With its times as far from now as they are from ``NOW``."""
    passed, year = int(time.time()) - NOW, 400 * 86400
    times = {name: changes[name] for name in ("iat", "nbf", "exp") if type(changes.get(name)) in (int, float)}
    return changes | {name: value + passed for name, value in times.items() if abs(value - NOW) < year}


def test_a_good_token_says_who_asks(issuer):
    token = verify(issuer, issuer.token())
    assert token.principal == Principal(issuer.url, "user-alice", "alice@example.com", ("analysts",), "user")
    assert token.token_id == "token-1"
    issued = int(issuer.now())
    assert (token.issued_at, token.expires_at) == (issued, issued + 3600 + 60), "with the leeway of a minute"


GOOD = {
    "typ JWT": {},
    "no typ": {"headers": {"typ": None}},
    "an access token for us (RFC 9068)": {"headers": {"typ": "at+jwt"}, "client_id": AUDIENCE},
    "an access token, its type in full": {"headers": {"typ": "application/AT+JWT"}},
    "several audiences, one is ours, and so is the party": {
        "aud": [AUDIENCE, "https://api.example.com"],
        "azp": AUDIENCE,
    },
    "a list of one audience": {"aud": [AUDIENCE]},
    "no kid where there is one key": {"headers": {"kid": None}},
    "expired within the leeway": {"iat": NOW - 3600, "exp": NOW - 20},
    "issued within the leeway": {"iat": NOW + 40},
    "fractions of seconds": {"iat": NOW - 0.5, "exp": NOW + 600.25},
    "a foreign key in the header is not even looked at": {"headers": {"jku": "http://127.0.0.1:9/jwks"}},
}


@pytest.mark.parametrize("changes", GOOD.values(), ids=GOOD.keys())
def test_accepted(issuer, changes):
    assert verify(issuer, issuer.token(**as_if_now(changes))).principal.subject == "user-alice"


@pytest.mark.parametrize(
    ("kid", "algorithm"),
    [("rsa", "PS256"), ("rsa", "RS512"), ("p256", "ES256"), ("p384", "ES384"), ("ed25519", "EdDSA")],
)
def test_every_asymmetric_algorithm_works_when_it_is_configured(issuer, keyring, kid, algorithm):
    issuer.add_key(kid, getattr(keyring, kid))
    token = issuer.token(alg=algorithm)
    assert verify(issuer, token, algorithms=[algorithm]).principal.subject == "user-alice"
    assert refused(issuer, token, algorithms=["RS384"]).reason == "algorithm"


type Attack = Callable[[LocalIssuer, Keyring], str]


def none(algorithm: str, signature: bytes = b"") -> Attack:
    return lambda i, _k: assembled({"alg": algorithm, "kid": "first"}, i.claims(), signature)


def claims(**changes: Any) -> Attack:
    return lambda i, _k: i.token(**as_if_now(changes))


def headers(**changes: Any) -> Attack:
    return lambda i, _k: i.token(headers=changes)


def raw(token: str) -> Attack:
    return lambda _i, _k: token


def raw_claims(text: str) -> Attack:
    """Genuinely signed, with the claims as written; ``ISS`` stands for the issuer."""
    return lambda i, _k: signed_with(i.private[i.signing], HEADER, text.replace("ISS", json.dumps(i.url)).encode())


def forged(**header: Any) -> Attack:
    return lambda i, k: i.token(headers=header, key=k.attacker)


ATTACKS: list[tuple[str, str, Attack]] = [
    # No token at all.
    ("missing", "nothing", raw("")),
    ("malformed", "a word", raw("token")),
    ("malformed", "two parts", raw("e30.e30")),
    ("malformed", "three empty parts", raw("..")),
    ("malformed", "an encrypted token (five parts)", raw("e30.e30.e30.e30.e30")),
    ("malformed", "a Google access token", raw("ya29.a0AfH6SMBexample-example_example")),
    ("malformed", "a null byte", lambda i, _k: i.token() + "\0"),
    ("malformed", "a line end after it", lambda i, _k: i.token() + "\n"),
    ("malformed", "a blank before it", lambda i, _k: " " + i.token()),
    ("malformed", "padding", lambda i, _k: i.token() + "=="),
    ("malformed", "look-alike letters", lambda i, _k: i.token().replace("e", "\u0435", 1)),
    ("malformed", "plain base64 instead of base64url", lambda i, _k: i.token() + "+/"),
    ("malformed", "stray bits at the end of a part", raw(assembled({"alg": "RS256"}, {}).replace("e30", "e31"))),
    ("malformed", "a header that is no JSON", raw(assembled(b"alg=RS256", {}))),
    ("malformed", "a header that is no object", raw(assembled(["RS256"], {}))),
    ("malformed", "a header that is no UTF-8", raw(assembled(b'{"alg":"RS256","x":"\xff"}', {}))),
    ("malformed", "claims that are no object", raw(assembled({"alg": "RS256"}, "claims"))),
    ("malformed", "claims nested without end", raw(assembled({"alg": "RS256"}, b'{"":' * 7000 + b"1" + b"}" * 7000))),
    ("malformed", "a number with a million digits", raw(assembled({"alg": "RS256"}, b'{"exp":' + b"9" * 30000 + b"}"))),
    ("malformed", "a claim twice", raw_claims('{"iss":ISS,"aud":"other","aud":"hoop-mitm"}')),
    (
        "malformed",
        "an algorithm twice",
        lambda i, _k: signed_with(
            i.private[i.signing], b'{"alg":"none","alg":"RS256"}', json.dumps(i.claims()).encode()
        ),
    ),
    ("malformed", "an infinite end", raw_claims('{"iss":ISS,"aud":"hoop-mitm","sub":"a","iat":1,"exp":Infinity}')),
    ("malformed", "an end that is no number", raw_claims('{"iss":ISS,"aud":"hoop-mitm","sub":"a","iat":1,"exp":NaN}')),
    (
        "malformed",
        "an end beyond all numbers",
        raw_claims('{"iss":ISS,"aud":"hoop-mitm","sub":"a","iat":1,"exp":1e999}'),
    ),
    (
        "malformed",
        "an end of 400 digits",
        raw_claims('{"iss":ISS,"aud":"hoop-mitm","sub":"a","iat":1,"exp":1' + "0" * 400 + "}"),
    ),
    (
        "malformed",
        "no JSON in a claim that nobody reads",
        raw_claims('{"iss":ISS,"aud":"hoop-mitm","sub":"a","x":NaN}'),
    ),
    ("malformed", "an end that is a text", claims(exp="never")),
    ("malformed", "an end that is true", claims(exp=True)),
    ("malformed", "a negative start", claims(iat=-1)),
    ("malformed", "a not-before that is a list", claims(nbf=[1])),
    (
        "malformed",
        "a kid that is a number",
        lambda i, _k: signed_with(i.private[i.signing], b'{"alg":"RS256","kid":1}', json.dumps(i.claims()).encode()),
    ),
    (
        "malformed",
        "an extension that must be understood",
        lambda i, _k: signed_with(
            i.private[i.signing],
            b'{"alg":"RS256","kid":"first","crit":["exp"],"exp":1}',
            json.dumps(i.claims()).encode(),
        ),
    ),
    (
        "malformed",
        "an empty list of extensions",
        lambda i, _k: signed_with(
            i.private[i.signing], b'{"alg":"RS256","kid":"first","crit":[]}', json.dumps(i.claims()).encode()
        ),
    ),
    (
        "malformed",
        "an unencoded payload (RFC 7797)",
        lambda i, _k: signed_with(
            i.private[i.signing], b'{"alg":"RS256","kid":"first","b64":false}', json.dumps(i.claims()).encode()
        ),
    ),
    (
        "malformed",
        "a compressed payload",
        lambda i, _k: signed_with(
            i.private[i.signing], b'{"alg":"RS256","kid":"first","zip":"DEF"}', json.dumps(i.claims()).encode()
        ),
    ),
    ("oversized", "one byte too many", raw("a" * (MAX_SIZE + 1))),
    ("oversized", "a genuine token of 70 KiB", claims(groups=["g" * 50] * 1000)),
    # Signatures that are none.
    ("algorithm", "alg none", none("none")),
    ("algorithm", "alg None", none("None")),
    ("algorithm", "alg NONE", none("NONE")),
    ("algorithm", "alg nOnE with something for a signature", none("nOnE", b"signature")),
    ("algorithm", "alg empty", none("")),
    ("algorithm", "alg with a blank", none("RS256 ", b"x" * 256)),
    ("algorithm", "alg in lower case", none("rs256", b"x" * 256)),
    ("algorithm", "no alg", raw(assembled({"kid": "first"}, {}))),
    ("algorithm", "alg null", raw(assembled({"alg": None}, {}))),
    ("algorithm", "alg a list", raw(assembled({"alg": ["RS256"]}, {}))),
    (
        "algorithm",
        "HMAC with the public key as PEM",
        lambda i, k: hmac_with(public_pem(k.rsa), {"alg": "HS256", "kid": "first"}, i.claims()),
    ),
    (
        "algorithm",
        "HMAC with the public key as PEM, stripped",
        lambda i, k: hmac_with(public_pem(k.rsa).strip(), {"alg": "HS256", "kid": "first"}, i.claims()),
    ),
    (
        "algorithm",
        "HMAC with the public key as JWK",
        lambda i, k: hmac_with(json.dumps(public_jwk(k.rsa)).encode(), {"alg": "HS256", "kid": "first"}, i.claims()),
    ),
    ("algorithm", "HMAC with nothing", lambda i, _k: hmac_with(b"", {"alg": "HS256"}, i.claims())),
    ("algorithm", "HS512", raw(assembled({"alg": "HS512"}, {}))),
    ("algorithm", "an encryption algorithm", raw(assembled({"alg": "RSA-OAEP"}, {}))),
    ("algorithm", "an algorithm that is good, but not configured", lambda i, _k: i.token(alg="PS256")),
    ("algorithm", "a curve that Bitcoin likes", raw(assembled({"alg": "ES256K"}, {}))),
    ("bad_signature", "no signature", lambda i, _k: cut(i.token(), 2, "")),
    ("bad_signature", "another's claims under a good signature", lambda i, _k: reclaimed(i.token(), sub="user-bob")),
    (
        "bad_signature",
        "one bit",
        lambda i, _k: cut(
            i.token(), 2, ("A" if i.token().split(".")[2][0] != "A" else "B") + i.token().split(".")[2][1:]
        ),
    ),
    (
        "bad_signature",
        "the signature of another token",
        lambda i, _k: cut(i.token(), 2, i.token(sub="user-bob").split(".")[2]),
    ),
    ("bad_signature", "half a signature", lambda i, _k: cut(i.token(), 2, i.token().split(".")[2][:170])),
    ("bad_signature", "an attacker's key under a known kid", forged()),
    ("bad_signature", "an attacker's key, no kid", forged(kid=None)),
    (
        "bad_signature",
        "an attacker's key in the header (jwk)",
        lambda i, k: i.token(headers={"jwk": public_jwk(k.attacker)}, key=k.attacker),
    ),
    (
        "bad_signature",
        "an attacker's key behind a URL (jku)",
        lambda i, k: i.token(headers={"jku": f"{i.url}/attacker"}, key=k.attacker),
    ),
    (
        "bad_signature",
        "an attacker's certificate behind a URL (x5u)",
        lambda i, k: i.token(headers={"x5u": f"{i.url}/attacker"}, key=k.attacker),
    ),
    ("bad_signature", "an attacker's certificate in the header (x5c)", forged(x5c=["MIIB"])),
    ("unknown_key", "an attacker's key under its own kid", forged(kid="attacker")),
    (
        "unknown_key",
        "the same with the key in the header",
        lambda i, k: i.token(headers={"kid": "attacker", "jwk": public_jwk(k.attacker)}, key=k.attacker),
    ),
    ("unknown_key", "a kid that is a path", forged(kid="../../../../dev/null")),
    ("unknown_key", "a kid that is SQL", forged(kid="' UNION SELECT 'first")),
    ("unknown_key", "a kid that is empty", forged(kid="")),
    ("unknown_key", "a kid in another case", forged(kid="FIRST")),
    ("unknown_key", "an elliptic signature under an RSA kid", lambda i, k: i.token(key=k.p256, alg="ES256")),
    # Another's tokens.
    ("unknown_issuer", "another issuer", claims(iss="https://evil.example.com")),
    ("unknown_issuer", "the issuer with a slash", lambda i, _k: i.token(iss=i.url + "/")),
    ("unknown_issuer", "the issuer with a dot", lambda i, _k: i.token(iss=i.url.replace("127.0.0.1", "127.0.0.1."))),
    ("unknown_issuer", "the issuer in capitals", lambda i, _k: i.token(iss=i.url.upper())),
    ("unknown_issuer", "a path below the issuer", lambda i, _k: i.token(iss=i.url + "/tenant")),
    (
        "unknown_issuer",
        "a list of issuers",
        lambda i, _k: signed_with(i.private[i.signing], HEADER, json.dumps(i.claims() | {"iss": [i.url]}).encode()),
    ),
    ("unknown_issuer", "no issuer", claims(iss=None)),
    ("wrong_audience", "another audience", claims(aud="another-app")),
    ("wrong_audience", "no audience", claims(aud=None)),
    ("wrong_audience", "an empty audience", claims(aud="")),
    ("wrong_audience", "an empty list", claims(aud=[])),
    ("wrong_audience", "ours with a suffix", claims(aud=AUDIENCE + "-staging")),
    ("wrong_audience", "part of ours", claims(aud=AUDIENCE[:-1])),
    ("wrong_audience", "ours in capitals", claims(aud=AUDIENCE.upper())),
    ("wrong_audience", "an object", claims(aud={AUDIENCE: True})),
    ("wrong_audience", "a list with more than texts", claims(aud=[AUDIENCE, 1])),
    ("wrong_audience", "audiences in one text", claims(aud=f"other {AUDIENCE}")),
    ("wrong_party", "given to another application", claims(azp="another-app")),
    ("wrong_party", "given to a list", claims(azp=[AUDIENCE])),
    ("wrong_party", "several audiences and no party", claims(aud=[AUDIENCE, "another-app"])),
    ("wrong_party", "several audiences, another party", claims(aud=[AUDIENCE, "another-app"], azp="another-app")),
    (
        "wrong_party",
        "an access token of another client",
        lambda i, _k: i.token(headers={"typ": "at+jwt"}, client_id="another-app"),
    ),
    # Other times.
    ("expired", "an hour ago", claims(iat=NOW - 7200, exp=NOW - 3600)),
    ("expired", "just beyond the leeway", claims(iat=NOW - 3600, exp=NOW - 61)),
    ("expired", "at the beginning of time", claims(iat=0, exp=0)),
    ("claim_missing", "no end", claims(exp=None)),
    ("claim_missing", "no start", claims(iat=None)),
    ("not_yet_valid", "issued tomorrow", claims(iat=NOW + 86000, exp=NOW + 86400)),
    ("not_yet_valid", "valid from tomorrow", claims(nbf=NOW + 86400)),
    ("lifetime", "valid for a year", claims(exp=NOW + 31536000)),
    ("lifetime", "valid for a second more than a day", claims(iat=NOW, exp=NOW + 86401)),
    ("lifetime", "ends before it starts", claims(iat=NOW + 30, exp=NOW)),
    # Genuine tokens for another purpose.
    ("wrong_type", "said to be a session token", headers(typ="hoop-session+jwt")),
    ("wrong_type", "a logout token", headers(typ="logout+jwt")),
    (
        "wrong_type",
        "a logout token of before it had a type",
        claims(events={"http://schemas.openid.net/event/backchannel-logout": {}}),
    ),
    ("wrong_type", "a proof of possession", headers(typ="dpop+jwt")),
    ("wrong_type", "an authorization request", headers(typ="oauth-authz-req+jwt")),
    (
        "wrong_type",
        "a type that is no text",
        lambda i, _k: signed_with(
            i.private[i.signing], b'{"alg":"RS256","kid":"first","typ":["JWT"]}', json.dumps(i.claims()).encode()
        ),
    ),
    ("wrong_type", "bound to a key that nobody proved to hold", claims(cnf={"jkt": "x"})),
    # Nobody in particular.
    ("claim_missing", "no subject", claims(sub=None)),
    ("claim_missing", "an empty subject", claims(sub="")),
    (
        "claim_missing",
        "a subject that is a number",
        lambda i, _k: signed_with(i.private[i.signing], HEADER, json.dumps(i.claims() | {"sub": 0}).encode()),
    ),
    ("claim_missing", "a subject that steers the terminal", claims(sub="a\x1b[2J")),
    ("claim_missing", "a subject of two lines", claims(sub="alice\nbob")),
    ("claim_missing", "groups that are an object", claims(groups={"admins": True})),
    ("claim_missing", "groups that are no texts", claims(groups=["analysts", 7])),
    ("claim_missing", "a group that steers the terminal", claims(groups=["\x1b]0;x\x07"])),
    ("groups_overage", "more groups than fit into a token", claims(groups=None, _claim_names={"groups": "src1"})),
    ("groups_overage", "more groups than fit, said shortly", claims(groups=None, hasgroups=True)),
]


@pytest.mark.parametrize(
    ("reason", "attack"), [(r, a) for r, _n, a in ATTACKS], ids=[f"{r}: {n}" for r, n, _a in ATTACKS]
)
def test_refused(issuer, keyring, reason, attack):
    token = attack(issuer, keyring)
    error = refused(issuer, token)
    assert error.reason == reason
    assert "/attacker" not in issuer.requests, "no URL in a token is ever followed"
    assert str(error).endswith("."), "the message is a sentence for the client's user"
    assert not any(part in str(error) for part in token.split(".") if len(part) > 8), "no part of the token is repeated"


def test_there_are_attacks_for_every_reason_that_needs_no_outage():
    assert {reason for reason, _n, _a in ATTACKS} == {
        *("missing", "malformed", "oversized", "algorithm", "unknown_issuer", "unknown_key", "bad_signature"),
        *(
            "expired",
            "not_yet_valid",
            "wrong_audience",
            "wrong_party",
            "lifetime",
            "claim_missing",
            "wrong_type",
            "groups_overage",
        ),
    }


def published_whole(private: Any) -> dict[str, Any]:
    return jwt.algorithms.RSAAlgorithm.to_jwk(private, as_dict=True) | {"key_ops": None}


BAD_KEYS = {
    "a key of 1024 bits": lambda k: (k.weak_rsa, {}, "RS256"),
    "a key for encryption": lambda k: (k.rsa, {"use": "enc"}, "RS256"),
    "a key for wrapping": lambda k: (k.rsa, {"key_ops": ["wrapKey"]}, "RS256"),
    "a key for another algorithm": lambda k: (k.rsa, {"alg": "PS256"}, "RS256"),
    "a key of another kind": lambda k: (k.rsa, {"kty": "EC"}, "RS256"),
    "a symmetric key": lambda k: (k.rsa, {"kty": "oct", "k": "AAAA"}, "RS256"),
    "a private key that lies open": lambda k: (k.rsa, published_whole(k.rsa), "RS256"),
    "another curve than the algorithm's": lambda k: (k.p256, {"crv": "P-384"}, "ES256"),
    "a point that is not on the curve": lambda k: (k.p256, {"x": "AAAA"}, "ES256"),
    "an exponent of one": lambda k: (k.rsa, {"e": "AQ"}, "RS256"),
    "no modulus": lambda k: (k.rsa, {"n": None}, "RS256"),
}


@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
@pytest.mark.parametrize("bad", BAD_KEYS.values(), ids=BAD_KEYS.keys())
def test_a_published_key_that_is_not_for_this_verifies_nothing(issuer, keyring, bad):
    private, changes, algorithm = bad(keyring)
    issuer.add_key("bad", private, **changes)
    assert refused(issuer, issuer.token(alg=algorithm)).reason == "unknown_key"


def test_the_all_zero_ecdsa_signature_is_refused(issuer, keyring):
    issuer.add_key("p256", keyring.p256)
    token = cut(issuer.token(alg="ES256"), 2, base64.urlsafe_b64encode(bytes(64)).rstrip(b"=").decode())
    assert refused(issuer, token).reason == "bad_signature"


def test_without_a_kid_there_may_be_only_one_key(issuer, keyring):
    issuer.add_key("second", keyring.other_rsa)
    assert refused(issuer, issuer.token(headers={"kid": None})).reason == "unknown_key"


def test_a_session_token_of_a_gateway_is_no_oidc_token(issuer, tmp_path):
    keys = SigningKeys.load_or_create(tmp_path)
    gateway = SessionTokens(keys, SessionTokenSettings(name=issuer.url), time.time)
    token, _ = gateway.issue(Identified(Principal(issuer.url, "user-alice"), expires_at=time.time() + 3600))
    # Even where the issuer publishes the gateway's own key.
    issuer.add_key(keys.newest.kid, keys.newest.private)
    assert refused(issuer, token, algorithms=["EdDSA"]).reason == "wrong_type"


@pytest.fixture
def second_issuer(keyring):
    second = LocalIssuer()
    second.add_key("first", keyring.other_rsa)
    yield second
    second.stop()


def test_one_issuer_cannot_speak_for_another(issuer, second_issuer):
    issuers = [Issuer(issuer=i.url, audiences=(AUDIENCE,)) for i in (issuer, second_issuer)]
    both = OidcVerifier(issuers, fetch, time.time)
    assert asyncio.run(both.verify(second_issuer.token())).principal.issuer == second_issuer.url
    with pytest.raises(IdentityError) as caught:
        asyncio.run(both.verify(second_issuer.token(iss=issuer.url)))
    assert caught.value.reason == "bad_signature"


def test_entries_of_one_issuer_are_chosen_by_audience_and_each_keeps_its_rules(issuer):
    entries = [
        Issuer(issuer=issuer.url, audiences=("people",)),
        Issuer(issuer=issuer.url, audiences=("ci",), kind="machine", require={"repository_owner": ("acme",)}),
    ]
    both = OidcVerifier(entries, fetch, time.time)

    def principal(**changes):
        return asyncio.run(both.verify(issuer.token(**changes))).principal

    assert principal(aud="people").kind == "user"
    assert principal(aud="ci", repository_owner="acme").kind == "machine"
    for changes, reason in [
        ({"aud": "ci"}, "claim_missing"),
        ({"aud": "ci", "repository_owner": "evil"}, "claim_refused"),
        ({"aud": ["ci", "people"]}, "wrong_party"),
        ({"aud": "people", "azp": "ci"}, "wrong_party"),
    ]:
        with pytest.raises(IdentityError) as caught:
            principal(**changes)
        assert caught.value.reason == reason


def test_another_applications_tokens_are_accepted_once_it_is_an_authorized_party(issuer):
    token = issuer.token(azp="cursor-plugin")
    assert refused(issuer, token).reason == "wrong_party"
    assert verify(issuer, token, authorized_parties=["cursor-plugin"]).principal.subject == "user-alice"


def test_a_token_without_an_id_gets_one_that_does_not_give_it_away(issuer):
    token = issuer.token(jti=None)
    token_id = verify(issuer, token).token_id
    assert len(token_id) == 64
    assert token_id not in token


@hypothesis_settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(data=st.data())
def test_whatever_is_done_to_a_token_it_is_refused_in_words_or_unchanged(issuer, data):
    token = issuer.token()
    start = data.draw(st.integers(0, len(token)))
    end = data.draw(st.integers(start, min(len(token), start + 40)))
    piece = data.draw(st.text(max_size=40) | st.text(alphabet="eyJ.AQg-_=", max_size=40))
    changed = token[:start] + piece + token[end:]
    try:
        verify(issuer, changed)
    except IdentityError:
        return
    assert changed == token
