"""What Google's token endpoints would answer, answered by the gateway.

Client libraries believe that they talk to Google: they trade their OIDC token for an access token, and get a session
token of ours. A refusal is always HTTP 400 with ``error`` and ``error_description``, which every client shows as it
is and none retries.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from hoop_mitm.config.model import Federation
from hoop_mitm.errors import IdentityError
from hoop_mitm.identity.audience import PREFIX, Audience, audience_for, parse_audience
from hoop_mitm.identity.authenticator import Authenticator, bound
from hoop_mitm.identity.identified import Identified
from hoop_mitm.identity.principal import Principal
from hoop_mitm.identity.sessions import Sessions

__all__ = ["Answer", "TokenExchange", "audience_for", "parse_audience"]

_TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"  # noqa: S105 - a name, not a secret
_ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105
_SUBJECT_TYPES = frozenset({"urn:ietf:params:oauth:token-type:jwt", "urn:ietf:params:oauth:token-type:id_token"})


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of a token endpoint.

    Attributes:
        status: HTTP status.
        body: the JSON object; it may hold a token.
        principal: who was identified, for the record.
        reason: why it was refused: an ``IdentityError``'s reason, or OAuth's error code.
    """

    status: int
    body: Mapping[str, Any] = field(repr=False)
    principal: Principal | None = None
    reason: str | None = None

    @property
    def content(self) -> bytes:
        """``body`` as JSON."""
        return json.dumps(dict(self.body)).encode()


class TokenExchange:
    """The three endpoints. None of them ever raises ``IdentityError``: a refusal is an answer.

    Give it the gateway's ``sessions``, so that a session id that is somebody else's is refused before a token exists.
    """

    def __init__(self, authenticator: Authenticator, sessions: Sessions | None = None) -> None:
        self._authenticator = authenticator
        self._sessions = sessions

    async def exchange(self, form: Mapping[str, str], client_address: str = "") -> Answer:
        """``POST sts.googleapis.com/v1/token``: an OIDC token for a session token (RFC 8693)."""
        if form.get("grant_type") != _TOKEN_EXCHANGE:
            return _refusal("unsupported_grant_type", "Only token exchange (RFC 8693) is answered here.")
        if form.get("actor_token") or form.get("actor_token_type"):
            return _refusal("invalid_request", "hoop-mitm does not let one principal act for another (actor_token).")
        if form.get("requested_token_type", _ACCESS_TOKEN) != _ACCESS_TOKEN:
            return _refusal("invalid_request", "hoop-mitm issues access tokens only (requested_token_type).")
        if form.get("subject_token_type") not in _SUBJECT_TYPES:
            return _refusal(
                "invalid_request", "hoop-mitm accepts OIDC tokens: subject_token_type must be jwt or id_token."
            )
        try:
            identified = await self._authenticator.authenticate_oidc(_token(form, "subject_token"))
            wanted = parse_audience(form.get("audience", ""))
            return self._granted(identified, wanted, client_address, issued_token_type=_ACCESS_TOKEN)
        except IdentityError as error:
            return _refused(error)

    async def refresh(self, form: Mapping[str, str], client_address: str = "") -> Answer:
        """``POST oauth2.googleapis.com/token``: OAuth's refresh (RFC 6749 section 6) for ``authorized_user`` files.

        The refresh token is an OIDC token, or a session token that is still valid; the latter keeps its connection,
        its session and its end. ``client_id`` may be an audience of ours, to ask for a connection and a session.
        """
        if form.get("grant_type") != "refresh_token":
            return _refusal(
                "unsupported_grant_type", "Only refresh_token is answered here; hoop-mitm takes no Google keys."
            )
        try:
            identified = await self._authenticator.authenticate(_token(form, "refresh_token"), client_address)
            client = form.get("client_id", "")
            wanted = parse_audience(client) if client.startswith(PREFIX) else None
            return self._granted(identified, wanted, client_address)
        except IdentityError as error:
            return _refused(error)

    async def introspect(self, form: Mapping[str, str], client_address: str = "") -> Answer:
        """``POST sts.googleapis.com/v1/introspect`` (RFC 7662): gcloud and bq ask it for the account's name."""
        try:
            identified = await self._authenticator.authenticate(_token(form, "token"), client_address)
        except IdentityError as error:
            return Answer(200, {"active": False}, reason=error.reason)
        principal = identified.principal
        return Answer(
            200,
            {
                "active": True,
                "username": str(principal),
                "sub": principal.subject,
                "iss": principal.issuer,
                "token_type": "Bearer",
                "exp": int(identified.expires_at),
                "groups": list(principal.groups),
                "kind": principal.kind,
                "connections": self._authenticator.usable_by(principal),
            },
            principal,
        )

    async def revoke(self, form: Mapping[str, str], client_address: str = "") -> Answer:
        """``POST oauth2.googleapis.com/revoke`` (RFC 7009): signs the holder of a token out of this gateway.

        With a session token that has a session, that session ends; with any other token all that its principal holds.
        A token that is not good is no error: it is as good as revoked.
        """
        try:
            identified = await self._authenticator.authenticate(_token(form, "token"), client_address)
        except IdentityError as error:
            return Answer(200, {}, reason=error.reason)
        await self._authenticator.sign_out(identified)
        return Answer(200, {}, identified.principal)

    def _granted(self, identified: Identified, wanted: Audience | None, client_address: str, **more: str) -> Answer:
        authenticator = self._authenticator
        try:
            connections = list(authenticator.connections.values())
            if wanted is not None:
                identified = bound(identified, wanted.connection, wanted.session_id, wanted.session_name)
                authenticator.check(identified)
            if identified.connection is not None:
                connections = [authenticator.usable(identified.principal, identified.connection)]
                if self._sessions and identified.session_id is not None:
                    self._sessions.claim(identified.session_id, identified.principal, identified.connection)
            federated = any(isinstance(connection.credential, Federation) for connection in connections)
            token, lifetime = authenticator.session_tokens.issue(
                identified, seal_subject_token=federated, client_address=client_address
            )
        except IdentityError as error:
            return replace(_refused(error), principal=identified.principal)
        body = {"access_token": token, "token_type": "Bearer", "expires_in": lifetime, **more}
        return Answer(200, body, identified.principal)


def _token(form: Mapping[str, str], name: str) -> str:
    """A token that a client read from a file comes with the newline at its end."""
    return form.get(name, "").strip(" \t\r\n")


def _refused(error: IdentityError) -> Answer:
    return replace(_refusal("invalid_grant", str(error)), reason=error.reason, principal=error.principal)


def _refusal(code: str, description: str) -> Answer:
    return Answer(400, {"error": code, "error_description": description}, reason=code)
