"""Signing in, by the way that fits, and signing out again."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from requests import RequestException, codes

from hoop_mitm.errors import LoginError
from hoop_mitm.identity import Principal
from hoop_mitm.login import browser, device
from hoop_mitm.login.id_token import accept
from hoop_mitm.login.profile import ClientProfile
from hoop_mitm.login.provider import Provider
from hoop_mitm.login.store import Kind, Tokens, TokenStore

type Way = Literal["browser", "device"]


@dataclass(frozen=True, slots=True)
class SignedIn:
    """Who has signed in, with what, and where it is kept."""

    principal: Principal
    tokens: Tokens
    kept: Kind


@dataclass(frozen=True, slots=True)
class Shown:
    """How the person is told what to do: an address in a browser here, or a code for a browser anywhere."""

    address: Callable[[str, bool], None]
    code: Callable[[device.Code], None]


def sign_in(profile: ClientProfile, shown: Shown, *, way: Way | None = None, store: Kind | None = None) -> SignedIn:
    """Signs a person in and keeps the tokens.

    Raises:
        LoginError: it did not succeed; the message says why, and what to do.
        Unreachable: the issuer does not answer.
        ConfigError: the tokens cannot be kept.
    """
    provider = Provider(profile)
    nonce = None
    if (way or _fitting(provider)) == "browser":
        answer, nonce = browser.sign_in(provider, shown.address)
    else:
        answer = device.sign_in(provider, shown.code)
    id_token, refresh_token = answer.get("id_token"), answer.get("refresh_token")
    if not isinstance(id_token, str):
        raise LoginError(
            f"{profile.issuer} gave no ID token. Have `scopes` in the client file checked; they need `openid`."
        )
    tokens, principal = accept(
        provider, id_token, refresh_token if isinstance(refresh_token, str) else None, nonce=nonce
    )
    keeper = TokenStore(profile)
    with keeper.locked():
        kept = keeper.save(tokens, store)
    return SignedIn(principal, tokens, kept)


def _fitting(provider: Provider) -> Way:
    offer = provider.offer
    if offer.authorization_endpoint and browser.is_there():
        return "browser"
    if offer.device_endpoint:
        return "device"
    if offer.authorization_endpoint:
        return "browser"
    raise LoginError(
        f"{offer.issuer} offers neither the device flow nor sign-in with a browser, so nobody can sign in there from a "
        "terminal. It may be an issuer for machines."
    )


def revoke(profile: ClientProfile, tokens: Tokens) -> bool:
    """Ends the login at the issuer (RFC 7009); ``False`` when it offers no way to, or there is nothing to end.

    Raises:
        LoginError: it refuses.
        Unreachable: it does not answer.
    """
    provider = Provider(profile)
    endpoint = provider.offer.revocation_endpoint
    if endpoint is None or tokens.refresh_token is None:
        return False
    try:
        answer = provider.client().revoke_token(endpoint, tokens.refresh_token, token_type_hint="refresh_token")  # type: ignore[no-untyped-call] # noqa: S106 - a name
    except RequestException as error:
        raise provider.unreachable(error) from None
    if answer.status_code >= codes.server_error:
        raise provider.unreachable()
    if answer.status_code != codes.ok:
        raise provider.refused("unsupported_token_type")
    return True
