"""Google's credential for a request. The guard puts it on; here it is only fetched."""

from mitmproxy import http

from hoop_mitm.addons.answers import refuse
from hoop_mitm.addons.stage import Stage
from hoop_mitm.addons.ticket import Ticket

UNAUTHORIZED = 401


class Credentials(Stage):
    """Fetches the connection's access token: the service account's, or one for the engineer's own identity."""

    async def decide(self, flow: http.HTTPFlow, ticket: Ticket) -> None:  # noqa: ARG002 - a stage's signature
        assert ticket.connection
        assert ticket.identified
        source = self.services.sources[ticket.connection.name]
        ticket.credential = await source.token(ticket.identified.principal, ticket.identified.subject_token)

    def response(self, flow: http.HTTPFlow) -> None:
        """A 401 speaks of our credential, not of the client's: passed on, it would send the client to renew its own."""
        ticket = self.services.tickets.of(flow)
        if not (ticket and ticket.connection and ticket.credential and ticket.answer):
            return
        if ticket.answer.status_code == UNAUTHORIZED:
            self.services.sources[ticket.connection.name].invalidate(ticket.credential)
            ticket.answer = refuse(
                flow,
                "Google did not accept the gateway's credential. Try once more; if it stays so, ask the gateway's owner.",
            )
