"""What waits for reviewers: held here, decided on here, and made to happen from here."""

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import msgspec
from mitmproxy import http
from uuid_utils import uuid7

from hoop_mitm import bigquery
from hoop_mitm.addons.executing import Execution
from hoop_mitm.addons.telling import Telling
from hoop_mitm.addons.ticket import Ticket
from hoop_mitm.bigquery import Resource, waiting
from hoop_mitm.bigquery.labels import REVIEW, SESSION
from hoop_mitm.errors import Denied, HoopError
from hoop_mitm.identity import Principal
from hoop_mitm.policy import Verdict
from hoop_mitm.policy.cost import Payer
from hoop_mitm.policy.reviews import Grounds, Held, Review, Store, deciding, digest_of
from hoop_mitm.policy.reviews.deciding import Change, Changed
from hoop_mitm.policy.reviews.store import Happened, Most
from hoop_mitm.recording import EventRecord, Owner
from hoop_mitm.recording.owners import LIFETIME

if TYPE_CHECKING:
    from hoop_mitm.addons.services import Services
    from hoop_mitm.policy import Question, Ruling

logger = logging.getLogger(__name__)

DOORS: Final = frozenset({"jobs.insert", "jobs.query"})
"""What can wait: BigQuery's own clients wait for a job as long as it takes."""

LARGEST: Final = 2**18
"""Bytes of a request that is held: more than people read, and little enough that many can be listed."""

MOST_UNRUN: Final = 200
"""Requests of one principal that are held within a day and never run; with more, nobody would see the others' for them."""

JSON: Final = {"content-type": "application/json; charset=UTF-8"}

EVERY: Final = 0.5
"""Seconds between two looks at what there is to do; what is decided in this gateway is done at once."""

LOOK_EVERY: Final = 1.0
"""Seconds between two looks of one who waits: another gateway may have changed what they wait for."""

NOTE_POLLS: Final = timedelta(seconds=5)
FORGET_EVERY: Final = timedelta(hours=1)

_ALREADY: Final = "Already Exists: Job {}. Its id is taken: send it with another one, or ask for that job."


