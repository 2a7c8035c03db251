"""All that one client is given: its variables, and the files that they name."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

from hoop_mitm.client.bq_settings import write_bq_settings
from hoop_mitm.client.bundle import certificates_in, combined_bundle
from hoop_mitm.client.credentials_file import Address, TokenSource, write_credentials
from hoop_mitm.client.environment import BYPASSES, client_environment
from hoop_mitm.client.token_program import write_token_program
from hoop_mitm.client.upstream import upstream_of
from hoop_mitm.config import load
from hoop_mitm.errors import ConfigError
from hoop_mitm.identity.audience import audience_for
from hoop_mitm.login import ClientProfile

SESSION = "HOOP_SESSION"
"""Variable with the id of the session that a client belongs to."""

_GITHUB = ("ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_TOKEN")
_LONGEST_NAME = 100


@dataclass(frozen=True, slots=True)
class Session:
    """The session that a client is to be. ``id`` is a UUID, ``name`` what people call it."""

    id: str
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Outfit:
    """What a client is given.

    Attributes:
        variables: to set.
        unset: variables that would lead it past the gateway, or to another identity.
        directory: holds the files that the variables name.
        connection, project: what it asks when it names nothing.
        session: whose part it is; ``None``: the gateway makes one of it, until it is idle for long.
    """

    variables: dict[str, str]
    unset: tuple[str, ...]
    directory: Path
    connection: str
    project: str
    session: Session | None


def fit_out(
    profile: ClientProfile,
    source: TokenSource,
    directory: Path,
    existing: Mapping[str, str],
    *,
    session: Session | None = None,
    connection: str | None = None,
    project: str | None = None,
) -> Outfit:
    """Write a client's files to ``directory``, and say which variables name them.

    Args:
        profile: where the gateway is, and what it covers.
        source: where the client's token comes from (:func:`source_of`).
        directory: of its own, 0700.
        existing: the environment that the variables are laid over; what it trusts stays trusted.
        session: the session that it is.
        connection: one of the profile's; the first by default.
        project: one of the connection's; the first by default.

    Raises:
        ConfigError: there is no such connection or project, a session cannot have that name, or the gateway's CA is
            not known here.
    """
    chosen = connection or profile.connection
    default = profile.project(chosen)
    if project is not None and project not in profile.connections[chosen]:
        raise ConfigError(f"connection {chosen} covers {', '.join(profile.connections[chosen])}, and not {project}")
    try:
        audience = audience_for(chosen, session.id if session else None, session.name if session else None)
    except ValueError as error:
        raise ConfigError(f"a client cannot be told which session it is; {error}") from error
    bundle = _bundle(directory, authority_of(profile), existing, lasting=session is None)
    credentials = write_credentials(directory / "credentials.json", audience, source)
    laid_over = existing
    if isinstance(source, Address):
        # Where tokens come from is reached as ever, not through the gateway.
        host = urlsplit(source.url).hostname or ""
        laid_over = {**existing, "NO_PROXY": ",".join(filter(None, [existing.get("NO_PROXY"), host]))}
    variables = client_environment(profile.gateway.url, bundle, credentials, project or default, laid_over) | {
        "GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES": "1",
        # gcloud keeps access tokens by account, not by session; and a login of its own, if there is one, stays out.
        "CLOUDSDK_CONFIG": str(directory / "gcloud"),
        "BIGQUERYRC": str(write_bq_settings(directory / "bigqueryrc", existing)),
    }
    if session:
        variables[SESSION] = session.id
    if archive := archive_of(profile):
        variables["HOOP_DB"] = str(archive)
    unset = tuple(name for name in BYPASSES if name in existing)
    return Outfit(variables, unset, directory, chosen, project or default, session)


def _bundle(directory: Path, authority: Path, existing: Mapping[str, str], *, lasting: bool) -> Path:
    """The roots to trust. Settings that stay for months name the gateway's own bundle, which is renewed with it."""
    bundle = combined_bundle(directory / "bundle.pem", authority, existing)
    gateways = authority.with_name("bundle.pem")
    if lasting and certificates_in(bundle) <= certificates_in(gateways):
        bundle.unlink()
        return gateways
    return bundle


def authority_of(profile: ClientProfile) -> Path:
    """The certificate of the gateway's authority.

    Raises:
        ConfigError: no file of it is here.
    """
    gateway = profile.gateway
    place = gateway.ca
    if place is None and gateway.config is not None:
        place = load(gateway.config).gateway.certs / "mitmproxy-ca-cert.pem"
    if place is None:
        raise ConfigError(
            "the client file does not say which authority clients must trust. Ask the gateway's owner for its "
            "certificate, and name it under gateway.ca"
        )
    if not place.is_file():
        raise ConfigError(
            f"there is no certificate of the gateway's authority at {place}. `hoop-mitm init` makes one, and so does "
            "the gateway when it starts"
        )
    return place


def archive_of(profile: ClientProfile) -> Path | None:
    """The gateway's recording, if it is on this machine."""
    if profile.gateway.config is None or not profile.gateway.config.is_file():
        return None
    return load(profile.gateway.config).recording.directory / "hoop.duckdb"


def source_of(
    identity: str, profile: ClientProfile, client_file: Path, directory: Path, existing: Mapping[str, str]
) -> TokenSource:
    """Where a client's token comes from.

    Args:
        identity: ``login``: whoever is signed in; ``github``: the Action that this is; else a file with a token that
            somebody keeps fresh.
        profile: says which audience a token is for.
        client_file: says where people sign in.
        directory: where a program for that may be written.
        existing: the environment that GitHub describes its endpoint in.

    Raises:
        ConfigError: this is no Action that may have tokens, or there is no such file.
    """
    if identity == "login":
        upstream = upstream_of(existing, profile.gateway.url)
        return write_token_program(directory / "token", client_file, upstream.url if upstream else None)
    if identity == "github":
        return _github(profile.client_id, existing)
    if not Path(identity).is_file():
        raise ConfigError(f"there is no file with a token at {identity}; write `login`, `github`, or the file's path")
    return Path(identity).absolute()


def name_of(command: str) -> str:
    """A session's name after the program that it runs."""
    return re.sub(r"[^ -~]", "", Path(command).name).strip()[:_LONGEST_NAME] or "run"


def _github(audience: str, existing: Mapping[str, str]) -> Address:
    """GitHub's endpoint: https://docs.github.com/actions/reference/security/oidc. Its tokens live for minutes."""
    url, secret = (existing.get(name) for name in _GITHUB)
    if not url or not secret:
        raise ConfigError(
            "this is no GitHub Action that may have an OIDC token. Give its job `permissions: id-token: write`"
        )
    joined = f"{url}{'&' if '?' in url else '?'}audience={quote(audience, safe='')}"
    return Address(joined, {"Authorization": f"bearer {secret}"})
