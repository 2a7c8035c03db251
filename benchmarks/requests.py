"""What the benchmarks' client asks: as Google's Python client would, with a number that makes each request unlike every other."""

import json
from dataclasses import dataclass

from benchmarks.answers import PROJECT
from benchmarks.variants import Place

_BASE = f"/bigquery/v2/projects/{PROJECT}/queries"


@dataclass(frozen=True, slots=True)
class Request:
    """One request, wherever it is sent to."""

    method: str
    path: str
    body: bytes = b""

    def headers(self, place: Place) -> dict[str, str]:
        fields = {
            "Host": place.host,
            "User-Agent": "gl-python/3.12.1 grpc/1.85.1 gax/2.28.0 gapic/3.41.0 gccl/3.41.0",
            "Accept": "*/*",
            "Connection": "keep-alive",
            "Content-Type": "application/json",
            "X-Goog-API-Client": "gl-python/3.12.1 grpc/1.85.1 gax/2.28.0 gapic/3.41.0 gccl/3.41.0",
            "Authorization": f"Bearer {place.token}",
        }
        return fields | ({"Content-Length": str(len(self.body))} if self.body else {})

    def wire(self, place: Place) -> bytes:
        """As HTTP/1.1 has it."""
        lines = [f"{self.method} {self.path} HTTP/1.1", *(f"{k}: {v}" for k, v in self.headers(place).items()), "", ""]
        return "\r\n".join(lines).encode() + self.body


def statement(name: str, number: int) -> Request:
    """``jobs.query``; ``name`` says how large an answer it gets (`benchmarks.answers`)."""
    sql = (
        "SELECT o.id, o.day, o.state, SUM(o.total) AS total, ANY_VALUE(o.note) AS note\n"
        f"FROM shop.orders_{name} AS o JOIN shop.customers AS c USING (customer_id)\n"
        f"WHERE c.country IN ('DE', 'AT', 'CH') AND o.day >= '2025-01-01' AND o.id > {number}\n"
        "GROUP BY o.id, o.day, o.state ORDER BY total DESC LIMIT 1000"
    )
    body = {
        "query": sql,
        "useLegacySql": False,
        "formatOptions": {"useInt64Timestamp": True},
        "requestId": f"7a1b9c52-33f4-4c1e-9d7e-{number:012d}",
        "jobCreationMode": "JOB_CREATION_OPTIONAL",
    }
    return Request("POST", f"{_BASE}?prettyPrint=false", json.dumps(body).encode())


def page(job_id: str, start: int) -> Request:
    """``jobs.getQueryResults``: the rows of a job from number ``start`` on."""
    wanted = "jobReference%2CtotalRows%2CpageToken%2Crows"
    options = f"fields={wanted}&location=EU&formatOptions.useInt64Timestamp=True&prettyPrint=false&startIndex={start}"
    return Request("GET", f"{_BASE}/{job_id}?{options}")
