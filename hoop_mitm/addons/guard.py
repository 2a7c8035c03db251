"""The last word."""

import logging

from mitmproxy import http
from mitmproxy.proxy.server_hooks import ServerConnectionHookData

from hoop_mitm.addons.abort import abort
from hoop_mitm.addons.answers import internal_error
from hoop_mitm.addons.endpoint import came_in_by
from hoop_mitm.addons.failsafe import Addon, missing, shut_flow
from hoop_mitm.addons.limits import MAX_BUFFERED
from hoop_mitm.addons.recorder import tap
from hoop_mitm.addons.routing import UNCLEARED, Routing
from hoop_mitm.addons.services import Services
from hoop_mitm.addons.stage import Stage
from hoop_mitm.addons.ticket import Ticket, seal

logger = logging.getLogger(__name__)


class Guard(Addon):
    """Lets a flow go only when every stage has said yes, and gives it the credential as the last act; lets an answer go
    only when every hook has seen it.

    It stands apart from the stages, as an addon of its own: mitmproxy runs it even when one of them raised, and whatever
    became of the script that loaded us. Where it fails itself, what the first stage put there stays: a refusal.
    """

    def __init__(self, services: Services, routing: Routing, addons: list[Addon]) -> None:
        self._services = services
        self._routing = routing
        self._addons = [*addons, self]
        self._stages = frozenset(type(addon).__name__ for addon in addons if isinstance(addon, Stage))

    def http_connect(self, flow: http.HTTPFlow) -> None:
        if flow.response is None and flow.client_conn not in self._routing.routes:
            flow.response = http.Response.make(403, b"hoop-mitm did not decide on this connection.\n")

    def server_connect(self, data: ServerConnectionHookData) -> None:
        if data.server not in self._routing.cleared:
            data.server.error = data.server.error or UNCLEARED
        elif data.server.error == UNCLEARED:
            data.server.error = None

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        ticket = self._services.tickets.of(flow)
        flow.request.stream = False
        if ticket is None:
            flow.response = internal_error(flow)
        elif ticket.refused:
            self._end_if_endless(flow)
        elif ticket.early:
            self._release(flow, ticket, missing(flow, self._addons[:-1], "requestheaders"))

    @staticmethod
    def _end_if_endless(flow: http.HTTPFlow) -> None:
        """A refusal is given after the body has come. Whoever is refused already does not get to send one without end."""
        headers = flow.request.headers
        length = headers.get("content-length", "0")
        if "transfer-encoding" in headers or not length.isdigit() or int(length) > MAX_BUFFERED:
            flow.kill()

    def request(self, flow: http.HTTPFlow) -> None:
        ticket = self._services.tickets.of(flow)
        if ticket is None:
            flow.response = internal_error(flow)
        elif ticket.early:
            # They came after all that was checked.
            flow.request.trailers = None
            if ticket.error:
                abort(flow.client_conn, flow.server_conn)
        else:
            unseen = missing(flow, self._addons[:-1], "requestheaders", "request")
            self._release(flow, ticket, unseen | missing(flow, [self], "requestheaders"))

    def _release(self, flow: http.HTTPFlow, ticket: Ticket, unseen: set[str]) -> None:
        if ticket.answered or ticket.refused:
            if flow.response is None:
                flow.response = internal_error(flow)
            return
        decided = ("next_layer",) if came_in_by(flow.client_conn) else ("http_connect", "next_layer")
        unseen |= missing(flow.client_conn, self._addons, *decided)
        unseen |= self._stages - ticket.stamps
        if unseen or ticket.credential is None or ticket.sealed != seal(flow.request):
            why = ", ".join(sorted(unseen)) or "it changed after it was checked"
            logger.warning("A request was held back: %s.", why)
            flow.response = internal_error(flow)
            return
        request = flow.request
        request.trailers = None
        # Past the setters, which would write the override into Host and :authority: those stay Google's.
        request.data.host, request.data.port = self._routing.upstream_of(ticket.host)
        self._write_host(flow, ticket.host)
        request.headers["authorization"] = f"Bearer {ticket.credential.value}"
        flow.response = None
        ticket.forwarded = True
        if ticket.early and ticket.request_spool:
            request.stream = tap(self._services, flow, ticket, ticket.request_spool)

    @staticmethod
    def _write_host(flow: http.HTTPFlow, host: str) -> None:
        """Whatever was checked of the names that the client wrote: Google reads the one that we write."""
        request = flow.request
        request.headers.pop("host", None)
        if request.is_http2:
            request.data.authority = host.encode()
        else:
            request.data.authority = b""
            request.headers.insert(0, "Host", host)

    def responseheaders(self, flow: http.HTTPFlow) -> None:
        ticket = self._services.tickets.of(flow)
        if flow.response and flow.response.stream and not (ticket and ticket.response_spool):
            flow.response.stream = False

    def response(self, flow: http.HTTPFlow) -> None:
        ticket = self._services.tickets.of(flow)
        if ticket is None or not ticket.forwarded:
            return
        unseen = missing(flow, self._addons[:-1], "responseheaders", "response")
        unseen |= missing(flow, [self], "responseheaders")
        if unseen or ticket.answer is None or not ticket.recorded or ticket.error:
            logger.warning("An answer was held back: %s.", ", ".join(sorted(unseen)) or "its record is not complete")
            shut_flow(flow, "response")
        else:
            flow.response = ticket.answer
