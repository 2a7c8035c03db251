"""A fresh ID token whenever somebody needs one: refreshed before it ends, once, however many ask."""

import time

from hoop_mitm.errors import LoginError, Unreachable
from hoop_mitm.identity.clock import Clock
from hoop_mitm.login.profile import ClientProfile
from hoop_mitm.login.store import Tokens, TokenStore

MARGIN = 120.0
"""Seconds before its end from which an ID token is renewed; a third of its life, when that is shorter."""


def fresh_id_token(profile: ClientProfile) -> str:
    """An ID token of the person who is signed in, good for a while yet.

    Raises:
        LoginError: nobody is signed in, or the login is over.
        Unreachable: it has to be renewed, and the issuer does not answer.
        ConfigError: the tokens cannot be read or kept.
    """
    return tokens_of(profile).id_token


def tokens_of(profile: ClientProfile, *, clock: Clock = time.time) -> Tokens:
    """As :func:`fresh_id_token`: the token with the time of its end."""
    store = TokenStore(profile)
    tokens = store.load()
    if tokens and _is_fresh(tokens, clock()):
        return tokens
    with store.locked():
        tokens = store.load()  # Another process may have renewed it while this one waited.
        if tokens is None:
            raise LoginError(f"You are not signed in at {profile.issuer}. Run `hoop-mitm login`.")
        if _is_fresh(tokens, clock()):
            return tokens
        return _renewed(profile, store, tokens, clock)


def _is_fresh(tokens: Tokens, now: float) -> bool:
    life = max(0.0, tokens.expires_at - tokens.issued_at)
    return now < tokens.expires_at - min(MARGIN, life / 3)


def _renewed(profile: ClientProfile, store: TokenStore, tokens: Tokens, clock: Clock) -> Tokens:
    still_good = clock() < tokens.expires_at
    if tokens.refresh_token is None:
        if still_good:
            return tokens
        raise LoginError(
            f"Your login at {profile.issuer} has ended, and it gave nothing to renew it with (usually the scope "
            "`offline_access`). Run `hoop-mitm login`."
        )
    try:
        return _refreshed(profile, store, tokens, clock)
    except Unreachable:
        if still_good:
            return tokens
        raise


def _refreshed(profile: ClientProfile, store: TokenStore, tokens: Tokens, clock: Clock) -> Tokens:
    from hoop_mitm.identity.jws import read
    from hoop_mitm.login.id_token import accept
    from hoop_mitm.login.provider import Provider

    provider = Provider(profile)
    client = provider.client()
    answer = provider.asked(
        lambda: client.refresh_token(provider.offer.token_endpoint, refresh_token=tokens.refresh_token)
    )
    if not isinstance(answer.get("id_token"), str):
        raise LoginError(f"{profile.issuer} renews logins without an ID token. Run `hoop-mitm login`.")
    renewed, principal = accept(provider, answer["id_token"], answer.get("refresh_token"), clock=clock)
    if principal.subject != read(tokens.id_token).claims.get("sub"):
        # OpenID Connect Core section 12.2.
        raise LoginError(f"{profile.issuer} renewed your login as somebody else's. Run `hoop-mitm login`.")
    store.save(renewed)
    return renewed
