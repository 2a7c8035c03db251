"""Refusals of MCP messages, once it is known which request they answer."""

from mitmproxy import http

from hoop_mitm.addons.answers import is_mcp, refuse
from hoop_mitm.addons.failsafe import Addon
from hoop_mitm.addons.services import Services


class Mcp(Addon):
    """Who is refused at the headers of a request is told so under the request's id, which stands in its body.

    Without that an MCP client shows its user a number, or waits.
    """

    def __init__(self, services: Services) -> None:
        self._services = services

    def request(self, flow: http.HTTPFlow) -> None:
        ticket = self._services.tickets.of(flow)
        if ticket and ticket.verdict and ticket.refused and is_mcp(flow):
            flow.response = refuse(flow, ticket.verdict.message)
