"""A recorded session of a few statements, for whoever serves it."""

import json
from dataclasses import dataclass, field

from tests.archive.building import HOST, NOON, Builder, columns, seconds, wire_rows

QUERIES = "/bigquery/v2/projects/acme/queries"
ORDERS = columns(id="INTEGER", at="TIMESTAMP")


def query(sql: str, **parts: object) -> bytes:
    """The body of a ``jobs.query``."""
    return json.dumps({"query": sql, "useLegacySql": False, **parts}).encode()


@dataclass
class Recorded:
    """A recording that is being built."""

    builder: Builder
    session: str = field(init=False)
    number: int = 0

    def __post_init__(self) -> None:
        self.session = self.builder.session()

    def asked(self, sql: str, rows: list[tuple], **parts: object) -> None:
        """A ``jobs.query`` with its answer."""
        self.number += 1
        at = NOON + seconds(self.number)
        job = f"job_recorded_{self.number}"
        schema = {"fields": ORDERS}
        key = self.builder.job(
            self.session,
            sql,
            at=at,
            id=job,
            row_count=len(rows),
            schema=json.dumps(schema),
            bytes_billed=1000,
            rule="policy.readers",
        )
        answer = {
            "kind": "bigquery#queryResponse",
            "jobReference": {"projectId": "acme", "jobId": job, "location": "EU"},
            "jobComplete": True,
            "totalRows": str(len(rows)),
            "totalBytesProcessed": "1000",
            "totalBytesBilled": "1000",
            "schema": schema,
            "rows": wire_rows(rows),
        }
        sent = query(sql, formatOptions={"useInt64Timestamp": True}, **parts)
        self.flow(QUERIES, "jobs.query", sent, answer, key=key, at=at)

    def flow(
        self,
        path: str,
        door: str,
        sent: bytes | None,
        answer: object,
        *,
        key: str | None = None,
        status: int = 200,
        **more,
    ) -> None:
        """An exchange."""
        self.builder.flow(
            self.session, job_key=key, door=door, url=f"https://{HOST}{path}", status=status, request_body=sent,
            response_body=json.dumps(answer).encode(), **{"at": NOON + seconds(60), **more},
        )  # fmt: skip
