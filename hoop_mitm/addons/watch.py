"""What happens to sessions from outside a request: somebody revokes one, or its client goes on from another address."""

import asyncio
import contextlib
import logging
from datetime import UTC, datetime

from hoop_mitm.addons.failsafe import Addon
from hoop_mitm.addons.services import Services
from hoop_mitm.errors import HoopError
from hoop_mitm.identity import Revocation
from hoop_mitm.identity.sessions import Move
from hoop_mitm.recording import EventRecord

logger = logging.getLogger(__name__)

LOOK_EVERY = 0.5
"""Seconds. Requests themselves heed a revocation sooner; this is for its record."""


class Watch(Addon):
    """Records revocations, by whoever they were made, and changes of address; each once."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._task: asyncio.Task[None] | None = None

    def running(self) -> None:
        self._task = asyncio.create_task(self._watch())

    async def done(self) -> None:
        if self._task:
            self._task.cancel()
            # What came at the last moment.
            with contextlib.suppress(HoopError):
                await self._look()

    async def _watch(self) -> None:
        await self._services.ready()
        while True:
            # What could not be recorded now is still there the next time.
            with contextlib.suppress(HoopError):
                await self._look()
            await asyncio.sleep(LOOK_EVERY)

    async def _look(self) -> None:
        services = self._services
        if moves := services.sessions.moves():
            await services.recorder.write(*map(self._moved, moves))
        if fresh := services.revocations.unrecorded():
            await services.recorder.write(*map(self._revoked, fresh))
            await asyncio.to_thread(services.revocations.record, fresh, services.sessions.all())
            for revocation in fresh:
                logger.info("%s revoked %s.", revocation.by, revocation.session_id or revocation.principal)
                if revocation.session_id:
                    services.sessions.end(revocation.session_id)

    def _revoked(self, revocation: Revocation) -> EventRecord:
        return self._services.event_record(
            "session.revoked",
            "A session was revoked." if revocation.session_id else "All that a principal held was revoked.",
            session_id=revocation.session_id,
            details={
                "by": revocation.by,
                "principal": revocation.principal or "",
                "at": datetime.fromtimestamp(revocation.at, UTC).isoformat(),
                "revocation": revocation.id,
            },
        )

    def _moved(self, move: Move) -> EventRecord:
        return self._services.event_record(
            "session.address_changed",
            "A session went on from another network address.",
            client_address=move.after,
            principal=move.session.principal,
            session_id=move.session.id,
            details={"before": move.before, "after": move.after},
        )
