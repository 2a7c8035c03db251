"""A stage: one question about a request, asked in order, that must be answered with yes."""

import logging
from typing import ClassVar

from mitmproxy import http

from hoop_mitm.addons.answers import refuse
from hoop_mitm.addons.failsafe import Addon
from hoop_mitm.addons.services import Services
from hoop_mitm.addons.ticket import Ticket
from hoop_mitm.errors import CredentialError, Denied, EstimateRefused, HoopError, IdentityError, RecordingError
from hoop_mitm.policy import Verdict

logger = logging.getLogger(__name__)

JOB_DOORS = frozenset({"jobs.insert", "jobs.query"})


class Stage(Addon):
    """The base of the stages.

    ``decide`` says yes by returning, and no by raising a `HoopError`. It runs when the request's headers are there if
    ``at_headers``, or if the body is streamed; otherwise when the whole request is there.
    """

    at_headers: ClassVar[bool] = False

    def __init__(self, services: Services) -> None:
        self.services = services

    async def decide(self, flow: http.HTTPFlow, ticket: Ticket) -> None:
        raise NotImplementedError

    async def requestheaders(self, flow: http.HTTPFlow) -> None:
        ticket = self.services.tickets.of(flow)
        if ticket and (self.at_headers or ticket.early):
            await self._ask(flow, ticket)

    async def request(self, flow: http.HTTPFlow) -> None:
        ticket = self.services.tickets.of(flow)
        if ticket and not (self.at_headers or ticket.early):
            await self._ask(flow, ticket)

    async def _ask(self, flow: http.HTTPFlow, ticket: Ticket) -> None:
        if ticket.refused or ticket.answered:
            return
        try:
            await self.decide(flow, ticket)
        except HoopError as error:
            refuse_flow(flow, ticket, error)
        else:
            ticket.stamps.add(type(self).__name__)


def refuse_flow(flow: http.HTTPFlow, ticket: Ticket, error: HoopError) -> None:
    """Writes the refusal on the ticket and on the flow. The message of a `HoopError` is for the client's user."""
    match error:
        case Denied():
            rule = error.rule
        case IdentityError():
            rule = f"identity.{error.reason}"
            ticket.known_as = error.principal
        case CredentialError():
            rule = "credential.unavailable"
        case RecordingError():
            rule = "recording.unavailable"
        case _:
            rule = "internal"
    ticket.verdict = Verdict("deny", rule, str(error))
    flow.request.stream = False
    if isinstance(error, EstimateRefused) and ticket.door and ticket.door.name in JOB_DOORS:
        # What BigQuery says is wrong with a statement is for whoever wrote it, in the shape that they know.
        flow.response = http.Response.make(error.status, error.body, {"content-type": "application/json"})
    else:
        flow.response = refuse(flow, str(error))
