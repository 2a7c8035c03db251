"""Who asks: OIDC tokens, the gateway's own session tokens, their exchange, and sessions.

Knows OIDC and OAuth; knows nothing of mitmproxy, of HTTP servers or of BigQuery. What it needs of the world comes in
as interfaces: a ``Fetch`` for issuers' documents, a ``Clock``, and the configuration.

The names are imported when they are first used: most of hoop-mitm needs only ``Principal`` and ``Session``, and the
cryptography behind the others takes a fifth of a second to import.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from hoop_mitm.identity.principal import Principal
from hoop_mitm.identity.program import Process, Program
from hoop_mitm.identity.session import Session

if TYPE_CHECKING:
    from hoop_mitm.identity.audience import Audience, audience_for, parse_audience
    from hoop_mitm.identity.authenticator import Authenticator
    from hoop_mitm.identity.carriers import bearer_of, proxy_bearer_of
    from hoop_mitm.identity.clock import Clock
    from hoop_mitm.identity.exchange import Answer, TokenExchange
    from hoop_mitm.identity.identified import Identified
    from hoop_mitm.identity.issuer_keys import Fetch
    from hoop_mitm.identity.keys import SigningKeys
    from hoop_mitm.identity.oidc import OidcVerifier, VerifiedToken
    from hoop_mitm.identity.revocations import Revocation, Revocations
    from hoop_mitm.identity.session_tokens import SessionTokens
    from hoop_mitm.identity.sessions import Sessions

__all__ = [
    "Answer",
    "Audience",
    "Authenticator",
    "Clock",
    "Fetch",
    "Identified",
    "OidcVerifier",
    "Principal",
    "Process",
    "Program",
    "Revocation",
    "Revocations",
    "Session",
    "SessionTokens",
    "Sessions",
    "SigningKeys",
    "TokenExchange",
    "VerifiedToken",
    "audience_for",
    "bearer_of",
    "parse_audience",
    "proxy_bearer_of",
]

_HOMES = {
    "Answer": "exchange",
    "Audience": "audience",
    "Authenticator": "authenticator",
    "Clock": "clock",
    "Fetch": "issuer_keys",
    "Identified": "identified",
    "OidcVerifier": "oidc",
    "Revocation": "revocations",
    "Revocations": "revocations",
    "SessionTokens": "session_tokens",
    "Sessions": "sessions",
    "SigningKeys": "keys",
    "TokenExchange": "exchange",
    "VerifiedToken": "oidc",
    "audience_for": "audience",
    "bearer_of": "carriers",
    "parse_audience": "audience",
    "proxy_bearer_of": "carriers",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
