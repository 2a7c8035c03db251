"""Records that are being written while their answers are on their way already (`recording.ack: async`)."""

import asyncio
import logging
from collections.abc import Mapping, Sequence

from hoop_mitm.bigquery import Resource
from hoop_mitm.errors import RecordingError
from hoop_mitm.recording import EventRecord, Owner, Record, Recorder

logger = logging.getLogger(__name__)

MOST = 256
"""Records on their way to the journal. The next answer waits until there is room: a slow disk slows the clients down."""

MOST_BYTES = 64 * 2**20
"""Of their bodies."""

MOST_NAMED = 100
"""Flows that one event names."""


class Backlog:
    """Writes records in their order without being waited for. What could not be written is told in the recording, and
    until that is possible nothing is forwarded."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._under_way: set[asyncio.Task[None]] = set()
        self._bytes = 0
        self._owns: dict[Resource, Owner] = {}
        self._lost: list[str] = []
        self._telling = asyncio.Lock()

    async def put(self, flow_id: str, records: Sequence[Record], owns: Mapping[Resource, Owner], size: int) -> None:
        """Returns when the records are on their way: at once, unless there are too many. ``size``: bytes of bodies."""
        while self._under_way and (len(self._under_way) >= MOST or self._bytes + size > MOST_BYTES):
            await asyncio.wait(self._under_way, return_when=asyncio.FIRST_COMPLETED)
        self._bytes += size
        self._owns |= owns
        # It begins at once: what is written next comes after it.
        task = asyncio.Task(
            self._write(flow_id, records, owns, size), loop=asyncio.get_running_loop(), eager_start=True
        )
        if not task.done():
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

    def owner(self, resource: Resource) -> Owner | None:
        """Who made this, as far as it is told by a record that is under way."""
        return self._owns.get(resource)

    @property
    def has_lost(self) -> bool:
        """Whether records are lost and nobody has told it yet."""
        return bool(self._lost)

    async def tell(self, event: EventRecord) -> None:
        """Records what was lost. Until then nothing may be forwarded.

        Args:
            event: that tells it; its details are completed.

        Raises:
            RecordingError: not even that can be written.
        """
        async with self._telling:
            if lost := self._lost[:]:
                event.details.update({"records": len(lost), "flows": lost[:MOST_NAMED]})
                await self._recorder.write(event)
                del self._lost[: len(lost)]

    async def drain(self) -> None:
        """Returns when nothing is under way any more."""
        while self._under_way:
            await asyncio.wait(self._under_way)

    async def _write(self, flow_id: str, records: Sequence[Record], owns: Mapping[Resource, Owner], size: int) -> None:
        try:
            await self._recorder.write(*records, owns=owns)
        except Exception as error:  # noqa: BLE001 - whatever it is, the answer is given and its record is not
            self._lost.append(flow_id)
            why = error if isinstance(error, RecordingError) else type(error).__name__
            logger.error("The record of an answer that was given is lost: %s", why)  # noqa: TRY400 - it says it all
        finally:
            self._bytes -= size
            for resource in owns:
                self._owns.pop(resource, None)
