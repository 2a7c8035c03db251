"""google-cloud-bigquery over REST, as a user's script would use it: nothing is configured but by the environment.

python_rest.py query SQL | query_and_wait SQL | pages SQL SIZE | pages_and_wait SQL SIZE | load TABLE ROWS_AS_JSON
"""

import json
import sys
from collections.abc import Iterable

from google.cloud import bigquery


def main(action: str, *arguments: str) -> dict[str, object]:
    client = bigquery.Client()
    match action, arguments:
        case "query", [sql]:
            return {"rows": dicts(client.query(sql).result())}
        case "query_and_wait", [sql]:
            return {"rows": dicts(client.query_and_wait(sql))}
        case "pages", [sql, size]:
            return {"rows": dicts(client.query(sql).result(page_size=int(size)))}
        case "pages_and_wait", [sql, size]:
            return {"rows": dicts(client.query_and_wait(sql, page_size=int(size)))}
        case "load", [table, rows]:
            job = client.load_table_from_json(json.loads(rows), table)
            return {"loaded": job.result().output_rows}
    raise SystemExit(__doc__)


def dicts(rows: Iterable[bigquery.Row]) -> list[dict[str, object]]:
    return [dict(row.items()) for row in rows]


try:
    outcome = main(*sys.argv[1:])
except Exception as error:  # noqa: BLE001 - what the client's user would see is what the test is about
    outcome = {"error": str(error), "type": type(error).__name__}
print(json.dumps(outcome, default=str))
