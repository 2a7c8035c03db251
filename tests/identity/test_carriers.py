"""Tokens are found in the headers that clients send, and nowhere else."""

import base64

import pytest

from hoop_mitm.identity import bearer_of, proxy_bearer_of

JWT = "eyJhbGciOiJFZERTQSJ9.e30.c2ln"


def basic(text: str, scheme: str = "Basic") -> str:
    return f"{scheme} {base64.b64encode(text.encode()).decode()}"


@pytest.mark.parametrize(
    ("header", "token"),
    [
        (f"Bearer {JWT}", JWT),
        (f"bearer {JWT}", JWT),
        (f"BEARER   {JWT}", JWT),
        (f" Bearer {JWT} ", JWT),
        ("Bearer ya29.opaque_token~+/==", "ya29.opaque_token~+/=="),
        (None, None),
        ("", None),
        ("Bearer", None),
        ("Bearer ", None),
        (JWT, None),
        (f"Basic {JWT}", None),
        (f"Bearer{JWT}", None),
        (f"Bearer\t{JWT}", None),
        (f"Bearer {JWT} {JWT}", None),
        (f"Bearer {JWT}, Bearer {JWT}", None),
        (f"Bearer {JWT}\nX: y", None),
        (f"Bearer {JWT}\n", None),
        (f"Bearer {JWT}\0", None),
        (f"Bearer {JWT}é", None),
        (f"DPoP {JWT}", None),
    ],
)
def test_bearer(header, token):
    assert bearer_of(header) == token


@pytest.mark.parametrize(
    ("header", "token"),
    [
        (f"Bearer {JWT}", JWT),
        (basic(f"alice:{JWT}"), JWT),
        (basic(f"alice:{JWT}", "basic"), JWT),
        (basic(f":{JWT}"), JWT),
        (basic(f"alice@example.com:{JWT}"), JWT),
        (basic(f"alice:{JWT * 3000}"), JWT * 3000),
        (basic("alice:with:colon"), "with:colon"),
        (None, None),
        ("", None),
        ("Basic", None),
        ("Basic !!!", None),
        ("Basic YQ", None),
        ("Basic YQ===", None),
        (basic("alice"), None),
        (basic("alice:"), None),
        (basic("alice:pässword"), None),
        (f"Digest {JWT}", None),
    ],
)
def test_proxy_bearer(header, token):
    assert proxy_bearer_of(header) == token
