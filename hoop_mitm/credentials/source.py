"""Access tokens for a connection, fresh when they are asked for."""

import asyncio
import hashlib
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import requests

from hoop_mitm.config.model import Connection, Federation, Impersonation, ServiceAccountKey
from hoop_mitm.errors import CredentialError
from hoop_mitm.identity.principal import Principal

if TYPE_CHECKING:
    from google.auth.credentials import Credentials

REFRESH_AHEAD = 300.0
"""Seconds before expiry from which a new token is fetched in the background. Google's tokens live 3,600 s."""

MINIMUM = 30.0
"""Seconds that a token must still be good for; below that a request waits for the new one."""

RETRY_AFTER = 2.0
"""Seconds after a failure in which requests are refused at once instead of asking Google again."""

MOST_HOLDERS = 1024
"""Federated people whose credentials are kept; the one not seen for longest goes."""


@dataclass(frozen=True, slots=True)
class AccessToken:
    """What goes into ``Authorization: Bearer``. ``expires_at`` is POSIX time."""

    value: str = field(repr=False)
    expires_at: float


@dataclass(slots=True)
class _Holder:
    """One credential and the token that it has now."""

    credentials: "Credentials | None" = field(default=None, repr=False)
    token: AccessToken | None = None
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    refreshing: asyncio.Task[AccessToken] | None = None
    failed_at: float = float("-inf")
    failure: str = ""


class Protect(Protocol):
    """Takes a secret that no record may hold; ``keep``: one that lives as long as the process."""

    def __call__(self, secret: str, *, keep: bool = False) -> None: ...


class CredentialSource:
    """The credential of one connection.

    Args:
        connection: whose credential.
        http: how Google's token endpoints are reached.
        protect: told the key, and every token before it is used, so that none is ever recorded.
    """

    def __init__(self, connection: Connection, http: requests.Session, protect: Protect) -> None:
        self._config = connection.credential
        self._http = http
        self._protect = protect
        self._holders: OrderedDict[tuple[str | None, str | None], _Holder] = OrderedDict()

    @property
    def needs_subject_token(self) -> bool:
        """Whether the engineer's own OIDC token is what Google is shown."""
        return isinstance(self._config, Federation)

    def check(self) -> None:
        """Reads what the configuration names, so that a wrong key file is told at the start and not to the first client.

        Raises:
            ConfigError: it cannot be used.
        """
        match self._config:
            case ServiceAccountKey(key_file=file) | Impersonation(source=ServiceAccountKey(key_file=file)):
                from hoop_mitm.credentials import google

                self._protect(google.private_key(file), keep=True)
            case _:
                pass

    async def token(self, principal: Principal, subject_token: str | None = None) -> AccessToken:
        """A token that is good for at least `MINIMUM` seconds.

        Raises:
            CredentialError: there is none to be had just now; the text is for the client's user.
        """
        holder = self._holder(principal, subject_token)
        left = holder.token.expires_at - time.time() if holder.token else 0.0
        if holder.token and left > MINIMUM:
            if left < REFRESH_AHEAD and holder.refreshing is None and not self._failed_lately(holder):
                holder.refreshing = asyncio.create_task(self._refresh(holder, principal, subject_token))
                holder.refreshing.add_done_callback(lambda task: self._refreshed(holder, task))
            return holder.token
        async with holder.lock:
            if holder.token and holder.token.expires_at - time.time() > MINIMUM:
                return holder.token
            if self._failed_lately(holder):
                raise CredentialError(holder.failure)
            return await self._refresh(holder, principal, subject_token)

    def identity(self, principal: Principal, subject_token: str | None = None) -> tuple[str | None, str | None]:
        """Which of the connection's identities at Google a principal's requests go with: the account that is impersonated,
        and a hash of the person's own token; ``None`` for what plays no part."""
        person = (
            hashlib.sha256(subject_token.encode()).hexdigest() if subject_token and self.needs_subject_token else None
        )
        return self._account(principal), person

    def invalidate(self, token: AccessToken) -> None:
        """Forgets a token that Google no longer takes."""
        for holder in self._holders.values():
            if holder.token == token:
                holder.token = None

    def _holder(self, principal: Principal, subject_token: str | None) -> _Holder:
        key = self.identity(principal, subject_token)
        holder = self._holders.setdefault(key, _Holder())
        self._holders.move_to_end(key)
        while len(self._holders) > MOST_HOLDERS:
            self._holders.popitem(last=False)
        return holder

    def _account(self, principal: Principal) -> str | None:
        if isinstance(self._config, Impersonation | Federation):
            from hoop_mitm.credentials.google import account_for

            return account_for(self._config.service_account, self._config.groups, principal.groups)
        return None

    async def _refresh(self, holder: _Holder, principal: Principal, subject_token: str | None) -> AccessToken:
        try:
            value, expires_at = await asyncio.to_thread(self._fetch, holder, self._account(principal), subject_token)
        except CredentialError as error:
            holder.failed_at, holder.failure = time.monotonic(), str(error)
            raise
        self._protect(value)
        holder.token = AccessToken(value, expires_at)
        return holder.token

    def _fetch(self, holder: _Holder, account: str | None, subject_token: str | None) -> tuple[str, float]:
        from hoop_mitm.credentials import google

        if holder.credentials is None:
            holder.credentials = google.build(self._config, account=account, subject_token=subject_token)
        return google.refresh(holder.credentials, self._http)

    @staticmethod
    def _failed_lately(holder: _Holder) -> bool:
        return time.monotonic() - holder.failed_at < RETRY_AFTER

    @staticmethod
    def _refreshed(holder: _Holder, task: asyncio.Task[AccessToken]) -> None:
        holder.refreshing = None
        # The failure is kept in the holder; the old token serves until it is too old.
        if not task.cancelled():
            task.exception()
