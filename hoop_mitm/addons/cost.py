"""What a statement may cost, before it leaves; what it did cost, when it comes back."""

import hashlib

import msgspec
from mitmproxy import http

from hoop_mitm import bigquery
from hoop_mitm.addons.services import Services
from hoop_mitm.addons.stage import Stage
from hoop_mitm.addons.ticket import Ticket
from hoop_mitm.bigquery import Operation
from hoop_mitm.bigquery.hidden import is_result
from hoop_mitm.bigquery.rewriting import with_limit
from hoop_mitm.bigquery.trial import own_limit
from hoop_mitm.errors import Denied
from hoop_mitm.policy import Estimate
from hoop_mitm.policy.cost import Admission, Payer
from hoop_mitm.recording import EventRecord

RUNS = frozenset({"jobs.insert", "jobs.query"})
"""Doors whose jobs can be forwarded with a limit."""

TELLS = RUNS | {"jobs.get", "jobs.getQueryResults", "jobs.cancel"}
"""Doors whose answers say something about a bill."""


JOBLESS = "JOB_CREATION_OPTIONAL"


class Cost(Stage):
    """Nobody spends more than the ceilings and budgets of ``hoop.yaml`` let them. Where none applies, nothing is asked.

    A statement is forwarded with a ``maximumBytesBilled`` of what was taken for it, so that nothing that happens between
    the estimate and its run, and no number of statements at once, can spend more than there is.
    """

    async def decide(self, flow: http.HTTPFlow, ticket: Ticket) -> None:
        operation, identified = ticket.operation, ticket.identified
        assert operation
        assert identified
        costs, payer = self.services.costs, payer_of(ticket)
        if reads_tables(operation) and costs.weighs(payer) and not self._may_be_uncapped:
            raise Denied(
                "cost.uncapped",
                "hoop-mitm did not let this table be read through the Storage API, which has no limit to what it costs: there "
                "is one to what you may spend. Select what you need from it in a query: its result may be read that way.",
            )
        if operation.statement is None or operation.dry_run:
            return
        if not costs.weighs(payer):
            if (most := _most(ticket)) and operation.door.name in RUNS:
                ticket.admission = Admission(min(most, own_limit(operation) or most))
                self._limit(flow, operation, ticket.admission.limit)
            return
        if operation.door.name not in RUNS:
            await self._uncapped(ticket, payer)
            return
        ticket.estimate = await self._estimate(ticket)
        ticket.admission = await costs.admit(
            ticket.flow_id,
            payer,
            ticket.estimate,
            project=operation.project,
            job_id=operation.job_id,
            location=operation.location,
            own_limit=min(filter(None, (own_limit(operation), _most(ticket))), default=None),
            # BigQuery may answer it without a job, and then there is none to be found.
            statement=None if (operation.body or {}).get("jobCreationMode") == JOBLESS else operation.statement,
            request=_digest(operation),
            subject_token=identified.subject_token,
        )
        if not flow.client_conn.connected:
            # The hook that tells of it has been called already, and mitmproxy sends nothing for a client that has gone.
            self._give_back(ticket)
            raise Denied("cost.gone", "The client went away while hoop-mitm asked what its statement would cost.")
        self._limit(flow, operation, ticket.admission.limit)

    async def _uncapped(self, ticket: Ticket, payer: Payer) -> None:
        """A statement that cannot be forwarded with a limit."""
        assert ticket.operation
        if not self._may_be_uncapped:
            raise Denied(
                "cost.uncapped",
                "hoop-mitm did not send this statement: there is a limit to what you may spend, and "
                f"{ticket.operation.door.name} has no way to tell BigQuery of it. Run the statement with a BigQuery client "
                "(jobs.query or jobs.insert).",
            )
        ticket.estimate = await self._estimate(ticket)
        self.services.costs.check(payer, ticket.estimate)

    async def _estimate(self, ticket: Ticket) -> Estimate:
        if ticket.estimate is not None:
            return ticket.estimate
        assert ticket.operation
        assert ticket.connection
        assert ticket.identified
        return await self.services.estimates.of(
            ticket.operation,
            connection=ticket.connection,
            principal=ticket.identified.principal,
            subject_token=ticket.identified.subject_token,
        )

    @property
    def _may_be_uncapped(self) -> bool:
        return self.services.config.cost.uncapped == "allow"

    @staticmethod
    def _limit(flow: http.HTTPFlow, operation: Operation, limit: int) -> None:
        body = flow.request.get_content(strict=True) or b""
        flow.request.content = with_limit(operation, body, limit)

    def response(self, flow: http.HTTPFlow) -> None:
        ticket = self.services.tickets.of(flow)
        if not (ticket and ticket.operation):
            return
        if not ticket.forwarded:
            self._give_back(ticket)
            return
        if ticket.answer is None or ticket.operation.door.name not in TELLS:
            return
        operation, answer = ticket.operation, ticket.answer
        admission = ticket.admission
        charge = admission.charge if admission else None
        if charge is None and operation.job_id:
            charge = self.services.costs.find(operation.project, operation.job_id)
        if charge is None:
            return
        if answer.stream:
            # A page of rows, passed on as it came.
            self.services.bills.follow(charge, now=True)
            return
        facts = bigquery.job_facts(
            operation.door.name,
            flow.request.path,
            flow.request.get_content(strict=False),
            answer.get_content(strict=False),
            answer.status_code,
        )
        self.services.bills.answered(
            charge,
            facts,
            answer.status_code,
            estimate=ticket.estimate,
            is_shared=admission is not None and admission.is_shared,
        )

    def error(self, flow: http.HTTPFlow) -> None:
        ticket = self.services.tickets.of(flow)
        if ticket is None or ticket.admission is None or ticket.admission.charge is None:
            return
        if ticket.forwarded:
            self.services.bills.lost(ticket.admission.charge)
        else:
            self._give_back(ticket)

    def _give_back(self, ticket: Ticket) -> None:
        """Somebody after this stage has said no."""
        admission, ticket.admission = ticket.admission, None
        if admission is not None and admission.charge is not None and not admission.is_shared:
            self.services.costs.drop(admission.charge)


