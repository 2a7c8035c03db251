"""What has to be known before a gateway can be described."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

type Credential = Literal["federation", "impersonation", "adc", "service_account"]

GOOGLE = "https://accounts.google.com"


@dataclass(frozen=True, slots=True)
class Answers:
    """One issuer, one connection, one gateway.

    Attributes:
        issuer, client_id, client_secret: who signs people in, and as which application.
        projects: Google Cloud project ids; the first is what clients ask when they name none.
        credential: how the gateway reaches Google.
        target: what the credential needs: the pool's audience (federation), an e-mail address (impersonation), or a key
            file; ``None`` for adc.
        connection: what it is called in recordings.
        require: claims a token must carry, with the accepted values.
        groups: groups by e-mail, for issuers without a groups claim.
        solo: Google is the issuer, for one engineer.
        listen: host:port of the gateway.
        issuer_ca, upstream_ca: PEM bundles, where the built-in roots do not do.
        upstream_hosts: host name → host:port to connect to instead.
    """

    issuer: str
    client_id: str
    projects: tuple[str, ...]
    credential: Credential
    target: str | None = None
    client_secret: str | None = field(default=None, repr=False)
    connection: str = "warehouse"
    require: dict[str, tuple[str, ...]] = field(default_factory=dict)
    groups: dict[str, tuple[str, ...]] = field(default_factory=dict)
    solo: bool = False
    listen: str = "127.0.0.1:8080"
    issuer_ca: Path | None = None
    upstream_ca: Path | None = None
    upstream_hosts: dict[str, str] = field(default_factory=dict)

    @property
    def is_google(self) -> bool:
        """Whether people sign in with Google, which has ways of its own."""
        return self.issuer == GOOGLE
