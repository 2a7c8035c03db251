"""The gateway as an address of BigQuery itself, for clients that cannot use a proxy.

To the stages a request that comes here is one for Google's host: it has the same ticket, identity, doors and record. What
differs is where it came in, how its names are checked, and that what it is answered leads back here.
"""

import ipaddress
import logging
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit, urlunsplit

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from mitmproxy import connection, http
from mitmproxy.addons.tlsconfig import AppData, alpn_select_callback
from mitmproxy.certs import Cert
from mitmproxy.net import tls as net_tls
from mitmproxy.net.tls import starts_like_tls_record
from mitmproxy.proxy import context, events, layer, layers, mode_servers, mode_specs
from mitmproxy.proxy.layers.http import HTTPMode
from OpenSSL import SSL

from hoop_mitm.addons.failsafe import Addon
from hoop_mitm.addons.services import Services
from hoop_mitm.bigquery import BIGQUERY_HOSTS
from hoop_mitm.config import Gateway, is_loopback, split_host_port
from hoop_mitm.errors import ConfigError, Denied

logger = logging.getLogger(__name__)

REST_HOST = "bigquery.googleapis.com"
HTTPS = 443

TOKEN_PATHS = {
    "/v1/token": "sts.googleapis.com",
    "/v1/introspect": "sts.googleapis.com",
    "/token": "oauth2.googleapis.com",
}
"""Paths of Google's token hosts: a credentials file names the endpoint as ``token_url``."""

BASE = "/bigquery/v2"

ELSEWHERE = ("alt-svc", "strict-transport-security")
"""Headers with which Google tells where else, or how else, it is reached: not this gateway."""

BROWSER = ("origin", "sec-fetch-site", "access-control-request-method")
"""Headers that only a browser sends, and that a page cannot keep it from sending."""


class EndpointMode(mode_specs.ProxyMode):
    """``endpoint@127.0.0.1:9050``, a mode of mitmproxy like ``regular`` and ``reverse``."""

    description = "BigQuery endpoint"
    transport_protocol: Literal["tcp", "udp", "both"] = "tcp"

    def __post_init__(self) -> None:
        if self.data:
            raise ValueError("mode takes no arguments")


class EndpointServer(mode_servers.AsyncioServerInstance[EndpointMode]):
    """Listens for clients of the endpoint."""

    def make_top_layer(self, context: context.Context) -> layer.Layer:
        return EndpointLayer(context)


class EndpointLayer(layer.Layer):
    """The outermost layer of a client's connection. Its destination is known before the client has said a word."""

    def _handle_event(self, event: events.Event) -> layer.CommandGenerator[None]:
        self.context.server.address = (REST_HOST, HTTPS)
        self.context.server.tls = True
        inner = layer.NextLayer(self.context)
        self._handle_event = inner.handle_event  # type: ignore[method-assign]  # mitmproxy's way to hand over
        yield from inner.handle_event(event)


def mode_of(gateway: Gateway) -> str | None:
    """The endpoint as one of mitmproxy's ``mode`` options; ``None`` where there is none."""
    if gateway.endpoint is None:
        return None
    host, port = split_host_port(gateway.endpoint)
    return f"endpoint@{host}:{port}"


def came_in_by(client: connection.Client) -> bool:
    """Whether a client is one of the endpoint's."""
    return isinstance(client.proxy_mode, EndpointMode)


def address(request: http.Request) -> None:
    """Gives a request that came to the endpoint the host and the path that it would have at Google."""
    path, mark, query = request.path.partition("?")
    request.data.host, request.data.port = TOKEN_PATHS.get(path, REST_HOST), HTTPS
    if path.startswith("/projects/"):
        # Node, for an emulator, and Go, for an endpoint without a path, leave the base away.
        request.path = f"{BASE}{path}{mark}{query}"


