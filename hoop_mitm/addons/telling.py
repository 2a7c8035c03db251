"""Tells webhooks of reviews, in the background: nobody waits for one that does not answer."""

import asyncio
import contextlib
import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from hoop_mitm.config.model import Webhook
from hoop_mitm.errors import HoopError
from hoop_mitm.outbound import session
from hoop_mitm.policy.reviews import webhooks
from hoop_mitm.policy.reviews.store import Delivery, Store
from hoop_mitm.recording.sinks import HttpsSink, SinkError

if TYPE_CHECKING:
    from hoop_mitm.addons.services import Services

logger = logging.getLogger(__name__)

LOOK_EVERY: Final = 1.0


class Telling:
    """Posts every change of every review to every webhook, until it is taken or a day is over.

    Raises:
        ConfigError: a secret cannot be read.
    """

    def __init__(self, services: "Services") -> None:
        upstream = services.config.gateway.upstream
        self._hooks: dict[str, tuple[Webhook, HttpsSink, bytes]] = {}
        for hook in services.config.reviews.webhooks:
            sink = HttpsSink(hook.url, hook.headers_file, hook.ca, lambda ca: session(upstream, ca=ca))
            secret = webhooks.secret_of(hook.secret_file)
            services.protect(secret.decode("latin-1"), keep=True)
            self._hooks[sink.name] = (hook, sink, secret)
        self._woken = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """By which deliveries are told apart, also after a restart."""
        return tuple(self._hooks)

    def begin(self, store: Store) -> None:
        """Begins with what is left to tell."""
        if self._hooks:
            self._task = asyncio.create_task(self._tell_all(store), name="hoop-mitm webhooks")

    async def end(self) -> None:
        """Ends; what was not taken yet is told by the next gateway."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    def wake(self) -> None:
        """There is something to tell."""
        self._woken.set()

    async def _tell_all(self, store: Store) -> None:
        while True:
            self._woken.clear()
            # What cannot be read now is still there the next time.
            with contextlib.suppress(HoopError):
                due = await asyncio.to_thread(store.due, datetime.now(UTC))
                await asyncio.gather(*(self._tell(store, each) for each in due))
                if due:
                    continue
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), LOOK_EVERY)

    async def _tell(self, store: Store, delivery: Delivery) -> None:
        if delivery.webhook not in self._hooks:
            # It is not configured any more.
            await asyncio.to_thread(store.delivered, delivery)
            return
        hook, sink, secret = self._hooks[delivery.webhook]
        happened, now = delivery.happened, datetime.now(UTC)
        body = webhooks.message_of(happened, now, with_statement=hook.statement)
        try:
            await asyncio.to_thread(sink.post, body, webhooks.headers_of(happened.id, body, secret, now))
        except SinkError as error:
            await self._postpone(store, delivery, error)
        else:
            await asyncio.to_thread(store.delivered, delivery)

    async def _postpone(self, store: Store, delivery: Delivery, error: SinkError) -> None:
        if delivery.attempts >= len(webhooks.PAUSES):
            logger.error("A webhook was not told of %s, and is not any more: %s", delivery.happened.change.type, error)
            await asyncio.to_thread(store.delivered, delivery)
            return
        pause = webhooks.PAUSES[delivery.attempts]
        host = urlsplit(self._hooks[delivery.webhook][0].url).netloc
        logger.warning("The webhook at %s was not told (%s); again in %s.", host, error, pause)
        await asyncio.to_thread(store.postpone, delivery, datetime.now(UTC) + pause)
