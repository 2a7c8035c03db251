"""Runs every statement of a file (a JSON list) with Google's client for Python, and prints what its user sees of each."""

import json
import sys
from pathlib import Path

from google.api_core.exceptions import GoogleAPIError
from google.cloud import bigquery


def outcome(client: bigquery.Client, statement: str) -> str:
    try:
        return f"{len(list(client.query(statement).result()))} rows"
    except GoogleAPIError as error:
        return str(error)


if __name__ == "__main__":
    statements = json.loads(Path(sys.argv[1]).read_text())
    client = bigquery.Client()
    print(json.dumps({"outcomes": [outcome(client, statement) for statement in statements]}))