class Endpoint(Addon):
    """What the stages ask about the endpoint; and makes what is answered lead back to it."""

    def __init__(self, services: Services) -> None:
        self._services = services
        gateway = services.config.gateway
        self._certificate = Certificate(gateway.endpoint_certificate) if gateway.endpoint_certificate else None
        host = split_host_port(gateway.endpoint)[0] if gateway.endpoint else ""
        self._insists_on_tls = bool(self._certificate) or not is_loopback(host)
        self._names = frozenset(
            {
                *gateway.endpoint_names,
                *(self._certificate.names if self._certificate else ()),
                *((host, "localhost", "127.0.0.1", "::1") if is_loopback(host) else ()),
            }
        )

    def layer_for(self, asked: layer.NextLayer) -> layer.Layer:
        """What a client of the endpoint speaks next: TLS where it must or wants to, then HTTP."""
        if not asked.context.client.tls and (self._insists_on_tls or starts_like_tls_record(asked.data_client())):
            if self._certificate:
                return CertifiedLayer(asked.context, self._certificate)
            return layers.ClientTLSLayer(asked.context)
        return layers.HttpLayer(asked.context, HTTPMode.transparent)

    def check(self, flow: http.HTTPFlow) -> None:
        """Lets a request pass that was meant for this endpoint, by a program.

        A page in a browser can reach loopback too, also under a name of its own that suddenly leads there.

        Raises:
            Denied: it names another host, or a browser sent it on behalf of a page.
        """
        request = flow.request
        written = [request.data.authority.decode("ascii", "replace"), *request.headers.get_all("host")]
        names = {host_of(name) for name in written if name}
        if flow.client_conn.tls:
            names.add((flow.client_conn.sni or next(iter(names), "")).lower())
        if len(names) != 1 or not self._is_ours(names.pop()):
            raise Denied(
                "route.mismatch",
                "The host that this request names is not this endpoint's, so hoop-mitm did not forward it. The endpoint's "
                "names are listed under gateway.endpoint_names in hoop.yaml.",
            )
        if any(name in request.headers for name in BROWSER):
            raise Denied("route.browser", "hoop-mitm's endpoint answers programs, not pages in a browser.")

    def _is_ours(self, name: str) -> bool:
        return bool(name) and (name in self._names or f"*.{name.partition('.')[2]}" in self._names)

    def response(self, flow: http.HTTPFlow) -> None:
        ticket = self._services.tickets.of(flow)
        if not (ticket and ticket.answer and came_in_by(flow.client_conn)):
            return
        headers = ticket.answer.headers
        for name in ELSEWHERE:
            headers.pop(name, None)
        if location := headers.get("location"):
            headers["location"] = _led_back(location, ticket.endpoint, "https" if flow.client_conn.tls else "http")


class CertifiedLayer(layers.ClientTLSLayer):
    """TLS with a client, with a certificate of the gateway's owner instead of one that our authority signs."""

    def __init__(self, context: context.Context, certificate: "Certificate") -> None:
        super().__init__(context)
        self._certificate = certificate

    def start_tls(self) -> layer.CommandGenerator[None]:
        self.tls = self._certificate.accept()
        yield from ()


class Certificate:
    """A private key, certificate and chain from one PEM file.

    Raises:
        ConfigError: they are not in it.
    """

    def __init__(self, file: Path) -> None:
        try:
            data = file.read_bytes()
            self._chain = x509.load_pem_x509_certificates(data)
            self._key = load_pem_private_key(data, None)
            names = self._chain[0].extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            SSL.Context(SSL.TLS_SERVER_METHOD).use_privatekey(self._key)  # type: ignore[arg-type]  # it says what it takes
        except (OSError, ValueError, TypeError, SSL.Error, x509.ExtensionNotFound) as error:
            raise ConfigError(
                f"gateway.endpoint_certificate, {file}, must be a PEM file with an unencrypted private key, its certificate "
                f"with host names, and the chain ({type(error).__name__})."
            ) from error
        self.names = (
            *map(str.lower, names.get_values_for_type(x509.DNSName)),
            *map(str, names.get_values_for_type(x509.IPAddress)),
        )

    def accept(self) -> SSL.Connection:
        """The server's side of a handshake that is about to begin."""
        tls_context = net_tls.create_client_proxy_context(
            method=net_tls.Method.TLS_SERVER_METHOD,
            min_version=net_tls.Version.TLS1_2,
            max_version=net_tls.Version.UNBOUNDED,
            cipher_list=None,
            ecdh_curve=None,
            chain_file=None,
            alpn_select_callback=alpn_select_callback,
            request_client_cert=False,
            extra_chain_certs=tuple(map(Cert, self._chain[1:])),
            dhparams=None,
        )
        made = SSL.Connection(tls_context)
        made.use_certificate(self._chain[0])
        made.use_privatekey(self._key)  # type: ignore[arg-type]
        made.set_app_data(AppData(client_alpn=None, server_alpn=None, http2=True))
        made.set_accept_state()
        return made


def _led_back(location: str, here: str, scheme: str) -> str:
    url = urlsplit(location)
    return urlunsplit(url._replace(scheme=scheme, netloc=here)) if url.hostname in BIGQUERY_HOSTS else location


def host_of(authority: str) -> str:
    """The host of ``host[:port]``, in lower case; of an address, without brackets."""
    host = urlsplit(f"//{authority}").hostname or ""
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return host
