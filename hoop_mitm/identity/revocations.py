"""What is valid by its signature and its time, and yet refused: sessions and people that were revoked.

Kept in one file beside the signing keys, written whole and durably, and read again by every running gateway that
shares it as soon as it changes. A session id never comes back to life, and of a person what was issued before the
revocation is refused. Only sign-outs are forgotten, after 90 days, when no token of before can be good.
"""

import fcntl
import json
import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from uuid_utils import uuid7

from hoop_mitm.errors import ConfigError, IdentityError
from hoop_mitm.identity.clock import Clock
from hoop_mitm.identity.identified import Identified
from hoop_mitm.identity.principal import Principal
from hoop_mitm.identity.session import Session

FILE = "revocations.json"

_SIGNED_OUT_FOR = 90 * 86400.0
_NONE: dict[bool, "Revocation"] = {}

_log = logging.getLogger(__name__)

LOOK_EVERY = 0.2
"""Seconds between two looks at the file."""

SKEW = 60.0
"""Seconds by which an issuer's clock may be ahead of ours: what it issued just before a revocation may seem later."""


@dataclass(frozen=True, slots=True)
class Revocation:
    """One session, or one principal, from now on.

    Attributes:
        id: UUIDv7 in text.
        at: seconds since the epoch by the gateway's clock; session tokens from before it are refused.
        by: who did it, for the record.
        session_id: the session that is over, or ``None``: everything of the principal.
        principal: as ``issuer#subject``, subject, or e-mail address. With a session: whose it was.
        connection, agent, client_address: of a session that the client did not name, so that what belonged to it is
            known again when the gateway has forgotten it.
        not_before: OIDC tokens issued (``iat``) up to then are refused, and what was traded for them.
        sign_in_anew: also tokens that were renewed since are refused, until the person has really signed in again
            (``auth_time``), where their issuer says when that was.
        recorded: a gateway has written it into its recording.
    """

    id: str
    at: float
    by: str
    session_id: str | None = None
    principal: str | None = None
    connection: str | None = None
    agent: str | None = None
    client_address: str | None = None
    not_before: float = 0.0
    sign_in_anew: bool = False
    recorded: bool = False

    def covers(self, identified: Identified) -> bool:
        """Whether a token is from before. It is the principal's, which the caller has made sure of."""
        if identified.issued_at is not None and identified.issued_at <= self.at:
            return True
        if identified.signed_in_at <= self.not_before:
            return True
        authenticated_at = identified.authenticated_at
        return self.sign_in_anew and authenticated_at is not None and authenticated_at <= self.not_before


class Known(Protocol):
    """What is known of a session, open or recorded."""

    @property
    def principal(self) -> Principal: ...

    @property
    def connection(self) -> str: ...

    @property
    def agent(self) -> str: ...

    @property
    def client_address(self) -> str: ...


def of_session(session_id: str, by: str, session: Known | None = None, *, clock: Clock = time.time) -> Revocation:
    """Ends one session, and with ``session`` what is known of it also one that its client did not name."""
    now = clock()
    made = Revocation(str(uuid7()), now, by, session_id=session_id, not_before=now + SKEW)
    return _described(made, session) if session else made


def of_principal(principal: str, by: str, *, clock: Clock = time.time) -> Revocation:
    """Ends all that a principal holds; they have to sign in anew."""
    now = clock()
    return Revocation(str(uuid7()), now, by, principal=principal, not_before=now + SKEW, sign_in_anew=True)


def of_logout(identified: Identified, *, clock: Clock = time.time) -> Revocation:
    """Ends all that a principal holds, at their own wish: the next sign-in is good at once.

    Their logins on other machines may be younger than the one that was shown, so they are told by the time as well; as
    far as an issuer's clock can be behind, what seems to be of before may be the next sign-in.
    """
    principal, now = identified.principal, clock()
    return Revocation(
        str(uuid7()),
        now,
        str(principal),
        session_id=identified.session_id,
        principal=principal.key,
        not_before=0.0 if identified.session_id else max(identified.signed_in_at, now - SKEW),
    )


