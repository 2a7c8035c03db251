"""Polls of jobs that wait for a review, or that reviewers have refused: BigQuery knows nothing of them."""

from urllib.parse import quote

from mitmproxy import http

from hoop_mitm.addons.answers import answer
from hoop_mitm.addons.holding import say
from hoop_mitm.addons.stage import Stage
from hoop_mitm.addons.ticket import Ticket
from hoop_mitm.bigquery import refusals, waiting
from hoop_mitm.errors import Denied
from hoop_mitm.policy import Verdict
from hoop_mitm.policy.reviews import Review

POLLS = frozenset({"jobs.get", "jobs.getQueryResults", "jobs.cancel", "jobs.delete"})

USUAL_WAIT = 10.0
"""Seconds that BigQuery itself lets ``getQueryResults`` wait when the client says nothing."""

LONGEST_WAIT = 30.0


class Reviews(Stage):
    """Answers for a held job as BigQuery would, to whoever asked for it; and to nobody else, which Ownership sees to."""

    async def decide(self, flow: http.HTTPFlow, ticket: Ticket) -> None:
        operation, reviews = ticket.operation, self.services.reviews
        assert operation
        assert ticket.identified
        if operation.door.name in ("jobs.insert", "jobs.query") and operation.claims and operation.job_id:
            if reviews.of_job(operation.project, operation.job_id):
                raise Denied(
                    "review.duplicate",
                    f"Already Exists: Job {operation.project}:{operation.job_id}. A job with this id waits for a review, or "
                    "did. Ask for that one, or send this with another id.",
                )
            return
        if operation.door.name not in POLLS or operation.job_id is None:
            return
        review = reviews.of_job(operation.project, operation.job_id)
        if review is None:
            return
        if review.held.session.principal.key != ticket.identified.principal.key:
            raise Denied("ownership.job", "This job is not yours.")
        reviews.asked_for(review)
        reviews.execution.lend(review, ticket.identified.subject_token)
        review = await self._as_it_is(flow, operation.door.name, review)
        self.services.check_still_welcome(ticket)
        if review.state != "EXECUTED" or review.outcome:
            self._answer(flow, ticket, operation.door.name, review)
        elif review.held.location and operation.location is None:
            # The client was told none, and BigQuery finds a job by its id alone only in the US and the EU.
            flow.request.path = with_location(flow.request.path, review.held.location)

    async def _as_it_is(self, flow: http.HTTPFlow, door: str, review: Review) -> Review:
        """The review when this poll is to be answered: results are waited for, as at BigQuery."""
        match door:
            case "jobs.cancel" if review.state in ("PENDING", "APPROVED"):
                return await self.services.reviews.withdraw(review)
            case "jobs.cancel" | "jobs.getQueryResults" if review.is_open:
                return await self.services.reviews.wait(review, _patience(flow))
        return review

    @staticmethod
    def _answer(flow: http.HTTPFlow, ticket: Ticket, door: str, review: Review) -> None:
        verdict, said = review.verdict, review.outcome
        if said:
            verdict = Verdict("review", f"review.{review.state.lower()}", said.message)
        match door:
            case "jobs.delete":
                raise Denied(
                    "review.waiting", "This job was held for a review, and never was at BigQuery: cancel it instead."
                )
            case "jobs.cancel":
                say(flow, ticket, verdict, waiting.cancelled(review.waiting))
            case "jobs.get":
                say(flow, ticket, verdict, waiting.job(review.waiting))
            case _ if said:
                ticket.verdict = verdict
                flow.response = answer(refusals.rest(said.message, said.status, said.reason))
            case _:
                say(flow, ticket, verdict, waiting.results(review.waiting, "jobs.getQueryResults"))


def with_location(path: str, location: str) -> str:
    """A request's path that also names BigQuery's location."""
    return f"{path}{'&' if '?' in path else '?'}location={quote(location)}"


def _patience(flow: http.HTTPFlow) -> float:
    asked = flow.request.query.get("timeoutMs", "")
    return min(int(asked) / 1000 if asked.isdecimal() else USUAL_WAIT, LONGEST_WAIT)
