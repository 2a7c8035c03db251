"""What tests do with tokens by hand: trade them at the gateway, and use what it gave."""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from hoop_mitm.identity.exchange import audience_for
from tests.attacks.raw import Got, Raw
from tests.gateways import RunningGateway

STS = "sts.googleapis.com"
OAUTH2 = "oauth2.googleapis.com"
DATASETS = "/bigquery/v2/projects/acme/datasets"
JWT_TYPE = "urn:ietf:params:oauth:token-type:jwt"


def post(gateway: RunningGateway, host: str, path: str, form: Mapping[str, str]) -> Got:
    """A form for one of the token endpoints that the gateway answers."""
    with Raw(gateway.process.address, gateway.config.gateway.certs / "bundle.pem") as raw:
        raw.connect(host)
        raw.tls(host)
        headers = ("Content-Type: application/x-www-form-urlencoded",)
        return raw.request("POST", path, host=host, body=urlencode(form).encode(), headers=headers)


def exchange(gateway: RunningGateway, token: str, session: str | None = None) -> Got:
    """What a client library asks for with an OIDC token."""
    return post(
        gateway,
        STS,
        "/v1/token",
        {
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
            "audience": audience_for(gateway.config.connections[0].name, session),
            "subject_token_type": JWT_TYPE,
            "subject_token": token,
        },
    )


def session_token(gateway: RunningGateway, token: str, session: str | None = None) -> str:
    got = exchange(gateway, token, session)
    assert got.status == 200, got.message
    said: dict[str, Any] = json.loads(got.body)
    return str(said["access_token"])


def use(gateway: RunningGateway, token: str, *headers: str) -> Got:
    """A request with this token, on a connection of its own."""
    with Raw(gateway.process.address, gateway.config.gateway.certs / "bundle.pem") as raw:
        raw.connect()
        raw.tls()
        return raw.request("GET", DATASETS, token=token, headers=headers)
