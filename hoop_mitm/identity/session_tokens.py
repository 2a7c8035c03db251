"""The gateway's own bearer tokens: what a client holds instead of a Google credential.

A JWT of type ``hoop-session+jwt``, signed with EdDSA by one of the gateway's keys. It is worth something to this
gateway only, for one connection when the client asked for one, and for a bounded time.

How long. A token lives for ``lifetime``, but not beyond the OIDC token that it was traded for, so that a login ends
when the identity provider says. Clients trade again when less than 5 minutes are left, and a token that is born with
less would be traded on every request: so at least ``FLOOR`` is granted. Trading a session token again (OAuth's
refresh) never reaches beyond what the first one was allowed.
"""

import base64
import ipaddress
import os
from collections.abc import Mapping
from typing import Any

import jwt
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from uuid_utils import uuid7

from hoop_mitm.config.model import SessionTokens as Settings
from hoop_mitm.errors import IdentityError
from hoop_mitm.identity import jws
from hoop_mitm.identity.clock import Clock
from hoop_mitm.identity.identified import Identified
from hoop_mitm.identity.keys import SigningKey, SigningKeys
from hoop_mitm.identity.principal import Principal

TYPE = "hoop-session+jwt"
FLOOR = 6 * 60.0
"""Seconds that a new token lives even when the OIDC token ends sooner."""

_ALGORITHM = "EdDSA"
_CLOCK_SKEW = 60.0
_NONCE_SIZE = 12
_NETWORK = {4: 24, 6: 64}


class SessionTokens:
    """Issues and verifies session tokens."""

    def __init__(self, keys: SigningKeys, settings: Settings, clock: Clock) -> None:
        self._keys = keys
        self._name = settings.name
        self._lifetime = settings.lifetime.total_seconds()
        self._bind = settings.bind_address
        self._clock = clock

    def issue(
        self, identified: Identified, *, seal_subject_token: bool = False, client_address: str = ""
    ) -> tuple[str, int]:
        """A token for the same principal, session and connection, and the seconds that it lives.

        Args:
            identified: what the client's token was verified to be.
            seal_subject_token: whether the OIDC token goes along, encrypted; only federation needs it.
            client_address: IP address of who asks for it, to bind it to where that is configured.

        Raises:
            IdentityError: ``oversized``, when a token with all that would not fit into a header; ``expired``.
        """
        now = int(self._clock())
        until = identified.renewable_until or max(identified.expires_at, now + min(FLOOR, self._lifetime))
        expires_at = int(min(now + self._lifetime, until))
        if expires_at <= now:
            raise _expired()
        key, token_id = self._keys.newest, str(uuid7())
        claims = {
            "iss": self._name,
            "aud": self._name,
            "jti": token_id,
            "iat": round(self._clock(), 3),  # To the millisecond: a revocation is between two tokens.
            "auth": identified.signed_in_at,
            "auth_time": identified.authenticated_at,
            "net": identified.network or network_of(client_address, self._bind),
            "exp": expires_at,
            "until": until,
            "con": identified.connection,
            "sid": identified.session_id,
            "sname": identified.session_name,
            **_claims_of(identified.principal),
        }
        if seal_subject_token and identified.subject_token:
            claims["sealed"] = _seal(key, token_id, identified.subject_token)
        token = jwt.encode(
            {name: value for name, value in claims.items() if value is not None},
            key.private,
            algorithm=_ALGORITHM,
            headers={"typ": TYPE, "kid": key.kid},
        )
        if len(token) > jws.MAX_SIZE:
            raise IdentityError(
                "oversized",
                "Your OIDC token is too large to be traded for a session of this gateway. Ask your identity "
                "provider's administrator to put fewer claims (usually groups) into it.",
            )
        return token, expires_at - now

    def verify(self, token: str) -> Identified:
        """What a session token says, if this gateway, or one that shares its keys, issued it.

        Raises:
            IdentityError: ``missing``, ``oversized``, ``malformed``, ``wrong_type``, ``algorithm``,
                ``foreign_gateway``, ``bad_signature``, ``not_yet_valid`` or ``expired``.
        """
        unverified = jws.read(token)
        if unverified.type != TYPE:
            raise IdentityError("wrong_type", "This is not a session token of hoop-mitm.")
        if unverified.algorithm != _ALGORITHM:
            raise IdentityError(
                "algorithm", "The session token is not signed as this gateway signs. Run the client again."
            )
        key = self._keys.get(unverified.kid)
        if key is None:
            raise _foreign()
        claims = jws.verified_claims(unverified, [_public(key)], _ALGORITHM)
        if claims.get("iss") != self._name or claims.get("aud") != self._name:
            raise _foreign()
        try:
            identified = _identified(key, claims)
            issued_at = identified.issued_at or 0.0
        except (KeyError, TypeError, ValueError):
            raise _foreign() from None  # Signed with our key, but by another version.
        now = self._clock()
        if now < issued_at - _CLOCK_SKEW:
            raise IdentityError("not_yet_valid", "The session token is from the future: check the gateway's clock.")
        if now >= identified.expires_at:
            raise _expired()
        return identified


