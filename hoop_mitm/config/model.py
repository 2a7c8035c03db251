"""The shape of ``hoop.yaml``.

Every setting is here once, with its meaning, its default and what would be wrong. Paths are relative to the
file that names them. Durations are written ``90s``, ``15m``, ``8h``, ``30d``.
"""

import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, HttpUrl, model_validator

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def _duration(value: object) -> object:
    if isinstance(value, str) and (match := re.fullmatch(r"(\d+)\s*([smhd])", value.strip())):
        return timedelta(seconds=int(match[1]) * _UNITS[match[2]])
    if isinstance(value, timedelta):
        return value
    raise ValueError("write a duration such as 90s, 15m, 8h or 30d")


Duration = Annotated[timedelta, BeforeValidator(_duration)]
Url = Annotated[str, BeforeValidator(lambda value: str(HttpUrl(str(value))).rstrip("/") and str(value))]


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Claims(Model):
    """Which claims of a token say what. A dotted name reaches into objects (``realm_access.roles``)."""

    email: str = "email"
    groups: str = "groups"


#: Issuers that mint tokens for anyone on earth: without a claim that ties a token to one tenant, everyone is in.
SHARED_ISSUERS = (
    "https://accounts.google.com",
    "https://token.actions.githubusercontent.com",
    "https://gitlab.com",
    "https://login.microsoftonline.com/common",
    "https://login.microsoftonline.com/organizations",
    "https://login.microsoftonline.com/consumers",
    "https://sts.windows.net/common",
)


class Issuer(Model):
    """An OIDC issuer whose tokens are accepted."""

    issuer: Url = Field(description="the `iss` of its tokens; `/.well-known/openid-configuration` is read below it")
    audiences: tuple[str, ...] = Field(min_length=1, description="accepted `aud` values, usually the client id")
    kind: Literal["user", "machine"] = "user"
    authorized_parties: tuple[str, ...] = Field(
        default=(), description="accepted `azp` values; default: the audiences"
    )
    algorithms: tuple[
        Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"], ...
    ] = Field(default=("RS256", "ES256"), min_length=1)
    claims: Claims = Claims()
    require: dict[str, str | tuple[str, ...]] = Field(
        default_factory=dict, description="claims a token must carry, with the accepted values (`hd: acme.com`)"
    )
    groups: dict[str, tuple[str, ...]] = Field(
        default_factory=dict, description="groups by e-mail, for issuers without a groups claim"
    )
    ca: Path | None = Field(default=None, description="PEM bundle to verify this issuer's TLS with")
    leeway: Duration = timedelta(seconds=60)
    max_lifetime: Duration = Field(
        default=timedelta(days=1), description="longest `exp - iat` accepted"
    )
    max_outage: Duration = Field(
        default=timedelta(hours=12), description="how long known keys are trusted while the issuer cannot be reached"
    )

    @model_validator(mode="after")
    def _bound_to_a_tenant(self) -> "Issuer":
        if self.issuer.rstrip("/") in SHARED_ISSUERS and not self.require:
            raise ValueError(
                f"{self.issuer} mints tokens for anyone: name a claim that binds them to you under `require`, "
                "such as `hd: your-company.com` or `repository_owner: your-org`"
            )
        return self


class SessionTokens(Model):
    """The gateway's own tokens, which clients trade their OIDC token for."""

    lifetime: Duration = timedelta(hours=1)
    name: str = Field(default="hoop-mitm", description="`iss` and `aud` of the tokens; instances that share keys share it")


class Identity(Model):
    issuers: tuple[Issuer, ...] = Field(min_length=1)
    session_tokens: SessionTokens = SessionTokens()
    session_idle: Duration = Field(
        default=timedelta(minutes=30), description="an idle gap that ends a session which `hoop-mitm run` did not start"
    )


class ServiceAccountKey(Model):
    type: Literal["service_account"]
    key_file: Path


class ApplicationDefault(Model):
    type: Literal["adc"]


class Impersonation(Model):
    """A service account that the gateway's own identity may impersonate."""

    type: Literal["impersonation"]
    service_account: str
    source: Annotated[ServiceAccountKey | ApplicationDefault, Field(discriminator="type")] = ApplicationDefault(type="adc")
    groups: dict[str, str] = Field(
        default_factory=dict,
        description="another service account for members of a group; the first group listed here wins",
    )
    lifetime: Duration = timedelta(hours=1)


class Federation(Model):
    """The engineer's own OIDC token is traded at Google's STS; the gateway holds no key."""

    type: Literal["federation"]
    audience: str = Field(description="//iam.googleapis.com/… of the workforce or workload identity pool provider")
    user_project: str | None = Field(default=None, description="billing project, for workforce pools")
    service_account: str | None = Field(default=None, description="impersonated with the federated token, if set")
    groups: dict[str, str] = Field(default_factory=dict, description="service account by group, as in impersonation")


type CredentialConfig = Annotated[
    ServiceAccountKey | ApplicationDefault | Impersonation | Federation, Field(discriminator="type")
]


class Connection(Model):
    """A named BigQuery target."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_-]{0,62}$")
    projects: tuple[str, ...] = Field(min_length=1, description="Google Cloud projects that requests may name")
    credential: CredentialConfig
    recording: Literal["full", "statements", "metadata", "off"] = "full"
    groups: tuple[str, ...] = Field(default=(), description="groups that may use it; empty: every known principal")


class Upstream(Model):
    """How the gateway reaches Google."""

    proxy: str | None = Field(default=None, description="the company's own proxy, http://[user:password@]host:port")
    ca: Path | None = Field(default=None, description="PEM bundle to verify upstream TLS with instead of the built-in one")
    hosts: dict[str, str] = Field(
        default_factory=dict, description="host name → host:port to connect to instead (a local BigQuery, a private endpoint)"
    )


class Gateway(Model):
    listen: str = Field(default="127.0.0.1:8080", description="host:port")
    certs: Path = Field(default=Path("certs"), description="directory of the CA")
    state: Path = Field(default=Path(".hoop"), description="directory of signing keys, 0700")
    others: Literal["tunnel", "refuse"] = Field(
        default="tunnel", description="what happens to hosts that are not Google's; beyond loopback only `refuse` is allowed"
    )
    tunnel_hosts: tuple[str, ...] = Field(
        default=(), description="hosts (`*.example.com`) tunnelled untouched although others are refused"
    )
    upstream: Upstream = Upstream()
    max_request_body: int = Field(default=20 * 2**20, gt=0, description="bytes; a JSON request above it is refused")


class Recording(Model):
    directory: Path = Field(default=Path("recordings"), description="journal and archive")
    fold_interval: Duration = timedelta(seconds=1)

    @property
    def archive(self) -> Path:
        return self.directory / "hoop.duckdb"

    @property
    def journal(self) -> Path:
        return self.directory / "journal"


class Config(Model):
    """All of ``hoop.yaml``."""

    version: Literal[1] = 1
    gateway: Gateway = Gateway()
    identity: Identity
    connections: tuple[Connection, ...] = Field(min_length=1)
    recording: Recording = Recording()

    @model_validator(mode="after")
    def _projects_are_disjoint(self) -> "Config":
        seen: dict[str, str] = {}
        for connection in self.connections:
            for project in connection.projects:
                if project in seen:
                    raise ValueError(
                        f"project {project} belongs to connection {seen[project]} already; a project has one connection"
                    )
                seen[project] = connection.name
        return self
