"""The job carries the session's id, so that the recording joins with Google's own log."""

from mitmproxy import http

from hoop_mitm import bigquery
from hoop_mitm.addons.stage import Stage
from hoop_mitm.addons.ticket import Ticket, seal
from hoop_mitm.bigquery.labels import SESSION

JOB_DOORS = frozenset({"jobs.insert", "jobs.query"})


class Labels(Stage):
    """Labels the job. It is the last to change a request, and seals it: what leaves is what was understood."""

    async def decide(self, flow: http.HTTPFlow, ticket: Ticket) -> None:
        assert ticket.operation
        assert ticket.session
        if not ticket.early and ticket.operation.door.name in JOB_DOORS:
            body = flow.request.get_content(strict=True) or b""
            flow.request.content = bigquery.with_labels(ticket.operation, body, {SESSION: ticket.session.id})
        if ticket.operation.parts:
            flow.request.content = ticket.request_body
        ticket.sealed = seal(flow.request)
