"""Turns a bearer token into the one who asks."""

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
from hoop_mitm.identity.session_tokens import SessionTokens, is_session_token

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
    ) -> None:
        self.session_tokens = SessionTokens(keys, settings.session_tokens, clock)
        self.connections = {connection.name: connection for connection in connections}
        self._oidc = OidcVerifier(settings.issuers, fetch, clock)
        self._clock = clock
        self._known: dict[bytes, tuple[float, Identified]] = {}

    async def authenticate(self, bearer: str) -> Identified:
        """Who holds this token.

        Raises:
            IdentityError: it is not valid, not valid any more, or not valid here; ``reason`` says why.
        """
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
        verified = await self._oidc.verify(token)
        return Identified(principal=verified.principal, expires_at=verified.expires_at, subject_token=token)

    def usable(self, principal: Principal, connection: str) -> Connection:
        """The connection by its name, if this principal may use it.

        Raises:
            IdentityError: ``wrong_connection``: there is none of that name, or it is for other groups.
        """
        found = self.connections.get(connection)
        if found is not None and (not found.groups or set(found.groups) & set(principal.groups)):
            return found
        mine = [c.name for c in self.connections.values() if not c.groups or set(c.groups) & set(principal.groups)]
        can = f"You can use: {', '.join(sorted(mine))}." if mine else "There is none that you can use."
        raise IdentityError("wrong_connection", f"This gateway has no such connection for you. {can}")

    async def _verify(self, bearer: str) -> Identified:
        if not is_session_token(jws.read(bearer)):
            return await self.authenticate_oidc(bearer)
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
