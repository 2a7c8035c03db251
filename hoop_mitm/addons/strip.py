"""First of all: nothing that a client sent can stand for a credential any more."""

from datetime import UTC, datetime
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from mitmproxy import http
from uuid_utils import uuid7

from hoop_mitm.addons.answers import internal_error
from hoop_mitm.addons.failsafe import Addon
from hoop_mitm.addons.services import Services
from hoop_mitm.addons.stage import refuse_flow
from hoop_mitm.addons.ticket import Ticket
from hoop_mitm.errors import Denied
from hoop_mitm.identity import bearer_of, proxy_bearer_of

HEADERS = ("authorization", "proxy-authorization", "cookie", "cookie2", "x-goog-api-key", "x-goog-authuser")
"""Headers that carry, or choose, a credential. All that begin with ``x-goog-iam-`` go as well."""

PARAMETERS = ("access_token", "oauth_token", "key", "bearer_token")
"""Query parameters that Google takes a credential from."""


class Strip(Addon):
    """Takes every credential off a request, opens its ticket, and puts a refusal on the flow.

    The refusal stays until the guard, last of all, takes it off. A flow that falls out of our hands on the way is
    answered with it.
    """

    def __init__(self, services: Services) -> None:
        self._services = services

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        request = flow.request
        request.stream = False
        flow.response = internal_error(flow)
        bearer, inner_proxy = request.headers.get("authorization"), request.headers.get("proxy-authorization")
        for name in [
            name for name in request.headers if name.lower() in HEADERS or name.lower().startswith("x-goog-iam-")
        ]:
            request.headers.pop(name, None)
        carried = self._strip_query(request)
        proxy = self._services.carried.get(flow.client_conn)
        for secret in (bearer, inner_proxy, proxy, *carried):
            if secret:
                self._services.protect_carrier(secret)
        ticket = Ticket(
            flow_id=str(uuid7()),
            started_at=datetime.now(UTC),
            host=request.host.lower(),
            method=request.method,
            url=f"https://{request.host}{request.path}",
            user_agent=request.headers.get("user-agent", ""),
            client_address=flow.client_conn.peername[0] if flow.client_conn.peername else "",
            headers=tuple((name.lower(), value) for name, value in request.headers.items(multi=True)),
            bearer=bearer_of(bearer),
            proxy_bearer=proxy_bearer_of(proxy),
        )
        self._services.tickets.put(flow, ticket)
        if any(carried):
            refuse_flow(
                flow,
                ticket,
                Denied(
                    "carrier.query",
                    "A token in the URL ends up in logs, so hoop-mitm takes none. Send it as `Authorization: Bearer`.",
                ),
            )

    def response(self, flow: http.HTTPFlow) -> None:
        """The same the other way round: Google's answer comes off the flow, and a refusal goes on, until the guard."""
        ticket = self._services.tickets.of(flow)
        if ticket is None or not ticket.forwarded or flow.response is None:
            return
        ticket.answer = flow.response
        if not flow.response.stream:
            flow.response = internal_error(flow)

    @staticmethod
    def _strip_query(request: http.Request) -> list[str]:
        """Takes credentials out of the URL and returns the tokens among them (an API key alone is no identity)."""
        parts = urlsplit(request.path)
        pairs = parse_qsl(parts.query, keep_blank_values=True)
        kept = [(name, value) for name, value in pairs if name.lower() not in PARAMETERS]
        if len(kept) == len(pairs):
            return []
        request.path = urlunsplit(parts._replace(query=urlencode(kept)))
        return [value for name, value in pairs if name.lower() in PARAMETERS and name.lower() != "key"]
