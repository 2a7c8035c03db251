"""What claims mean is said by the issuer's configuration."""

import pytest

from hoop_mitm.config import Issuer
from hoop_mitm.errors import IdentityError
from hoop_mitm.identity.claims import lookup, principal, timestamp

BASE = {"sub": "u1", "email": "Alice@Example.com"}


def issuer(**settings):
    return Issuer.model_validate({"issuer": "https://sso.example.com", "audiences": ["hoop"]} | settings)


MAPPINGS = {
    # configuration, claims, e-mail, groups
    "nothing but a subject": ({}, {"email": None}, None, ()),
    "groups are sorted": ({}, {"groups": ["b", "a", "b"]}, "Alice@Example.com", ("a", "b")),
    "one group as text": ({}, {"groups": "b"}, "Alice@Example.com", ("b",)),
    "groups elsewhere": ({"claims": {"groups": "realm_access.roles"}}, {"realm_access": {"roles": ["r"]}}, "Alice@Example.com", ("r",)),
    "a claim named by a URL": ({"claims": {"groups": "https://x.io/groups"}}, {"https://x.io/groups": ["g"]}, "Alice@Example.com", ("g",)),
    "e-mail elsewhere": ({"claims": {"email": "upn"}}, {"upn": "a@corp"}, "a@corp", ()),
    "a verified e-mail": ({}, {"email_verified": True}, "Alice@Example.com", ()),
    "a verified e-mail, as text": ({}, {"email_verified": "true"}, "Alice@Example.com", ()),
    "an e-mail that anybody could claim": ({}, {"email_verified": False}, None, ()),
    "an e-mail that anybody could claim, as text": ({}, {"email_verified": "false"}, None, ()),
    "an e-mail of unclear standing": ({}, {"email_verified": None}, None, ()),
    "an e-mail that is a list": ({}, {"email": ["a@x"]}, None, ()),
    "an e-mail that steers a terminal": ({}, {"email": "a\x1b[2J@x"}, None, ()),
    "groups by e-mail": ({"groups": {"alice@example.com": ["eng"]}}, {}, "Alice@Example.com", ("eng",)),
    "groups by e-mail and by claim": ({"groups": {"alice@example.com": ["eng"]}}, {"groups": ["a"]}, "Alice@Example.com", ("a", "eng")),
    "groups by another's e-mail": ({"groups": {"bob@example.com": ["eng"]}}, {}, "Alice@Example.com", ()),
    "groups by an unverified e-mail": ({"groups": {"alice@example.com": ["eng"]}}, {"email_verified": False}, None, ()),
    "groups by a look-alike e-mail": ({"groups": {"k@example.com": ["eng"]}}, {"email": "\u212a@example.com"}, "\u212a@example.com", ()),
    "overage where groups are mapped here": ({"groups": {"alice@example.com": ["eng"]}}, {"hasgroups": True}, "Alice@Example.com", ("eng",)),
}  # fmt: skip


@pytest.mark.parametrize(("settings", "claims", "email", "groups"), MAPPINGS.values(), ids=MAPPINGS.keys())
def test_mapping(settings, claims, email, groups):
    who = principal(BASE | claims, issuer(**settings))
    assert (who.email, who.groups) == (email, groups)


REQUIREMENTS = {
    # what is required, claims, why it is refused
    "the value": ({"hd": "acme.com"}, {"hd": "acme.com"}, None),
    "another value": ({"hd": "acme.com"}, {"hd": "evil.com"}, "claim_refused"),
    "the value in another case": ({"hd": "acme.com"}, {"hd": "ACME.com"}, "claim_refused"),
    "the value and more": ({"hd": "acme.com"}, {"hd": "acme.com.evil.com"}, "claim_refused"),
    "nothing": ({"hd": "acme.com"}, {}, "claim_missing"),
    "null": ({"hd": "None"}, {"hd": None}, "claim_missing"),
    "an object": ({"hd": "acme.com"}, {"hd": {"acme.com": True}}, "claim_refused"),
    "one of several": ({"hd": ["acme.com", "acme.de"]}, {"hd": "acme.de"}, None),
    "a list that has it": ({"roles": "staff"}, {"roles": ["x", "staff"]}, None),
    "a list that has it not": ({"roles": "staff"}, {"roles": ["x"]}, "claim_refused"),
    "an empty list": ({"roles": "staff"}, {"roles": []}, "claim_refused"),
    "a list in a list": ({"roles": "staff"}, {"roles": [["staff"]]}, "claim_refused"),
    "true": ({"email_verified": True}, {"email_verified": True}, None),
    "false instead of true": ({"email_verified": True}, {"email_verified": False}, "claim_refused"),
    "one instead of true": ({"email_verified": True}, {"email_verified": 1}, "claim_refused"),
    "a number": ({"installation": 42}, {"installation": 42}, None),
    "a number as text": ({"installation": 42}, {"installation": "42"}, None),
    "a fraction": ({"installation": 42}, {"installation": 42.0}, "claim_refused"),
    "both of two": ({"hd": "acme.com", "team": "data"}, {"hd": "acme.com", "team": "data"}, None),
    "one of two": ({"hd": "acme.com", "team": "data"}, {"hd": "acme.com"}, "claim_missing"),
    "nested": ({"k8s.namespace": "ci"}, {"k8s": {"namespace": "ci"}}, None),
    "nested in a name with dots": ({"kubernetes.io.namespace": "ci"}, {"kubernetes.io": {"namespace": "ci"}}, None),
    "an e-mail": ({"email": "Alice@Example.com"}, {}, None),
    "an unverified e-mail": ({"email": "Alice@Example.com"}, {"email_verified": False}, "claim_missing"),
}


@pytest.mark.parametrize(("require", "claims", "reason"), REQUIREMENTS.values(), ids=REQUIREMENTS.keys())
def test_required_claims(require, claims, reason):
    if reason is None:
        assert principal(BASE | claims, issuer(require=require)).subject == "u1"
    else:
        with pytest.raises(IdentityError) as caught:
            principal(BASE | claims, issuer(require=require))
        assert caught.value.reason == reason


def test_the_kind_is_the_configurations_word_not_the_tokens():
    assert principal(BASE | {"kind": "machine"}, issuer()).kind == "user"
    assert principal(BASE | {"kind": "user"}, issuer(kind="machine")).kind == "machine"


@pytest.mark.parametrize(
    ("claims", "name", "value"),
    [
        ({"a.b": 1, "a": {"b": 2}}, "a.b", 1),
        ({"a": {"b": {"c": 3}}}, "a.b.c", 3),
        ({"a.b": {"c": 4}, "a": {"b": {"c": 3}}}, "a.b.c", 4),
        ({"a.b": 5, "a": {"b": {"c": 3}}}, "a.b.c", 3),
        ({"kubernetes.io": {"serviceaccount": {"name": "runner"}}}, "kubernetes.io.serviceaccount.name", "runner"),
        ({"a": "text"}, "a.b", None),
        ({"a": ["b"]}, "a.0", None),
        ({}, "a", None),
    ],
)
def test_lookup(claims, name, value):
    assert lookup(claims, name) == value


@pytest.mark.parametrize("value", [True, "1", [], {}, -1, float("nan"), float("inf"), 10**400, 2**60])
def test_what_is_no_time(value):
    with pytest.raises(IdentityError) as caught:
        timestamp({"exp": value}, "exp")
    assert caught.value.reason == "malformed"


def test_what_is_a_time():
    assert timestamp({"exp": 1.5}, "exp") == 1.5
    assert timestamp({"exp": 0}, "exp") == 0.0
    assert timestamp({}, "exp") is None
