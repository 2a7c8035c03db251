"""The headers that carry a token."""

import base64
import re

_BEARER = re.compile(r"bearer +([!-~]+)", re.IGNORECASE)
_BASIC = re.compile(r"basic +([A-Za-z0-9+/]+={0,2})", re.IGNORECASE)


def bearer_of(authorization: str | None) -> str | None:
    """The token of a ``Bearer`` header (RFC 6750), or ``None`` for anything else. Blanks around it are forgiven."""
    match = _BEARER.fullmatch((authorization or "").strip(" \t"))
    return match[1] if match else None


def proxy_bearer_of(proxy_authorization: str | None) -> str | None:
    """The token of a ``Proxy-Authorization`` header: ``Bearer TOKEN``, or ``Basic`` with any user and the token as password.

    ``None`` for anything else, and for an empty password.
    """
    if token := bearer_of(proxy_authorization):
        return token
    match = _BASIC.fullmatch((proxy_authorization or "").strip(" \t"))
    if match is None:
        return None
    try:
        decoded = base64.b64decode(match[1], validate=True).decode("ascii")
    except ValueError:
        return None
    password = decoded.partition(":")[2]
    return password or None