def _digest(operation: Operation) -> str:
    """The same for the same request. Labels of ours are not in it yet."""
    asked = [operation.door.name, operation.location, operation.body]
    return hashlib.sha256(msgspec.json.encode(asked, order="deterministic")).hexdigest()


def _most(ticket: Ticket) -> int | None:
    """What a rule has allowed because of its estimate is held to it: it does not read much more when it runs."""
    if ticket.ruling is None or not ticket.ruling.rests_on_estimate or ticket.estimate is None:
        return None
    return ticket.estimate.most if ticket.estimate.is_bound else None


def reads_tables(operation: Operation) -> bool:
    """Whether it reads tables past any query, and so with a price of its own; reading a query's result has none."""
    if operation.door.name != "storage.CreateReadSession":
        return False
    return not operation.tables or not all(is_result(table.dataset, table.table) for table in operation.tables)


def payer_of(ticket: Ticket) -> Payer:
    """On whose account a flow goes that has been understood."""
    assert ticket.identified
    assert ticket.connection
    return Payer(ticket.identified.principal, ticket.session.id if ticket.session else "", ticket.connection.name)


def estimated(services: Services, ticket: Ticket) -> EventRecord | None:
    """The event ``cost.estimated``, once for a flow whose estimate somebody needed."""
    estimate = ticket.estimate
    if estimate is None or ticket.is_estimate_told:
        return None
    ticket.is_estimate_told = True
    prices, admission = services.costs.prices, ticket.admission
    details: dict[str, object] = {
        "processed_bytes": estimate.processed_bytes,
        "billed_bytes": estimate.billed_bytes,
        "price": str(round(prices.of(estimate.billed_bytes), 6)),
        "currency": prices.currency,
        "accuracy": estimate.accuracy,
        "statement_type": estimate.statement_type,
        "referenced_tables": [str(table) for table in estimate.referenced_tables],
    }
    if admission is not None:
        details |= {
            "maximum_bytes_billed": admission.limit,
            "budgets_left": {left.name: left.left for left in services.costs.of(payer_of(ticket))},
        }
    return services.event_record(
        "cost.estimated",
        f"It would be billed {prices.words(estimate.billed_bytes)}.",
        client_address=ticket.client_address,
        principal=ticket.identified.principal if ticket.identified else None,
        session_id=ticket.session.id if ticket.session else None,
        flow_id=ticket.flow_id,
        details=details,
    )
