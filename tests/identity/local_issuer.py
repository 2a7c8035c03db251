"""A real issuer on loopback that mints any token, good or bad, and a clock that can be moved."""

import asyncio
import json
import threading
import time
import urllib.request
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from hoop_mitm.config import Connection, Identity

AUDIENCE = "hoop-mitm"


class Clock:
    """The time of day at which it was made, plus what a test has let pass: on a busy machine no second more than that."""

    def __init__(self) -> None:
        self.began = time.time()
        self.passed = 0.0

    def __call__(self) -> float:
        return self.began + self.passed

    def advance(self, seconds: float) -> None:
        self.passed += seconds


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_args, **_kwargs):
        return None


_http = urllib.request.build_opener(_NoRedirects(), urllib.request.ProxyHandler({}))


async def fetch(url: str, ca: Path | None) -> bytes:
    """A plain GET, off the event loop."""
    assert ca is None

    def get() -> bytes:
        with _http.open(url, timeout=60) as answer:
            return answer.read()

    return await asyncio.to_thread(get)


class LocalIssuer:
    """An OIDC issuer with discovery and JWKS over HTTP. What it publishes can be bent by a test.

    Its tokens are of ``now``.
    """

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self.now = now
        self.requests: list[str] = []
        self.outage = False
        self.discovery_changes: dict[str, Any] = {}
        self.published: list[dict[str, Any]] = []
        self.private: dict[str, Any] = {}
        self.signing = ""
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.requests.append(self.path)
                body = issuer.document(self.path)
                self.send_response(503 if issuer.outage else 200 if body is not None else 404)
                self.end_headers()
                if body is not None and not issuer.outage:
                    self.wfile.write(json.dumps(body).encode())

            def log_message(self, *_args) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def document(self, path: str) -> object:
        if path == "/.well-known/openid-configuration":
            return {"issuer": self.url, "jwks_uri": f"{self.url}/jwks"} | self.discovery_changes
        return {"keys": self.published} if path == "/jwks" else None

    @property
    def jwks_reads(self) -> int:
        return self.requests.count("/jwks")

    def add_key(self, kid: str, private: Any, **changes: Any) -> None:
        """Publishes the key and signs with it from now on. A change to ``None`` removes a member."""
        self.private[kid], self.signing = private, kid
        jwk = public_jwk(private) | {"kid": kid, "use": "sig"} | changes
        self.published.append({name: value for name, value in jwk.items() if value is not None})

    def claims(self, **changes: Any) -> dict[str, Any]:
        now = int(self.now())
        claims = {
            "iss": self.url,
            "aud": AUDIENCE,
            "sub": "user-alice",
            "email": "alice@example.com",
            "email_verified": True,
            "groups": ["analysts"],
            "iat": now,
            "exp": now + 3600,
            "jti": "token-1",
        } | changes
        return {name: value for name, value in claims.items() if value is not None}

    def token(
        self, *, headers: dict[str, Any] | None = None, key: Any = None, alg: str = "RS256", **changes: Any
    ) -> str:
        """A signed token; ``changes`` are claims, and ``None`` removes one."""
        header = {"kid": self.signing} | (headers or {})
        return jwt.encode(
            self.claims(**changes),
            key or self.private[self.signing],
            algorithm=alg,
            headers={name: value for name, value in header.items() if value is not None},
        )


def public_jwk(private: Any) -> dict[str, Any]:
    public = private.public_key()
    if isinstance(public, rsa.RSAPublicKey):
        return jwt.algorithms.RSAAlgorithm.to_jwk(public, as_dict=True)
    if isinstance(public, ec.EllipticCurvePublicKey):
        return jwt.algorithms.ECAlgorithm.to_jwk(public, as_dict=True)
    return jwt.algorithms.OKPAlgorithm.to_jwk(public, as_dict=True)


def public_pem(private: Any) -> bytes:
    return private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


class Keyring:
    """Private keys that are made once for all tests, because RSA takes its time."""

    def __init__(self) -> None:
        self.rsa, self.other_rsa, self.attacker = (
            rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(3)
        )
        self.weak_rsa = rsa.generate_private_key(public_exponent=65537, key_size=1024)
        self.p256 = ec.generate_private_key(ec.SECP256R1())
        self.p384 = ec.generate_private_key(ec.SECP384R1())
        self.ed25519 = ed25519.Ed25519PrivateKey.generate()


def settings(issuer: LocalIssuer, **session_tokens: Any) -> Identity:
    return Identity.model_validate(
        {"issuers": [{"issuer": issuer.url, "audiences": [AUDIENCE]}], "session_tokens": session_tokens}
    )


CONNECTIONS = tuple(
    Connection.model_validate(connection)
    for connection in (
        {"name": "acme", "projects": ["acme"], "credential": {"type": "adc"}},
        {
            "name": "own",
            "projects": ["own"],
            "credential": {"type": "federation", "audience": "//iam.googleapis.com/x"},
        },
        {"name": "payroll", "projects": ["payroll"], "credential": {"type": "adc"}, "groups": ["hr"]},
    )
)
