"""Under which names BigQuery is reached: which are served, and which are refused in words."""

import re
from collections.abc import Collection
from typing import Final, Literal

from hoop_mitm.bigquery.methods import DISCOVERY

type Api = Literal["rest", "storage"]

REST_HOST: Final = "bigquery.googleapis.com"
STORAGE_HOST: Final = "bigquerystorage.googleapis.com"
LEGACY_HOST: Final = "www.googleapis.com"

LOCATIONS: Final = (*DISCOVERY.locations, "eu", "us")
"""Where BigQuery has an address of its own: the regions of its discovery document, and the two multi-regions."""


def _located(api: str) -> frozenset[str]:
    """An API's regional names, and the older locational ones."""
    return frozenset(
        name for place in LOCATIONS for name in (f"{api}.{place}.rep.googleapis.com", f"{place}-{api}.googleapis.com")
    )


REST_HOSTS: Final = frozenset({REST_HOST, LEGACY_HOST}) | _located("bigquery")
STORAGE_HOSTS: Final = frozenset({STORAGE_HOST}) | _located("bigquerystorage")

BIGQUERY_HOSTS: Final = REST_HOSTS | STORAGE_HOSTS
"""The hosts that have doors, and so the only ones, with private ones that hoop.yaml names, that a credential may go to."""

_MTLS: Final = frozenset({"bigquery.mtls.googleapis.com", "bigquerystorage.mtls.googleapis.com"})
_SISTERS: Final = frozenset(
    f"bigquery{name}.googleapis.com"
    for name in ("connection", "datapolicy", "datatransfer", "migration", "reservation")
)

REFUSED_HOSTS: Final = _MTLS | _SISTERS
"""Hosts that are answered, so that the client's user reads why, and never forwarded to."""

TOKEN_HOSTS: Final = frozenset({"sts.googleapis.com", "oauth2.googleapis.com", "iamcredentials.googleapis.com"})
"""Hosts whose few paths are answered by the gateway itself."""

INTERCEPTED_HOSTS: Final = BIGQUERY_HOSTS | REFUSED_HOSTS | TOKEN_HOSTS

PRIVATE: Final = re.compile(r"(bigquery|bigquerystorage)-[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.p\.googleapis\.com")
"""The names that Private Service Connect gives: the ending is each company's own choice."""


_GOOGLES: Final = (".googleapis.com", ".clients6.google.com")
"""Endings of the names of Google's APIs, the second for browsers."""


def is_bigquery_host(host: str) -> bool:
    """Whether a name, in any spelling, leads to BigQuery or one of its sister APIs.

    Wider than what is served on purpose: a name that is not must not be tunnelled past the gateway either.
    """
    name = host.lower().rstrip(".")
    return (
        name in BIGQUERY_HOSTS or name == "www.mtls.googleapis.com" or (name.endswith(_GOOGLES) and "bigquery" in name)
    )


def api_of(host: str, private: Collection[str] = ()) -> Api | None:
    """Which API answers at a host; ``None`` where none is served.

    Args:
        host: lower case, without a port.
        private: names of Private Service Connect that are served besides Google's public ones.
    """
    if host in REST_HOSTS:
        return "rest"
    if host in STORAGE_HOSTS:
        return "storage"
    if host in private and (match := PRIVATE.fullmatch(host)):
        return "rest" if match[1] == "bigquery" else "storage"
    return None


def why_refused(host: str) -> str:
    """What to tell about a host of BigQuery's that is not served."""
    if ".mtls." in host:
        return (
            "it asks for a certificate of the client's own, which the gateway cannot pass on. "
            "Set GOOGLE_API_USE_MTLS_ENDPOINT=never and GOOGLE_API_USE_CLIENT_CERTIFICATE=false."
        )
    if host in _SISTERS:
        return f"it is another API. Use {REST_HOST}."
    if PRIVATE.fullmatch(host):
        return "it is a private name that the gateway's owner must list under gateway.private_hosts in hoop.yaml."
    return f"it is not one of BigQuery's names that the gateway knows. Use {REST_HOST}."
