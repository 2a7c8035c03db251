"""What a bearer token turned out to be."""

from dataclasses import dataclass, field

from hoop_mitm.identity.principal import Principal


@dataclass(frozen=True, slots=True)
class Identified:
    """The principal behind a bearer token, and what the token is bound to.

    Attributes:
        principal: who asks.
        expires_at: seconds since the epoch; from then on the token is refused.
        session_id: the session that the token was issued for, if one was asked for.
        session_name: what the user called that session.
        connection: the one connection that the token may be used for; ``None`` for a raw OIDC token.
        subject_token: the OIDC token itself, for federation; ``None`` where it was not sealed into a session token.
        renewable_until: seconds since the epoch; how far a session token may be extended by trading it again.
            ``None`` for a raw OIDC token, which ends when its issuer said.
        signed_in_at: seconds since the epoch; ``iat`` of the OIDC token, or of the one that was traded.
        authenticated_at: its ``auth_time``, where the issuer says when the person last proved who they are.
        issued_at: when this gateway issued the session token; ``None`` for a raw OIDC token.
        network: the addresses that the session token may be used from, where it is bound to some.
    """

    principal: Principal
    expires_at: float
    session_id: str | None = None
    session_name: str | None = None
    connection: str | None = None
    subject_token: str | None = field(default=None, repr=False)
    renewable_until: float | None = None
    signed_in_at: float = 0.0
    authenticated_at: float | None = None
    issued_at: float | None = None
    network: str | None = None