class Holding:
    """The reviews of this gateway."""

    def __init__(self, services: "Services") -> None:
        self._services = services
        self._settings = services.config.reviews
        self._telling = Telling(services)
        self.store = Store(services.config.gateway.state, self._telling.names)
        self.execution = Execution(services, self)
        self._moved = asyncio.Event()
        self._polled: dict[str, datetime] = {}
        self._noted_at = self._forgot_at = datetime.now(UTC)
        self._recording = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._complained = ""

    @property
    def machines(self) -> deciding.Machines:
        """Machines that may review, with the groups that they count for."""
        return self._settings.machines

    def begin(self) -> None:
        """Begins to do what was decided, also by the gateway before."""
        self._task = asyncio.create_task(self._work(), name="hoop-mitm reviews")
        self._telling.begin(self.store)

    async def end(self) -> None:
        """Ends; what is not done yet is done by the next gateway."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None
            await self.execution.end()
            await self._telling.end()
            with contextlib.suppress(HoopError):
                await self._note_polls()
                await self.record()
            self.store.close()

    async def hold(self, flow: http.HTTPFlow, ticket: Ticket, question: "Question", ruling: "Ruling") -> None:
        """Answers a request with a job that waits.

        Args:
            question: with the facts, and the estimate if there is one, that the ruling rests on.
            ruling: a verdict ``review``, with its terms.

        Raises:
            Denied: it cannot wait: not a job; its id is taken; too much of the principal's waits already.
            RecordingError: it cannot be kept.
        """
        assert ruling.review
        rule = ruling.verdict.rule
        groups = ", ".join(ruling.review.groups)
        if question.operation.door.name not in DOORS or question.operation.door.body != "json":
            raise Denied(
                rule,
                f"This needs the approval of a member of {groups} (rule {rule}), and {question.operation.door.name} cannot wait "
                "for one. Run it as a query job with any BigQuery client (jobs.insert or jobs.query): that waits.",
            )
        body = flow.request.get_content(strict=True) or b""
        if len(body) > LARGEST:
            raise Denied(
                rule,
                f"This needs the approval of a member of {groups} (rule {rule}), and nobody can read a request of {len(body)} "
                f"bytes: {LARGEST} are the most that is held. Send it in parts, or load the data from a file.",
            )
        if is_in_session(question.operation.door.name, body):
            raise Denied(
                rule,
                f"This needs the approval of a member of {groups} (rule {rule}), and what runs in a BigQuery session cannot "
                "wait for one: its temporary functions and tables may be others by then. Send it without session_id and "
                "createSession, with all that it needs in the statement itself.",
            )
        if again := await self._asked_before(ticket, question, body):
            self._answer(flow, ticket, again)
            return
        review = await self._made(ticket, question, ruling, body)
        self._answer(flow, ticket, review)
        logger.info("%s waits for a review by %s: %s.", review.held.session.principal, groups, review.id)

    def _answer(self, flow: http.HTTPFlow, ticket: Ticket, review: Review) -> None:
        held = review.held
        if review.is_open:
            # What ended has its owner, or has no job: a claim from now on would be remembered for longer than the review.
            ticket.owns[Resource("job", held.job)] = Owner(held.session.principal.key, held.session.connection)
        body = (
            waiting.job(review.waiting) if held.door == "jobs.insert" else waiting.results(review.waiting, "jobs.query")
        )
        say(flow, ticket, review.verdict, body)

    async def _asked_before(self, ticket: Ticket, question: "Question", body: bytes) -> Review | None:
        """The review of the very same request, when a client that lost the answer asks again (``requestId``)."""
        assert ticket.session
        if question.operation.door.name != "jobs.query" or not (request_id := waiting.request_id(body)):
            return None
        found = await asyncio.to_thread(self.store.of_request, question.principal.key, request_id)
        if found is None or found.held.session.id != ticket.session.id:
            return None
        return found if found.is_of(body.decode(), question.operation.location) else None

    async def _made(self, ticket: Ticket, question: "Question", ruling: "Ruling", body: bytes) -> Review:
        assert ruling.review
        operation, requester = question.operation, question.principal
        job_id = operation.job_id or f"hoop_{uuid7()}"
        if self._services.owner(Resource("job", f"{operation.project}:{job_id}")) is not None:
            raise Denied("review.duplicate", _ALREADY.format(f"{operation.project}:{job_id}"))
        most = Most(self._settings.most, MOST_UNRUN)
        await asyncio.to_thread(self.store.check, requester.key, most)
        question = await self.execution.estimated(
            question, ticket.identified.subject_token if ticket.identified else None
        )
        if question.estimate is not None:
            # Nobody is to say yes to what no budget pays.
            payer = Payer(requester, question.session_id, question.connection)
            self._services.costs.check(payer, question.estimate)
        now, review_id = datetime.now(UTC), str(uuid7())
        held = _held(ticket, question, body, job_id, review_id)
        grounds = Grounds.of(question, ruling, self._services.costs.prices.currency)
        review = Review(
            id=review_id,
            state="PENDING",
            held=held,
            grounds=grounds,
            digest=digest_of(held, grounds),
            requested_at=now,
            expires_at=now + ruling.review.expires,
            fingerprint=bigquery.fingerprint(held.statement) if held.statement else "",
        )
        asked = Change("review.requested", "A request waits for a review.", requester)
        try:
            review = await asyncio.to_thread(self.store.add, review, asked, most)
        except KeyError:
            raise Denied("review.duplicate", _ALREADY.format(held.job)) from None
        self.execution.lend(review, ticket.identified.subject_token if ticket.identified else None)
        self.moved()
        await self.record()
        return review

    def of_job(self, project: str, job_id: str) -> Review | None:
        """The review of a job, if it ever was held."""
        return self.store.of_job(project, job_id)

    def asked_for(self, review: Review) -> None:
        """Notes that the client is still there."""
        self._polled[review.id] = datetime.now(UTC)

    def polled_at(self, review: Review) -> Review:
        """The review, with when the client last asked, to the second."""
        latest = self._polled.get(review.id)
        return replace(review, polled_at=latest) if latest else review

    async def change(self, review_id: str, decide: Callable[[Review], Changed | None]) -> Review | None:
        """Makes something of a review; returns when that is durable and recorded. ``None``: there is no such review.

        Raises:
            Denied: ``decide`` says that it may not be.
            RecordingError: it could not be kept.
        """
        review = await asyncio.to_thread(self.store.update, review_id, decide)
        self.moved()
        await self.record()
        return review

    async def withdraw(self, review: Review) -> Review:
        """Takes a review back, if it is not too late; gives it as it is now."""
        return await self.change(review.id, lambda each: deciding.withdraw(each, datetime.now(UTC))) or review

    async def approve(self, review_id: str, by: Principal, digest: str, message: str) -> Review | None:
        """One reviewer's yes to what they have seen.

        Raises:
            Denied: it does not count; the rule says why.
        """
        return await self.change(
            review_id,
            lambda each: deciding.approve(
                each, by, digest=digest, machines=self.machines, now=datetime.now(UTC), message=message
            ),
        )

    async def reject(self, review_id: str, by: Principal, message: str) -> Review | None:
        """One reviewer's no.

        Raises:
            Denied: it does not count.
        """
        return await self.change(
            review_id,
            lambda each: deciding.reject(each, by, machines=self.machines, now=datetime.now(UTC), message=message),
        )

    async def wait(self, review: Review, seconds: float) -> Review:
        """The review once it is over, or as it is when the time is."""
        deadline = asyncio.get_running_loop().time() + seconds
        while review.is_open and (left := deadline - asyncio.get_running_loop().time()) > 0:
            await self.something(min(left, LOOK_EVERY))
            if self.store.has_changed(review):
                review = self.store.get(review.id) or review
        return review

    async def something(self, seconds: float) -> None:
        """Returns when any review has changed in this gateway, or when the time is over."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._moved.wait(), seconds)

    def moved(self) -> None:
        """Wakes everybody who waits."""
        self._moved.set()
        self._moved = asyncio.Event()
        self._telling.wake()

    async def record(self) -> None:
        """Writes what has happened into the recording, in its order, each once.

        Raises:
            RecordingError: it cannot be written just now; it is tried again.
        """
        async with self._recording:
            happened = await asyncio.to_thread(self.store.unrecorded)
            if not happened:
                return
            await self._services.recorder.write(*map(self._event, happened))
            await asyncio.to_thread(self.store.recorded, [each.number for each in happened])

    def _event(self, happened: Happened) -> EventRecord:
        review, change = happened.review, happened.change
        return EventRecord(
            id=happened.id,
            at=happened.at,
            type=change.type,
            message=change.message,
            session_id=review.held.session.id,
            principal=change.by,
            flow_id=review.execution if change.type == "review.executed" else None,
            details={
                "review": review.id,
                "project": review.held.project,
                "job": review.held.job_id,
                "rule": review.grounds.rule,
                "policy": review.grounds.policy,
                "digest": review.digest,
                "requester": str(review.held.session.principal),
                **change.details,
            },
        )

    async def _work(self) -> None:
        await self._services.ready()
        while True:
            try:
                await self._look()
                self._complained = ""
            except Exception as error:
                # Whatever it is, what could not be done now is still to do the next time, and nobody else does it.
                if str(error) != self._complained:
                    trace = not isinstance(error, HoopError)
                    logger.error("Reviews cannot be looked after just now: %s", error, exc_info=trace)  # noqa: TRY400
                    self._complained = str(error)
            await self.something(EVERY)

    async def _look(self) -> None:
        await self.record()
        now = datetime.now(UTC)
        self.execution.forget_all_but(await asyncio.to_thread(self.store.open_ids))
        for review in await asyncio.to_thread(self.store.to_do, now):
            if review.state != "EXECUTING" and now >= review.expires_at:
                await self.change(review.id, lambda each: deciding.expire(each, datetime.now(UTC)))
            elif review.state != "PENDING":
                self.execution.begin(review)
        if self._polled and now - self._noted_at > NOTE_POLLS:
            self._noted_at = now
            await self._note_polls()
        if now - self._forgot_at > FORGET_EVERY:
            self._forgot_at = now
            await asyncio.to_thread(self.store.forget, now - self._settings.keep, now - timedelta(seconds=LIFETIME))

    async def _note_polls(self) -> None:
        if self._polled:
            polled, self._polled = self._polled, {}
            await asyncio.to_thread(self.store.polled, polled)