class Revocations:
    """The revocations of a gateway, as its state directory holds them."""

    def __init__(self, directory: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._file = directory / FILE
        self._clock = clock
        self._looked_at = float("-inf")
        self._stamp: tuple[int, int, int] | None = None
        self._broken = False
        self._all: dict[str, Revocation] = {}
        self._sessions: dict[str, Revocation] = {}
        #: By name, the two kinds: those after which one has to sign in anew, and those after which one need not.
        self._principals: dict[str, dict[bool, Revocation]] = {}
        self._taking = threading.Lock()
        self._load()

    def check(self, identified: Identified) -> None:
        """Lets a token pass that neither its principal's nor its session's revocation covers.

        Raises:
            IdentityError: ``revoked``; ``unavailable``, when it cannot be told.
        """
        try:
            self._look()
        except ConfigError as error:
            _log.error("%s", error)
            raise IdentityError(
                "unavailable",
                "hoop-mitm cannot read which sessions were revoked, so it lets nobody in. Tell whoever runs the gateway.",
            ) from None
        if not self._all:
            return
        session = self._sessions.get(identified.session_id) if identified.session_id else None
        if session is not None:
            raise _refusal(session)
        principal = identified.principal
        for name in (principal.key, principal.subject, (principal.email or "").lower()):
            for revocation in self._principals.get(name, _NONE).values():
                if revocation.covers(identified):
                    raise _refusal(revocation)

    def check_unnamed(self, identified: Identified, connection: str, agent: str, client_address: str) -> None:
        """As :meth:`check`, for a request that belongs to a session only by what it comes from.

        Raises:
            IdentityError: ``revoked``.
        """
        for revocation in self._sessions.values():
            belongs = (revocation.principal, revocation.connection, revocation.agent, revocation.client_address)
            if belongs == (identified.principal.key, connection, agent, client_address) and revocation.covers(
                identified
            ):
                raise _refusal(revocation)

    def check_session(self, session_id: str, identified: Identified) -> None:
        """As :meth:`check`, for a session that the token does not name.

        Raises:
            IdentityError: ``revoked``.
        """
        revocation = self._sessions.get(session_id)
        if revocation is not None and (identified.session_id or revocation.covers(identified)):
            raise _refusal(revocation)

    def ended(self, session_id: str) -> bool:
        """Whether this session was revoked."""
        return session_id in self._sessions

    def add(self, revocation: Revocation) -> None:
        """Makes a revocation durable; every gateway that shares the directory heeds it within a second.

        Raises:
            ConfigError: it cannot be written; nothing is revoked then.
        """
        self._change(lambda all_of_them: {**all_of_them, revocation.id: revocation})

    def unrecorded(self) -> list[Revocation]:
        """Those that no gateway has recorded yet."""
        self._look()
        return [revocation for revocation in self._all.values() if not revocation.recorded]

    def record(self, done: Iterable[Revocation], sessions: Iterable[Session] = ()) -> None:
        """Notes that these are recorded; and of sessions that are still open, what they are known by.

        Raises:
            ConfigError: it cannot be written.
        """
        known = {session.id: session for session in sessions}

        def noted(all_of_them: dict[str, Revocation]) -> dict[str, Revocation]:
            for revocation in done:
                session = known.get(revocation.session_id or "")
                made = _described(revocation, session) if session else revocation
                all_of_them[made.id] = replace(made, recorded=True)
            return all_of_them

        self._change(noted)

    def _look(self) -> None:
        now = self._clock()
        if now - self._looked_at >= LOOK_EVERY or self._broken:
            self._load()
            self._looked_at = now

    def _load(self) -> None:
        """Reads the file if it changed. While it cannot be read nobody is let in: what it says may be about them."""
        stamp = _stamp(self._file)
        if stamp == self._stamp and not self._broken:
            return
        self._broken = True
        self._take(_read(self._file))
        self._stamp, self._broken = stamp, False

    def _take(self, read: dict[str, Revocation]) -> None:
        """Each table is put in place whole: requests are checked against them while another thread is in here."""
        with self._taking:
            # A file that vanishes while the gateway runs ends no revocation.
            all_of_them = self._all | read
            principals: dict[str, dict[bool, Revocation]] = {}
            for each in all_of_them.values():
                if each.principal and not each.session_id:
                    for name in {each.principal, each.principal.lower()}:
                        kinds = principals.setdefault(name, {})
                        kinds[each.sign_in_anew] = _both(each, kinds.get(each.sign_in_anew))
            self._sessions = {each.session_id: each for each in all_of_them.values() if each.session_id}
            self._principals = principals
            self._all = all_of_them

    def _change(self, change: Callable[[dict[str, Revocation]], dict[str, Revocation]]) -> None:
        try:
            with _locked(self._file):
                changed = change(_read(self._file))
                _write(self._file, [each for each in changed.values() if not _is_over(each)])
        except OSError as error:
            raise ConfigError(f"the revocation cannot be written: {error.strerror}", file=self._file) from None
        self._take(changed)


def _both(one: Revocation, other: Revocation | None) -> Revocation:
    """One that covers what either does: whoever signs out every day is not looked up in a year's list."""
    if other is None:
        return one
    latest = max(one, other, key=lambda each: each.at)
    return replace(latest, not_before=max(one.not_before, other.not_before))


def _is_over(revocation: Revocation) -> bool:
    """Of a sign-out that nothing can be alive from: the tokens of before have ended."""
    signed_out = revocation.session_id is None and not revocation.sign_in_anew
    return signed_out and revocation.recorded and revocation.at < time.time() - _SIGNED_OUT_FOR


def _described(revocation: Revocation, session: Known) -> Revocation:
    return replace(
        revocation,
        principal=session.principal.key,
        connection=session.connection,
        agent=session.agent,
        client_address=session.client_address,
    )


def _refusal(revocation: Revocation) -> IdentityError:
    when = datetime.fromtimestamp(revocation.at, UTC).strftime("%Y-%m-%d %H:%M UTC")
    if revocation.session_id:
        text = f"This session was ended at {when}. Start the client in a new one: `hoop-mitm run`, after `hoop-mitm login` if it asks for that."
    elif revocation.sign_in_anew:
        text = (
            f"Your access was revoked at {when}. If you still need it, sign in anew (`hoop-mitm login --again`) and start "
            "the client again; ask whoever runs the gateway if you do not know why."
        )
    else:
        text = f"You signed out at {when}. Run `hoop-mitm login`, and start the client again."
    return IdentityError("revoked", text)


def _stamp(file: Path) -> tuple[int, int, int] | None:
    try:
        status = file.stat()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unreadable(file, error.strerror) from None
    return status.st_mtime_ns, status.st_size, status.st_ino


def _read(file: Path) -> dict[str, Revocation]:
    try:
        said = json.loads(file.read_bytes())
        return {each["id"]: Revocation(**each) for each in said["revocations"]}
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise _unreadable(file, error.strerror) from None
    except (ValueError, TypeError, KeyError):
        raise _unreadable(file, "it is not what hoop-mitm wrote") from None


def _write(file: Path, revocations: Iterable[Revocation]) -> None:
    """Whole or not at all, and on the disk when this returns."""
    temporary = file.with_suffix(".new")
    temporary.unlink(missing_ok=True)
    text = json.dumps({"version": 1, "revocations": [asdict(each) for each in revocations]}, indent=1)
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    temporary.replace(file)
    handle = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    handle = os.open(file.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _unreadable(file: Path, why: str | None) -> ConfigError:
    return ConfigError(
        f"the list of revocations cannot be read ({why}), so nobody is let in. Restore it from a backup, or remove it "
        "if nothing was revoked",
        file=file,
    )
