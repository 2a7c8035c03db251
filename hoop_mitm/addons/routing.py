"""Which connections are ours, which are tunnelled, and which go nowhere."""

import asyncio
import ipaddress
import logging
import re
import socket
from fnmatch import fnmatchcase
from typing import Literal
from weakref import WeakKeyDictionary, WeakSet

from mitmproxy import connection, http
from mitmproxy.net.server_spec import parse as parse_server_spec
from mitmproxy.proxy import layer, layers
from mitmproxy.proxy.server_hooks import ServerConnectionHookData

from hoop_mitm.addons.endpoint import HTTPS, REST_HOST, Endpoint, came_in_by
from hoop_mitm.addons.lockdown import split_proxy
from hoop_mitm.addons.services import Services
from hoop_mitm.addons.stage import Stage
from hoop_mitm.addons.ticket import Ticket
from hoop_mitm.bigquery import TOKEN_HOSTS, is_bigquery_host
from hoop_mitm.config import is_loopback, split_host_port
from hoop_mitm.errors import Denied

logger = logging.getLogger(__name__)

PLAIN_TARGET = re.compile(rb"/[!\"$-~]*")
"""An absolute path of printable ASCII without a fragment (RFC 9112, 3.2.1)."""

UNSAFE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
"""Control characters in a header's name or value; a tab is allowed (RFC 9110, 5.5)."""

METADATA = frozenset(map(ipaddress.ip_address, ("168.63.129.16", "192.0.0.192", "100.100.100.200", "fd00:ec2::254")))
"""Metadata servers of clouds at addresses that count as public, or that a company may have listed."""

INSIDE = (".internal", ".local", ".localhost")
"""Endings of names that lead inside whatever they resolve to elsewhere."""

type Route = Literal["intercept", "tunnel", "endpoint"]

UNCLEARED = "hoop-mitm did not clear this connection."


