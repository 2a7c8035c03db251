"""Real components on loopback, for the sandbox, the demo, tests, and whoever wants to try.

``World`` is all of them together: an OIDC issuer, Google's token endpoints and a BigQuery, under Google's own
host names. It may use any room of hoop-mitm but the addons: a gateway is a process that it knows nothing of.
The names are imported when they are asked for, because TLS servers and gRPC take a second to load.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hoop_mitm.devkit.bigquery import BigQuery
    from hoop_mitm.devkit.google import GoogleTokens
    from hoop_mitm.devkit.issuer import Issuer, User
    from hoop_mitm.devkit.visitors import SeenRequest
    from hoop_mitm.devkit.world import World

__all__ = ["BigQuery", "GoogleTokens", "Issuer", "SeenRequest", "User", "World"]

_HOMES = {
    "BigQuery": "bigquery",
    "GoogleTokens": "google",
    "Issuer": "issuer",
    "SeenRequest": "visitors",
    "User": "issuer",
    "World": "world",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
