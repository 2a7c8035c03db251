"""The public keys of one issuer: discovered, cached, refreshed, and trusted for a bounded time while it is away."""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from hoop_mitm.config.model import Issuer, is_loopback
from hoop_mitm.errors import IdentityError
from hoop_mitm.identity.clock import Clock

type Fetch = Callable[[str, Path | None], Awaitable[bytes]]
"""``(url, ca)`` → the body of a 200 answer. Follows no redirects, reads no more than a few MB, gives up in time, and
raises any exception when it has no such answer. ``ca`` is a PEM bundle to verify with, or ``None``."""

FRESH = 15 * 60.0
"""Seconds after which keys are read again, so that a key that the issuer withdrew stops to be trusted."""

_TIMEOUT = 20.0
_RETRY = 10.0
_BURST = 5
_MAX_KEYS = 100
_MIN_RSA_BITS = 2048

_KEY_TYPES = {
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), ("RSA", None)),
    "ES256": ("EC", "P-256"),
    "ES384": ("EC", "P-384"),
    "ES512": ("EC", "P-521"),
    "EdDSA": ("OKP", "Ed25519"),
}

_log = logging.getLogger(__name__)


class IssuerKeys:
    """The key set of one issuer.

    A key id that is not known is looked for again at the issuer, because issuers rotate keys; how often is limited,
    because anybody can make up key ids.
    """

    def __init__(self, issuer: Issuer, fetch: Fetch, clock: Clock) -> None:
        self._issuer = issuer
        self._fetch = fetch
        self._clock = clock
        self._fresh = min(FRESH, max(issuer.max_outage.total_seconds(), 60.0))
        self._max_age = max(issuer.max_outage.total_seconds(), self._fresh)
        self._keys: list[dict[str, Any]] = []
        self._fetched_at: float | None = None
        self._retry_at = 0.0
        self._attempts = 0
        self._lookups = float(_BURST)
        self._lookups_at = clock()
        self._lock = asyncio.Lock()

    async def candidates(self, kid: str | None, algorithm: str) -> list[jwt.PyJWK]:
        """The keys that may have signed a token with this header.

        Raises:
            IdentityError: ``issuer_unreachable`` or ``unknown_key``.
        """
        if not self._younger_than(self._fresh):
            await self._refresh(self._attempts)
        if not self._younger_than(self._max_age):
            raise self._unreachable()
        found = self._matching(kid, algorithm)
        if not found and self._may_look_again():
            await self._refresh(self._attempts)
            found = self._matching(kid, algorithm)
        if not found and self._just_failed():
            raise self._unreachable()
        if not found:
            raise IdentityError(
                "unknown_key",
                f"The token is signed with a key that {self._issuer.issuer} does not publish. "
                "Sign in again for a new token; if that does not help, tell whoever runs the gateway.",
            )
        return found

    def _unreachable(self) -> IdentityError:
        return IdentityError(
            "issuer_unreachable",
            f"The gateway cannot read the keys of {self._issuer.issuer}, so it cannot check who you are. "
            "Try again later; if it lasts, tell whoever runs the gateway.",
        )

    def _just_failed(self) -> bool:
        return self._retry_at - _RETRY <= self._clock() < self._retry_at

    def _younger_than(self, seconds: float) -> bool:
        return self._fetched_at is not None and 0 <= self._clock() - self._fetched_at < seconds

    def _may_look_again(self) -> bool:
        now = self._clock()
        earned = max(0.0, now - self._lookups_at) / _RETRY
        self._lookups, self._lookups_at = min(_BURST, self._lookups + earned), now
        if self._lookups < 1:
            return False
        self._lookups -= 1
        return True

    async def _refresh(self, attempts: int) -> None:
        """Reads the keys again, unless somebody has since ``attempts`` was read, or it just failed."""
        async with self._lock:
            if self._attempts != attempts or self._just_failed():
                return
            try:
                async with asyncio.timeout(_TIMEOUT):
                    keys = await self._read()
            except Exception as error:  # noqa: BLE001 - whatever went wrong, the answer is to go on with what we have
                # Texts of our own, or of json; those of HTTP libraries may hold a proxy's password.
                why = str(error) if isinstance(error, ValueError) or type(error) is OSError else type(error).__name__
                _log.warning("Cannot read the keys of %s: %s", self._issuer.issuer, why)
                self._retry_at = self._clock() + _RETRY
            else:
                self._keys, self._fetched_at, self._retry_at = keys, self._clock(), 0.0
            finally:
                self._attempts += 1

    async def _read(self) -> list[dict[str, Any]]:
        issuer = self._issuer
        discovery = json.loads(
            await self._fetch(f"{issuer.issuer.rstrip('/')}/.well-known/openid-configuration", issuer.ca)
        )
        # OpenID Connect Discovery section 4.3: it must be the issuer that we asked for, to the letter.
        if discovery["issuer"] != issuer.issuer:
            raise ValueError("the discovery document is another issuer's")
        address = discovery["jwks_uri"]
        url = urlsplit(address)
        local = issuer.issuer.startswith("http://") and url.scheme == "http" and is_loopback(url.hostname or "")
        if url.scheme != "https" and not local:
            raise ValueError("jwks_uri is not https")
        keys = json.loads(await self._fetch(address, issuer.ca))["keys"]
        if not isinstance(keys, list) or len(keys) > _MAX_KEYS:
            raise ValueError("no key set")
        return [key for key in keys if isinstance(key, dict)]

    def _matching(self, kid: str | None, algorithm: str) -> list[jwt.PyJWK]:
        fitting = [key for key in self._keys if _fits(key, algorithm)]
        if kid is not None:
            fitting = [key for key in fitting if key.get("kid") == kid]
        elif len(fitting) != 1:
            return []  # OpenID Connect Core section 10.1: without a kid there may be only one key.
        built = (_built(key, algorithm) for key in fitting[:3])
        return [key for key in built if key is not None]


def _fits(key: dict[str, Any], algorithm: str) -> bool:
    """Whether a published key is for signatures with this algorithm (RFC 7517 section 4, RFC 8725 section 3.1)."""
    kind, curve = _KEY_TYPES[algorithm]
    return (
        key.get("kty") == kind
        and (curve is None or key.get("crv") == curve)
        and key.get("use", "sig") == "sig"
        and "verify" in key.get("key_ops", ["verify"])
        and key.get("alg", algorithm) == algorithm
        and "d" not in key  # A private key that is published is everybody's.
    )


def _built(key: dict[str, Any], algorithm: str) -> jwt.PyJWK | None:
    try:
        built = jwt.PyJWK(key, algorithm=algorithm)
    except (jwt.PyJWTError, ValueError, TypeError, KeyError):
        return None
    if isinstance(built.key, RSAPublicKey) and built.key.key_size < _MIN_RSA_BITS:
        return None
    return built
