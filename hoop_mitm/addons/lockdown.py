"""Options that would undo a promise are locked, at start and on every change."""

from collections.abc import Set as AbstractSet
from typing import Any

from mitmproxy import ctx, exceptions

from hoop_mitm.addons.endpoint import mode_of
from hoop_mitm.addons.failsafe import Addon
from hoop_mitm.config import Config, is_loopback

FREE = frozenset(
    {
        "cert_passphrase",
        "client_certs",
        "connect_addr",
        "content_view_lines_cutoff",
        "dns_name_servers",
        "dns_use_hosts_file",
        "dumper_default_contentview",
        "dumper_filter",
        "hoop_config",
        "http2_ping_keepalive",
        "http_connect_send_host_header",
        "keepserving",
        "key_size",
        "listen_host",
        "listen_port",
        "readfile_filter",
        "scripts",
        "tcp_timeout",
    }
)
"""Options that a user may set as they like. Every other one, also one that a later mitmproxy adds, must stand at its
default or at the value that we need."""

VERBOSITY = frozenset({"error", "warn", "alert", "info"})
"""Log levels that never hold a header or a body."""


def required(config: Config) -> dict[str, Any]:
    """The values that the gateway needs, by option."""
    upstream = config.gateway.upstream
    needs: dict[str, Any] = {
        "confdir": str(config.gateway.certs),
        # A credential must not be decided on after the connection to Google stands; lazy also lets hosts be answered here.
        "connection_strategy": "lazy",
        "upstream_cert": False,
        # Raw bytes after CONNECT would be tunnelled.
        "rawtcp": False,
        "http3": False,
        "websocket": False,
        "onboarding": False,
        # Level 2 and up prints headers, and so the credential.
        "flow_detail": 0,
        "ssl_verify_upstream_trusted_ca": str(upstream.ca) if upstream.ca else None,
    }
    if upstream.proxy:
        address, authorization = split_proxy(upstream.proxy)
        needs |= {"mode": [f"upstream:{address}"], "upstream_auth": authorization}
    if endpoint := mode_of(config.gateway):
        needs["mode"] = [*needs.get("mode", ["regular"]), endpoint]
    return needs


def split_proxy(proxy: str) -> tuple[str, str | None]:
    """``http://user:password@host:port`` as (``http://host:port``, ``user:password``)."""
    scheme, _, rest = proxy.partition("://")
    authorization, at, address = rest.rpartition("@")
    return f"{scheme}://{address.rstrip('/')}", authorization if at else None


class Lockdown(Addon):
    """Puts the options that we need in place, and refuses every change that could undo them.

    mitmproxy takes back an option whose change an addon refuses; at start it ends instead.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._required = required(config)

    def engage(self) -> None:
        """Checks what is set already, then sets what we need.

        Raises:
            OptionsError: an option is set in a way that the gateway cannot work with.
        """
        for name in ctx.options.keys():  # noqa: SIM118 - its options are no dict
            self._check(name, at_start=True)
        # Our own entry point has no dumper, and so none of its options.
        needs = {name: value for name, value in self._required.items() if name in ctx.options}
        host, port = self._config.gateway.address
        if not ctx.options.listen_host:
            needs["listen_host"] = host
        if ctx.options.listen_port is None:
            needs["listen_port"] = port
        self._check_listen(needs.get("listen_host", ctx.options.listen_host))
        ctx.options.update(**needs)

    def configure(self, updated: AbstractSet[str]) -> None:
        for name in updated:
            self._check(name)
        if "listen_host" in updated:
            self._check_listen(ctx.options.listen_host)

    def _check(self, name: str, *, at_start: bool = False) -> None:
        # At the start it only says where config.yaml was read from; then it becomes the directory of our CA.
        if name in FREE or (at_start and name == "confdir"):
            return
        value, default = getattr(ctx.options, name), ctx.options.default(name)
        if name == "termlog_verbosity":
            if value not in VERBOSITY:
                raise exceptions.OptionsError(
                    f"hoop-mitm locks termlog_verbosity={value}: that level logs what must stay secret. "
                    f"Use one of {', '.join(sorted(VERBOSITY))}."
                )
            return
        allowed = [self._required.get(name, default)]
        if at_start:
            allowed.append(default)
        if value not in allowed and list_of(value) not in map(list_of, allowed):
            raise exceptions.OptionsError(
                f"hoop-mitm locks the option {name}: another value could send traffic around the gateway's checks. "
                f"Remove it from the command line and from mitmproxy's config.yaml."
            )

    def _check_listen(self, host: str) -> None:
        if self._config.gateway.others == "tunnel" and not is_loopback(host):
            raise exceptions.OptionsError(
                f"hoop-mitm would listen on {host or 'every address'} and tunnel to any host: that is an open proxy. "
                "Set `gateway.others: refuse` in hoop.yaml, or listen on 127.0.0.1."
            )


def list_of(value: Any) -> Any:
    """Sequences compare by their members: mitmproxy keeps some as lists and some as tuples."""
    return list(value) if isinstance(value, list | tuple) else value
