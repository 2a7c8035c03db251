"""What statements were billed: read from the answers that pass, and asked for where no answer says."""

import asyncio
import contextlib
import logging
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from hoop_mitm.addons.asking import Asking
from hoop_mitm.bigquery import JobFacts
from hoop_mitm.errors import AskingError, CredentialError
from hoop_mitm.policy.cost import Charge, Costs
from hoop_mitm.policy.estimate import Estimate, billed

if TYPE_CHECKING:
    from hoop_mitm.reconciling.ran import Ran

logger = logging.getLogger(__name__)

PAUSES = (5.0, 10.0, 30.0, 60.0, *[300.0] * 75)
"""Seconds before each time that BigQuery is asked for one bill: somewhat over six hours, as long as a query may run. Before
that, its client is waited for: most ask themselves."""

SETTLED = timedelta(minutes=2)
"""How long after it was sent BigQuery may still make a job of a request: until then "there is none" means "not yet"."""

CLIENT_ERRORS = range(400, 500)
TIMED_OUT = 408


class Bills:
    """Settles charges, each once."""

    def __init__(self, costs: Costs, asking: Asking) -> None:
        self._costs = costs
        self._asking = asking
        self._followed: dict[str, tuple[asyncio.Event, asyncio.Task[None]]] = {}
        self._lost: set[str] = set()

    def begin(self) -> None:
        """Goes on where the gateway before has left off."""
        for charge in self._costs.open():
            self.follow(charge, now=True)

    async def end(self) -> None:
        """Stops asking. What is not known stays to be asked by the next gateway."""
        tasks = [task for _, task in self._followed.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def answered(
        self,
        charge: Charge,
        facts: JobFacts | None,
        status: int,
        *,
        estimate: Estimate | None = None,
        is_shared: bool = False,
    ) -> None:
        """What BigQuery answered to the request that a charge is for, or to a question about its job.

        Args:
            facts: what the answer tells; ``None`` when it tells nothing, or nobody has read it.
            status: HTTP status.
            estimate: of the statement, for a query that ran without a job and says less of itself.
            is_shared: the job was asked for before: that this was refused says nothing about it.
        """
        if facts is None:
            self.follow(charge)
        elif facts.state == "FAILED":
            never_ran = status in CLIENT_ERRORS and status != TIMED_OUT and not is_shared
            if never_ran:
                # Also 409, a conflict: the job of that id is another one, which was charged when it was asked for.
                self._costs.drop(charge)
            else:
                self.lost(charge)
        else:
            if facts.project and facts.id:
                self._costs.name(charge, facts.project, facts.id, facts.location)
            self._told(charge, facts, estimate)

    def lost(self, charge: Charge) -> None:
        """There will be no answer to the request that a charge is for. It may be running all the same."""
        if charge.job_id is None and charge.statement is not None:
            self._lost.add(charge.id)
        self.follow(charge)

    def resolved(self, flow_id: str, job: "Ran | None") -> None:
        """What became of a flow that a gateway which died has left open: it ran as ``job``, or never."""
        charge = self._costs.charge(flow_id)
        if charge is None:
            return
        if job is None:
            self._costs.drop(charge)
        else:
            self._bill(charge, job)

    def _bill(self, charge: Charge, job: "Ran") -> None:
        if job.bytes_billed is not None:
            self._costs.settle(charge, job.bytes_billed)
        else:
            # One that failed before it read anything has no bill; of one that did not, none is known.
            self._costs.settle(charge, 0 if job.error else charge.reserved)

    def _told(self, charge: Charge, facts: JobFacts, estimate: Estimate | None) -> None:
        if facts.state != "DONE":
            self.follow(charge)
        elif facts.bytes_billed is not None:
            self._costs.settle(charge, facts.bytes_billed)
        elif facts.cache_hit:
            self._costs.settle(charge, 0)
        elif charge.job_id is None and facts.bytes_processed is not None:
            tables = len(estimate.referenced_tables) if estimate else 1
            self._costs.settle(charge, billed(facts.bytes_processed, tables))
        else:
            # getQueryResults does not say it, nor does an answer that was asked to be short.
            self.follow(charge, now=True)

    def follow(self, charge: Charge, *, now: bool = False) -> None:
        """Has BigQuery asked for the bill, unless an answer tells it before; ``now``: it is there to be had."""
        if charge.id not in self._followed:
            if self._costs.charge(charge.id) is not charge:
                return
            event = asyncio.Event()
            task = asyncio.create_task(self._follow(charge, event), name="hoop-mitm bill")
            self._followed[charge.id] = event, task
            task.add_done_callback(lambda _: self._forget(charge))
        if now:
            self._followed[charge.id][0].set()

    def _forget(self, charge: Charge) -> None:
        self._followed.pop(charge.id, None)
        self._lost.discard(charge.id)

    async def _follow(self, charge: Charge, wake: asyncio.Event) -> None:
        trouble = ""
        for pause in PAUSES:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(wake.wait(), pause)
            wake.clear()
            if self._costs.charge(charge.id) is not charge:
                return
            try:
                trouble = ""
                if await self._is_settled(charge):
                    return
            except (AskingError, CredentialError) as error:
                trouble = str(error)
        logger.warning(
            "What the statement of %s was billed is not known; it counts with the %d bytes that it may have been. %s",
            charge.id,
            charge.reserved,
            trouble,
        )

    async def _is_settled(self, charge: Charge) -> bool:
        if not self._asking.can_ask(charge):
            return False
        if charge.job_id is None:
            await self._find(charge)
        if charge.job_id is None:
            return self._costs.charge(charge.id) is None
        job = await self._asking.job(charge)
        if job is None:
            if datetime.now(UTC) - charge.at < SETTLED:
                return False
            self._costs.drop(charge)
        elif job.state != "DONE":
            return False
        else:
            self._bill(charge, job)
        return True

    async def _find(self, charge: Charge) -> None:
        """Finds the job of a charge that no answer will name, by its session and statement; without one it never ran."""
        if charge.id not in self._lost:
            return
        alike = [
            each
            for each in self._costs.open()
            if each.job_id is None
            and (each.payer.session_id, each.statement) == (charge.payer.session_id, charge.statement)
        ]
        # While an answer may still come to one of them, its job could be taken for this one's.
        if any(each.id not in self._lost for each in alike):
            return
        for job in await self._asking.jobs_like(charge):
            if not self._costs.is_known(job.project, job.id):
                self._costs.name(charge, job.project, job.id, job.location)
                return
        if datetime.now(UTC) - charge.at > SETTLED:
            self._costs.drop(charge)
