"""google-cloud-bigquery-storage (gRPC), alone and as google-cloud-bigquery's fast path for results.

python_storage.py table PROJECT.DATASET.TABLE FORMAT [HOST] | query SQL
"""

import json
import sys

from google.cloud import bigquery
from google.cloud.bigquery_storage_v1 import BigQueryReadClient, types


def main(action: str, *arguments: str) -> dict[str, object]:
    match action, arguments:
        case "table", [table, data_format, *host]:
            options = {"api_endpoint": host[0]} if host else None
            return {"rows": read(BigQueryReadClient(client_options=options), table, types.DataFormat[data_format])}
        case "query", [sql]:
            # Without a page's worth of rows in the first answer, the client turns to the Storage API by itself.
            rows = bigquery.Client().query(sql).result(page_size=1)
            return {"rows": rows.to_arrow(create_bqstorage_client=True).to_pylist()}
    raise SystemExit(__doc__)


def read(client: BigQueryReadClient, table: str, data_format: types.DataFormat) -> list[dict[str, object]]:
    project, dataset, name = table.split(".")
    wanted = types.ReadSession(table=f"projects/{project}/datasets/{dataset}/tables/{name}", data_format=data_format)
    session = client.create_read_session(parent=f"projects/{project}", read_session=wanted, max_stream_count=1)
    return [plain(row) for row in client.read_rows(session.streams[0].name).rows(session)]


def plain(row: dict[str, object]) -> dict[str, object]:
    return {name: value.as_py() if hasattr(value, "as_py") else value for name, value in row.items()}


try:
    outcome = main(*sys.argv[1:])
except Exception as error:  # noqa: BLE001 - what the client's user would see is what the test is about
    outcome = {"error": str(error), "type": type(error).__name__}
print(json.dumps(outcome, default=str))
