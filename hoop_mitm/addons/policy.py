"""Whether it may be done."""

import asyncio
import contextlib
import logging
from datetime import UTC, datetime

from mitmproxy import http

from hoop_mitm.addons.cost import payer_of
from hoop_mitm.addons.services import Services
from hoop_mitm.addons.stage import Stage
from hoop_mitm.addons.ticket import Ticket
from hoop_mitm.bigquery import Operation
from hoop_mitm.errors import Denied, RecordingError
from hoop_mitm.policy import Question, Ruling, Verdict
from hoop_mitm.policy.reviews import reason_of
from hoop_mitm.policy.rules import DISAGREEMENT, Loaded

logger = logging.getLogger(__name__)

LOOK_EVERY = 0.5
"""Seconds between two looks at the files that the rules stand in."""

MOST_NOTED = 20
"""Rules that only observe, of which one request's event tells."""


class Policy(Stage):
    """Asks the rules. What they deny goes nowhere; what they want reviewed is held; what they allow goes on.

    A request that carries several operations is allowed when each of them is.
    """

    def __init__(self, services: Services) -> None:
        super().__init__(services)
        self._task: asyncio.Task[None] | None = None

    async def decide(self, flow: http.HTTPFlow, ticket: Ticket) -> None:
        operation, identified, connection = ticket.operation, ticket.identified, ticket.connection
        assert operation
        assert identified
        assert connection
        for number, part in enumerate(operation.questions, 1):
            question, ruling = await self.services.rules.ask(
                self._question(ticket, part), connection, identified.subject_token
            )
            ticket.facts, ticket.estimate, ticket.ruling = question.facts, question.estimate, ruling
            self._note(ticket, ruling)
            verdict = ruling.verdict
            if verdict.decision == "allow":
                continue
            if operation.parts:
                cannot_wait = " A part of a batch cannot wait: send it by itself." if ruling.review else ""
                raise Denied(
                    verdict.rule,
                    f"Part {number} of this batch was refused, so no part was sent. {verdict.message}{cannot_wait}",
                )
            if verdict.decision == "deny":
                raise Denied(verdict.rule, verdict.message)
            if question.estimate:
                # Nobody is asked to approve what no budget pays.
                self.services.costs.check(payer_of(ticket), question.estimate)
            await self.services.reviews.hold(flow, ticket, question, ruling)

    @staticmethod
    def _question(ticket: Ticket, operation: Operation) -> Question:
        assert ticket.identified
        assert ticket.connection
        assert ticket.session
        return Question(
            principal=ticket.identified.principal,
            connection=ticket.connection.name,
            operation=operation,
            session_id=ticket.session.id,
            program=str(ticket.program or ""),
            agent=ticket.session.agent,
            reason=reason_of(operation.statement, operation.labels),
            at=datetime.now(UTC),
        )

    def _note(self, ticket: Ticket, ruling: Ruling) -> None:
        """What rules would have said that only observe, and that BigQuery took a statement for something else."""
        if ruling.observed:
            self._event(ticket, ruling, "policy.observed", "Rules that only observe would have decided otherwise.")
        if ruling.verdict.rule == DISAGREEMENT:
            self._event(ticket, ruling, "policy.disagreement", "BigQuery understands a statement differently.")

    def _event(self, ticket: Ticket, ruling: Ruling, kind: str, message: str) -> None:
        assert ticket.identified
        ticket.notes.append(
            self.services.event_record(
                kind,
                message,
                client_address=ticket.client_address,
                principal=ticket.identified.principal,
                session_id=ticket.session.id if ticket.session else None,
                flow_id=ticket.flow_id,
                details={
                    "policy": ruling.policy,
                    "verdict": _shape(ruling.verdict),
                    "observed": [_shape(verdict) for verdict in ruling.observed[:MOST_NOTED]],
                },
            )
        )

    # -- the files ----------------------------------------------------------------------------------------------------

    def running(self) -> None:
        self._task = asyncio.create_task(self._watch(), name="hoop-mitm policy")

    async def done(self) -> None:
        if self._task:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        self.services.rules.close()

    async def _watch(self) -> None:
        rules = self.services.rules
        await self.services.ready()
        if rules.policy.version:
            await self._tell("policy.loaded", f"The policy {rules.policy.version} is in force.", rules.policy.version)
        while True:
            await asyncio.sleep(LOOK_EVERY)
            loaded = await asyncio.to_thread(rules.look)
            if loaded is not None:
                await self._take(loaded)

    async def _take(self, loaded: Loaded) -> None:
        rules = self.services.rules
        before = rules.policy.version
        if loaded.policy is None:
            logger.error("The policy was NOT loaded, and the one from before stays in force: %s", loaded.trouble)
            await self._tell(
                "policy.refused",
                "A changed policy was not loaded; the one from before stays in force.",
                before,
                trouble=loaded.trouble,
            )
        elif loaded.policy.version != before:
            await self._tell(
                "policy.loaded",
                f"The policy {loaded.policy.version} is in force.",
                loaded.policy.version,
                before=before,
            )
            rules.policy = loaded.policy
            logger.warning("The policy %s is in force.", loaded.policy.version)

    async def _tell(self, kind: str, message: str, version: str, **details: object) -> None:
        """An event, in the recording before what it tells of has an effect there. Without a journal nothing passes anyway,
        and what cannot be told now must not keep old rules in force."""
        try:
            await self.services.event(kind, message, details={"policy": version, **details})
        except RecordingError as error:
            logger.error("%s This could not be recorded: %s", message, error)  # noqa: TRY400 - it says it all


def _shape(verdict: Verdict) -> dict[str, str]:
    return {"decision": verdict.decision, "rule": verdict.rule, "message": verdict.message}
