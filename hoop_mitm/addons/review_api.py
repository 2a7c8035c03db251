"""The reviewers' side: what waits, and what they say to it.

``https://bigquery.googleapis.com/hoop/v1/reviews``, through the proxy, or at the endpoint. Google has no such path, and a
request to it never leaves.
"""

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from mitmproxy import http

from hoop_mitm.addons.answers import answer
from hoop_mitm.addons.endpoint import REST_HOST
from hoop_mitm.addons.failsafe import Addon
from hoop_mitm.addons.holding import JSON
from hoop_mitm.addons.services import Services
from hoop_mitm.bigquery import refusals
from hoop_mitm.errors import Denied, HoopError
from hoop_mitm.identity import Identified, Principal
from hoop_mitm.policy.reviews import Review
from hoop_mitm.policy.reviews.showing import shown, summary

PREFIX: Final = "/hoop/v1/"
ROOT: Final = f"{PREFIX}reviews"

MAX_BODY: Final = 64 * 1024
MOST_SHOWN: Final = 1_000
LONGEST_WAIT: Final = 25.0

_STATUS: Final = {
    "review.unknown": 404,
    "review.over": 409,
    "review.changed": 409,
    "review.twice": 409,
    "review.request": 400,
}


class ReviewApi(Addon):
    """Answers requests below ``/hoop/v1/``, after *Identity* has said who asks."""

    def __init__(self, services: Services) -> None:
        self._services = services
        # One who lists at a time: the others would only take threads from those who do not list.
        self._listing = asyncio.Lock()

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        ticket = self._services.tickets.of(flow)
        if ticket and ticket.host == REST_HOST and flow.request.path.startswith(PREFIX) and not ticket.refused:
            ticket.answered = True

    async def request(self, flow: http.HTTPFlow) -> None:
        ticket = self._services.tickets.of(flow)
        if not (ticket and ticket.answered and ticket.identified and flow.request.path.startswith(PREFIX)):
            return
        await self._services.ready()
        ticket.recorded = True
        try:
            _check_token(ticket.identified)
            said = await self._answer(flow.request, ticket.identified.principal)
        except Denied as error:
            flow.response = answer(refusals.rest(str(error), _STATUS.get(error.rule, 403), error.rule))
        except HoopError as error:
            flow.response = answer(refusals.rest(str(error), 503, "unavailable"))
        else:
            flow.response = http.Response.make(200, json.dumps(said, ensure_ascii=False).encode(), JSON)

    async def _answer(self, request: http.Request, who: Principal) -> dict[str, Any]:
        path = request.path.partition("?")[0]
        parts = path.removeprefix(ROOT).strip("/").split("/") if path.startswith(ROOT) else ["", "", ""]
        match request.method, parts:
            case "GET", [""]:
                return await self._list(request, who)
            case "GET", [reference]:
                return await self._shown(await self._visible(reference, who), who)
            case "POST", [reference, "approve"]:
                said = _body(request)
                review = await self._visible(reference, who)
                decided = await self._services.reviews.approve(
                    review.id, who, said.get("digest", ""), said.get("message", "")
                )
            case "POST", [reference, "reject"]:
                review = await self._visible(reference, who)
                decided = await self._services.reviews.reject(review.id, who, _body(request).get("message", ""))
            case _:
                raise Denied("review.unknown", f"There is nothing at {request.method} {path[:80]} (docs/reviews.md).")
        return await self._shown(decided or review, who)

    async def _list(self, request: http.Request, who: Principal) -> dict[str, Any]:
        """Reviews in the states that are named; with ``wait``, only once something has changed after ``after``."""
        reviews = self._services.reviews
        after, wait = (_number(request, name) for name in ("after", "wait"))
        states = request.query.get_all("state")
        change = reviews.store.last_change
        if wait and change <= after:
            await reviews.something(min(wait, LONGEST_WAIT))
            change = reviews.store.last_change

        def listed() -> list[dict[str, Any]]:
            now = datetime.now(UTC)
            found = reviews.store.all(states, after=after, limit=MOST_SHOWN)
            return [summary(reviews.polled_at(each), now) for each in found if self._may_see(each, who)]

        return {"change": change, "reviews": await self._aside(listed)}

    async def _visible(self, reference: str, who: Principal) -> Review:
        """The review by its id, or by the beginning of one, among those that this principal may see."""
        store = self._services.reviews.store

        def matching() -> list[Review]:
            exact = store.get(reference)
            found = [exact] if exact else store.beginning_with(reference)
            found = [each for each in found if self._may_see(each, who)]
            # What a list says of a review is not all of it.
            return [full for each in found if (full := store.get(each.id))] if len(found) == 1 else found

        found = await self._aside(matching)
        if len(found) > 1:
            raise Denied("review.unknown", f"Several reviews begin with {reference[:40]}; write more of the id.")
        if not found:
            # The same words whether there is none or it is not theirs to see.
            raise Denied("review.unknown", f"There is no review {reference[:40]!r} that you may see.")
        return found[0]

    def _may_see(self, review: Review, who: Principal) -> bool:
        """The requester, and whoever may be a reviewer."""
        groups = set(self._services.reviews.machines.get(who.key, ()) if who.kind == "machine" else who.groups)
        return review.held.session.principal.key == who.key or bool(groups & set(review.grounds.groups))

    async def _shown(self, review: Review, who: Principal) -> dict[str, Any]:
        reviews = self._services.reviews

        def everything() -> dict[str, Any]:
            before = reviews.store.last_that_ran(review) if review.fingerprint else None
            return shown(
                reviews.polled_at(review), to=who, machines=reviews.machines, now=datetime.now(UTC), before=before
            )

        return await self._aside(everything)

    async def _aside[T](self, read: Callable[[], T]) -> T:
        """What is read, while the gateway goes on."""
        async with self._listing:
            return await asyncio.to_thread(read)


def _check_token(identified: Identified) -> None:
    if identified.issued_at is not None:
        raise Denied(
            "review.token",
            "Reviewers sign in themselves: this is a session's token, which a program holds. Use `hoop-mitm reviews`.",
        )


def _body(request: http.Request) -> dict[str, str]:
    raw = request.get_content(strict=True) or b"{}"
    try:
        said = json.loads(raw) if len(raw) <= MAX_BODY else None
    except ValueError:
        said = None
    if not isinstance(said, dict) or not all(isinstance(value, str) for value in said.values()):
        raise Denied("review.request", 'Send a small JSON object of texts: {"digest": "…", "message": "…"}.')
    return said


def _number(request: http.Request, name: str) -> int:
    value = request.query.get(name, "0")
    if not value.isdecimal() or len(value) > 15:  # noqa: PLR2004 - larger than any there will be
        raise Denied("review.request", f"{name} must be a number.")
    return int(value)
