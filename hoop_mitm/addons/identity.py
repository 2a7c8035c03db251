"""Who asks."""

from mitmproxy import http

from hoop_mitm.addons.stage import Stage
from hoop_mitm.addons.ticket import Ticket
from hoop_mitm.errors import IdentityError
from hoop_mitm.identity import Identified

JWT = "eyJ"
"""How every JWT begins: ``{"`` in base64url (RFC 7519, 3)."""


class Identity(Stage):
    """Every request carries an OIDC identity, or it goes nowhere.

    The inner bearer comes first: the gateway's own session token, or a raw OIDC token. A client that has none, or
    brings a token that is no JWT (a Google token of its own, which has been taken off), may have identified itself to
    the proxy at CONNECT. It is checked anew on every request, so that expiry and revocation bite on a live connection.
    """

    at_headers = True

    async def decide(self, flow: http.HTTPFlow, ticket: Ticket) -> None:
        ticket.identified = await self._identify(ticket, exposed=flow.client_conn in self.services.exposed)

    async def _identify(self, ticket: Ticket, *, exposed: bool) -> Identified:
        bearer = ticket.bearer
        if exposed and (bearer is None or not bearer.startswith(JWT)):
            raise IdentityError(
                "exposed",
                "Your token came to hoop-mitm in the clear, where anybody on the way could read it, so it is not "
                "accepted. Use https:// in the proxy's address, or a credentials file made for this gateway; and sign "
                "in again, for a new token.",
            )
        if ticket.proxy_bearer and (bearer is None or not bearer.startswith(JWT)):
            bearer = ticket.proxy_bearer
        if bearer is None:
            raise IdentityError(
                "missing",
                "hoop-mitm does not know who you are: the request came without a token. "
                "Point GOOGLE_APPLICATION_CREDENTIALS at a credentials file made for this gateway (README, laptop set-up), "
                "or send an OIDC token as `Authorization: Bearer`.",
            )
        identified = await self.services.authenticator.authenticate(bearer, ticket.client_address)
        # Only a token that is one is remembered by its value: what is not is known by its shape, or is no secret.
        self.services.protect(bearer)
        return identified
