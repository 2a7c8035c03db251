"""Tokens are taken apart strictly, and kept out of what is printed."""

import base64
import json

import pytest

from hoop_mitm.errors import IdentityError
from hoop_mitm.identity import jws


def assembled(header: dict, claims: dict) -> str:
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in (header, claims)]
    return ".".join([*parts, "c2ln"])


@pytest.mark.parametrize(
    ("typ", "read"),
    [
        ("JWT", "jwt"),
        ("application/at+JWT", "at+jwt"),
        ("hoop-session+jwt", "hoop-session+jwt"),
        ("application/hoop-session+jwt", "hoop-session+jwt"),
        (None, ""),
        (["hoop-session+jwt"], ""),
    ],
)
def test_the_type_has_one_spelling(typ, read):
    assert jws.read(assembled({"typ": typ}, {})).type == read


def test_parts_are_read_but_never_shown():
    token = assembled({"alg": "EdDSA", "kid": "k"}, {"sub": "alice"})
    parts = jws.read(token)
    assert (parts.algorithm, parts.kid, parts.claims) == ("EdDSA", "k", {"sub": "alice"})
    assert repr(parts) == "Unverified()"


@pytest.mark.parametrize("kid", [1, [], {}, True])
def test_a_kid_is_a_text(kid):
    with pytest.raises(IdentityError, match="not a valid OIDC token"):
        _ = jws.read(assembled({"kid": kid}, {})).kid


def test_without_a_key_nothing_is_verified():
    with pytest.raises(IdentityError) as caught:
        jws.verified_claims(jws.read(assembled({"alg": "RS256"}, {})), [], "RS256")
    assert caught.value.reason == "bad_signature"
