"""An ID token that a sign-in gave, checked in full before it is believed: by the same code as the gateway's."""

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

from hoop_mitm.config.model import Issuer
from hoop_mitm.errors import IdentityError, LoginError, Unreachable
from hoop_mitm.identity import Principal
from hoop_mitm.identity.claims import principal
from hoop_mitm.identity.clock import Clock
from hoop_mitm.identity.jws import read
from hoop_mitm.identity.oidc import ASYMMETRIC, OidcVerifier
from hoop_mitm.login.profile import ClientProfile
from hoop_mitm.login.provider import Provider
from hoop_mitm.login.store import Tokens

_IN_WORDS = {
    "not_yet_valid": "The clocks of this machine and of the identity provider differ: its token is from the future. "
    "Set this machine's clock (it is now {now} UTC here), then run `hoop-mitm login` again.",
    "expired": "The clocks of this machine and of the identity provider differ: its new token has expired already. "
    "Set this machine's clock (it is now {now} UTC here), then run `hoop-mitm login` again.",
    "wrong_audience": "The identity provider gave a token for another application than {client}. Have `client_id` in "
    "the client file, and the application at {issuer}, checked.",
    "wrong_party": "The identity provider gave the token to another application than {client}. Have `client_id` in "
    "the client file, and the application at {issuer}, checked.",
}


def accept(
    provider: Provider, id_token: str, refresh_token: str | None, *, nonce: str | None = None, clock: Clock = time.time
) -> tuple[Tokens, Principal]:
    """The tokens of a sign-in, once they are found to be good.

    Args:
        provider: who gave them.
        id_token: what is checked.
        refresh_token: goes along.
        nonce: what the ID token must repeat, when one was sent (OpenID Connect Core section 3.1.3.7, 11).
        clock: the time.

    Raises:
        LoginError: the token is not good; the message says what to do.
        Unreachable: the issuer's keys cannot be read.
    """
    profile, offer = provider.profile, provider.offer

    async def fetch(url: str, ca: Path | None) -> bytes:
        return provider.fetch(url, ca)

    issuer = _issuer(profile, offer.algorithms)
    try:
        verified = asyncio.run(OidcVerifier([issuer], fetch, clock).verify(id_token))
    except IdentityError as error:
        raise _in_words(error, provider, clock) from None
    claims = read(id_token).claims
    if nonce is not None and claims.get("nonce") != nonce:
        raise LoginError("The token is not the answer to this sign-in (another `nonce`). Run `hoop-mitm login` again.")
    expires_at = float(claims["exp"])
    return Tokens(id_token, expires_at, verified.issued_at, refresh_token), verified.principal


def principal_of(profile: ClientProfile, id_token: str) -> Principal:
    """Whose an ID token is that was accepted before.

    Raises:
        LoginError: it does not say what is needed.
    """
    try:
        return principal(read(id_token).claims, _issuer(profile, ()))
    except IdentityError as error:
        raise LoginError(str(error)) from None


def _issuer(profile: ClientProfile, algorithms: Sequence[str]) -> Issuer:
    # As the gateway's configuration has it, without the tenant that it would ask for: the client's application is one.
    return Issuer.model_construct(
        issuer=profile.issuer,
        audiences=(profile.client_id,),
        # What it says it signs with, but never none, nor a secret that is shared with all installations.
        algorithms=tuple(name for name in algorithms if name in ASYMMETRIC),
        claims=profile.claims,
        # Too many groups for a token are the gateway's to judge: it may know them from elsewhere.
        groups={profile.client_id: ()},
    )


def _in_words(error: IdentityError, provider: Provider, clock: Clock) -> LoginError:
    profile = provider.profile
    if error.reason == "issuer_unreachable":
        return Unreachable(
            f"The keys of the identity provider {profile.issuer} cannot be read, so its token cannot be checked. "
            "Try again later."
        )
    now = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(clock()))
    text = _IN_WORDS.get(error.reason, str(error))
    return LoginError(text.format(client=profile.client_id, issuer=profile.issuer, now=now))
