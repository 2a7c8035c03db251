"""One client, one session, everything that can be asked with a text in it: ``asking.py TEXT``; prints what it got, as JSON.

A query with a label, rows that quote it, an error that quotes it, a statement that the gateway denies, and a large result
that comes through the Storage API.
"""

import json
import sys

from google.api_core.exceptions import GoogleAPICallError
from google.cloud import bigquery

text = sys.argv[1]
client = bigquery.Client()
labelled = bigquery.QueryJobConfig(labels={"about": text})
told = {
    "rows": [list(row.values()) for row in client.query(f"SELECT '{text}' AS quoted", job_config=labelled).result()]
}
for name, sql in {
    "error": f"SELECT CAST('{text}' AS INT64)",
    "denied": f"EXECUTE IMMEDIATE CONCAT('SELECT ', \"'{text}'\")",
}.items():
    try:
        client.query(sql).result()
    except GoogleAPICallError as error:
        told[name] = str(error)
many = f"SELECT CONCAT('{text}', '-', CAST(n AS STRING)) AS quoted FROM UNNEST(GENERATE_ARRAY(1, 20000)) AS n"
told["many"] = client.query(many).result(page_size=1).to_arrow(create_bqstorage_client=True).num_rows
print(json.dumps(told))
