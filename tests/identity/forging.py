"""What attackers' tools do to tokens, and careful libraries refuse to."""

import base64
import hashlib
import hmac
import json
from typing import Any

import jwt


def encoded(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).rstrip(b"=").decode()


def assembled(header: object, claims: object, signature: bytes = b"x" * 256) -> str:
    """A token of these parts, whether they make sense or not."""
    parts = (part if isinstance(part, bytes) else json.dumps(part).encode() for part in (header, claims, signature))
    return ".".join(map(encoded, parts))


def signed_with(private: Any, header: bytes, claims: bytes) -> str:
    """A token whose parts are exactly these bytes, with a genuine RS256 signature."""
    unsigned = assembled(header, claims, b"").rstrip(".")
    algorithm = jwt.algorithms.RSAAlgorithm(jwt.algorithms.RSAAlgorithm.SHA256)
    return f"{unsigned}.{encoded(algorithm.sign(unsigned.encode(), private))}"


def hmac_with(secret: bytes, header: dict[str, Any], claims: dict[str, Any]) -> str:
    """PyJWT refuses to sign with a public key as HMAC secret, as attackers' tools do not."""
    unsigned = assembled(header, claims, b"").rstrip(".")
    return f"{unsigned}.{encoded(hmac.digest(secret, unsigned.encode(), hashlib.sha256))}"


def cut(token: str, part: int, replacement: str) -> str:
    parts = token.split(".")
    parts[part] = replacement
    return ".".join(parts)


def reclaimed(token: str, **changes: Any) -> str:
    """The same header and signature over other claims."""
    payload = token.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))) | changes
    return cut(token, 1, encoded(json.dumps(claims).encode()))
