"""Turns a bearer token into the one who asks."""

import asyncio
import hashlib
import time
from collections.abc import Sequence
from dataclasses import replace

from hoop_mitm.config.model import Connection
from hoop_mitm.config.model import Identity as Settings
from hoop_mitm.errors import IdentityError
from hoop_mitm.identity import jws
from hoop_mitm.identity.clock import Clock
from hoop_mitm.identity.identified import Identified
from hoop_mitm.identity.issuer_keys import Fetch
from hoop_mitm.identity.keys import SigningKeys
from hoop_mitm.identity.oidc import OidcVerifier
from hoop_mitm.identity.principal import Principal
from hoop_mitm.identity.revocations import Revocations, of_logout
from hoop_mitm.identity.session_tokens import SessionTokens, check_address, is_session_token

TRUSTED_FOR = 300.0
"""Seconds after which a token is verified again although it has not expired: its key may have been withdrawn."""

REMEMBERED = 4096
"""Verified tokens that are remembered; the oldest goes first."""


class Authenticator:
    """Verifies session tokens of this gateway, and OIDC tokens of its issuers.

    A token that was verified is remembered by its hash, so that the next request with it costs a look-up and a
    comparison of times, and no cryptography.
    """

    def __init__(
        self,
        settings: Settings,
        connections: Sequence[Connection],
        keys: SigningKeys,
        fetch: Fetch,
        *,
        clock: Clock = time.time,
        revocations: Revocations | None = None,
    ) -> None:
        self.session_tokens = SessionTokens(keys, settings.session_tokens, clock)
        self.connections = {connection.name: connection for connection in connections}
        self._oidc = OidcVerifier(settings.issuers, fetch, clock)
        self._clock = clock
        self._keys, self._generation = keys, keys.generation
        self._revocations = revocations
        self._known: dict[bytes, tuple[float, Identified]] = {}

    async def authenticate(self, bearer: str, client_address: str = "") -> Identified:
        """Who holds this token, and uses it from ``client_address``.

        Raises:
            IdentityError: it is not valid, not valid any more, or not valid here; ``reason`` says why.
        """
        identified = await self._known_or_verified(bearer)
        self.check(identified, client_address)
        return identified

    def check(self, identified: Identified, client_address: str | None = None) -> None:
        """Lets an identity pass that was not revoked, and is not bound to other addresses than ``client_address``; for
        whoever holds one for longer than a request.

        Raises:
            IdentityError: ``revoked`` or ``wrong_address``.
        """
        try:
            if self._revocations is not None:
                self._revocations.check(identified)
            if client_address is not None:
                check_address(identified, client_address)
        except IdentityError as error:
            error.principal = identified.principal
            raise

    async def _known_or_verified(self, bearer: str) -> Identified:
        if (generation := self._keys.generation) != self._generation:
            self._generation = generation
            self._known.clear()
        digest = hashlib.sha256(bearer.encode(errors="surrogatepass")).digest()
        known = self._known.get(digest)
        now = self._clock()
        if known is not None and now < known[0]:
            return known[1]
        self._known.pop(digest, None)
        identified = await self._verify(bearer)
        self._known[digest] = (min(identified.expires_at, now + TRUSTED_FOR), identified)
        if len(self._known) > REMEMBERED:
            del self._known[next(iter(self._known))]
        return identified

    async def authenticate_oidc(self, token: str) -> Identified:
        """As :meth:`authenticate`, for an OIDC token only: a session token is refused (``wrong_type``)."""
        identified = await self._verify_oidc(token)
        self.check(identified)
        return identified

    def usable(self, principal: Principal, connection: str) -> Connection:
        """The connection by its name, if this principal may use it.

        Raises:
            IdentityError: ``wrong_connection``: there is none of that name, or it is for other groups.
        """
        mine = self.usable_by(principal)
        if connection in mine:
            return self.connections[connection]
        can = f"You can use: {', '.join(mine)}." if mine else "There is none that you can use."
        needed = any(each.groups for each in self.connections.values())
        if needed and not principal.groups:
            can += " Your token names no groups, by which some are given: ask your identity provider's administrator."
        raise IdentityError("wrong_connection", f"This gateway has no such connection for you. {can}")

    def usable_by(self, principal: Principal) -> list[str]:
        """The names of the connections that this principal may use, sorted."""
        groups = set(principal.groups)
        return sorted(each.name for each in self.connections.values() if not each.groups or groups & set(each.groups))

    async def sign_out(self, identified: Identified) -> None:
        """Ends the session of a token, or all that its principal holds; returns when that is durable.

        Raises:
            ConfigError: it cannot be written.
        """
        if self._revocations is not None:
            await asyncio.to_thread(self._revocations.add, of_logout(identified, clock=self._clock))

    async def _verify_oidc(self, token: str) -> Identified:
        verified = await self._oidc.verify(token)
        return Identified(
            principal=verified.principal,
            expires_at=verified.expires_at,
            subject_token=token,
            signed_in_at=verified.issued_at,
            authenticated_at=verified.authenticated_at,
        )

    async def _verify(self, bearer: str) -> Identified:
        if not is_session_token(jws.read(bearer)):
            return await self._verify_oidc(bearer)
        identified = self.session_tokens.verify(bearer)
        if identified.connection is not None:
            # The configuration, or the gateway, may be another one than when the token was issued.
            self.usable(identified.principal, identified.connection)
        return identified


def bound(
    identified: Identified, connection: str, session_id: str | None = None, session_name: str | None = None
) -> Identified:
    """The same identity, bound to a connection and perhaps a session.

    Raises:
        IdentityError: ``wrong_connection``, when it is bound to another connection or session already.
    """
    if identified.connection not in (None, connection):
        raise IdentityError(
            "wrong_connection",
            f"Your session is for the connection {identified.connection}. Start the client anew for another one.",
        )
    if identified.session_id not in (None, session_id):
        raise IdentityError("wrong_connection", "Your token is for another session. Start the client anew.")
    return replace(identified, connection=connection, session_id=session_id, session_name=session_name)
