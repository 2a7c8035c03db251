"""What reviewers have let run is run: looked at once more, and sent to BigQuery by the gateway itself, once.

A job's id is unique at BigQuery. It stands since the request was held, so that whoever sends the job, and however often,
there is one job at most; and a gateway that was killed in between finds out by that id what became of it.
"""

import asyncio
import contextlib
import logging
import re
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl

import msgspec
from uuid_utils import uuid7

from hoop_mitm import bigquery
from hoop_mitm.bigquery import Door, Operation, Resource, waiting
from hoop_mitm.bigquery.labels import REVIEW
from hoop_mitm.bigquery.rewriting import with_limit
from hoop_mitm.bigquery.trial import own_limit
from hoop_mitm.config import Connection
from hoop_mitm.credentials import AccessToken
from hoop_mitm.errors import AskingError, CredentialError, Denied, EstimateRefused, HoopError, IdentityError
from hoop_mitm.outbound import session
from hoop_mitm.policy import Question, Verdict
from hoop_mitm.policy.cost import Admission, Payer
from hoop_mitm.policy.reviews import Grounds, Outcome, Review, deciding
from hoop_mitm.recording import FlowRecord, Message, Owner, claimed
from hoop_mitm.recording.records import FlowState

if TYPE_CHECKING:
    from hoop_mitm.addons.holding import Holding
    from hoop_mitm.addons.services import Services
    from hoop_mitm.reconciling import BigQuery
    from hoop_mitm.reconciling.client import Answer

logger = logging.getLogger(__name__)

PAUSES: Final = (1.0, 2.0, 5.0, 10.0, 30.0)
"""Seconds before each new try; the last again and again."""

SETTLED: Final = timedelta(minutes=2)
"""How long after it was sent BigQuery may still make a job of a request."""

AT_ONCE: Final = 8
"""Jobs that are sent at the same time."""

HOST: Final = "bigquery.googleapis.com"
AGENT: Final = "hoop-mitm"
RULE: Final = "review.approved"

UNAUTHORIZED, CONFLICT = 401, 409
OK, REFUSED = range(200, 300), range(400, 500)
AGAIN: Final = frozenset({401, 408, 409, 429})
"""Of the answers 4xx, those that do not say what BigQuery thinks of the job."""

LATER: Final = frozenset({"rateLimitExceeded", "jobRateLimitExceeded", "backendError"})
"""Reasons with which BigQuery refuses a job for the moment."""

_INSERT: Final = Door("jobs.insert", "admin", body="json")
_PLACE = re.compile(r"Already Exists: Job [^ ]*:([A-Za-z0-9-]+)\.")


@dataclass(frozen=True, slots=True)
class _Sent:
    """One try to start a job."""

    review: Review
    connection: Connection
    body: bytes
    started: datetime
    admission: Admission | None = None


class _HttpError(msgspec.Struct):
    message: str = ""
    errors: list[dict[str, object]] = []


class _Failed(msgspec.Struct):
    error: _HttpError = msgspec.field(default_factory=_HttpError)


class _Reference(msgspec.Struct):
    location: str | None = None


class _Made(msgspec.Struct, rename="camel"):
    job_reference: _Reference = msgspec.field(default_factory=_Reference)


