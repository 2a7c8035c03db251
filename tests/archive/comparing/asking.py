"""Asks BigQuery one statement after the other, in one session: ``asking.py SQL …``; a statement ``table NAME`` reads one."""

import json
import sys

from google.api_core.exceptions import GoogleAPIError
from google.cloud import bigquery

client = bigquery.Client()
for sql in sys.argv[1:]:
    try:
        if sql.startswith("table "):
            rows = list(client.list_rows(client.get_table(sql.removeprefix("table "))))
        else:
            rows = list(client.query(sql).result())
        print(json.dumps({"rows": len(rows)}))
    except GoogleAPIError as error:
        print(json.dumps({"error": str(error)}))
