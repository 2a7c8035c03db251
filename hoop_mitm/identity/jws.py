"""Compact JSON Web Signatures (RFC 7515): taken apart strictly, verified by PyJWT.

What is read before the signature was checked only ever chooses *how* to check it.
"""

import base64
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NoReturn

import jwt

from hoop_mitm.errors import IdentityError

MAX_SIZE = 64 * 1024
"""Bytes. No HTTP client sends a longer header; an issuer's largest tokens (many groups) are far below."""

_SHAPE = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]*)")


@dataclass(frozen=True, slots=True)
class Unverified:
    """The parts of a token before anybody vouched for them."""

    token: str = field(repr=False)
    header: dict[str, Any] = field(repr=False)
    claims: dict[str, Any] = field(repr=False)

    @property
    def algorithm(self) -> str:
        return _text(self.header.get("alg"))

    @property
    def type(self) -> str:
        """The media type in ``typ``, in lower case and without ``application/`` (RFC 7515 section 4.1.9)."""
        return _text(self.header.get("typ")).lower().removeprefix("application/")

    @property
    def kid(self) -> str | None:
        kid = self.header.get("kid")
        if kid is not None and not isinstance(kid, str):
            refuse_malformed()
        return kid


def read(token: str) -> Unverified:
    """Takes a token apart.

    Raises:
        IdentityError: ``missing``, ``oversized``, or ``malformed``: not three parts of clean base64url, not JSON
            objects without duplicate names, or extensions that must be understood (``crit``, RFC 7515 section 4.1.11).
    """
    if not token:
        raise IdentityError("missing", "The request carries no token. Sign in again and start the client again.")
    if len(token) > MAX_SIZE:
        raise IdentityError(
            "oversized",
            f"The token is larger than {MAX_SIZE // 1024} KiB. Ask your identity provider's administrator to put "
            "fewer claims (usually groups) into it.",
        )
    match = _SHAPE.fullmatch(token)
    if match is None:
        refuse_malformed()
    header, claims = (_object(_decoded(match[part])) for part in (1, 2))
    if header.keys() & {"crit", "b64", "zip"}:
        refuse_malformed()
    return Unverified(token, header, claims)


def verified_claims(token: Unverified, keys: Iterable[jwt.PyJWK], algorithm: str) -> dict[str, Any]:
    """The claims, vouched for by one of ``keys`` with exactly ``algorithm``.

    Raises:
        IdentityError: ``bad_signature``.
    """
    verifier = jwt.PyJWS(algorithms=[algorithm])
    for key in keys:
        try:
            return _object(verifier.decode(token.token, key, algorithms=[algorithm]))
        except (jwt.PyJWTError, ValueError, TypeError):
            continue
    raise IdentityError(
        "bad_signature",
        "The token's signature is not its issuer's: the token was changed or forged. Sign in again for a new one.",
    )


def refuse_malformed() -> NoReturn:
    """Raises what every token that is none gets."""
    raise IdentityError(
        "malformed",
        "What the request carries is not a valid OIDC token (a signed JWT). Sign in again, "
        "and start the client through hoop-mitm so that it uses the right credentials.",
    )


def _decoded(part: str) -> bytes:
    try:
        data = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except ValueError:
        refuse_malformed()
    if base64.urlsafe_b64encode(data).rstrip(b"=").decode() != part:
        refuse_malformed()  # Stray bits at the end: two spellings of one token.
    return data


def _object(data: bytes) -> dict[str, Any]:
    try:
        value = json.loads(data.decode(), object_pairs_hook=_without_duplicates, parse_constant=_not_json)
    except (ValueError, RecursionError):
        refuse_malformed()
    if not isinstance(value, dict):
        refuse_malformed()
    return value


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = dict(pairs)
    if len(names) != len(pairs):
        raise ValueError("a name is there twice")
    return names


def _not_json(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
