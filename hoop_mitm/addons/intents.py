"""After a crash: what became of the statements that were sent and whose answers nobody saw.

In the background and within bounds. Nothing that passes the gateway waits for it, and what cannot be found out now is
asked again at the next start, or by ``hoop-mitm reconcile``.
"""

import asyncio
import contextlib
import logging
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import hoop_mitm
from hoop_mitm.config import Connection
from hoop_mitm.errors import HoopError
from hoop_mitm.outbound import session

if TYPE_CHECKING:
    from hoop_mitm.addons.services import Services
    from hoop_mitm.archive import Recorded
    from hoop_mitm.reconciling import Resolution
    from hoop_mitm.reconciling.left_open import Intent

logger = logging.getLogger(__name__)

PAUSES = (1.0, 4.0, 10.0, 20.0, 30.0, 60.0, 120.0, *[300.0] * 70)
"""Seconds before each time that BigQuery is asked about one intent: six hours in all, as long as a query may run."""

AT_ONCE = 4
"""Intents that are asked about at the same time."""

CHILD_TIMEOUT = 120.0
"""Seconds until the child that reads the archive is given up."""


class Intents:
    """Resolves what the gateway before left open."""

    def __init__(self, services: "Services") -> None:
        self._services = services
        self._http = session(services.config.gateway.upstream)
        # Known before the recorder makes anything: where nothing is recorded yet, nothing was left open.
        place = services.config.recording.directory
        self._is_first = not (place / "hoop.duckdb").exists() and not any((place / "journal").glob("*.sqlite"))
        self._task: asyncio.Task[None] | None = None
        self._few = asyncio.Semaphore(AT_ONCE)

    def begin(self, started: str) -> None:
        """Begins in the background. ``started`` is the id of this gateway's first event."""
        if self._is_first:
            return
        self._task = asyncio.create_task(self._resolve_all(started), name="hoop-mitm intents")

    async def end(self) -> None:
        """Stops asking."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def _resolve_all(self, started: str) -> None:
        try:
            intents = await self._left_open(started)
            if intents:
                logger.warning(
                    "The gateway before ended while %d statement(s) were under way: asking BigQuery about them.",
                    len(intents),
                )
            async with asyncio.TaskGroup() as group:
                for intent in intents:
                    group.create_task(self._resolve(intent))
        except Exception as error:  # noqa: BLE001 - nothing else may suffer by it
            logger.error("What the gateway before left open is not known: %s", type(error).__name__)  # noqa: TRY400

    async def _left_open(self, started: str) -> "list[Intent]":
        package = Path(hoop_mitm.__file__).parent.parent
        paths = [str(package), *filter(None, [os.environ.get("PYTHONPATH")])]
        child = await asyncio.create_subprocess_exec(
            # -P: the directory that the gateway was started in has no say in what is imported.
            *(sys.executable, "-P", "-m", "hoop_mitm.reconciling.left_open"),
            *(str(self._services.config.recording.directory.absolute()), "--after", started),
            *self._services.by_project,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        )
        try:
            output, complaint = await asyncio.wait_for(child.communicate(), CHILD_TIMEOUT)
        finally:
            if child.returncode is None:
                child.kill()
                await child.wait()
        if child.returncode:
            logger.warning(
                "What the gateway before left open cannot be read: %s",
                complaint.decode(errors="replace").strip()[-500:],
            )
            return []
        if not output:
            return []
        from hoop_mitm.reconciling.left_open import Intent

        return [Intent.parse(line) for line in output.splitlines()]

    async def _resolve(self, intent: "Intent") -> None:
        record = intent.record
        connection = self._services.by_project.get(record.project)
        if connection is None:
            return
        if self._services.sources[connection.name].needs_subject_token:
            logger.warning(
                "Flow %s has no outcome, and nobody's credential to ask with (federation). "
                "`hoop-mitm reconcile` can, with one under `reconcile.credential`.",
                record.flow_id,
            )
            return
        trouble = ""
        for pause in PAUSES:
            await asyncio.sleep(pause)
            try:
                async with self._few:
                    resolution = await self._ask(intent, connection)
                    if await self._is_said(record, resolution):
                        return
                trouble = ""
            except HoopError as error:
                trouble = str(error)
        logger.warning("What became of flow %s is still not known. %s", record.flow_id, trouble)

    async def _ask(self, intent: "Intent", connection: Connection) -> "Resolution":
        from hoop_mitm.reconciling import BigQuery, resolve

        token = await self._services.sources[connection.name].token(intent.record.principal)
        client = BigQuery(self._http, lambda: token.value)
        return await asyncio.to_thread(resolve, client, intent.record, others=intent.others, now=datetime.now(UTC))

    async def _is_said(self, record: "Recorded", resolution: "Resolution") -> bool:
        """Records the outcome, if it is the last word.

        Raises:
            RecordingError: it cannot be written just now.
        """
        if not resolution.is_final:
            return False
        job = resolution.job
        details: dict[str, object] = {"outcome": resolution.outcome}
        if job is not None:
            details |= {
                "project": job.project,
                "location": job.location,
                "job": job.id,
                "statement_type": job.statement_type,
                "rows_changed": job.rows_changed,
                "bytes_billed": job.bytes_billed,
                # What went wrong may quote the statement.
                "error": job.error
                if record.level in ("full", "statements")
                else job.error and "not recorded at this level",
            }
        event = self._services.event_record(
            "intent.resolved",
            resolution.message,
            principal=record.principal,
            session_id=record.session_id,
            flow_id=record.flow_id,
            details=details,
        )
        await self._services.recorder.write(event)
        if record.flow_id and not resolution.jobless:
            self._services.bills.resolved(record.flow_id, job)
        logger.info("%s intent.resolved %s %s", record.principal, record.flow_id, resolution.outcome)
        return True
