"""The client's side of signing in: who the issuer is, how a person signs in there, and where the tokens are kept.

Knows OAuth through Authlib, the OS keyring, a browser, and one file (`ClientProfile`). Knows nothing of the gateway's
inside; with the gateway it talks as any client does.

The names are imported when they are first used: `fresh_id_token` is called by other programs, often.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hoop_mitm.login.fresh import fresh_id_token, tokens_of
    from hoop_mitm.login.profile import ClientProfile, GatewayPlace, default_file, load_profile
    from hoop_mitm.login.store import Tokens, TokenStore

__all__ = [
    "ClientProfile",
    "GatewayPlace",
    "TokenStore",
    "Tokens",
    "default_file",
    "fresh_id_token",
    "load_profile",
    "tokens_of",
]

_HOMES = {
    "ClientProfile": "profile",
    "GatewayPlace": "profile",
    "TokenStore": "store",
    "Tokens": "store",
    "default_file": "profile",
    "fresh_id_token": "fresh",
    "load_profile": "profile",
    "tokens_of": "fresh",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
