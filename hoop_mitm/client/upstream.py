"""The company's own proxy, as an environment names it: what was set before the gateway was."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from hoop_mitm.client.probe import address_of
from hoop_mitm.errors import ConfigError

# Lower case first, as most programs read them.
_PROXY_VARIABLES = ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")


@dataclass(frozen=True, slots=True)
class Upstream:
    """The company's own proxy, as an environment names it. Its address may hold a password."""

    url: str
    no_proxy: tuple[str, ...]

    def __repr__(self) -> str:
        return f"Upstream({self.shown})"

    @property
    def shown(self) -> str:
        """Host and port."""
        return "{}:{}".format(*address_of(self.url))


def upstream_of(existing: Mapping[str, str], gateway_url: str) -> Upstream | None:
    """The proxy that an environment names, unless that is the gateway itself.

    Raises:
        ConfigError: it is of a kind that the gateway cannot go through.
    """
    url = next((existing[name] for name in _PROXY_VARIABLES if existing.get(name)), None)
    if url is None:
        return None
    url = url if "://" in url else f"http://{url}"
    if urlsplit(url).scheme not in ("http", "https"):
        raise ConfigError(
            f"the proxy that is set here is of the kind {urlsplit(url).scheme}, which the gateway cannot go through. "
            "Set an http:// one, or none, for this command"
        )
    if address_of(url) == address_of(gateway_url):
        return None
    entries = [entry.strip() for entry in existing.get("no_proxy", existing.get("NO_PROXY", "")).split(",")]
    return Upstream(url.rstrip("/"), tuple(entry for entry in entries if entry and entry != "*"))
