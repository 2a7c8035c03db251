"""Which session a request belongs to."""

import time
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from uuid_utils import uuid7

from hoop_mitm.errors import IdentityError
from hoop_mitm.identity.clock import Clock
from hoop_mitm.identity.identified import Identified
from hoop_mitm.identity.principal import Principal
from hoop_mitm.identity.program import Program
from hoop_mitm.identity.revocations import Revocations
from hoop_mitm.identity.session import Session

REMEMBERED = 10_000
"""Session ids of one principal that stay theirs after the session has ended; the oldest go first."""

type _Key = str | tuple[str, str, str, str]


@dataclass(frozen=True, slots=True)
class Move:
    """A session that was named went on from another IP address."""

    session: Session
    before: str
    after: str


@dataclass(slots=True)
class _Open:
    session: Session
    seen_at: float
    address: str


@dataclass(slots=True)
class _Claim:
    """Whose a session id is; ``session`` is what it named when it was last open."""

    principal: str
    connection: str
    session: Session | None = None


@dataclass(frozen=True, slots=True)
class _Asked:
    """One request: who made it, for what, with what, from where and when."""

    identified: Identified
    connection: str
    agent: str
    client_address: str
    program: Program | None
    at: float


class Sessions:
    """The sessions that are open in this gateway.

    A client that was started for a session names it in its token. Any other request belongs to the session of the
    same principal, connection, client program and address, until an idle gap ends that.

    A session id belongs to the first principal who uses it, also after the session has ended: otherwise one could
    write into another's record. After a restart of the gateway, tell it with :meth:`claim` what was.
    """

    def __init__(self, idle: timedelta, clock: Clock = time.time, revocations: Revocations | None = None) -> None:
        self._idle = idle.total_seconds()
        self._clock = clock
        self._open: dict[_Key, _Open] = {}
        self._ended: list[Session] = []
        self._moves: list[Move] = []
        self._revocations = revocations
        self._claims: dict[str, _Claim] = {}
        self._claimed_by: dict[str, deque[str]] = {}

    def resolve(
        self,
        identified: Identified,
        connection: str,
        agent: str,
        client_address: str,
        program: Program | None = None,
    ) -> tuple[Session, bool]:
        """The session, and whether this request opened it. One that was named and has ended is opened again, as it was.

        Args:
            identified: from the authenticator.
            connection: name of the connection that the request is for.
            agent: the client program, such as ``python``.
            client_address: IP address.
            program: the process that asks, where it is known; a session keeps the one that opened it.

        Raises:
            IdentityError: ``wrong_connection``, when the token or the session is for another connection;
                ``foreign_session``, when the session id is another principal's; ``revoked``.
        """
        if identified.connection not in (None, connection):
            raise _wrong_connection(str(identified.connection))
        asked = _Asked(identified, connection, agent, client_address, program, self._clock())
        if identified.session_id is not None:
            found = self._open.get(identified.session_id)
            if found is not None and found.session.principal.key != identified.principal.key:
                raise _foreign()  # Also where its claim was forgotten while it is open.
            claimed = self._claim(identified.session_id, identified.principal, connection)
            return self._named(claimed, asked)
        return self._unnamed(asked)

    def claim(self, session_id: str, principal: Principal, connection: str) -> None:
        """Binds a session id to a principal and a connection, for good.

        Raises:
            IdentityError: ``foreign_session`` or ``wrong_connection``, when it is bound otherwise.
        """
        self._claim(session_id, principal, connection)

    def expired(self) -> list[Session]:
        """The sessions that an idle gap has ended since the last call; each is told once."""
        now = self._clock()
        for key, entry in list(self._open.items()):
            if now - entry.seen_at >= self._idle:
                self._ended.append(self._open.pop(key).session)
        ended, self._ended = self._ended, []
        return ended

    def end(self, session_id: str) -> None:
        """Ends a session now; :meth:`expired` tells of it."""
        for key, entry in list(self._open.items()):
            if entry.session.id == session_id:
                self._ended.append(self._open.pop(key).session)

    def moves(self) -> list[Move]:
        """The changes of address since the last call; each is told once."""
        moves, self._moves = self._moves, []
        return moves

    def all(self) -> list[Session]:
        """The sessions that are open, and those that have ended but were not told by :meth:`expired` yet."""
        return [*self._ended, *(entry.session for entry in self._open.values())]

    def _named(self, claimed: _Claim, asked: _Asked) -> tuple[Session, bool]:
        session_id = str(asked.identified.session_id)
        if found := self._open.get(session_id):
            found.seen_at = asked.at
            if found.address != asked.client_address:
                self._moves.append(Move(found.session, found.address, asked.client_address))
                found.address = asked.client_address
            return found.session, False
        if claimed.session is None:
            claimed.session = _session(session_id, asked)
        self._open[session_id] = _Open(claimed.session, asked.at, asked.client_address)
        return claimed.session, True

    def _unnamed(self, asked: _Asked) -> tuple[Session, bool]:
        principal = asked.identified.principal
        key = (principal.key, asked.connection, asked.agent, asked.client_address)
        if self._revocations is not None:
            self._revocations.check_unnamed(asked.identified, *key[1:])
        found = self._open.get(key)
        if found is not None and self._revocations is not None:
            self._revocations.check_session(found.session.id, asked.identified)
            if self._revocations.ended(found.session.id):
                self.end(found.session.id)
                found = None
        if found is not None and asked.at - found.seen_at < self._idle:
            found.seen_at = asked.at
            return found.session, False
        if found is not None:
            self._ended.append(found.session)
        session = _session(str(uuid7()), asked)
        self._claim(session.id, principal, asked.connection)
        self._open[key] = _Open(session, asked.at, asked.client_address)
        return session, True

    def _claim(self, session_id: str, principal: Principal, connection: str) -> _Claim:
        claimed = self._claims.get(session_id)
        if claimed is None:
            claimed = self._claims[session_id] = _Claim(principal.key, connection)
            # Everyone forgets their own oldest: nobody can push out another's claim by making many.
            mine = self._claimed_by.setdefault(principal.key, deque())
            mine.append(session_id)
            if len(mine) > REMEMBERED:
                del self._claims[mine.popleft()]
        if claimed.principal != principal.key:
            raise _foreign()
        if claimed.connection != connection:
            raise _wrong_connection(claimed.connection)
        return claimed


def _session(session_id: str, asked: _Asked) -> Session:
    principal = asked.identified.principal
    return Session(
        id=session_id,
        name=asked.identified.session_name or f"{str(principal).partition('@')[0]}-{asked.agent}",
        connection=asked.connection,
        principal=principal,
        agent=asked.agent,
        client_address=asked.client_address,
        started_at=datetime.fromtimestamp(asked.at, UTC),
        program=asked.program,
    )


def _foreign() -> IdentityError:
    return IdentityError(
        "foreign_session", "This session belongs to somebody else. Start the client in a session of its own."
    )


def _wrong_connection(connection: str) -> IdentityError:
    return IdentityError(
        "wrong_connection",
        f"Your session is for the connection {connection}. Start the client anew for another one.",
    )
