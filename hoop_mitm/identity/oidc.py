"""Tokens of the company's OIDC issuers: checked in full, or refused with a stable reason.

OpenID Connect Core section 3.1.3.7, RFC 7519, and the advice of RFC 8725.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hoop_mitm.config.model import Issuer
from hoop_mitm.errors import IdentityError
from hoop_mitm.identity import claims as claim
from hoop_mitm.identity import jws
from hoop_mitm.identity.clock import Clock
from hoop_mitm.identity.issuer_keys import Fetch, IssuerKeys
from hoop_mitm.identity.principal import Principal

ASYMMETRIC = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"})
"""The signature algorithms that anybody may use here: never ``none``, never a secret that both sides know."""

#: ID tokens say `JWT` or nothing, access tokens `at+jwt` (RFC 9068). Anything else is made for another purpose.
_TYPES = frozenset({"", "jwt", "at+jwt"})
_FOR_ANOTHER_PURPOSE = frozenset(
    {
        "events",  # A security event or logout token (RFC 8417, OpenID Connect Back-Channel Logout).
        "cnf",  # Bound to a key of its sender (RFC 7800), which nobody proved to hold here.
    }
)


@dataclass(frozen=True, slots=True)
class VerifiedToken:
    """An OIDC token that was accepted.

    Attributes:
        principal: whose it is.
        expires_at: seconds since the epoch from which it is refused: its ``exp`` with the issuer's leeway.
        issued_at: its ``iat``.
        token_id: its ``jti``, or a hash of it; for records.
        authenticated_at: its ``auth_time``, or ``None`` where the issuer does not say.
    """

    principal: Principal
    expires_at: float
    issued_at: float
    token_id: str
    authenticated_at: float | None = None


class OidcVerifier:
    """Verifies tokens of the configured issuers, and of nobody else."""

    def __init__(self, issuers: Sequence[Issuer], fetch: Fetch, clock: Clock) -> None:
        self._clock = clock
        self._entries: dict[str, list[Issuer]] = {}
        for issuer in issuers:
            self._entries.setdefault(issuer.issuer, []).append(issuer)
        self._keys = {name: IssuerKeys(entries[0], fetch, clock) for name, entries in self._entries.items()}

    async def verify(self, token: str) -> VerifiedToken:
        """Checks signature and claims.

        Raises:
            IdentityError: ``missing``, ``oversized``, ``malformed``, ``wrong_type``, ``algorithm``,
                ``unknown_issuer``, ``issuer_unreachable``, ``unknown_key``, ``bad_signature``, ``expired``,
                ``not_yet_valid``, ``lifetime``, ``wrong_audience``, ``wrong_party``, ``claim_missing``,
                ``claim_refused`` or ``groups_overage``.
        """
        unverified = jws.read(token)
        _check_type(unverified)
        issuer = self._issuer(unverified)
        if unverified.algorithm not in issuer.algorithms:
            _refuse_algorithm()
        keys = await self._keys[issuer.issuer].candidates(unverified.kid, unverified.algorithm)
        claims = jws.verified_claims(unverified, keys, unverified.algorithm)
        expires_at, issued_at = _check_times(claims, issuer, self._clock())
        _check_audience(claims, issuer, is_access_token=unverified.type == "at+jwt")
        token_id = claims.get("jti")
        if not isinstance(token_id, str) or not token_id.isprintable():
            token_id = hashlib.sha256(token.encode()).hexdigest()
        authenticated_at = claim.timestamp(claims, "auth_time")
        return VerifiedToken(claim.principal(claims, issuer), expires_at, issued_at, token_id, authenticated_at)

    def _issuer(self, token: jws.Unverified) -> Issuer:
        """The entry that the token has to satisfy. Its own claims choose, but only between what is configured."""
        name = token.claims.get("iss")
        entries = self._entries.get(name) if isinstance(name, str) else None
        if not entries:
            raise IdentityError(
                "unknown_issuer",
                f"The token's issuer is none that this gateway trusts ({', '.join(self._entries)}). Sign in there.",
            )
        audience = _audience(token.claims)
        return next((entry for entry in entries if set(audience) & set(entry.audiences)), entries[0])


def _check_type(token: jws.Unverified) -> None:
    if token.algorithm not in ASYMMETRIC:
        _refuse_algorithm()
    if token.type not in _TYPES or not isinstance(token.header.get("typ", ""), str):
        refuse_type()
    if token.claims.keys() & _FOR_ANOTHER_PURPOSE:
        refuse_type()


def refuse_type() -> None:
    """Raises what a genuine token of another kind gets."""
    raise IdentityError(
        "wrong_type",
        "This token is made for another purpose than signing in. Sign in again, and use the ID token.",
    )


def _refuse_algorithm() -> None:
    raise IdentityError(
        "algorithm",
        "The token is not signed in a way that this gateway accepts from its issuer. Sign in again for a new "
        "one; if that does not help, have `algorithms` of the issuer in hoop.yaml checked.",
    )


def _check_times(claims: Mapping[str, Any], issuer: Issuer, now: float) -> tuple[float, float]:
    """``(when it is refused from, when it was issued)``."""
    leeway = issuer.leeway.total_seconds()
    expires_at, issued_at = claim.timestamp(claims, "exp"), claim.timestamp(claims, "iat")
    not_before = claim.timestamp(claims, "nbf")
    if expires_at is None or issued_at is None:
        raise IdentityError(
            "claim_missing",
            "The token does not say when it was issued and when it ends (`iat`, `exp`): use an ID token.",
        )
    if now >= expires_at + leeway:
        again = "Sign in again." if issuer.kind == "user" else "The workload has to fetch a new one."
        raise IdentityError("expired", f"Your login has expired, so hoop-mitm cannot let you in. {again}")
    if now + leeway < max(issued_at, not_before or 0):
        raise IdentityError(
            "not_yet_valid",
            "The token is not valid yet. Check the clock of this machine, of the gateway and of the identity provider.",
        )
    if not 0 < expires_at - issued_at <= issuer.max_lifetime.total_seconds():
        raise IdentityError(
            "lifetime",
            "The token is valid for longer than this gateway accepts (`max_lifetime`). "
            "Use a short-lived ID token, as a sign-in gives it.",
        )
    return expires_at + leeway, issued_at


def _audience(claims: Mapping[str, Any]) -> list[str]:
    audience = claims.get("aud")
    if isinstance(audience, str):
        return [audience]
    if isinstance(audience, list) and all(isinstance(item, str) for item in audience):
        return audience
    return []


def _check_audience(claims: Mapping[str, Any], issuer: Issuer, *, is_access_token: bool) -> None:
    audience = set(_audience(claims))
    if not audience & set(issuer.audiences):
        raise IdentityError(
            "wrong_audience",
            f"The token is meant for another application; this gateway needs the audience {issuer.audiences[0]}. "
            "Sign in again.",
        )
    accepted = {*issuer.audiences, *issuer.authorized_parties}
    parties = [claims[name] for name in ("azp", *(["client_id"] if is_access_token else [])) if name in claims]
    strangers = [party for party in parties if not isinstance(party, str) or party not in accepted]
    # OpenID Connect Core section 3.1.3.7: further audiences must be trusted, or the party must be named.
    if strangers or (audience - set(issuer.audiences) and not parties):
        raise IdentityError(
            "wrong_party",
            "The token was given to another application. Sign in again, or have that application's client id "
            "added to `authorized_parties` of the issuer in hoop.yaml.",
        )
