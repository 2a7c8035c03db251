"""Who asks."""

from dataclasses import dataclass
from typing import Literal

type Kind = Literal["user", "machine"]


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated identity.

    Attributes:
        issuer: the ``iss`` of the OIDC token, exactly as configured.
        subject: its ``sub``; unique only together with ``issuer``.
        email: the mapped e-mail claim, or ``None`` (machines often have none).
        groups: the mapped groups claim, sorted.
        kind: ``user`` for people, ``machine`` for workloads; said by the issuer's configuration.
    """

    issuer: str
    subject: str
    email: str | None = None
    groups: tuple[str, ...] = ()
    kind: Kind = "user"

    @property
    def key(self) -> str:
        """What ownership is bound to: issuer and subject, never the e-mail (which can be reassigned)."""
        return f"{self.issuer}#{self.subject}"

    def __str__(self) -> str:
        return self.email or self.subject