def say(flow: http.HTTPFlow, ticket: Ticket, verdict: Verdict, body: bytes, status: int = 200) -> None:
    """Answers a flow ourselves, in BigQuery's shape."""
    ticket.verdict = verdict
    flow.request.stream = False
    flow.response = http.Response.make(status, body, JSON)


def _held(ticket: Ticket, question: "Question", body: bytes, job_id: str, review_id: str) -> Held:
    assert ticket.session
    assert ticket.identified
    assert ticket.connection
    operation, identified = question.operation, ticket.identified
    configuration = waiting.configuration_of(operation.door.name, body)
    labels = {SESSION: ticket.session.id, REVIEW: review_id}
    return Held(
        session=ticket.session,
        token_session=identified.session_id,
        token_connection=identified.connection,
        signed_in_at=identified.signed_in_at,
        authenticated_at=identified.authenticated_at,
        issued_at=identified.issued_at,
        door=operation.door.name,
        path=ticket.url.partition(ticket.host)[2],
        body=body.decode(),
        configuration=waiting.labelled(configuration, labels).decode(),
        project=operation.project,
        job_id=job_id,
        location=operation.location,
        statement=operation.statement,
        request_id=waiting.request_id(body) if operation.door.name == "jobs.query" else "",
        reason=question.reason,
        user_agent=ticket.user_agent,
        client_address=ticket.client_address,
        program=str(ticket.program or ""),
        level=ticket.connection.recording,
        salt=secrets.token_hex(16),
    )


class _Job(msgspec.Struct, rename="camel"):
    connection_properties: list[dict[str, object]] | None = None
    create_session: object = None


class _Configuration(msgspec.Struct):
    query: _Job | None = None
    load: _Job | None = None


def is_in_session(door: str, body: bytes) -> bool:
    """Whether it would run in a BigQuery session, there already or made for it."""
    try:
        configuration = msgspec.json.decode(waiting.configuration_of(door, body), type=_Configuration)
    except msgspec.DecodeError:
        # It is not of BigQuery's shape: where it runs cannot be told.
        return True
    for job in filter(None, (configuration.query, configuration.load)):
        keys = {str(each.get("key")).lower() for each in job.connection_properties or ()}
        if "session_id" in keys or job.create_session not in (None, False):
            return True
    return False
