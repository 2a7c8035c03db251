"""What a statement would cost: BigQuery is asked, by a dry run of the same job."""

import asyncio
import hashlib
import json
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

import msgspec

from hoop_mitm.bigquery.operation import Operation, TableRef
from hoop_mitm.bigquery.trial import trial
from hoop_mitm.config.model import Connection
from hoop_mitm.errors import AskingError, CredentialError, Denied, EstimateRefused
from hoop_mitm.identity.principal import Principal
from hoop_mitm.policy.cost.prices import Prices
from hoop_mitm.policy.estimate import Estimate, billed

logger = logging.getLogger(__name__)

_MOST: Final = 4096
"""Estimates that are remembered."""

_REFUSED: Final = frozenset({400, 403, 404})
"""How BigQuery says that a job is wrong: its syntax, its rights, its tables."""

_TRANSIENT: Final = frozenset({"rateLimitExceeded", "quotaExceeded", "jobRateLimitExceeded", "backendError"})
"""Reasons that say nothing about the job, whatever status they come with."""

_CAPPED: Final = frozenset({"jobs.insert", "jobs.query"})

_STATUS: Final = {"accessDenied": 403, "notFound": 404}

_OK: Final = 200


@dataclass(frozen=True, slots=True)
class Answered:
    """What BigQuery answered: HTTP status and body."""

    status: int
    body: bytes


class Ask(Protocol):
    """Asks BigQuery for a job, as the connection's credential does for this principal.

    Raises:
        AskingError: BigQuery cannot be reached.
        CredentialError: there is no credential to ask with.
    """

    async def __call__(
        self,
        project: str,
        body: Mapping[str, Any],
        *,
        connection: Connection,
        principal: Principal,
        subject_token: str | None,
    ) -> Answered: ...


class Account(Protocol):
    """Names the identity at Google that a principal's jobs run with: what one may see, another may not."""

    def __call__(self, connection: Connection, principal: Principal, subject_token: str | None) -> object: ...


