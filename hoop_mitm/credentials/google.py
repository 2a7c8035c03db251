"""What google-auth makes of a connection's configuration. Everything here blocks, and is called on a thread."""

import json
from collections.abc import Mapping
from datetime import UTC
from pathlib import Path
from typing import Any

import requests
from google.auth import default, exceptions, identity_pool, impersonated_credentials
from google.auth.credentials import Credentials
from google.auth.transport.requests import Request
from google.oauth2 import service_account

from hoop_mitm.config.model import (
    ApplicationDefault,
    CredentialConfig,
    Federation,
    Impersonation,
    ServiceAccountKey,
)
from hoop_mitm.errors import ConfigError, CredentialError

BIGQUERY = ("https://www.googleapis.com/auth/bigquery",)
"""The one scope that the gateway's tokens have. The Storage API accepts it as well."""

IMPERSONATE = ("https://www.googleapis.com/auth/iam",)
"""What a source credential needs to ask for another account's token, and nothing more."""

_STS = "https://sts.googleapis.com/v1/token"
_ID_TOKEN = "urn:ietf:params:oauth:token-type:id_token"  # noqa: S105 - the name of a token type (RFC 8693)


class _SubjectToken(identity_pool.SubjectTokenSupplier):
    """The engineer's own token, as google-auth asks for it."""

    def __init__(self, token: str) -> None:
        self._token = token

    def get_subject_token(self, context: Any, request: Any) -> str:  # noqa: ARG002 - google-auth's interface
        return self._token


def account_for(default_account: str | None, by_group: Mapping[str, str], groups: tuple[str, ...]) -> str | None:
    """The service account to impersonate for a member of ``groups``; the first group that is listed wins."""
    return next((account for group, account in by_group.items() if group in groups), default_account)


def build(config: CredentialConfig, *, account: str | None, subject_token: str | None) -> Credentials:
    """google-auth's credentials object for one connection and, where it matters, one person.

    Raises:
        ConfigError: the key file or the environment holds no usable credential.
    """
    match config:
        case ServiceAccountKey():
            return _key_file(config, BIGQUERY)
        case ApplicationDefault():
            return _application_default(BIGQUERY)
        case Impersonation():
            source = (
                _key_file(config.source, IMPERSONATE)
                if isinstance(config.source, ServiceAccountKey)
                else _application_default(IMPERSONATE)
            )
            return impersonated_credentials.Credentials(
                source_credentials=source,
                target_principal=account,
                target_scopes=list(BIGQUERY),
                lifetime=int(config.lifetime.total_seconds()),
            )
        case Federation():
            if subject_token is None:
                raise CredentialError(
                    "This connection uses your own identity at Google, and the gateway no longer has the token that "
                    "you logged in with. Sign in again, and start the client anew."
                )
            return identity_pool.Credentials(
                audience=config.audience,
                subject_token_type=_ID_TOKEN,
                token_url=_STS,
                subject_token_supplier=_SubjectToken(subject_token),
                scopes=list(BIGQUERY),
                workforce_pool_user_project=config.user_project,
                service_account_impersonation_url=(
                    f"https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/{account}:generateAccessToken"
                    if account
                    else None
                ),
            )


def private_key(file: Path) -> str:
    """The private key in a service account's JSON key.

    Raises:
        ConfigError: as for `build`.
    """
    _key_file(ServiceAccountKey(type="service_account", key_file=file), BIGQUERY)
    return str(json.loads(file.read_text())["private_key"])


def _key_file(config: ServiceAccountKey, scopes: tuple[str, ...]) -> Credentials:
    try:
        credentials: Credentials = service_account.Credentials.from_service_account_file(
            str(config.key_file), scopes=list(scopes)
        )
    except (OSError, ValueError, exceptions.GoogleAuthError) as error:
        raise ConfigError(
            f"the service-account key {config.key_file} cannot be used ({type(error).__name__}); "
            "name a readable JSON key of a service account under `key_file`"
        ) from None
    return credentials


def _application_default(scopes: tuple[str, ...]) -> Credentials:
    try:
        credentials, _project = default(scopes=list(scopes))
    except exceptions.DefaultCredentialsError:
        raise ConfigError(
            "no application default credentials on this machine; "
            "run `gcloud auth application-default login` as the gateway's user, or configure another credential type"
        ) from None
    return credentials


def refresh(credentials: Credentials, http: requests.Session) -> tuple[str, float]:
    """A fresh access token and the POSIX time when it expires.

    Raises:
        CredentialError: Google refused, or could not be reached. The text holds Google's error code only.
    """
    try:
        credentials.refresh(Request(session=http))
    except exceptions.TransportError:
        raise CredentialError("Google's token endpoint cannot be reached just now; try again in a moment.") from None
    except exceptions.GoogleAuthError as error:
        raise CredentialError(
            f"Google refused the gateway's credential ({_reason(error)}); ask the owner of the gateway to check it."
        ) from None
    except (requests.RequestException, OSError):
        raise CredentialError("Google's token endpoint cannot be reached just now; try again in a moment.") from None
    # google-auth's expiry is naive and means UTC.
    expiry = credentials.expiry
    assert credentials.token
    assert expiry
    return str(credentials.token), expiry.replace(tzinfo=UTC).timestamp()


def _reason(error: Exception) -> str:
    """Google's own short error word; never its description, which may quote what was sent."""
    for argument in error.args:
        parsed = argument
        if isinstance(argument, str):
            start = argument.find("{")
            try:
                parsed = json.loads(argument[start:]) if start >= 0 else None
            except ValueError:
                continue
        if isinstance(parsed, dict):
            word = parsed.get("error")
            if isinstance(word, dict):
                word = word.get("status")
            if isinstance(word, str) and word.replace("_", "").isalnum():
                return word[:64]
    return type(error).__name__
