"""Who looks at a shared recording becomes part of it."""

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING

from hoop_mitm.errors import RecordingError
from hoop_mitm.recording.layout import Layout
from hoop_mitm.recording.looks import MOST
from hoop_mitm.recording.looks import Looks as Notes
from hoop_mitm.recording.sharing import group_name, keep_permissions, share, unshare

if TYPE_CHECKING:
    from hoop_mitm.addons.services import Services

logger = logging.getLogger(__name__)

EVERY = 1.0
"""Seconds between two looks for notes that readers have left."""


PORTIONS = 20
"""How many times so many are taken one after the other: who floods the place does not keep the gateway from its work."""


class Looks:
    """Sets the permissions of the recording as ``recording.shared`` says, and takes readers' notes for events."""

    def __init__(self, services: "Services") -> None:
        self._services = services
        self._layout = Layout(services.config.recording.directory.absolute())
        self._shared = services.config.recording.shared
        self._notes = Notes(self._layout)
        self._task: asyncio.Task[None] | None = None
        self._complained = ""

    async def begin(self) -> None:
        """Begins, once the recorder runs.

        Raises:
            RecordingError: permissions cannot be set, or an event cannot be written.
        """
        if not self._shared:
            # What was left until now is not lost with the mark.
            if self._layout.is_shared:
                await self._take_all()
            if await asyncio.to_thread(unshare, self._layout):
                await self._services.event(
                    "archive.unshared", "The recording is no longer shared: only its owner may read it."
                )
            return
        if await asyncio.to_thread(share, self._layout):
            group = self._layout.directory.stat().st_gid
            name = group_name(group)
            await self._services.event(
                "archive.shared",
                f"The recording is shared with the group {name}.",
                details={"group": name, "gid": group},
            )
        self._task = asyncio.create_task(self._watch(), name="hoop-mitm looks")

    async def end(self) -> None:
        """Takes what is there, and ends."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None
            with contextlib.suppress(RecordingError, OSError):
                await self._take_all()

    async def _watch(self) -> None:
        while True:
            try:
                await asyncio.to_thread(keep_permissions, self._layout)
                await self._take_all()
                self._complained = ""
            except (RecordingError, OSError) as error:
                # They stay where they are, and are taken when that is possible.
                if str(error) != self._complained:
                    logger.error("Who looks at the recording cannot be recorded just now: %s", error)  # noqa: TRY400
                    self._complained = str(error)
            await asyncio.sleep(EVERY)

    async def _take_all(self) -> None:
        """Takes what is there.

        Raises:
            RecordingError: an event cannot be written; nothing that was not written is removed.
            OSError: the directory cannot be read.
        """
        for _ in range(PORTIONS):
            taken = await asyncio.to_thread(self._notes.take)
            if taken.events:
                await self._services.recorder.write(*taken.events)
            await asyncio.to_thread(self._notes.remove, taken.files)
            if len(taken.files) < MOST:
                break
