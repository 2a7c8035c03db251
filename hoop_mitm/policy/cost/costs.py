"""What may be spent: asked before a statement is forwarded, told what it was billed afterwards."""

import asyncio
import logging
import sqlite3
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from hoop_mitm.config.cost import Cost, zone_of
from hoop_mitm.errors import Denied, RecordingError
from hoop_mitm.policy.cost.budgets import BudgetLeft, Budgets, Clock, height, now
from hoop_mitm.policy.cost.charge import Charge
from hoop_mitm.policy.cost.ledger import Ledger
from hoop_mitm.policy.cost.payer import Payer
from hoop_mitm.policy.cost.prices import Prices
from hoop_mitm.policy.estimate import Estimate

logger = logging.getLogger(__name__)

_REMEMBERED: Final = 10_000
"""Jobs whose bill is known and that are still known by name: their bill may be told again."""

_MOST: Final = 2**63 - 1
"""Bytes that BigQuery's API has room for."""

_READ_LESS: Final = (
    "Read less: filter on the column that the table is partitioned by, and name the columns that you need instead of *; "
    "LIMIT alone makes nothing cheaper."
)

type _Job = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Admission:
    """A statement that may run.

    Attributes:
        limit: bytes that it may be billed at most: the ``maximumBytesBilled`` to forward it with.
        charge: what it takes from budgets; ``None`` where no budget applies.
        is_shared: the charge was there before: the same job was asked for again.
    """

    limit: int
    charge: Charge | None = None
    is_shared: bool = False


