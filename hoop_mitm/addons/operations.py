"""What is asked."""

from urllib.parse import parse_qsl, urlsplit

from mitmproxy import http

from hoop_mitm import bigquery
from hoop_mitm.addons.stage import Stage
from hoop_mitm.addons.ticket import Ticket
from hoop_mitm.config.model import Connection
from hoop_mitm.errors import Denied
from hoop_mitm.identity import Identified


class Doors(Stage):
    """Only listed doors: host and path, known to us, and what they do is known."""

    at_headers = True

    async def decide(self, flow: http.HTTPFlow, ticket: Ticket) -> None:
        request = flow.request
        method = bigquery.effective_method(request.method, request.headers)
        private = self.services.config.gateway.private_hosts
        if bigquery.api_of(ticket.host, private) is None:
            raise Denied(
                "door.host", f"hoop-mitm does not forward to {ticket.host}: {bigquery.why_refused(ticket.host)}"
            )
        door = bigquery.find(ticket.host, method, request.path, private)
        if door is None:
            raise Denied(
                "door.unknown",
                f"hoop-mitm does not know {request.method} {urlsplit(request.path).path} on {ticket.host}, "
                "so it does not forward it.",
            )
        if door.refused:
            # Every MCP client asks for what need not be offered: nobody has to hear of it.
            rule = "mcp.not_offered" if door.name.startswith("mcp.") else "door.refused"
            raise Denied(rule, f"hoop-mitm does not forward {door.name}: {door.refused}")
        ticket.door = door
        ticket.early = door.streams_request
        length = request.headers.get("content-length", "0")
        limit = self.services.config.gateway.max_request_body
        if not ticket.early and length.isdigit() and int(length) > limit:
            raise too_large(limit)


class Operations(Stage):
    """What the request means, and which connection it belongs to."""

    async def decide(self, flow: http.HTTPFlow, ticket: Ticket) -> None:
        assert ticket.door
        assert ticket.identified
        request = flow.request
        body = None if ticket.early else (request.raw_content or b"")
        if body is not None and len(body) > (limit := self.services.config.gateway.max_request_body):
            raise too_large(limit)
        path, _, query = request.path.partition("?")
        operation = bigquery.read(
            ticket.door,
            path=path,
            query=parse_qsl(query, keep_blank_values=True),
            headers=request.headers,
            body=body,
            limit=self.services.config.gateway.max_request_body,
        )
        ticket.operation = operation
        ticket.door = operation.door
        # What stood around a batch's parts, tokens among it, goes nowhere.
        ticket.request_body = bigquery.batch.rewritten(body or b"", request.headers) if operation.parts else body
        ticket.connection = self._connection(bigquery.projects(operation), ticket.identified)
        ticket.session, ticket.session_is_new = self.services.sessions.resolve(
            ticket.identified,
            ticket.connection.name,
            bigquery.agent_name(request.headers),
            ticket.client_address,
            ticket.program,
        )

    def _connection(self, projects: set[str], identified: Identified) -> Connection:
        connections = self.services.config.connections
        if not projects:
            named = [c for c in connections if identified.connection in (None, c.name)]
            if len(named) != 1:
                raise Denied(
                    "connection.unclear",
                    "hoop-mitm cannot tell which of its connections this is for. Name a project, or come with a session of "
                    "one of them (`hoop-mitm run --connection NAME`).",
                )
            connection = named[0]
        else:
            by_project = self.services.by_project
            found = {by_project[project].name: by_project[project] for project in projects if project in by_project}
            if unknown := sorted(projects - by_project.keys()):
                raise Denied(
                    "project.unlisted",
                    f"Project {unknown[0]} belongs to no connection of this gateway. "
                    f"You can use: {', '.join(sorted(by_project))}.",
                )
            if len(found) != 1:
                raise Denied(
                    "project.mixed", "One request names projects of several connections; hoop-mitm forwards none."
                )
            connection = next(iter(found.values()))
        if identified.connection not in (None, connection.name):
            raise Denied(
                "connection.other",
                f"Your session is for the connection {identified.connection}, and this request is for {connection.name}.",
            )
        if connection.groups and not set(connection.groups) & set(identified.principal.groups):
            raise Denied(
                "connection.groups",
                f"The connection {connection.name} is for members of {', '.join(connection.groups)}; you are in none of them.",
            )
        return connection


def too_large(limit: int) -> Denied:
    return Denied(
        "request.too_large",
        f"The request is larger than {limit} bytes, more than hoop-mitm reads. Upload the data, or send it in parts.",
    )
