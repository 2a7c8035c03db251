"""A scripted agent: what a coding assistant might ask a shop's data, through Google's own, unmodified clients.

``python -m hoop_mitm.devkit.agent``. It knows nothing of the gateway; its environment does. Each question is a line
that starts with ``?``, what it did about it and what it found are lines below. It ends with 1 if any of them failed.
"""

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator

from google.api_core.exceptions import GoogleAPICallError
from google.cloud import bigquery

_BEST_SELLERS = """\
SELECT item.name, SUM(item.quantity) AS sold, SUM(item.quantity * item.price) AS revenue
FROM shop.orders, UNNEST(items) AS item
GROUP BY item.name
ORDER BY revenue DESC
LIMIT 3"""

_CITIES = """\
SELECT c.address.city AS city, COUNT(DISTINCT c.id) AS customers
FROM shop.customers AS c JOIN shop.orders AS o ON o.customer_id = c.id
WHERE o.status = @status
GROUP BY city
ORDER BY customers DESC, city
LIMIT 3"""


def what_is_there(client: bigquery.Client) -> Iterator[str]:
    """What data is there?"""
    tables = [table.table_id for table in client.list_tables("shop")]
    yield f"{len(tables)} tables in shop: {', '.join(tables[:4])} …"


def what_sells(client: bigquery.Client) -> Iterator[str]:
    """Which products sell best?"""
    for row in client.query_and_wait(_BEST_SELLERS):
        yield f"{row.name}: {row.sold} sold for {row.revenue:,.2f}"


def where_customers_are(client: bigquery.Client) -> Iterator[str]:
    """In which city do the customers live who returned something?"""
    returned = bigquery.ScalarQueryParameter("status", "STRING", "returned")
    job = client.query(_CITIES, job_config=bigquery.QueryJobConfig(query_parameters=[returned]))
    for row in job.result():
        yield f"{row.city}: {row.customers}"


def what_waits(client: bigquery.Client) -> Iterator[str]:
    """How many orders are in each state?"""
    for row in client.query_and_wait(
        "SELECT status, COUNT(*) AS orders FROM shop.orders GROUP BY status ORDER BY status"
    ):
        yield f"{row.status}: {row.orders}"


def whole_table(client: bigquery.Client) -> Iterator[str]:
    """What is the mean order? (the whole table, through the Storage API)"""
    totals = client.list_rows("acme.shop.orders").to_arrow(create_bqstorage_client=True)["total"].to_pylist()
    yield f"{len(totals)} orders read as Arrow, {sum(totals) / len(totals):,.2f} each"


def a_mistake(client: bigquery.Client) -> Iterator[str]:
    """Who has the longest name? (assistants get columns wrong, too)"""
    try:
        client.query_and_wait("SELECT full_name FROM shop.customers ORDER BY LENGTH(full_name) DESC LIMIT 1")
    except GoogleAPICallError as error:
        yield f"BigQuery said no: {error.errors[0]['message'].splitlines()[0]}"
    (row,) = client.query_and_wait("SELECT name FROM shop.customers ORDER BY LENGTH(name) DESC, name LIMIT 1")
    yield f"{row.name}"


def with_bq(_: bigquery.Client) -> Iterator[str]:
    """How many people visited the shop? (with bq, on the command line)"""
    if shutil.which("bq") is None:
        yield "bq is not installed here; skipped"
        return
    sql = "SELECT COUNT(DISTINCT customer_id) AS visitors FROM `acme.shop.events_*`"
    command = ["bq", "--quiet", "--format=csv", "query", "--nouse_legacy_sql", sql]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)  # noqa: S603 - constant
    yield f"{answer.stdout.split()[-1]} visitors"


type Question = Callable[[bigquery.Client], Iterator[str]]

QUESTIONS: tuple[Question, ...] = (
    what_is_there,
    what_sells,
    where_customers_are,
    what_waits,
    whole_table,
    a_mistake,
    with_bq,
)


def main() -> int:
    client = bigquery.Client()
    failed = False
    for question in QUESTIONS:
        print(f"? {question.__doc__}", flush=True)  # noqa: T201 - this is a program
        try:
            for line in question(client):
                print(f"  {line}", flush=True)  # noqa: T201
        except (GoogleAPICallError, subprocess.SubprocessError, OSError) as error:
            failed = True
            print(f"  failed: {error}", flush=True)  # noqa: T201
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
