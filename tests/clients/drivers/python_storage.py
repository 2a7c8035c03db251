"""google-cloud-bigquery-storage (gRPC), alone and as google-cloud-bigquery's fast path for results.

python_storage.py table PROJECT.DATASET.TABLE FORMAT | resume PROJECT.DATASET.TABLE OFFSET | query SQL
"""

import json
import sys

from google.cloud import bigquery
from google.cloud.bigquery_storage_v1 import BigQueryReadClient, types


def main(action: str, *arguments: str) -> dict[str, object]:
    match action, arguments:
        case "table", [table, data_format]:
            return read(table, types.DataFormat[data_format], offset=0)
        case "resume", [table, offset]:
            return read(table, types.DataFormat.ARROW, offset=int(offset))
        case "query", [sql]:
            # Without a page's worth of rows in the first answer, the client turns to the Storage API by itself.
            rows = bigquery.Client().query(sql).result(page_size=1)
            return {"rows": rows.to_arrow(create_bqstorage_client=True).to_pylist()}
    raise SystemExit(__doc__)


def read(table: str, data_format: types.DataFormat, offset: int) -> dict[str, object]:
    project, dataset, name = table.split(".")
    client = BigQueryReadClient()
    session = client.create_read_session(
        parent=f"projects/{project}",
        read_session=types.ReadSession(
            table=f"projects/{project}/datasets/{dataset}/tables/{name}", data_format=data_format
        ),
        max_stream_count=1,
    )
    rows, messages = [], 0
    for page in client.read_rows(session.streams[0].name, offset=offset).rows(session).pages:
        rows += [plain(row) for row in page]
        messages += 1
    return {"rows": rows, "pages": messages}


def plain(row: dict[str, object]) -> dict[str, object]:
    return {name: value.as_py() if hasattr(value, "as_py") else value for name, value in row.items()}


try:
    outcome = main(*sys.argv[1:])
except Exception as error:  # noqa: BLE001 - what the client's user would see is what the test is about
    outcome = {"error": str(error), "type": type(error).__name__}
print(json.dumps(outcome, default=str))
