"""google-api-python-client, which puts several requests into one.

google_api_client.py metadata | statement | query SQL
"""

import json
import sys

import google.auth
import httplib2
from google.auth.transport.requests import AuthorizedSession
from googleapiclient.discovery import build


class Http:
    """The library's transport, by way of requests: its own, httplib2, knows proxies only where PySocks is installed."""

    def __init__(self, session: AuthorizedSession) -> None:
        self.session = session

    def request(
        self, uri: str, method: str = "GET", body: str | None = None, headers: dict[str, str] | None = None, **_: object
    ) -> tuple[httplib2.Response, bytes]:
        answer = self.session.request(method, uri, data=body, headers=headers)
        return httplib2.Response({**answer.headers, "status": str(answer.status_code)}), answer.content


def main(action: str, *arguments: str) -> dict[str, object]:
    credentials, project = google.auth.default(scopes=["https://www.googleapis.com/auth/bigquery"])
    http = Http(AuthorizedSession(credentials))
    bigquery = build("bigquery", "v2", http=http, static_discovery=True)
    if action == "query":
        body = {"query": arguments[0], "useLegacySql": False}
        rows = bigquery.jobs().query(projectId=project, body=body).execute()["rows"]
        return {"rows": [{"n": row["f"][0]["v"]} for row in rows]}
    answers: list[dict[str, object]] = []
    batch = bigquery.new_batch_http_request(
        lambda _, answer, error: answers.append({"error": error} if error else {"kind": answer["kind"]})
    )
    batch.add(bigquery.datasets().list(projectId=project))
    batch.add(bigquery.tables().get(projectId=project, datasetId="shop", tableId="orders"))
    if action == "statement":
        body = {"query": "DROP TABLE shop.orders", "useLegacySql": False}
        batch.add(bigquery.jobs().query(projectId=project, body=body))
    batch.execute(http=http)
    return {"rows": answers}


try:
    outcome = main(*sys.argv[1:])
except Exception as error:  # noqa: BLE001 - what the client's user would see is what the test is about
    outcome = {"error": str(error), "type": type(error).__name__}
print(json.dumps(outcome, default=str))
