"""What is examined: a client file, the environment of a shell, and the gateway's configuration where it is here."""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Self

from hoop_mitm.client.environment import child_environment
from hoop_mitm.client.outfit import Outfit, authority_of, fit_out, source_of
from hoop_mitm.client.probe import Found, probe
from hoop_mitm.config import Config, load
from hoop_mitm.identity.clock import Clock
from hoop_mitm.login import ClientProfile, GatewayPlace

_PROXIES = ("HTTPS_PROXY", "https_proxy", "grpc_proxy")


@dataclass
class Patient:
    """Attributes as given:

    profile, client_file: ``client_file`` is ``None`` at a gateway where nobody signs in; its profile is then made up.
    scratch: a directory for what an examination needs.
    config_file: another hoop.yaml than the client file's own.
    """

    profile: ClientProfile
    client_file: Path | None
    scratch: Path
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    config_file: Path | None = None
    clock: Clock = time.time

    @classmethod
    def of_gateway(cls, config_file: Path, scratch: Path) -> Self:
        """A gateway's machine, where there is no client file.

        Raises:
            ConfigError: its configuration is wrong.
        """
        config = load(config_file)
        issuer = config.identity.issuers[0]
        host, port = config.gateway.address
        place = GatewayPlace(url=f"http://{_reachable(host)}:{port}", config=config_file)
        connections = {connection.name: connection.projects for connection in config.connections}
        profile = ClientProfile(
            issuer=issuer.issuer,
            client_id=issuer.audiences[0],
            ca=issuer.ca,
            gateway=place,
            connections=connections,
        )
        return cls(profile, None, scratch)

    @cached_property
    def home(self) -> Path:
        return Path(self.environment.get("HOME") or Path.home())

    @cached_property
    def config(self) -> Config | None:
        """The gateway's configuration, if it is here.

        Raises:
            ConfigError: it is wrong.
        """
        file = self.config_file or self.profile.gateway.config
        return load(file) if file else None

    @cached_property
    def authority(self) -> Path:
        """The gateway's certificate. Raises ``ConfigError`` when it is not here."""
        return authority_of(self.profile)

    @cached_property
    def listener(self) -> Found:
        """Who answers where clients are sent. Raises ``ConfigError`` when the authority is not here."""
        return probe(self.profile.gateway.url, self.authority)

    @property
    def url(self) -> str:
        return self.profile.gateway.url

    @cached_property
    def in_force(self) -> bool:
        """Whether this shell is meant to go through the gateway; else clients do that `hoop-mitm run` starts."""
        return any(self.environment.get(name, "").rstrip("/") == self.url.rstrip("/") for name in _PROXIES)

    @cached_property
    def outfit(self) -> Outfit:
        """What `hoop-mitm run` would give a client."""
        client_file = self.client_file or self.scratch / "client.yaml"
        source = source_of("login", self.profile, client_file, self.scratch, self.environment)
        return fit_out(self.profile, source, self.scratch, self.environment)

    @cached_property
    def clients_environment(self) -> Mapping[str, str]:
        """The environment that clients have: this shell's, or the one that `hoop-mitm run` would give them."""
        if self.in_force:
            return self.environment
        return child_environment(self.environment, self.outfit.variables)


def _reachable(host: str) -> str:
    """Where to knock for one who listens at ``host``."""
    known = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104 - it is answered, not listened on
    return known.get(host, f"[{host}]" if ":" in host else host)
