"""Whether the issuer and Google answer, each in a sentence that says what to do if not."""

import asyncio
import json
from dataclasses import dataclass
from typing import Literal

import requests

from hoop_mitm import outbound
from hoop_mitm.config import Config, Connection, Federation, Upstream
from hoop_mitm.credentials import CredentialSource
from hoop_mitm.errors import ConfigError, CredentialError, LoginError
from hoop_mitm.identity import Principal
from hoop_mitm.login import ClientProfile
from hoop_mitm.login.provider import Provider

_QUERIES = "https://bigquery.googleapis.com/bigquery/v2/projects/{project}/queries"
_DRY_RUN = {"query": "SELECT 1", "useLegacySql": False, "dryRun": True}
_NOBODY = Principal("init", "init")


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found; ``open`` where only a person can tell, by signing in."""

    what: str
    state: Literal["ok", "failed", "open"]
    says: str


def check_issuer(profile: ClientProfile) -> list[Finding]:
    """Discovery, keys, and whether the application may sign people in; ends at the first that fails."""
    provider = Provider(profile)
    found = []
    try:
        offer = provider.offer
        found.append(Finding("issuer", "ok", f"{profile.issuer} answers"))
        keys = json.loads(provider.fetch(offer.jwks_uri)).get("keys")
        if not keys:
            return [
                *found,
                Finding("keys", "failed", f"{profile.issuer} publishes no keys, so no token can be checked."),
            ]
        found.append(Finding("keys", "ok", f"it publishes {len(keys)} {'key' if len(keys) == 1 else 'keys'}"))
        return [*found, _application(provider)]
    except LoginError as error:
        return [*found, Finding("sign-in" if found else "issuer", "failed", str(error))]
    except (OSError, ValueError):
        return [*found, Finding("keys", "failed", f"The keys of {profile.issuer} cannot be read. Try again later.")]


def _application(provider: Provider) -> Finding:
    """Asks for a device code, which nobody will enter: the one way to hear whether the application is known."""
    profile, offer = provider.profile, provider.offer
    if offer.device_endpoint is None:
        if offer.authorization_endpoint is None:
            says = f"{profile.issuer} offers people no way to sign in; it may be an issuer for machines."
            return Finding("sign-in", "failed", says)
        return Finding("sign-in", "open", "it offers sign-in with a browser only: `hoop-mitm login` will tell")
    form = {"client_id": profile.client_id, "scope": provider.scope}
    if profile.client_secret:
        form["client_secret"] = profile.client_secret
    status, said = provider.post(offer.device_endpoint, form)
    if status == requests.codes.ok:
        return Finding("sign-in", "ok", f"it knows {profile.client_id}, and lets it use the device flow")
    error = provider.refused(str(said.get("error", "")), str(said.get("error_description", "")))
    if offer.authorization_endpoint is not None and said.get("error") == "unauthorized_client":
        return Finding("sign-in", "open", "it does not allow the device flow; sign-in with a browser may still work")
    return Finding("sign-in", "failed", str(error))


def check_google(config: Config) -> list[Finding]:
    """For each connection a token by its credential, and a query that reads nothing in each of its projects."""
    return [
        finding for connection in config.connections for finding in _connection(config.gateway.upstream, connection)
    ]


def _connection(upstream: Upstream, connection: Connection) -> list[Finding]:
    what = f"Google, {connection.name}"
    if isinstance(connection.credential, Federation):
        says = "with federation each person's own token is traded, so the first query after `hoop-mitm login` will tell"
        return [Finding(what, "open", says)]
    http = outbound.session(upstream)
    source = CredentialSource(connection, http, _unrecorded)
    try:
        source.check()
        token = asyncio.run(source.token(_NOBODY))
    except (ConfigError, CredentialError) as error:
        return [Finding(what, "failed", str(error))]
    return [_project(http, token.value, what, project) for project in connection.projects]


def _unrecorded(secret: str, *, keep: bool = False) -> None:
    """Nothing is recorded here, so there is nothing to keep secrets out of."""


def _project(http: requests.Session, token: str, what: str, project: str) -> Finding:
    try:
        answer = http.post(
            _QUERIES.format(project=project), json=_DRY_RUN, headers={"authorization": f"Bearer {token}"}
        )
        said = answer.json()
    except requests.JSONDecodeError:
        said = {}
    except requests.RequestException:
        return Finding(
            what, "failed", "BigQuery cannot be reached. Check the network, and gateway.upstream in hoop.yaml."
        )
    if answer.status_code == requests.codes.ok:
        return Finding(what, "ok", f"a query in {project} would be run")
    message = str(said.get("error", {}).get("message", "")) if isinstance(said, dict) else ""
    message = "".join(letter if letter.isprintable() else " " for letter in message)[:300]
    says = (
        f"Google does not let the gateway ask in {project} ({answer.status_code}: {message or 'no reason given'}). The "
        "credential needs roles/bigquery.jobUser there, roles/bigquery.dataViewer on what may be read, and the BigQuery "
        "API must be on."
    )
    return Finding(what, "failed", says)
