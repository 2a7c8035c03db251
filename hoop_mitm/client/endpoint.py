"""The environment in which Google's clients take the gateway's endpoint for BigQuery, where no proxy can be set."""

from pathlib import Path

_ENDPOINT = (
    "BIGQUERY_EMULATOR_HOST",  # Python, Node, and what is made with them (mcp-server-bigquery, dbt)
    "BIGQUERY_ENDPOINT",  # Google's MCP Toolbox
    "CLOUDSDK_API_ENDPOINT_OVERRIDES_BIGQUERY",  # bq
)
_CREDENTIALS = ("GOOGLE_APPLICATION_CREDENTIALS", "CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE")
_PROJECT = ("GOOGLE_CLOUD_PROJECT", "CLOUDSDK_CORE_PROJECT", "BIGQUERY_PROJECT")


def endpoint_environment(endpoint: str, credentials_file: Path, project: str) -> dict[str, str]:
    """The variables to set so that a client asks the endpoint; no other variable of the gateway's is needed.

    Args:
        endpoint: its URL, ``http://host:port``.
        credentials_file: from :func:`hoop_mitm.client.write_credentials`, with the same ``endpoint``.
        project: the default project of clients that ask for none.
    """
    variables = dict.fromkeys(_ENDPOINT, endpoint.rstrip("/"))
    # gcloud puts paths behind it as they are.
    variables["CLOUDSDK_API_ENDPOINT_OVERRIDES_BIGQUERY"] += "/"
    variables |= dict.fromkeys(_CREDENTIALS, str(credentials_file))
    return variables | dict.fromkeys(_PROJECT, project)