class Costs:
    """Ceilings and budgets of one gateway. For one event loop; `start` it before it is asked.

    Args:
        config: section ``cost`` of ``hoop.yaml``.
        state: directory that the ledger lies in; it is made only where there are budgets.
    """

    def __init__(self, config: Cost, state: Path, clock: Clock = now) -> None:
        self._config = config
        self._state = state
        self._clock = clock
        self.prices = Prices(config.price_per_tib, config.currency)
        self._zone = zone_of(config.timezone)
        self._budgets = Budgets(config.budgets, self.prices, self._zone, clock)
        self._ledger: Ledger | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="hoop-mitm ledger")
        self._since: datetime | None = None
        self._open: dict[str, Charge] = {}
        self._by_job: dict[_Job, Charge] = {}
        self._known: OrderedDict[_Job, str | None] = OrderedDict()

    async def start(self) -> None:
        """Counts what was spent before.

        Raises:
            RecordingError: the ledger cannot be read.
        """
        if self._budgets and self._ledger is None:
            self._since = self._budgets.since
            self._ledger = await self._on_thread(Ledger, self._state)
            for charge in await self._on_thread(self._ledger.since, self._since):
                self._take(charge)

    async def stop(self) -> None:
        """Returns when everything is written."""
        if self._ledger is not None:
            await self._on_thread(self._ledger.close)
            self._ledger = None
        self._thread.shutdown(wait=False)

    def weighs(self, payer: Payer) -> bool:
        """Whether any ceiling or budget applies: only then must the payer's statements be estimated."""
        return any(payer.is_meant_by(ceiling) for ceiling in self._config.ceilings) or bool(self._budgets.of(payer))

    def of(self, payer: Payer) -> list[BudgetLeft]:
        """How the payer's budgets stand."""
        return self._budgets.of(payer)

    def check(self, payer: Payer, estimate: Estimate) -> None:
        """Whether a statement may run, as things stand now. Takes nothing.

        Raises:
            Denied: rule ``ceiling.<name>``, ``budget.<name>``, or ``cost.inexact``: what it will cost cannot be told.
        """
        words = self.prices.words
        need = estimate.billed_bytes
        for ceiling in self._config.ceilings:
            if payer.is_meant_by(ceiling) and need > (most := height(ceiling, self.prices)):
                raise Denied(
                    f"ceiling.{ceiling.name}",
                    f"hoop-mitm did not send this statement: it would be billed {words(need)}, and one statement may be "
                    f"billed {words(most)} at most (ceiling {ceiling.name}). Nothing was read or changed. {_READ_LESS} "
                    "The same statement will be refused again.",
                )
        if not estimate.is_bound and self._config.inexact == "refuse" and self.weighs(payer):
            what = "a script" if estimate.statement_type == "SCRIPT" else "this statement"
            raise Denied(
                "cost.inexact",
                f"hoop-mitm did not send it: BigQuery cannot say beforehand what {what} will be billed at most, and "
                "there is a limit to what you may spend. Nothing was read or changed. Run the statements of a script one "
                "by one, and avoid external data.",
            )
        for left in self._budgets.of(payer):
            if need > left.left or (left.left == 0 and not estimate.is_bound):
                running = (
                    f", of which {words(left.reserved)} is set aside for statements whose bill is not known yet"
                    if left.reserved
                    else ""
                )
                much = words(need) if estimate.is_bound else f"{words(need)} or more"
                raise Denied(
                    f"budget.{left.name}",
                    f"hoop-mitm did not send this statement: it would be billed {much}, and of the budget "
                    f"{left.name} ({words(left.limit)} each {left.every} for {left.of}) {words(left.left)} is left: "
                    f"{words(left.used + left.reserved)} is taken{running}. It begins anew at "
                    f"{left.begins_anew:%Y-%m-%d %H:%M %Z}. Nothing was read or changed. {_READ_LESS}",
                )

    async def admit(
        self,
        charge_id: str,
        payer: Payer,
        estimate: Estimate,
        *,
        project: str,
        job_id: str | None = None,
        location: str | None = None,
        own_limit: int | None = None,
        statement: str | None = None,
        request: str | None = None,
        subject_token: str | None = None,
    ) -> Admission:
        """Lets a statement run, and takes from budgets what it may be billed at most until its bill is known.

        Args:
            charge_id: of its flow; unique.
            job_id: where the client chose it.
            own_limit: the client's own ``maximumBytesBilled``.
            statement: where the job can be found by it.
            request: digest of what a client asks for with the ``job_id`` that it chose: only the very same request is taken
                for the same job again. At BigQuery an id is unique in a location only, which a request need not name.
            subject_token: kept to ask for the bill with, where the payer's own identity is used at Google.

        Raises:
            Denied: as `check`; or ``cost.duplicate``: another request had this ``job_id``.
            RecordingError: the ledger cannot be written.
        """
        self.check(payer, estimate)
        limits = [height(c, self.prices) for c in self._config.ceilings if payer.is_meant_by(c)]
        if own_limit:
            limits.append(own_limit)
        if standing := self._budgets.of(payer):
            # All that is forwarded never adds up to more than what was taken: nobody has to be believed.
            limits.append(min(left.left for left in standing))
            if estimate.is_bound:
                limits.append(estimate.most)
        # 0 would be no limit at all. With 1 what is free can still run.
        limit = max(1, min(*limits, _MOST) if limits else estimate.most)
        if not standing:
            return Admission(limit)
        reserved = limit if limit > 1 else 0
        known = self._by_job.get((project, job_id)) if job_id else None
        if job_id and request and self.is_known(project, job_id):
            before = known.request if known else self._known[project, job_id]
            if before != request:
                raise Denied(
                    "cost.duplicate",
                    f"Already Exists: Job {project}:{job_id}. A job with this id was paid for, or is being paid for, and this "
                    "is another request. Ask for that job, or send this with another id.",
                )
        if known is not None:
            # Asked for again before its bill is known. Whichever of the two BigQuery takes is paid for.
            self._change(known, reserved=max(known.reserved, reserved))
            await self._put(known)
            return Admission(limit, known, is_shared=True)
        charge = Charge(
            id=charge_id,
            at=self._clock(),
            payer=payer,
            reserved=reserved,
            project=project,
            job_id=job_id,
            location=location,
            statement=statement,
            request=request,
            subject_token=subject_token,
        )
        self._take(charge)
        try:
            await self._put(charge)
        except BaseException:
            self._leave(charge)
            raise
        self._forget_old()
        return Admission(limit, charge)

    def open(self) -> list[Charge]:
        """The charges whose bill is not known."""
        return list(self._open.values())

    def find(self, project: str, job_id: str) -> Charge | None:
        """The charge of a job whose bill is not known yet."""
        return self._by_job.get((project, job_id))

    def is_known(self, project: str, job_id: str) -> bool:
        """Whether some charge is for this job, with or without its bill."""
        return (project, job_id) in self._by_job or (project, job_id) in self._known

    def charge(self, charge_id: str) -> Charge | None:
        """The charge of that id, if its bill is not known yet."""
        return self._open.get(charge_id)

    def name(self, charge: Charge, project: str, job_id: str, location: str | None) -> None:
        """BigQuery has said which job a charge is for. One that another charge is for already is not paid for twice."""
        if charge.id not in self._open:
            return
        key = (project, job_id)
        other = self._by_job.get(key)
        if (other is not None and other is not charge) or key in self._known:
            self.drop(charge)
            return
        if (charge.project, charge.job_id, charge.location) == (project, job_id, location or charge.location):
            return
        if charge.job_id is not None:
            self._by_job.pop((charge.project, charge.job_id), None)
        charge.project, charge.job_id, charge.location = project, job_id, location or charge.location
        self._by_job[key] = charge
        self._later(self._ledger_put, charge)

    def settle(self, charge: Charge, billed: int) -> None:
        """The bill is known. It is told once; what is told again counts for nothing."""
        if charge.id not in self._open:
            return
        self._leave(charge)
        charge.billed = billed
        self._budgets.add(charge)
        if charge.job_id is not None:
            self._known[charge.project, charge.job_id] = charge.request
            while len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        self._later(self._ledger_put, charge)

    def drop(self, charge: Charge) -> None:
        """It never ran, so nothing was spent."""
        if charge.id in self._open:
            self._leave(charge)
            self._later(self._ledger_drop, charge)

    def _take(self, charge: Charge) -> None:
        self._budgets.add(charge)
        if charge.billed is None:
            self._open[charge.id] = charge
            if charge.job_id is not None:
                self._by_job[charge.project, charge.job_id] = charge
        elif charge.job_id is not None:
            self._known[charge.project, charge.job_id] = None

    def _leave(self, charge: Charge) -> None:
        if self._open.pop(charge.id, None) is None:
            return
        self._budgets.add(charge, -1)
        if charge.job_id is not None and self._by_job.get((charge.project, charge.job_id)) is charge:
            del self._by_job[charge.project, charge.job_id]

    def _change(self, charge: Charge, *, reserved: int) -> None:
        self._budgets.add(charge, -1)
        charge.reserved = reserved
        self._budgets.add(charge)

    def _forget_old(self) -> None:
        since = self._budgets.since
        if self._since is not None and since - self._since > timedelta(0):
            self._since = since
            self._budgets.forget()
            assert self._ledger
            self._later(self._ledger.forget, since)

    async def _put(self, charge: Charge) -> None:
        try:
            await self._on_thread(self._ledger_put, charge)
        except sqlite3.Error as error:
            logger.error("What is spent cannot be written down: %s", error)  # noqa: TRY400 - the message says it all
            raise RecordingError(
                "hoop-mitm cannot write down just now what is spent of budgets, so it forwards no statement. Ask the "
                "gateway's owner; the usual reason is a full disk."
            ) from None

    def _ledger_put(self, charge: Charge) -> None:
        assert self._ledger
        self._ledger.put([charge])

    def _ledger_drop(self, charge: Charge) -> None:
        assert self._ledger
        self._ledger.drop(charge.id)

    def _later(self, work: Callable[..., None], *arguments: Any) -> None:
        """Without waiting for it. Lost, the charge is counted with what was reserved, which is more."""
        if self._ledger is not None:
            self._thread.submit(work, *arguments).add_done_callback(_complain)

    async def _on_thread(self, work: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)


def _complain(done: Any) -> None:
    if error := done.exception():
        logger.error("What was billed could not be written down: %s", error)
