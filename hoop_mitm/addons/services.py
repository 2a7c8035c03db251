"""What the addons share: one of each, made from the configuration."""

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from weakref import WeakKeyDictionary, WeakSet

from mitmproxy import connection
from uuid_utils import uuid7

from hoop_mitm.addons.asking import Asking
from hoop_mitm.addons.backlog import Backlog
from hoop_mitm.addons.bills import Bills
from hoop_mitm.addons.holding import Holding
from hoop_mitm.addons.intents import Intents
from hoop_mitm.addons.looks import Looks
from hoop_mitm.addons.ticket import Ticket, Tickets
from hoop_mitm.bigquery import Resource
from hoop_mitm.config import Config
from hoop_mitm.credentials import CredentialSource
from hoop_mitm.errors import RecordingError
from hoop_mitm.identity import (
    Authenticator,
    Principal,
    Revocations,
    Session,
    Sessions,
    SigningKeys,
    TokenExchange,
)
from hoop_mitm.outbound import Fetcher, session
from hoop_mitm.policy.cost import Costs, Estimator
from hoop_mitm.policy.rules import Rules
from hoop_mitm.recording import EventRecord, Owner, Recorder

START_TIMEOUT = 15.0
"""Seconds that an early request waits for the journal to be open."""

MOST_UPLOADS = 4096
"""Resumable uploads under way that are remembered; the oldest goes."""


class Services:
    """Everything that outlives a flow.

    ``file``: where the configuration was read from; its policy is read again when it changes.
    """

    def __init__(self, config: Config, file: Path | None = None) -> None:
        self.config = config
        self.tickets = Tickets()
        self.carried: WeakKeyDictionary[connection.Client, str] = WeakKeyDictionary()
        self.exposed: WeakSet[connection.Client] = WeakSet()
        self.by_project = {project: c for c in config.connections for project in c.projects}
        self.recorder = Recorder(config.recording, state=config.gateway.state, upstream=config.gateway.upstream)
        http = session(config.gateway.upstream)
        self.sources = {c.name: CredentialSource(c, http, self.protect) for c in config.connections}
        keys = SigningKeys.load_or_create(config.gateway.state)
        self.revocations = Revocations(config.gateway.state)
        self.authenticator = Authenticator(
            config.identity,
            config.connections,
            keys,
            Fetcher(config.gateway.upstream),
            revocations=self.revocations,
        )
        self.sessions = Sessions(config.identity.session_idle, revocations=self.revocations)
        self.exchange = TokenExchange(self.authenticator, self.sessions)
        self.uploads: dict[str, str] = {}
        self.backlog = Backlog(self.recorder)
        self.intents = Intents(self)
        self.looks = Looks(self)
        self.reviews = Holding(self)
        self.asking = Asking(config.gateway.upstream, self.sources)
        self.costs = Costs(config.cost, config.gateway.state)
        reuse = config.cost.reuse_estimates.total_seconds()
        self.estimates = Estimator(self.asking.insert, self.asking.account, self.costs.prices, reuse=reuse)
        self.bills = Bills(self.costs, self.asking)
        self.rules = Rules(config, file, self.estimates)
        self._ready = asyncio.Event()

    async def start(self) -> None:
        await self.recorder.start()
        levels = {connection.name: connection.recording for connection in self.config.connections}
        started = self.event_record("gateway.started", "The gateway started.", details={"levels": levels})
        await self.recorder.write(started)
        await self.recorder.note_levels(levels)
        await self.looks.begin()
        await self.costs.start()
        if self.config.cost.ceilings or self.config.cost.budgets:
            await self.asking.warm_up()
        self.bills.begin()
        self._ready.set()
        self.intents.begin(started.id)
        self.reviews.begin()

    async def stop(self) -> None:
        """Ends all sessions and writes what is under way."""
        await self.intents.end()
        await self.reviews.end()
        await self.looks.end()
        await self.bills.end()
        await self.costs.stop()
        self.asking.close()
        try:
            await self.end_sessions(self.sessions.all())
            await self.event("gateway.stopped", "The gateway stopped.")
        finally:
            await self.recorder.stop()

    async def ready(self) -> None:
        """Returns when requests can be recorded; mitmproxy listens a moment before.

        Raises:
            RecordingError: that moment is over, and they cannot.
        """
        if self._ready.is_set():
            return
        try:
            await asyncio.wait_for(self._ready.wait(), START_TIMEOUT)
        except TimeoutError:
            raise RecordingError("hoop-mitm could not open its journal, so it forwards nothing.") from None

    def owner(self, resource: Resource) -> Owner | None:
        """Who made this, as far as it is recorded or about to be."""
        return self.recorder.owner(resource) or self.backlog.owner(resource)

    def check_still_welcome(self, ticket: Ticket) -> None:
        """Lets a flow go on whose session and principal nobody has revoked since it began.

        Raises:
            IdentityError: ``revoked``.
        """
        if ticket.identified:
            self.authenticator.check(ticket.identified)
            if ticket.session:
                self.revocations.check_session(ticket.session.id, ticket.identified)

    def protect(self, secret: str, *, keep: bool = False) -> None:
        """Makes sure that this value never gets into a record; ``keep``: for as long as the gateway lives."""
        self.recorder.redactor.protect(secret, keep=keep)

    def event_record(
        self,
        kind: str,
        message: str,
        *,
        client_address: str = "",
        principal: Principal | None = None,
        session_id: str | None = None,
        flow_id: str | None = None,
        details: dict[str, object] | None = None,
    ) -> EventRecord:
        return EventRecord(
            id=str(uuid7()),
            at=datetime.now(UTC),
            type=kind,
            message=message,
            session_id=session_id,
            principal=principal,
            flow_id=flow_id,
            client_address=client_address,
            details=details or {},
        )

    async def event(
        self,
        kind: str,
        message: str,
        *,
        client_address: str = "",
        principal: Principal | None = None,
        details: dict[str, object] | None = None,
    ) -> None:
        """Writes an event; returns when it is durable."""
        await self.recorder.write(
            self.event_record(kind, message, client_address=client_address, principal=principal, details=details)
        )

    async def end_sessions(self, sessions: Iterable[Session]) -> None:
        """Records that these sessions are over."""
        records = [
            self.event_record("session.ended", "The session ended.", principal=ended.principal, session_id=ended.id)
            for ended in sessions
        ]
        if records:
            await self.recorder.write(*records)

    def remember_upload(self, handle: str, upload_id: str) -> None:
        self.protect(upload_id)
        self.uploads[handle] = upload_id
        while len(self.uploads) > MOST_UPLOADS:
            self.uploads.pop(next(iter(self.uploads)))
