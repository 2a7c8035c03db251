"""Records as the gateway makes them, and what an archive holds."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import uuid_utils

from hoop_mitm.bigquery.operation import Door, Operation, Resource, TableRef
from hoop_mitm.identity.principal import Principal
from hoop_mitm.identity.session import Session
from hoop_mitm.policy.verdict import Verdict
from hoop_mitm.recording import EventRecord, FlowRecord, Message

ALICE = Principal("https://issuer.example", "alice", "alice@acme.example", ("analysts",))
BASE = "https://bigquery.googleapis.com/bigquery/v2/projects/acme"

INSERT = Door("jobs.insert", "admin", body="json")
QUERY = Door("jobs.query", "admin", body="json")
GET = Door("jobs.get", "metadata")
RESULTS = Door("jobs.getQueryResults", "read")
LIST_ROWS = Door("tabledata.list", "read")
CREATE_READ_SESSION = Door("storage.CreateReadSession", "read", "grpc", "grpc")
READ_ROWS = Door("storage.ReadRows", "read", "grpc", "grpc", streams_response=True)


def now() -> datetime:
    return datetime.now(UTC)


def new_id() -> str:
    return str(uuid_utils.uuid7())


def session(**changes: Any) -> Session:
    known: dict[str, Any] = {
        "id": new_id(),
        "name": "alice-python",
        "connection": "acme",
        "principal": ALICE,
        "agent": "python",
        "client_address": "127.0.0.1",
        "started_at": now(),
    }
    return Session(**(known | changes))


def message(body: object = None, *headers: tuple[str, str], **changes: Any) -> Message:
    plain = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    known: dict[str, Any] = {"headers": headers, "body": plain, "size": len(plain or b"")}
    return Message(**(known | changes))


def flow(
    door: Door | None = QUERY,
    request: object = None,
    response: object = None,
    *,
    url: str = f"{BASE}/queries",
    statement: str | None = None,
    tables: tuple[TableRef, ...] = (),
    uses: tuple[Resource, ...] = (),
    **changes: Any,
) -> FlowRecord:
    operation = Operation(door, "acme", statement=statement, tables=tables, uses=uses) if door else None
    known: dict[str, Any] = {
        "id": new_id(),
        "state": "complete",
        "session": SESSION,
        "operation": operation,
        "verdict": Verdict("allow", "everything"),
        "method": "POST",
        "host": "bigquery.googleapis.com",
        "url": url,
        "user_agent": "gcloud-python/3.41.0",
        "client_address": "127.0.0.1",
        "request": message(request),
        "response": message(response),
        "started_at": now(),
        "ended_at": now(),
        "status": 200,
    }
    return FlowRecord(**(known | changes))


def intent(door: Door | None = QUERY, request: object = None, **changes: Any) -> FlowRecord:
    """A flow before its answer."""
    return flow(door, request, **({"state": "open", "ended_at": None, "status": None} | changes))


def event(type_: str = "identity.refused", **changes: Any) -> EventRecord:
    known: dict[str, Any] = {"id": new_id(), "at": now(), "type": type_, "message": "The token has expired."}
    return EventRecord(**(known | changes))


SESSION = session()


@contextmanager
def reading(directory: Path, wait: float = 60) -> Iterator[duckdb.DuckDBPyConnection]:
    """The archive, open for reading, as soon as the fold lets it go."""
    with opened(directory / "hoop.duckdb", wait) as connection:
        yield connection


def opened(archive: Path, wait: float = 60) -> duckdb.DuckDBPyConnection:
    """The file, open for reading, as soon as whoever writes to it lets it go."""
    give_up = time.monotonic() + wait
    while True:
        try:
            return duckdb.connect(archive, read_only=True)
        except duckdb.IOException:
            if time.monotonic() > give_up:
                raise
            time.sleep(0.02)


def ask(directory: Path, question: str, *values: object) -> list[tuple[Any, ...]]:
    with reading(directory) as connection:
        return connection.execute(question, list(values)).fetchall()


def ask_one(directory: Path, question: str, *values: object) -> dict[str, Any]:
    """The only row of an answer."""
    with reading(directory) as connection:
        rows = connection.sql(question, params=list(values)).to_arrow_table().to_pylist()
    assert len(rows) == 1, rows
    return rows[0]


def body_of(directory: Path, digest: bytes) -> bytes:
    """A body as a reader puts it together."""
    import zstandard

    parts = ask(directory, "SELECT size, data FROM bodies WHERE hash = ? ORDER BY part", digest)
    return b"".join(zstandard.decompress(data, max_output_size=size) for size, data in parts)


def bytes_of(directory: Path) -> bytes:
    """Every byte of every file."""
    return b"".join(path.read_bytes() for path in sorted(directory.rglob("*")) if path.is_file())