class Routing(Stage):
    """Decides by the CONNECT target alone, and holds every later name against it.

    A request is BigQuery's only if CONNECT target, SNI and Host are one and the same listed host on port 443.
    """

    at_headers = True

    def __init__(self, services: Services, endpoint: Endpoint) -> None:
        super().__init__(services)
        self._endpoint = endpoint
        self.routes: WeakKeyDictionary[connection.Client, tuple[Route, tuple[str, int]]] = WeakKeyDictionary()
        self.cleared: WeakSet[connection.Server] = WeakSet()
        gateway = services.config.gateway
        self._overrides = {host: split_host_port(target) for host, target in gateway.upstream.hosts.items()}
        self._proxy = (
            parse_server_spec(split_proxy(gateway.upstream.proxy)[0], "http") if gateway.upstream.proxy else None
        )

    def upstream_of(self, host: str) -> tuple[str, int]:
        """Where a listed host is really reached."""
        return self._overrides.get(host, (host, HTTPS))

    async def http_connect(self, flow: http.HTTPFlow) -> None:
        host, port = flow.request.host.lower().rstrip("."), flow.request.port
        if authorization := flow.request.headers.pop("proxy-authorization", None):
            # At this moment TLS, if there is any, is that between client and gateway.
            if is_loopback(_ip(flow.client_conn)) or flow.client_conn.tls_established:
                self.services.carried[flow.client_conn] = authorization
            else:
                self.services.exposed.add(flow.client_conn)
        if is_ours(host):
            if port != HTTPS:
                await self._refuse_tunnel(flow, host, port, "Google's hosts are reached on port 443 only")
                return
            self.routes[flow.client_conn] = ("intercept", (host, port))
        elif reason := self._not_tunnelled(host, flow.client_conn) or await self._inside(host, port):
            await self._refuse_tunnel(flow, host, port, reason)
        else:
            self.routes[flow.client_conn] = ("tunnel", (host, port))

    def next_layer(self, data: layer.NextLayer) -> None:
        # Before mitmproxy's own choice, which looks at SNI and Host as well.
        client = data.context.client
        if came_in_by(client):
            self.routes[client] = ("endpoint", (REST_HOST, HTTPS))
            data.context.server.via = self._proxy
            data.layer = self._endpoint.layer_for(data)
            return
        route = self.routes.get(client)
        if route and route[0] == "tunnel":
            data.layer = layers.TCPLayer(data.context, ignore=True)

    async def decide(self, flow: http.HTTPFlow, ticket: Ticket) -> None:  # noqa: ARG002 - a stage's signature
        await self.services.ready()
        route = self.routes.get(flow.client_conn)
        if route is None:
            raise Denied(
                "route.plain_http",
                "hoop-mitm forwards only HTTPS. Set HTTPS_PROXY (not HTTP_PROXY) to its address, and use https:// URLs.",
            )
        kind, (host, port) = route
        if kind == "endpoint":
            self._endpoint.check(flow)
        elif kind != "intercept" or not self._is_one_name(flow, host, port):
            raise Denied(
                "route.mismatch",
                "The names of the host in CONNECT, TLS and HTTP differ, so hoop-mitm did not forward this request.",
            )
        if reason := malformed(flow):
            raise Denied("route.target", f"hoop-mitm forwards only plainly written requests: {reason}.")

    @staticmethod
    def _is_one_name(flow: http.HTTPFlow, host: str, port: int) -> bool:
        names = {host, (flow.client_conn.sni or "").lower(), *names_in(flow.request)}
        return flow.request.scheme == "https" and names == {host} and flow.request.port == port

    async def server_connect(self, data: ServerConnectionHookData) -> None:
        target = data.server.address
        # It stays until the guard takes it off.
        data.server.error = UNCLEARED
        if target is None:
            data.server.error = "hoop-mitm: no destination."
        elif self._proxy and target == self._proxy[1]:
            self.cleared.add(data.server)
        elif (route := self.routes.get(data.client)) is None:
            data.server.error = "hoop-mitm: nobody decided on this connection."
        elif route[0] != "tunnel":
            if target != self.upstream_of(route[1][0]):
                data.server.error = "hoop-mitm: this is not where BigQuery is."
            else:
                # The name that is asked for, and that the certificate must have, wherever an override leads.
                data.server.sni = route[1][0]
                self.cleared.add(data.server)
        elif target != route[1]:
            data.server.error = "hoop-mitm: not the address that the tunnel was opened for."
        else:
            await self._pin(data, target)

    async def _pin(self, data: ServerConnectionHookData, target: tuple[str, int]) -> None:
        """Resolves a tunnel's host once, checks every address, and connects to what was checked."""
        try:
            found = await asyncio.get_running_loop().getaddrinfo(*target, type=socket.SOCK_STREAM)
        except OSError:
            data.server.error = f"hoop-mitm: {target[0]} has no address."
            return
        addresses = [str(entry[4][0]) for entry in found]
        if not all(self._may_reach(target[0], address) for address in addresses):
            data.server.error = f"hoop-mitm: {target[0]} leads to a private or local address."
            logger.warning("Tunnel to %s:%s refused: it leads to a private or local address.", *target)
            await self.services.event(
                "tunnel.refused",
                "A tunnel to a private or local address was refused.",
                client_address=_ip(data.client),
                details={"host": target[0], "port": target[1]},
            )
            return
        data.server.address = (addresses[0], target[1])
        self.cleared.add(data.server)

    def _may_reach(self, host: str, address: str) -> bool:
        ip = ipaddress.ip_address(address.partition("%")[0])
        if isinstance(ip, ipaddress.IPv6Address):
            ip = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else ip)
        if ip.is_link_local or ip.is_multicast or ip.is_unspecified or ip.is_reserved or ip in METADATA:
            return False
        return ip.is_global or host in self.services.config.gateway.tunnel_hosts

    def _not_tunnelled(self, host: str, client: connection.Client) -> str | None:
        gateway = self.services.config.gateway
        if gateway.others == "tunnel" and not is_loopback(client.sockname[0]):
            return "gateway.others: tunnel is for clients on this machine"
        if gateway.others == "refuse" and not any(fnmatchcase(host, pattern) for pattern in gateway.tunnel_hosts):
            return "hosts that are not listed under gateway.tunnel_hosts are refused"
        try:
            literal = ipaddress.ip_address(host.strip("[]"))
        except ValueError:
            return None
        return None if self._may_reach(host, str(literal)) else "it is a private or local address"

    async def _inside(self, host: str, port: int) -> str | None:
        """For tunnels through the company's proxy, which resolves names by itself: what can be told from here."""
        if self._proxy is None or host in self.services.config.gateway.tunnel_hosts:
            return None
        if "." not in host or host.endswith(INSIDE):
            return "the name leads inside"
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError:
            return None
        if all(self._may_reach(host, str(entry[4][0])) for entry in found):
            return None
        return "it leads to a private or local address"

    async def _refuse_tunnel(self, flow: http.HTTPFlow, host: str, port: int, reason: str) -> None:
        flow.response = http.Response.make(403, f"hoop-mitm does not tunnel to {host}:{port}: {reason}.\n".encode())
        logger.warning("Tunnel to %s:%s refused: %s.", host, port, reason)
        await self.services.event(
            "tunnel.refused",
            f"A tunnel was refused: {reason}.",
            client_address=_ip(flow.client_conn),
            details={"host": host, "port": port},
        )


def is_ours(host: str) -> bool:
    """Whether TLS to this host is intercepted."""
    return host in TOKEN_HOSTS or is_bigquery_host(host)


def names_in(request: http.Request) -> set[str]:
    """Every name of the host in a request: its Host headers, its :authority, and the one in an absolute URL."""
    names = [request.data.authority.decode("ascii", "replace"), *request.headers.get_all("host")]
    return {name.lower().removesuffix(f":{HTTPS}") for name in names if name}


def malformed(flow: http.HTTPFlow) -> str | None:
    """What is wrong with the way a request is written: servers differ in how they read it, so nobody reads it."""
    request = flow.request
    expected = "HTTP/2.0" if flow.client_conn.alpn == b"h2" else "HTTP/1.1"
    if request.http_version != expected:
        return "its version is not that of its connection"
    if not PLAIN_TARGET.fullmatch(request.data.path):
        return "its path has characters that must be percent-encoded"
    if request.headers.get("transfer-encoding", "chunked").lower() != "chunked":
        return "it has a transfer encoding other than chunked"
    if any(UNSAFE.search(name) or UNSAFE.search(value) for name, value in request.headers.fields):
        return "a header holds a control character"
    return None


def _ip(client: connection.Client) -> str:
    return client.peername[0] if client.peername else ""