class Estimator:
    """Asks what statements would cost, and remembers for a short time what it was told.

    Args:
        ask: how BigQuery is asked.
        account: as whom; an estimate is good for the same identity only.
        reuse: seconds for which an estimate of exactly the same job is good.
    """

    def __init__(
        self,
        ask: Ask,
        account: Account,
        prices: Prices,
        *,
        reuse: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ask = ask
        self._account = account
        self._prices = prices
        self._reuse = reuse
        self._clock = clock
        self._known: OrderedDict[bytes, tuple[float, Estimate]] = OrderedDict()
        self._asking: dict[bytes, asyncio.Task[Estimate]] = {}

    async def of(
        self, operation: Operation, *, connection: Connection, principal: Principal, subject_token: str | None = None
    ) -> Estimate:
        """What the operation's statement would cost.

        Raises:
            EstimateRefused: BigQuery would not run it; its own answer says why, and is the client's.
            Denied: rule ``cost.no_estimate``: nobody can tell just now.
        """
        body = trial(operation)
        # Where the job cannot be forwarded with a limit, nothing but the estimate holds it: it must be of now.
        reuse = self._reuse if operation.door.name in _CAPPED else 0.0
        key = self._key(operation.project, body, self._account(connection, principal, subject_token))
        known = self._known.get(key)
        if known is not None and self._clock() - known[0] < reuse:
            return known[1]
        task = self._asking.get(key)
        if task is None:
            # Of many that ask the same at once, one asks. Whoever gives up does not end it for the others.
            task = self._asking[key] = asyncio.create_task(
                self._asked(operation.project, body, connection, principal, subject_token)
            )
            task.add_done_callback(lambda done: self._came(key, done))
        return await asyncio.shield(task)

    @staticmethod
    def _key(project: str, body: Mapping[str, Any], account: object) -> bytes:
        return hashlib.sha256(json.dumps([project, body, repr(account)], sort_keys=True).encode()).digest()

    def _came(self, key: bytes, done: asyncio.Task[Estimate]) -> None:
        self._asking.pop(key, None)
        if done.cancelled() or done.exception():
            return
        self._known[key] = self._clock(), done.result()
        self._known.move_to_end(key)
        while len(self._known) > _MOST:
            self._known.popitem(last=False)

    async def _asked(
        self,
        project: str,
        body: Mapping[str, Any],
        connection: Connection,
        principal: Principal,
        subject_token: str | None,
    ) -> Estimate:
        try:
            answered = await self._ask(
                project, body, connection=connection, principal=principal, subject_token=subject_token
            )
        except (AskingError, CredentialError) as error:
            raise _nobody_knows(str(error)) from None
        if answered.status == _OK:
            return self._read(answered.body, continuous=bool(body["configuration"]["query"].get("continuous")))
        message, reason = _said(answered.body)
        if answered.status in _REFUSED and message and reason not in _TRANSIENT:
            raise EstimateRefused(answered.status, answered.body, message)
        raise _nobody_knows(f"BigQuery answered {answered.status}.")

    def _read(self, body: bytes, *, continuous: bool) -> Estimate:
        try:
            job = _job.decode(body)
        except msgspec.DecodeError:
            raise _nobody_knows("What BigQuery answered cannot be read.") from None
        if job.status.error_result is not None:
            # As jobs.insert tells of some mistakes: with a job that has failed, and HTTP's 200.
            error = job.status.error_result
            status = _STATUS.get(error.reason, 400)
            raise EstimateRefused(status, _envelope(error, status), error.message)
        query, statistics = job.statistics.query, job.statistics
        processed = query.total_bytes_processed
        if processed is None:
            processed = statistics.total_bytes_processed
        if processed is None:
            raise _nobody_knows("BigQuery did not say how many bytes it would process.")
        accuracy = query.total_bytes_processed_accuracy or (
            "PRECISE" if query.statement_type != "SCRIPT" else "UNKNOWN"
        )
        tables = tuple(
            TableRef(table.project_id, table.dataset_id, table.table_id) for table in query.referenced_tables
        )
        return Estimate(
            processed_bytes=processed,
            statement_type=query.statement_type,
            referenced_tables=tables,
            price=self._prices.of(billed(processed, len(tables))),
            accuracy="UNKNOWN" if continuous else accuracy,
        )


class _Table(msgspec.Struct, rename="camel"):
    project_id: str = ""
    dataset_id: str = ""
    table_id: str = ""


class _Query(msgspec.Struct, rename="camel"):
    total_bytes_processed: int | None = None
    total_bytes_processed_accuracy: str = ""
    statement_type: str = ""
    referenced_tables: list[_Table] = []


class _Statistics(msgspec.Struct, rename="camel"):
    query: _Query = msgspec.field(default_factory=_Query)
    total_bytes_processed: int | None = None


class _Error(msgspec.Struct):
    message: str = "The job failed."
    reason: str = "invalid"
    location: str | None = None


class _Status(msgspec.Struct, rename="camel"):
    error_result: _Error | None = None


class _Job(msgspec.Struct):
    statistics: _Statistics = msgspec.field(default_factory=_Statistics)
    status: _Status = msgspec.field(default_factory=_Status)


class _Problem(msgspec.Struct):
    message: str = ""
    errors: list[_Error] = []


class _Refusal(msgspec.Struct):
    error: _Problem = msgspec.field(default_factory=_Problem)


_job = msgspec.json.Decoder(_Job, strict=False)
_refusal = msgspec.json.Decoder(_Refusal)


def _said(body: bytes) -> tuple[str, str]:
    """Message and reason of an error answer."""
    try:
        problem = _refusal.decode(body).error
    except msgspec.DecodeError:
        return "", ""
    return problem.message, problem.errors[0].reason if problem.errors else ""


def _envelope(error: _Error, status: int) -> bytes:
    detail = {"message": error.message, "domain": "global", "reason": error.reason}
    problem = {"code": status, "message": error.message, "errors": [detail]}
    return msgspec.json.encode({"error": problem})


def _nobody_knows(why: str) -> Denied:
    return Denied(
        "cost.no_estimate",
        "hoop-mitm did not send this statement: it has to know first what it would cost, and BigQuery could not be asked. "
        f"{why} Nothing was read or changed. Try again in a moment; if it stays so, ask the gateway's owner.",
    )
