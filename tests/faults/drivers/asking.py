"""A client that asks without end: google-cloud-bigquery as a script would use it, whose gateway is killed again and again.

asking.py NAME: prints ``got NAME-n`` once it has the whole answer to its n-th statement, ``failed NAME-n`` when it gets
none. It never asks the same twice.
"""

import itertools
import sys
import time

from google.cloud import bigquery


def main(name: str) -> None:
    client = bigquery.Client()
    for number in itertools.count():
        marker = f"{name}-{number:05}"
        try:
            match number % 3:
                case 0:
                    rows = client.query_and_wait(f"SELECT '{marker}' AS marker", retry=None, job_retry=None)
                    done = [row.marker for row in rows] == [marker]
                case 1:
                    job = client.query(f"SELECT '{marker}' AS marker", retry=None, job_retry=None)
                    done = [row.marker for row in job.result(retry=None, job_retry=None)] == [marker]
                case _:
                    sql = f"INSERT INTO shop.killed_often (marker) VALUES ('{marker}')"
                    job = client.query(sql, retry=None, job_retry=None)
                    job.result(retry=None, job_retry=None)
                    done = job.num_dml_affected_rows == 1
        except Exception:  # noqa: BLE001 - whatever it is, there is no answer
            done = False
            time.sleep(0.4)
        print("got" if done else "failed", marker, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
