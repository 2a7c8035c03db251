"""BigQuery asked by the gateway itself, with a connection's credential, on threads of its own."""

import asyncio
import functools
import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from hoop_mitm.config import Connection, Upstream
from hoop_mitm.credentials import AccessToken, CredentialSource
from hoop_mitm.errors import AskingError
from hoop_mitm.identity import Principal
from hoop_mitm.outbound import session
from hoop_mitm.policy.cost.charge import Charge
from hoop_mitm.policy.cost.estimator import Answered

if TYPE_CHECKING:
    from hoop_mitm.reconciling.client import BigQuery
    from hoop_mitm.reconciling.ran import Ran

AT_ONCE = 8
"""Questions that are asked at the same time."""

PAUSE = 0.3
"""Seconds before a question is asked a second time."""

SKEW = timedelta(seconds=5)
"""By how much BigQuery's clock may be behind ours."""

STARTED_WITHIN = timedelta(minutes=10)
"""How long after a statement was let through its job may begin."""

UNAUTHORIZED = 401
TOO_MANY = 429
BROKEN = 500


class Asking:
    """Asks as a principal's own requests would be forwarded: with the same credential."""

    def __init__(self, upstream: Upstream, sources: Mapping[str, CredentialSource]) -> None:
        self._http = session(upstream)
        self._sources = sources
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="hoop-mitm asks")

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def warm_up(self) -> None:
        """Loads what asking needs, so that the first statement does not wait for it."""
        await self._on_thread(_import)

    async def insert(
        self,
        project: str,
        body: Mapping[str, Any],
        *,
        connection: Connection,
        principal: Principal,
        subject_token: str | None,
    ) -> Answered:
        """Asks for a job that BigQuery is only to try. Asked twice where it does not answer, or not to the point.

        Raises:
            AskingError: BigQuery cannot be reached.
            CredentialError: there is no credential to ask with.
        """
        source = self._sources[connection.name]
        content = json.dumps(body).encode()
        for last in (False, True):
            token = await source.token(principal, subject_token)
            try:
                answer = await self._on_thread(self._insert, token, project, content)
            except AskingError:
                if last:
                    raise
            else:
                if answer.status == UNAUTHORIZED:
                    source.invalidate(token)
                if last or not (answer.status in (UNAUTHORIZED, TOO_MANY) or answer.status >= BROKEN):
                    return answer
            await asyncio.sleep(PAUSE)
        raise AssertionError

    async def job(self, charge: Charge) -> "Ran | None":
        """What became of a charge's job; ``None`` when BigQuery knows no such job.

        Raises:
            AskingError: BigQuery cannot be reached, or does not tell.
            CredentialError: there is no credential to ask with.
        """
        assert charge.job_id
        token = await self._sources[charge.payer.connection].token(charge.payer.principal, charge.subject_token)
        return await self._on_thread(self._job, token, charge.project, charge.job_id, charge.location)

    async def jobs_like(self, charge: Charge) -> "list[Ran]":
        """The jobs that may be a charge's whose job nobody has named: of its session and statement, from about then; the
        oldest first.

        Raises:
            AskingError: BigQuery cannot be reached, or does not tell.
            CredentialError: there is no credential to ask with.
        """
        token = await self._sources[charge.payer.connection].token(charge.payer.principal, charge.subject_token)
        return await self._on_thread(self._jobs_like, token, charge)

    def can_ask(self, charge: Charge) -> bool:
        """Whether there is a credential to ask about a charge with."""
        source = self._sources.get(charge.payer.connection)
        return source is not None and (charge.subject_token is not None or not source.needs_subject_token)

    def account(self, connection: Connection, principal: Principal, subject_token: str | None) -> object:
        """The identity at Google that a principal's jobs run with, by name."""
        return connection.name, self._sources[connection.name].identity(principal, subject_token)

    def _insert(self, token: AccessToken, project: str, body: bytes) -> Answered:
        answer = self._client(token).insert(project, body)
        return Answered(answer.status, answer.body)

    def _job(self, token: AccessToken, project: str, job_id: str, location: str | None) -> "Ran | None":
        return self._client(token).job(project, job_id, location)

    def _jobs_like(self, token: AccessToken, charge: Charge) -> "list[Ran]":
        since, until = charge.at - SKEW, charge.at + STARTED_WITHIN
        jobs = self._client(token).jobs(charge.project, since, until, everybody=False)
        found = [job for job in jobs if (job.session, job.statement) == (charge.payer.session_id, charge.statement)]
        return sorted(found, key=lambda job: job.created_at)

    def _client(self, token: AccessToken) -> "BigQuery":
        from hoop_mitm.reconciling.client import BigQuery

        return BigQuery(self._http, lambda: token.value, pause=PAUSE)

    async def _on_thread[**P, T](self, work: Callable[P, T], *arguments: P.args, **more: P.kwargs) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, functools.partial(work, *arguments, **more))


def _import() -> None:
    import hoop_mitm.reconciling.client  # noqa: F401 - slow to import, and needed by few
