"""Signing out, as far as everybody can be told; the tokens here go in any case."""

from contextlib import suppress
from dataclasses import dataclass

from hoop_mitm.errors import HoopError, LoginError, Unreachable
from hoop_mitm.login import gateway
from hoop_mitm.login.fresh import tokens_of
from hoop_mitm.login.profile import ClientProfile
from hoop_mitm.login.signing_in import revoke
from hoop_mitm.login.store import Tokens, TokenStore


@dataclass(frozen=True, slots=True)
class SignedOut:
    """What was done: ``everywhere`` is ``False`` when somebody could not be told; ``said`` is for the person."""

    everywhere: bool
    said: tuple[str, ...]


def sign_out(profile: ClientProfile) -> SignedOut:
    """Ends the login at the gateway and at the issuer, and deletes the tokens.

    Raises:
        ConfigError: the tokens cannot be deleted.
    """
    store = TokenStore(profile)
    with suppress(HoopError):
        tokens_of(profile)  # The gateway heeds a token that is still good only.
    with store.locked():
        try:
            tokens = store.load()
        except HoopError:
            tokens = None  # Others could read them, or nobody can: they go.
            store.delete()
            return SignedOut(everywhere=False, said=("Your tokens could not be read and are deleted.",))
        store.delete()
    if tokens is None:
        return SignedOut(everywhere=True, said=("You were not signed in.",))
    told = [_at_the_gateway(profile, tokens), _at_the_issuer(profile, tokens)]
    said = ["You are signed out; your tokens are deleted.", *(text for _, text in told if text)]
    return SignedOut(everywhere=all(done for done, _ in told), said=tuple(said))


def _at_the_gateway(profile: ClientProfile, tokens: Tokens) -> tuple[bool, str]:
    try:
        gateway.sign_out(profile, tokens.id_token)
    except Unreachable as error:
        return False, f"The gateway could not be told, so sessions with it end by themselves, within the hour. {error}"
    return True, ""


def _at_the_issuer(profile: ClientProfile, tokens: Tokens) -> tuple[bool, str]:
    try:
        revoke(profile, tokens)
    except LoginError as error:
        return False, f"The login could not be ended at the identity provider. {error}"
    return True, ""