class Execution:
    """Sends approved jobs."""

    def __init__(self, services: "Services", holding: "Holding") -> None:
        self._services = services
        self._holding = holding
        self._http = session(services.config.gateway.upstream)
        self._connections = {connection.name: connection for connection in services.config.connections}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._subject_tokens: dict[str, str] = {}
        self._few = asyncio.Semaphore(AT_ONCE)

    def begin(self, review: Review) -> None:
        """Sees to it that an approved review is run; nothing happens where that is under way."""
        if review.id not in self._running and not self._waits_for_client(review):
            task = asyncio.create_task(self._run(review.id), name=f"hoop-mitm runs {review.id}")
            self._running[review.id] = task
            task.add_done_callback(lambda _: self._running.pop(review.id, None))

    async def end(self) -> None:
        """Stops. What was begun is found out about by the next gateway."""
        for task in list(self._running.values()):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    def lend(self, review: Review, subject_token: str | None) -> None:
        """Keeps, in memory alone, what the requester's own identity is shown to Google with (federation)."""
        connection = self._connections.get(review.held.session.connection)
        if subject_token and connection and self._services.sources[connection.name].needs_subject_token:
            self._subject_tokens[review.id] = subject_token

    def forget_all_but(self, open_ids: AbstractSet[str]) -> None:
        """Keeps no token longer than the request that it came with is open."""
        for gone in self._subject_tokens.keys() - open_ids:
            del self._subject_tokens[gone]

    def _waits_for_client(self, review: Review) -> bool:
        """With federation nobody but the requester can run it: it waits until they ask for it again."""
        source = self._services.sources.get(review.held.session.connection)
        return source is not None and source.needs_subject_token and review.id not in self._subject_tokens

    async def estimated(self, question: Question, subject_token: str | None) -> Question:
        """The question with an estimate, which people want to read whether or not a rule does.

        Raises:
            Denied: BigQuery refuses the dry run: there is no sense in waiting for a review of that.
        """
        if question.estimate is not None or question.operation.statement is None:
            return question
        payer = Payer(question.principal, question.session_id, question.connection)
        weighs = self._services.costs.weighs(payer)
        try:
            estimate = await self._services.estimates.of(
                question.operation,
                connection=self._connections[question.connection],
                principal=question.principal,
                subject_token=subject_token,
            )
        except Denied as error:
            if weighs or isinstance(error, EstimateRefused):
                raise
            # It cannot be told what it would cost, and nothing but people's curiosity needs to know.
            return question
        return replace(question, estimate=estimate)

    async def _run(self, review_id: str) -> None:
        for tries in range(10_000):
            try:
                async with self._few:
                    if await self._step(review_id):
                        self._subject_tokens.pop(review_id, None)
                        return
            except Exception as error:
                # Also what nobody foresaw: a review that was approved is not left lying.
                unforeseen = not isinstance(error, HoopError)
                logger.warning("Review %s cannot be run just now: %s", review_id, error, exc_info=unforeseen)
                # A token that was refused is not tried again; the next poll brings another.
                self._subject_tokens.pop(review_id, None)
                review = self._holding.store.get(review_id)
                if review is None or self._waits_for_client(review):
                    return
            await asyncio.sleep(PAUSES[min(tries, len(PAUSES) - 1)])

    async def _step(self, review_id: str) -> bool:
        """One try; whether there is nothing left to do.

        Raises:
            HoopError: it could not be done now.
        """
        review = await asyncio.to_thread(self._holding.store.get, review_id)
        if review is None or review.state not in ("APPROVED", "EXECUTING"):
            return True
        connection = self._connections.get(review.held.session.connection)
        if connection is None:
            gone = Denied("connection.unclear", "Its connection is not in the gateway's configuration any more.")
            await self._change(review, lambda each: deciding.refuse(each, gone, _now()))
            return True
        token = await self._services.sources[connection.name].token(
            review.held.session.principal, self._subject_tokens.get(review_id)
        )
        client = self._client(token)
        if review.state == "EXECUTING":
            if await self._is_there(client, review, None):
                return True
            if _now() - (review.sent_at or review.requested_at) > SETTLED:
                review = await self._change(review, deciding.put_back) or review
        if review.state == "APPROVED" and not await self._may_still(review, connection):
            return True
        return await self._send(client, review, connection, token)

    async def _may_still(self, review: Review, connection: Connection) -> bool:
        """Looks once more: is the requester still welcome, and do the rules and BigQuery still say what they said?"""
        if _now() >= review.expires_at:
            await self._change(review, lambda each: deciding.expire(each, _now()))
            return False
        try:
            self._check_welcome(review)
            grounds = await self._grounds(review, connection)
        except (Denied, IdentityError) as error:
            refusal = error if isinstance(error, Denied) else Denied(f"identity.{error.reason}", str(error))
            await self._change(review, lambda each: deciding.refuse(each, refusal, _now()))
            return False
        if why := deciding.difference(review.grounds, grounds):
            await self._change(review, lambda each: deciding.reopen(each, grounds, why))
            return False
        return True

    def _check_welcome(self, review: Review) -> None:
        identified = review.held.identified
        self._services.authenticator.check(identified)
        self._services.revocations.check_session(review.held.session.id, identified)

    async def _grounds(self, review: Review, connection: Connection) -> Grounds:
        """What the review would rest on if it were asked for now.

        Raises:
            Denied: it would be refused.
        """
        subject_token = self._subject_tokens.get(review.id)
        question, ruling = await self._services.rules.ask(_question(review), connection, subject_token)
        match ruling.verdict.decision:
            case "deny":
                raise Denied(ruling.verdict.rule, ruling.verdict.message)
            case "allow":
                # Nobody needs to be asked any more; what it would read is still what they were shown.
                return review.grounds
        question = await self.estimated(question, subject_token)
        return Grounds.of(question, ruling, self._services.costs.prices.currency)

    async def _send(self, client: "BigQuery", review: Review, connection: Connection, token: AccessToken) -> bool:
        try:
            admission = await self._admitted(review, connection)
        except Denied as error:
            refusal = error
            await self._change(review, lambda each: deciding.refuse(each, refusal, _now()))
            return review.state == "APPROVED"
        begun = await self._change(review, lambda each: deciding.begin(each, str(uuid7()), _now()))
        if begun is None or begun.state != "EXECUTING":
            return True
        body = waiting.as_insert(begun.waiting)
        if admission:
            body = with_limit(_operation(begun, body), body, admission.limit)
        sent = _Sent(begun, connection, body, _now(), admission)
        # Whatever happens from here on, there is a record that it was sent.
        await self._record(sent, "open")
        try:
            answer = await asyncio.to_thread(client.insert, begun.held.project, sent.body)
        except AskingError as error:
            await self._record(sent, "failed", error=str(error))
            self._settle(sent, None)
            raise
        await self._record(sent, "complete", answer)
        self._settle(sent, answer)
        if answer.status == UNAUTHORIZED:
            self._services.sources[connection.name].invalidate(token)
        if answer.status == CONFLICT:
            return await self._is_there(client, begun, answer)
        if answer.status in OK:
            place = _read(answer, _Made, _Made()).job_reference.location
            await self._change(begun, lambda each: deciding.executed(each, _now(), place))
            return True
        complaint = _read(answer, _Failed, _Failed()).error
        reason = str((complaint.errors or [{}])[0].get("reason") or "invalid")
        if answer.status in REFUSED and answer.status not in AGAIN and reason not in LATER:
            said = Outcome(complaint.message or f"BigQuery answered {answer.status}.", reason, answer.status)
            await self._change(begun, lambda each: deciding.executed(each, _now(), None, said))
            return True
        raise CredentialError(f"BigQuery answered {answer.status}.")

    async def _admitted(self, review: Review, connection: Connection) -> Admission | None:
        """What it may be billed at most: what budgets have for it, and not much more than the reviewers were shown.

        Raises:
            Denied: no budget pays for it now.
        """
        held, costs = review.held, self._services.costs
        payer = Payer(held.session.principal, held.session.id, connection.name)
        if held.statement is None or not (costs.weighs(payer) or review.grounds.processed_bytes is not None):
            return None
        if charge := costs.find(held.project, held.job_id):
            # It was sent before; what was set aside for it then is there still.
            return Admission(max(1, charge.reserved), charge, is_shared=True)
        subject_token = self._subject_tokens.get(review.id)
        operation = operation_of(review)
        estimate = await self._services.estimates.of(
            operation, connection=connection, principal=held.session.principal, subject_token=subject_token
        )
        # However much a ceiling would let through, the reviewers were shown less.
        most = estimate.most if estimate.is_bound else None
        own = min(filter(None, (own_limit(operation), most)), default=None)
        if not costs.weighs(payer):
            return Admission(own) if most and own else None
        return await costs.admit(
            review.id,
            payer,
            estimate,
            project=held.project,
            job_id=held.job_id,
            location=held.location,
            own_limit=own,
            subject_token=subject_token,
        )

    def _settle(self, sent: "_Sent", answer: "Answer | None") -> None:
        """What it was billed, or that this is asked for."""
        charge = sent.admission.charge if sent.admission else None
        if charge is None:
            return
        if answer is None or answer.status == CONFLICT:
            self._services.bills.follow(charge)
            return
        path = f"/bigquery/v2/projects/{sent.review.held.project}/jobs"
        facts = bigquery.job_facts("jobs.insert", path, sent.body, answer.body, answer.status)
        self._services.bills.answered(
            charge, facts, answer.status, is_shared=bool(sent.admission and sent.admission.is_shared)
        )

    async def _is_there(self, client: "BigQuery", review: Review, conflict: "Answer | None") -> bool:
        """Whether BigQuery has this very job, by an earlier try; that is then what became of the review.

        Args:
            conflict: BigQuery's answer that there is a job of that id; where there is another, nothing more is to be done
                either.
        """
        held = review.held
        place = held.location
        if conflict and (found := _PLACE.search(_read(conflict, _Failed, _Failed()).error.message)):
            place = found[1]
        job = await asyncio.to_thread(client.job, held.project, held.job_id, place)
        if job is None:
            return False
        taken = None
        # Only the gateway can have written that label.
        if job.labels.get(REVIEW) != review.id:
            taken = Outcome(f"Already Exists: Job {held.job}. Send it again with another job id.", "duplicate")
        await self._change(review, lambda each: deciding.executed(each, _now(), job.location, taken))
        return True

    async def _change(self, review: Review, decide: Callable[[Review], deciding.Changed | None]) -> Review | None:
        return await self._holding.change(review.id, decide)

    def _client(self, token: AccessToken) -> "BigQuery":
        from hoop_mitm.reconciling import BigQuery

        return BigQuery(self._http, lambda: token.value)

    async def _record(
        self, sent: "_Sent", state: FlowState, answer: "Answer | None" = None, error: str | None = None
    ) -> None:
        """The exchange as any other: the intent first, and the answer when it is there."""
        review, body, held = sent.review, sent.body, sent.review.held
        operation = _operation(review, body)
        owner = Owner(held.session.principal.key, held.session.connection)
        made: tuple[Resource, ...] = ()
        if answer:
            made = bigquery.created(operation, answer.status, answer.headers, answer.body)
        record = FlowRecord(
            id=str(review.execution),
            state=state,
            session=held.session,
            operation=operation,
            verdict=Verdict("allow", RULE),
            method="POST",
            host=HOST,
            url=f"https://{HOST}/bigquery/v2/projects/{held.project}/jobs",
            user_agent=AGENT,
            client_address="",
            program=held.program or None,
            request=Message((("content-type", "application/json"),), body, None, len(body)),
            response=Message(answer.headers, answer.body, None, len(answer.body)) if answer else Message(),
            started_at=sent.started,
            ended_at=None if state == "open" else _now(),
            status=answer.status if answer else None,
            error=error,
            level=sent.connection.recording,
            http_version="HTTP/1.1",
        )
        await self._services.recorder.write(record, owns={claimed(each, owner): owner for each in made})


