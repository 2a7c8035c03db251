"""First of all: nothing that a client sent can stand for a credential any more."""

from datetime import UTC, datetime
from urllib.parse import unquote_plus

from mitmproxy import http
from uuid_utils import uuid7

from hoop_mitm.addons import endpoint
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

MAX_PARAMETERS = 100
"""No method of BigQuery has half as many."""


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
        if by_endpoint := endpoint.came_in_by(flow.client_conn):
            endpoint.address(request)
        flow.response = internal_error(flow)
        bearer = request.headers.get("authorization")
        for name in [name for name in request.headers if is_credential(name.lower())]:
            request.headers.pop(name, None)
        path, mark, query = request.path.partition("?")
        request.path = path
        ticket = Ticket(
            flow_id=str(uuid7()),
            started_at=datetime.now(UTC),
            host=request.host.lower(),
            method=request.method,
            url=f"https://{request.host}{path}",
            user_agent=request.headers.get("user-agent", ""),
            client_address=flow.client_conn.peername[0] if flow.client_conn.peername else "",
            headers=tuple((name.lower(), value) for name, value in request.headers.items(multi=True)),
            endpoint=(request.host_header or "") if by_endpoint else "",
            bearer=bearer_of(bearer),
            # A client that has an address alone can only put its token into that: as Basic, like to a proxy.
            proxy_bearer=proxy_bearer_of(bearer if by_endpoint else self._services.carried.get(flow.client_conn)),
        )
        self._services.tickets.put(flow, ticket)
        try:
            if mark:
                request.path = f"{path}?{without_credentials(query)}"
                ticket.url = f"https://{request.host}{request.path}"
        except Denied as refusal:
            refuse_flow(flow, ticket, refusal)

    def response(self, flow: http.HTTPFlow) -> None:
        """The same the other way round: Google's answer comes off the flow, and a refusal goes on, until the guard."""
        ticket = self._services.tickets.of(flow)
        if ticket is None or not ticket.forwarded or flow.response is None:
            return
        ticket.answer = flow.response
        if not flow.response.stream:
            flow.response = internal_error(flow)


def is_credential(name: str) -> bool:
    """Whether a header, in lower case, carries or chooses a credential."""
    return name in HEADERS or name.startswith("x-goog-iam-")


def without_credentials(query: str) -> str:
    """A query string without credentials, otherwise as it was.

    Raises:
        Denied: it held a token (an API key alone is no identity, and only goes), or more parameters than any request has.
    """
    pairs = query.split("&")
    if len(pairs) > MAX_PARAMETERS:
        raise Denied(
            "route.target", f"The URL has more than {MAX_PARAMETERS} parameters; hoop-mitm reads no such request."
        )
    names = [unquote_plus(pair.partition("=")[0]).strip().lower() for pair in pairs]
    if any(name in PARAMETERS and name != "key" for name in names):
        raise Denied(
            "carrier.query",
            "A token in the URL ends up in logs, so hoop-mitm takes none. Send it as `Authorization: Bearer`.",
        )
    return "&".join(pair for pair, name in zip(pairs, names, strict=True) if name not in PARAMETERS)
