"""Google's token endpoints, answered here: a client trades its OIDC token for a session of ours, never for Google's."""

import json
from dataclasses import replace
from urllib.parse import parse_qsl

from mitmproxy import http

from hoop_mitm.addons.answers import refuse
from hoop_mitm.addons.failsafe import Addon
from hoop_mitm.addons.services import Services
from hoop_mitm.addons.ticket import Ticket
from hoop_mitm.bigquery import TOKEN_HOSTS
from hoop_mitm.errors import HoopError
from hoop_mitm.identity import Answer
from hoop_mitm.policy.cost import Payer

MAX_FORM = 256 * 1024
"""Bytes. A form holds one token, which may be 64 KiB, percent-encoded."""

MAX_FIELDS = 32


def read_form(raw: bytes) -> dict[str, str]:
    """The fields of a form; none of one that is larger than any that a client library sends."""
    if len(raw) > MAX_FORM or raw.count(b"&") >= MAX_FIELDS:
        return {}
    return dict(parse_qsl(raw.decode("utf-8", "replace"), keep_blank_values=True))


class TokenExchange(Addon):
    """Answers what client libraries ask Google's token endpoints. Nothing of it is ever forwarded, nor recorded as a flow.

    https://cloud.google.com/iam/docs/reference/sts/rest (token, introspect);
    https://datatracker.ietf.org/doc/html/rfc8693, rfc7662, rfc6749.
    """

    def __init__(self, services: Services) -> None:
        self._services = services

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        ticket = self._services.tickets.of(flow)
        if ticket and ticket.host in TOKEN_HOSTS and not ticket.refused:
            ticket.answered = True

    async def request(self, flow: http.HTTPFlow) -> None:
        ticket = self._services.tickets.of(flow)
        # Others answer here as well: what reviewers say, for one.
        if not (ticket and ticket.answered and ticket.host in TOKEN_HOSTS):
            return
        await self._services.ready()
        raw = flow.request.raw_content or b""
        form = read_form(raw)
        try:
            given = await self._answer(ticket, flow.request.path.partition("?")[0], form)
        except HoopError as error:
            flow.response = refuse(flow, str(error))
            return
        if token := given.body.get("access_token"):
            self._services.protect(str(token))
            for name in ("subject_token", "refresh_token"):
                if form.get(name):
                    self._services.protect(form[name])
        await self._services.event(
            "token.refused" if given.reason or given.status >= 400 else "token.exchanged",  # noqa: PLR2004 - HTTP's client errors
            str(given.body.get("error_description", "A client's token was answered.")),
            client_address=ticket.client_address,
            principal=given.principal,
            details={"host": ticket.host, "status": given.status, "reason": given.reason or ""},
        )
        ticket.recorded = True
        flow.response = http.Response.make(given.status, given.content, {"content-type": "application/json"})

    async def _answer(self, ticket: Ticket, path: str, form: dict[str, str]) -> Answer:
        exchange, address = self._services.exchange, ticket.client_address
        match ticket.method, ticket.host, path:
            case "POST", "sts.googleapis.com", "/v1/token":
                return await exchange.exchange(form, address)
            case "POST", "sts.googleapis.com", "/v1/introspect":
                return self._with_budgets(await exchange.introspect(form, address))
            case "POST", "oauth2.googleapis.com", "/token":
                return await exchange.refresh(form, address)
            case "POST", "oauth2.googleapis.com", "/revoke":
                return await exchange.revoke(form, address)
            case "GET", "iamcredentials.googleapis.com", _ if path.endswith("/allowedLocations"):
                # Client libraries ask where an account may be used from, and take 404 for "anywhere".
                return Answer(404, {"error": "not_found"})
            case _:
                return Answer(
                    403,
                    {
                        "error": "access_denied",
                        "error_description": f"hoop-mitm does not forward {path} on {ticket.host}.",
                    },
                )

    def _with_budgets(self, answer: Answer) -> Answer:
        """What is left of the principal's budgets, which only the gateway can say (`hoop-mitm whoami`)."""
        if answer.principal is None:
            return answer
        costs = self._services.costs
        standing = [
            left.as_json(costs.prices)
            for connection in answer.body.get("connections", ())
            for left in costs.of(Payer(answer.principal, "", connection))
        ]
        # One that is the same whatever it is used for comes once.
        different = list({json.dumps(each): each for each in standing}.values())
        return replace(answer, body={**answer.body, "budgets": different})