def operation_of(review: Review) -> Operation:
    """What was asked for, read anew from what was held.

    Raises:
        Denied: it is not understood any more.
    """
    held = review.held
    path, _, query = held.path.partition("?")
    door = bigquery.find(HOST, "POST", path)
    if door is None:
        raise Denied("door.unknown", "hoop-mitm does not know this request any more.")
    return bigquery.read(
        door,
        path=path,
        query=parse_qsl(query, keep_blank_values=True),
        headers={"content-type": "application/json"},
        body=held.body.encode(),
    )


def _question(review: Review) -> Question:
    """What the rules are asked once more."""
    held = review.held
    return Question(
        principal=held.session.principal,
        connection=held.session.connection,
        operation=operation_of(review),
        session_id=held.session.id,
        program=held.program,
        agent=held.session.agent,
        reason=held.reason,
        at=_now(),
    )


def _operation(review: Review, body: bytes) -> Operation:
    """What is sent: the same, as a job with the id that it was promised."""
    held = review.held
    asked = operation_of(review)
    return replace(asked, door=_INSERT, job_id=held.job_id, location=held.location, body=msgspec.json.decode(body))


def _read[T](answer: "Answer", kind: type[T], otherwise: T) -> T:
    try:
        return msgspec.json.decode(answer.body, type=kind)
    except (msgspec.DecodeError, ValueError):
        return otherwise


def _now() -> datetime:
    return datetime.now(UTC)
