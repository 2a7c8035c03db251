"""What the verified claims of an OIDC token say about who asks.

The signature holds by now; here the issuer's configuration says which claims mean what, and which must be there.
"""

from collections.abc import Mapping
from typing import Any

from hoop_mitm.config.model import Issuer
from hoop_mitm.errors import IdentityError
from hoop_mitm.identity.principal import Principal

_END_OF_TIME = 2.0**53  # Beyond it, floats skip seconds; and JSON numbers can be infinite.


def principal(claims: Mapping[str, Any], issuer: Issuer) -> Principal:
    """The principal that the claims describe.

    Raises:
        IdentityError: ``claim_missing``, when a claim that is needed is absent or unreadable; ``claim_refused``, when
            it has another value; ``groups_overage``, when the groups are too many for the token.
    """
    subject = _printable(claims.get("sub"))
    if subject is None:
        raise IdentityError("claim_missing", f"The token does not say whose it is (`sub`). {_administrator(issuer)}")
    email = _email(claims, issuer)
    _check_required(claims, issuer, email)
    return Principal(
        issuer=issuer.issuer, subject=subject, email=email, groups=_groups(claims, issuer, email), kind=issuer.kind
    )


def timestamp(claims: Mapping[str, Any], name: str) -> float | None:
    """A NumericDate (RFC 7519 section 2), or ``None`` when the claim is absent.

    Raises:
        IdentityError: ``malformed``, when it is no number that can be a time.
    """
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _END_OF_TIME:
        raise IdentityError("malformed", f"The token's `{name}` is not a time. Sign in again for a new token.")
    return float(value)


def lookup(claims: Mapping[str, Any], name: str) -> Any:
    """A claim by its whole name, else by a dotted path into objects; ``None`` when there is none.

    Names may have dots of their own: ``kubernetes.io.namespace`` is ``namespace`` in ``kubernetes.io``. Where a path can
    be read in several ways, the longest first name holds.
    """
    if name in claims:
        return claims[name]
    parts = name.split(".")
    for length in range(len(parts) - 1, 0, -1):
        inner = claims.get(".".join(parts[:length]))
        if isinstance(inner, Mapping):
            return lookup(inner, ".".join(parts[length:]))
    return None


def _email(claims: Mapping[str, Any], issuer: Issuer) -> str | None:
    email = _printable(lookup(claims, issuer.claims.email))
    # OpenID Connect Core section 5.1: whoever may write any address into their profile must not become its owner.
    # An issuer that does not say `email_verified` at all vouches for its addresses itself.
    if issuer.claims.email == "email" and claims.get("email_verified", True) not in (True, "true"):
        return None
    return email


def _groups(claims: Mapping[str, Any], issuer: Issuer, email: str | None) -> tuple[str, ...]:
    mapped = {group for address, groups in issuer.groups.items() if _same(address, email) for group in groups}
    said = lookup(claims, issuer.claims.groups)
    if said is None and not issuer.groups and _has_overage(claims, issuer.claims.groups):
        raise IdentityError(
            "groups_overage",
            "You are in more groups than your identity provider puts into a token, so the gateway does not know them. "
            "Ask its administrator to send only the groups that are assigned to the application, or whoever runs the "
            "gateway to list them by e-mail in hoop.yaml.",
        )
    if isinstance(said, str):
        said = [said]
    if said is None:
        said = []
    if not isinstance(said, list) or any(_printable(group) is None for group in said):
        raise IdentityError(
            "claim_missing", f"The token's `{issuer.claims.groups}` is not a list of names. {_administrator(issuer)}"
        )
    return tuple(sorted(mapped.union(said)))


def _has_overage(claims: Mapping[str, Any], name: str) -> bool:
    """Whether the issuer left the groups out because there are too many (Microsoft Entra's overage claims)."""
    elsewhere = claims.get("_claim_names")
    return claims.get("hasgroups") in (True, "true") or (isinstance(elsewhere, Mapping) and name in elsewhere)


def _check_required(claims: Mapping[str, Any], issuer: Issuer, email: str | None) -> None:
    for name, accepted in issuer.require.items():
        value = email if name == issuer.claims.email else lookup(claims, name)
        values = value if isinstance(value, list) else [value]
        if not any(_as_text(item) in accepted for item in values):
            raise IdentityError(
                "claim_missing" if value is None else "claim_refused",
                f"The gateway accepts tokens of {issuer.issuer} only with certain values of `{name}`, and yours has "
                f"{'none' if value is None else 'another'}. Sign in with your company account; if you did, tell whoever "
                "runs the gateway.",
            )


def _as_text(value: object) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, str | int) else None


def _printable(value: object) -> str | None:
    """A text that can stand in a log or on a terminal without steering it."""
    return value if isinstance(value, str) and value and value.isprintable() else None


def _same(address: str, email: str | None) -> bool:
    """Addresses are compared without case only where that is certain: beyond ASCII, look-alikes fold together."""
    if email is None:
        return False
    return address == email or (address.isascii() and email.isascii() and address.lower() == email.lower())


def _administrator(issuer: Issuer) -> str:
    return f"Ask the administrator of {issuer.issuer} to put it into the token."
