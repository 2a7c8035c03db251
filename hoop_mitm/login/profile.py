"""What a client needs to know to sign in and to reach the gateway: one small file without a secret in it.

``hoop-mitm init`` writes it to the user's configuration directory, so that every command finds it from anywhere. Where
the gateway is somebody else's, its owner hands the file out.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import platformdirs
from pydantic import Field, ValidationError, model_validator

from hoop_mitm.config.basics import Model, Text
from hoop_mitm.config.loader import document, load
from hoop_mitm.config.model import Claims, IssuerUrl, ProxyUrl
from hoop_mitm.errors import ConfigError

VARIABLE = "HOOP_CLIENT"
"""Environment variable that names another client file than the default one."""

CHAINED = "HOOP_CHAINED_PROXY"
"""Environment variable with the proxy that was set before the gateway was: sign-in goes there, not through the gateway."""

SCOPES = ("openid", "email", "profile", "groups", "offline_access")


class GatewayPlace(Model):
    """Where the gateway is."""

    url: ProxyUrl = Field(default="http://127.0.0.1:8080", description="what clients use as their proxy")
    ca: Path | None = Field(default=None, description="certificate (PEM) of its authority, which clients must trust")
    config: Path | None = Field(
        default=None, description="its hoop.yaml, when it is started on this machine by this user"
    )


class ClientProfile(Model):
    """The client file."""

    version: Literal[1] = 1
    issuer: IssuerUrl = Field(description="who signs people in")
    client_id: Text = Field(description="this application's id at the issuer; the gateway accepts it as an audience")
    client_secret: Text | None = Field(
        default=None,
        repr=False,
        description="for issuers that give installed applications one (Google); it is no secret there",
    )
    scopes: tuple[Text, ...] = Field(default=SCOPES, description="what is asked for; unknown ones are left out")
    parameters: dict[Text, str] = Field(
        default_factory=dict, description="further parameters of the sign-in, such as Google's `access_type: offline`"
    )
    ca: Path | None = Field(default=None, description="PEM bundle to verify the issuer's TLS with")
    claims: Claims = Field(default=Claims(), description="the names of the claims that are read, as in hoop.yaml")
    store: Literal["auto", "keyring", "file"] = Field(
        default="auto", description="where tokens are kept; auto: the OS keyring if there is one, else a 0600 file"
    )
    gateway: GatewayPlace = Field(default=GatewayPlace(), description="where the gateway is")
    connections: dict[Text, Annotated[tuple[Text, ...], Field(min_length=1)]] = Field(
        min_length=1, description="its connections with their projects; the first is used when none is named"
    )

    @model_validator(mode="after")
    def _asks_for_an_id_token(self) -> "ClientProfile":
        if "openid" not in self.scopes:
            raise ValueError("`scopes` needs `openid`: without it the issuer gives no ID token")
        return self

    @property
    def authority(self) -> Path | None:
        """The certificate that clients of the gateway must trust, if it is known here."""
        if self.gateway.ca or not (self.gateway.config and self.gateway.config.is_file()):
            return self.gateway.ca
        return load(self.gateway.config).gateway.certs / "mitmproxy-ca-cert.pem"

    @property
    def connection(self) -> str:
        """The connection that is used when none is named."""
        return next(iter(self.connections))

    def project(self, connection: str | None = None) -> str:
        """The project that clients of a connection ask when they name none.

        Raises:
            ConfigError: there is no such connection.
        """
        chosen = connection or self.connection
        if chosen not in self.connections:
            raise ConfigError(f"there is no connection {chosen}; there are: {', '.join(self.connections)}")
        return self.connections[chosen][0]


def default_file() -> Path:
    """Where the client file lies unless somebody says otherwise: ``~/.config/hoop-mitm/client.yaml`` on Linux."""
    return platformdirs.user_config_path("hoop-mitm") / "client.yaml"


def chosen_file(file: Path | None = None, environment: Mapping[str, str] = os.environ) -> Path:
    """``file``, or what :data:`VARIABLE` names, or the default one."""
    return file or Path(environment.get(VARIABLE) or default_file()).expanduser()


def load_profile(file: Path | None = None) -> ClientProfile:
    """The client file: ``file``, or what ``$HOOP_CLIENT`` names, or the default one.

    Relative paths in it are resolved against its directory.

    Raises:
        ConfigError: there is none, or it is wrong.
    """
    path = chosen_file(file)
    if not path.exists():
        raise ConfigError(
            "there is no client file, so hoop-mitm does not know where you sign in. Run `hoop-mitm init`, or ask "
            f"the gateway's owner for the file and put it there (or name it with ${VARIABLE})",
            file=path,
        )
    try:
        profile = ClientProfile.model_validate(document(path))
    except ValidationError as error:
        found = [
            f"`{'.'.join(map(str, each['loc'])) or 'the file'}`: {each['msg'].removeprefix('Value error, ')}"
            for each in error.errors(include_input=False, include_url=False)
        ]
        raise ConfigError("; ".join(found), file=path) from None
    return _resolved(profile, path.absolute().parent)


def _resolved(profile: ClientProfile, base: Path) -> ClientProfile:
    def place(path: Path | None) -> Path | None:
        return base / path.expanduser() if path else None

    gateway = profile.gateway
    return profile.model_copy(
        update={
            "ca": place(profile.ca),
            "gateway": gateway.model_copy(update={"ca": place(gateway.ca), "config": place(gateway.config)}),
        }
    )
