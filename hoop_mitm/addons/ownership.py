"""Yours is yours.

All principals of a connection may share one Google identity, so Google cannot tell them apart. The gateway remembers who
made each job, result table, session, stream and upload, and refuses the rest.
"""

from urllib.parse import parse_qsl, quote_plus, unquote_plus, urlsplit

from mitmproxy import http
from uuid_utils import uuid7

from hoop_mitm import bigquery
from hoop_mitm.addons.stage import Stage
from hoop_mitm.addons.ticket import Ticket
from hoop_mitm.bigquery import Resource
from hoop_mitm.errors import Denied
from hoop_mitm.recording import Owner, claimed

UPLOAD_ID = "upload_id"

UNNAMED = ("?", "*")
"""How an id ends that is no name: made at run time, or all of a hidden dataset."""


class Ownership(Stage):
    """A principal reaches only what is theirs."""

    async def decide(self, flow: http.HTTPFlow, ticket: Ticket) -> None:
        operation, owner = ticket.operation, self.owner(ticket)
        assert operation
        assert ticket.session
        session = Resource("session", ticket.session.id)
        for claim in (session, *operation.claims):
            if self.services.owner(claim) not in (None, owner):
                raise self._not_yours(claim)
        for resource in operation.uses:
            if not self._is_mine(resource, owner):
                raise self._not_yours(resource)
            if resource.kind == "upload":
                self._swap_upload_id(flow, resource.id)
        if ticket.session_is_new:
            ticket.owns[session] = owner

    def _is_mine(self, resource: Resource, owner: Owner) -> bool:
        return self.services.owner(claimed(resource, owner)) == owner

    @staticmethod
    def _not_yours(resource: Resource) -> Denied:
        what = resource.kind.replace("_", " ")
        if resource.id.endswith(UNNAMED):
            return Denied(
                f"ownership.{resource.kind}",
                f"hoop-mitm cannot tell which {what} this statement will name when it runs, so it does not forward it. "
                "Write the name into the statement.",
            )
        # The same words whether it is somebody else's or nobody's, or the answer would tell which ids exist.
        return Denied(
            f"ownership.{resource.kind}",
            f"This {what} is not yours, or hoop-mitm does not know it: "
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
        flow.request.path, found = with_parameter(flow.request.path, UPLOAD_ID, real)
        if found != 1:
            raise Denied("ownership.upload", "hoop-mitm cannot tell which upload this is, so it does not forward it.")

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
        made = bigquery.created(operation, answer.status_code, answer.headers, body)
        ticket.owns |= {claimed(resource, mine): mine for resource in made}
        if operation.door.name == "jobs.list":
            answer.content = bigquery.filter_jobs_list(body, lambda job: job in made or self._is_mine(job, mine))

    def _hide_upload_id(self, location: str, ticket: Ticket) -> str:
        """An upload id is authority at Google: the client gets a handle of ours in its place."""
        real = dict(parse_qsl(urlsplit(location).query, keep_blank_values=True)).get(UPLOAD_ID)
        if real is None:
            return location
        handle = f"hoop-{uuid7()}"
        self.services.remember_upload(handle, real)
        ticket.owns[Resource("upload", handle)] = self.owner(ticket)
        return with_parameter(location, UPLOAD_ID, handle)[0]


def with_parameter(url: str, name: str, value: str) -> tuple[str, int]:
    """A URL with another value for a parameter, otherwise as it was; and in how many places it stood."""
    head, _, query = url.partition("?")
    pairs = query.split("&")
    places = [place for place, pair in enumerate(pairs) if unquote_plus(pair.partition("=")[0]) == name]
    for place in places:
        pairs[place] = f"{name}={quote_plus(value)}"
    return f"{head}?{'&'.join(pairs)}", len(places)