def network_of(address: str, bind: str) -> str | None:
    """The addresses that a token for a client at ``address`` may be used from; ``None`` where it is not bound."""
    if bind == "off" or not address:
        return None
    ip = _ip(address)
    prefix = ip.max_prefixlen if bind == "address" else _NETWORK[ip.version]
    return str(ipaddress.ip_network(f"{ip}/{prefix}", strict=False))


def check_address(identified: Identified, client_address: str) -> None:
    """Lets a token pass that is not bound to addresses, or comes from one of them.

    Raises:
        IdentityError: ``wrong_address``.
    """
    if identified.network is None:
        return
    try:
        inside = _ip(client_address) in ipaddress.ip_network(identified.network)
    except ValueError:
        inside = False
    if not inside:
        raise IdentityError(
            "wrong_address",
            "Your session began at another network address, and this gateway binds sessions to theirs. Start the "
            "client again, so that it gets a new one here.",
        )


def _ip(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    ip = ipaddress.ip_address(address.partition("%")[0])
    return (ip.ipv4_mapped or ip) if isinstance(ip, ipaddress.IPv6Address) else ip


def is_session_token(token: jws.Unverified) -> bool:
    """Whether a token says that it is one of a gateway like this; decides only who has to verify it."""
    return token.type == TYPE


def _claims_of(principal: Principal) -> dict[str, Any]:
    return {
        "idp": principal.issuer,
        "sub": principal.subject,
        "email": principal.email,
        "groups": list(principal.groups),
        "kind": principal.kind,
    }


def _identified(key: SigningKey, claims: Mapping[str, Any]) -> Identified:
    return Identified(
        principal=_principal(claims),
        expires_at=float(claims["exp"]),
        session_id=claims.get("sid"),
        session_name=claims.get("sname"),
        connection=claims.get("con"),
        subject_token=_unseal(key, claims),
        renewable_until=float(claims["until"]),
        signed_in_at=float(claims.get("auth", 0.0)),
        authenticated_at=claims.get("auth_time"),
        issued_at=float(claims["iat"]),
        network=claims.get("net"),
    )


def _principal(claims: Mapping[str, Any]) -> Principal:
    return Principal(
        issuer=claims["idp"],
        subject=claims["sub"],
        email=claims.get("email"),
        groups=tuple(claims["groups"]),
        kind=claims["kind"],
    )


def _public(key: SigningKey) -> jwt.PyJWK:
    point = base64.urlsafe_b64encode(key.public.public_bytes_raw()).rstrip(b"=").decode()
    return jwt.PyJWK({"kty": "OKP", "crv": "Ed25519", "x": point}, algorithm=_ALGORITHM)


def _seal(key: SigningKey, token_id: str, secret: str) -> str:
    """AES-256-GCM, bound to the one token that carries it."""
    nonce = os.urandom(_NONCE_SIZE)
    sealed = nonce + AESGCM(key.sealing).encrypt(nonce, secret.encode(), token_id.encode())
    return base64.urlsafe_b64encode(sealed).decode()


def _unseal(key: SigningKey, claims: Mapping[str, Any]) -> str | None:
    if "sealed" not in claims:
        return None
    sealed = base64.urlsafe_b64decode(claims["sealed"])
    nonce, secret = sealed[:_NONCE_SIZE], sealed[_NONCE_SIZE:]
    try:
        return AESGCM(key.sealing).decrypt(nonce, secret, claims["jti"].encode()).decode()
    except InvalidTag:
        raise IdentityError(
            "bad_signature", "The session token does not hold together. Run the client again."
        ) from None


def _expired() -> IdentityError:
    return IdentityError("expired", "Your session with hoop-mitm has expired. Sign in again, then the client again.")


def _foreign() -> IdentityError:
    return IdentityError(
        "foreign_gateway",
        "The session token was issued by another hoop-mitm gateway, or by this one before its keys were replaced. "
        "Start the client again, so that it gets a new one here.",
    )
