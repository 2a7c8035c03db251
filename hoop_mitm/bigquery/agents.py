"""Which client program asks, as its headers tell it. A hint for people, never a ground for a decision."""

import re
from typing import Final

from hoop_mitm.bigquery.content import Headers, lowered

# The first that fits wins: a program before the library that it is made with.
_PROGRAMS: Final = (
    ("toolbox", "genai-toolbox/"),
    ("gcloud", "gcloud/"),
    ("gcloud", "command/gcloud"),
    ("bq", "google-cloud-sdk"),
    # How it asks for the description of the API, its first request at another address of BigQuery.
    ("bq", "python-httplib2/"),
    ("dbt", "dbt-bigquery"),
    ("cursor", "cursor/"),
    ("node", "gcloud-node-bigquery/"),
    ("node", "google-api-nodejs-client/"),
    ("java", "gcloud-java"),
    ("java", "google-api-java-client"),
    ("jdbc", "simbajdbc"),
    ("odbc", "simbaodbc"),
    ("curl", "curl/"),
)
_LANGUAGE: Final = re.compile(r"(?:^|[\s;,])gl-(python|node|go|java|ruby|php|dotnet|rust|cpp)\b")
_LIBRARIES: Final = (
    ("python", "grpc-python"),
    ("python", "python-requests/"),
    ("python", "google-api-python-client"),
    ("python", "python-httpx/"),
    ("python", "python-urllib"),
    ("java", "grpc-java"),
    ("node", "grpc-node"),
    ("node", "node-fetch"),
    ("go", "grpc-go/"),
    ("go", "go-http-client/"),
)
_PRODUCT: Final = re.compile(r"[a-z][a-z0-9._-]{0,31}")


def agent_name(headers: Headers) -> str:
    """A short name: ``python``, ``bq``, ``node``, ``toolbox`` …; ``unknown`` when nothing tells.

    REST and gRPC calls of one program give the same name, so that they stay in one session.
    """
    fields = lowered(headers)
    user_agent = fields.get("user-agent", "").lower()
    for name, mark in _PROGRAMS:
        if mark in user_agent:
            return name
    if language := _LANGUAGE.search(f"{fields.get('x-goog-api-client', '')} {user_agent}".lower()):
        return language[1]
    for name, mark in _LIBRARIES:
        if mark in user_agent:
            return name
    product = _PRODUCT.match(user_agent)
    return product[0] if product else "unknown"
