"""The environment in which Google's clients go through the gateway, each family by the variables that it reads."""

from collections.abc import Mapping
from pathlib import Path

# Verified one by one against real clients; beside each, who reads it.
_BUNDLE = (
    "REQUESTS_CA_BUNDLE",  # Python REST
    "CURL_CA_BUNDLE",  # curl, and requests as second choice
    "SSL_CERT_FILE",  # Go (MCP Toolbox), Python's ssl and httpx, gcloud
    "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",  # Python gRPC, and nothing else for it
    "NODE_EXTRA_CA_CERTS",  # Node, and nothing else for it
    "CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE",  # bq, gcloud
    "HTTPLIB2_CA_CERTS",  # older Google Python clients
)
_PROXY = (
    "HTTPS_PROXY",  # Node, Go, Python REST, bq
    "https_proxy",  # Python gRPC reads only this one: with upper case alone it goes direct
    "grpc_proxy",  # goes before https_proxy in gRPC
)
_CREDENTIALS = (
    "GOOGLE_APPLICATION_CREDENTIALS",  # every Google library
    "CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE",  # bq, gcloud
)
_PROJECT = ("GOOGLE_CLOUD_PROJECT", "CLOUDSDK_CORE_PROJECT", "BIGQUERY_PROJECT")
_NO_PROXY = ("NO_PROXY", "no_proxy", "no_grpc_proxy")

#: Variables that lead a client past the gateway, or to another identity: taken out of what a child inherits.
BYPASSES = (
    "BIGQUERY_EMULATOR_HOST",
    "BIGQUERY_ENDPOINT",
    "CLOUDSDK_API_ENDPOINT_OVERRIDES_BIGQUERY",
    "CLOUDSDK_AUTH_ACCESS_TOKEN",
    "CLOUDSDK_AUTH_ACCESS_TOKEN_FILE",
    "CLOUDSDK_AUTH_DISABLE_SSL_VALIDATION",
    "CLOUDSDK_AUTH_IMPERSONATE_SERVICE_ACCOUNT",
    "CLOUDSDK_AUTH_TOKEN_HOST",
    "CLOUDSDK_CORE_ACCOUNT",
    "CLOUDSDK_CORE_UNIVERSE_DOMAIN",
    "CLOUDSDK_PROXY_ADDRESS",
    "CLOUDSDK_PROXY_PORT",
    "CLOUDSDK_PROXY_TYPE",
    "GOOGLE_API_KEY",
    "GOOGLE_API_USE_CLIENT_CERTIFICATE",
    "GOOGLE_API_USE_MTLS_ENDPOINT",
    "GOOGLE_CLOUD_QUOTA_PROJECT",
    "GOOGLE_CLOUD_UNIVERSE_DOMAIN",
    "NODE_TLS_REJECT_UNAUTHORIZED",
)

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def client_environment(
    proxy: str, bundle: Path, credentials_file: Path, project: str, existing: Mapping[str, str]
) -> dict[str, str]:
    """The variables to set so that a client asks BigQuery through the gateway.

    Args:
        proxy: URL of the gateway, ``http://host:port``.
        bundle: roots plus the gateway's CA (:func:`hoop_mitm.client.combined_bundle`).
        credentials_file: from :func:`hoop_mitm.client.write_credentials`.
        project: the default project of clients that ask for none.
        existing: the environment that these are laid over; its ``NO_PROXY`` is kept as far as it does not lead
            Google's hosts past the gateway.
    """
    variables = dict.fromkeys(_PROXY, proxy)
    variables |= dict.fromkeys(_BUNDLE, str(bundle))
    variables |= dict.fromkeys(_CREDENTIALS, str(credentials_file))
    variables |= dict.fromkeys(_PROJECT, project)
    kept = [host for name in _NO_PROXY for host in existing.get(name, "").split(",")]
    direct = ",".join(dict.fromkeys([*_LOOPBACK, *(host.strip() for host in kept if _stays_direct(host))]))
    return variables | dict.fromkeys(_NO_PROXY, direct)


def child_environment(existing: Mapping[str, str], variables: Mapping[str, str]) -> dict[str, str]:
    """All of a child's environment: ``existing`` without :data:`BYPASSES`, then ``variables``."""
    return {name: value for name, value in existing.items() if name not in BYPASSES} | dict(variables)


def leads_google_past(host: str) -> bool:
    """Whether a ``NO_PROXY`` entry leads one of Google's hosts past a proxy, in some client's way of matching."""
    return bool(host.strip()) and not _stays_direct(host)


def _stays_direct(host: str) -> bool:
    """Whether a ``NO_PROXY`` entry is harmless: it matches none of Google's hosts, in any client's way of matching."""
    name = host.strip().lower()
    suffix = (name.partition(":")[0] if name.count(":") == 1 else name).lstrip("*.")
    google = "googleapis.com"
    return bool(suffix) and not (f".{google}".endswith(f".{suffix}") or f".{suffix}".endswith(f".{google}"))
