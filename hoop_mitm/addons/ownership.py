"""Yours is yours.

All principals of a connection may share one Google identity, so Google cannot tell them apart. The gateway remembers who
made each job, result table, session, stream and upload, and refuses the rest.
"""

from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from mitmproxy import http
from uuid_utils import uuid7

from hoop_mitm import bigquery
from hoop_mitm.addons.stage import Stage
from hoop_mitm.addons.ticket import Ticket
from hoop_mitm.bigquery import Resource
from hoop_mitm.errors import Denied
from hoop_mitm.recording import Owner

UPLOAD_ID = "upload_id"


class Ownership(Stage):
    """A principal reaches only what is theirs."""

    async def decide(self, flow: http.HTTPFlow, ticket: Ticket) -> None:
        assert ticket.operation
        for resource in ticket.operation.uses:
            self._check(resource, ticket)
            if resource.kind == "upload":
                self._swap_upload_id(flow, resource.id)

    def _check(self, resource: Resource, ticket: Ticket) -> None:
        owner = self.services.recorder.owner(resource)
        if owner is None or owner != self.owner(ticket):
            # The same words for both, or the answer would tell which ids exist.
            raise Denied(
                f"ownership.{resource.kind}",
                f"This {resource.kind.replace('_', ' ')} is not yours, or hoop-mitm does not know it: "
                "only what you made through the gateway can be reached through it.",
            )

    @staticmethod
    def owner(ticket: Ticket) -> Owner:
        assert ticket.identified
        assert ticket.connection
        return Owner(ticket.identified.principal.key, ticket.connection.name)

    def _swap_upload_id(self, flow: http.HTTPFlow, handle: str) -> None:
        real = self.services.uploads.get(handle)
        if real is None:
            raise Denied("ownership.upload", "This upload is over, or the gateway was restarted; start it again.")
        parts = urlsplit(flow.request.path)
        pairs = [(k, real if k == UPLOAD_ID else v) for k, v in parse_qsl(parts.query, keep_blank_values=True)]
        flow.request.path = urlunsplit(parts._replace(query=urlencode(pairs)))

    def response(self, flow: http.HTTPFlow) -> None:
        ticket = self.services.tickets.of(flow)
        if not (ticket and ticket.operation and ticket.answer):
            return
        answer, operation = ticket.answer, ticket.operation
        if location := answer.headers.get("location"):
            answer.headers["location"] = self._hide_upload_id(location, ticket)
        answer.headers.pop("x-guploader-uploadid", None)
        if answer.stream:
            return
        mine = self.owner(ticket)
        body = answer.get_content(strict=True) or b""
        ticket.owns |= dict.fromkeys(bigquery.created(operation, answer.status_code, answer.headers, body), mine)
        if operation.door.name == "jobs.list":
            answer.content = bigquery.filter_jobs_list(body, lambda job: self.services.recorder.owner(job) == mine)

    def _hide_upload_id(self, location: str, ticket: Ticket) -> str:
        """An upload id is authority at Google: the client gets a handle of ours in its place."""
        parts = urlsplit(location)
        pairs = parse_qsl(parts.query, keep_blank_values=True)
        real = dict(pairs).get(UPLOAD_ID)
        if real is None:
            return location
        handle = f"hoop-{uuid7()}"
        self.services.remember_upload(handle, real)
        ticket.owns[Resource("upload", handle)] = self.owner(ticket)
        pairs = [(name, handle if name == UPLOAD_ID else value) for name, value in pairs]
        return urlunsplit(parts._replace(query=urlencode(pairs)))
