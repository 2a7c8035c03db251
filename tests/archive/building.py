"""Archives for tests of the read side, written straight into the schema: only what a test says differs from one another."""

import json
import sys
import tempfile
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from unittest.mock import patch

import duckdb
import zstandard

import hoop_mitm.recording
from hoop_mitm.archive.database import VERSION

SCHEMA = Path(hoop_mitm.recording.__file__).with_name("schema.sql")
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
HOST = "bigquery.googleapis.com"


def seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


def table_ref(name: str) -> dict[str, str]:
    project, dataset, table = name.split(".")
    return {"project": project, "dataset": dataset, "table": table}


def columns(**types: str) -> list[dict]:
    """``columns(id="INTEGER", tags="STRING*")``; a star is REPEATED."""
    return [
        {"name": name, "type": type_.rstrip("*"), "mode": "REPEATED" if type_.endswith("*") else "NULLABLE"}
        for name, type_ in types.items()
    ]


def wire_rows(rows: list[tuple]) -> list[dict]:
    def cell(value):
        if isinstance(value, list):
            return {"v": [cell(each) for each in value]}
        return {"v": value if value is None or isinstance(value, dict) else str(value)}

    return [{"f": [cell(value) for value in row]} for row in rows]


@dataclass
class Builder:
    """Collects rows, and writes them at once with ``write``."""

    path: Path
    tables: dict[str, list[dict]] = field(default_factory=dict)
    _count: int = 0

    def _add(self, table: str, row: dict) -> dict:
        self.tables.setdefault(table, []).append(row)
        return row

    def _number(self) -> int:
        self._count += 1
        return self._count

    def session(self, name: str = "nightly", *, at: datetime = NOON, ended: float | None = 60, **changes) -> str:
        session_id = changes.pop("id", None) or str(
            uuid.UUID(int=0x0193_0000_0000_7000_8000_0000_0000_0000 + self._number() * 2**90)
        )
        self._add(
            "sessions",
            {
                "id": session_id,
                "name": name,
                "connection": "acme",
                "issuer": "https://login.acme.test",
                "subject": "u-alice",
                "email": "alice@acme.test",
                "groups": ["analysts"],
                "kind": "user",
                "agent": "python",
                "client_address": "127.0.0.1",
                "started_at": at,
                "last_seen_at": at + seconds(ended or 0),
                "ended_at": None if ended is None else at + seconds(ended),
            }
            | changes,
        )
        return session_id

    def job(self, session: str, statement: str | None, *, at: datetime = NOON, took: float = 1, **changes) -> str:
        job_id = changes.pop("id", f"job_{self._number()}")
        key = f"acme:{job_id}" if job_id else f"flow_{self._number()}"
        self._add(
            "jobs",
            {
                "key": key,
                "session_id": session,
                "id": job_id,
                "project": "acme",
                "location": "EU",
                "statement": statement,
                "executed_statement": None,
                "fingerprint": None,
                "statement_type": "SELECT",
                "job_type": "QUERY",
                "referenced_tables": [],
                "destination": None,
                "labels": None,
                "dry_run": False,
                "state": "DONE",
                "error": None,
                "decision": "allow",
                "rule": "known_principal",
                "message": None,
                "bytes_processed": 1000,
                "bytes_billed": 10 * 2**20,
                "cache_hit": False,
                "slot_ms": 10,
                "schema": None,
                "row_count": None,
                "started_at": at,
                "ended_at": at + seconds(took),
            }
            | changes,
        )
        return key

    def flow(self, session: str | None, *, at: datetime = NOON, took: float = 0.5, **changes) -> str:
        number = self._number()
        for body in ("request_body", "response_body"):
            if body in changes and changes[body] is not None:
                changes[body] = self.body(changes[body])
        row = {
            "id": f"0193-flow-{number:012}",
            "seq": number,
            "session_id": session,
            "job_key": None,
            "state": "complete",
            "door": "jobs.getQueryResults",
            "kind": "read",
            "protocol": "rest",
            "http_version": "HTTP/1.1",
            "method": "GET",
            "host": HOST,
            "url": f"https://{HOST}/bigquery/v2/projects/acme/queries/x",
            "tables": [],
            "status": 200,
            "grpc_status": None,
            "decision": "allow",
            "rule": "known_principal",
            "message": None,
            "error": None,
            "user_agent": "test",
            "client_address": "127.0.0.1",
            "level": "full",
            "request_headers": '[["host", "bigquery.googleapis.com"]]',
            "response_headers": '[["content-type", "application/json"]]',
            "request_body": None,
            "request_size": 10,
            "response_body": None,
            "response_size": 20,
            "started_at": at,
            "ended_at": at + seconds(took),
        } | changes
        return self._add("flows", row)["id"]

    def body(self, content: bytes | dict) -> bytes:
        raw = content if isinstance(content, bytes) else json.dumps(content).encode()
        digest = uuid.uuid4().bytes
        half = len(raw) // 2
        for part, piece in enumerate((raw[:half], raw[half:])):
            stored = {"hash": digest, "part": part, "size": len(piece), "data": zstandard.compress(piece), "salt": b"s"}
            self._add("bodies", stored)
        return digest

    def event(self, session: str | None, kind: str, message: str, *, at: datetime = NOON, **changes) -> None:
        number = self._number()
        row = {
            "id": f"event_{number}",
            "seq": number,
            "occurred_at": at,
            "type": kind,
            "message": message,
            "session_id": session,
            "flow_id": None,
            "issuer": None,
            "subject": None,
            "email": None,
            "client_address": "127.0.0.1",
            "details": "{}",
        }
        self._add("events", row | changes)

    def asked(
        self, session: str, statement: str, schema: list[dict], rows: list[tuple], *, at: datetime = NOON, **changes
    ) -> str:
        """A SELECT with its result in one page, as ``query_and_wait`` asks it."""
        key = self.job(session, statement, at=at, schema=json.dumps({"fields": schema}), row_count=len(rows), **changes)
        answer = {
            "jobComplete": True,
            "schema": {"fields": schema},
            "totalRows": str(len(rows)),
            "rows": wire_rows(rows),
        }
        self.flow(
            session,
            at=at,
            job_key=key,
            door="jobs.query",
            method="POST",
            request_body={"query": statement},
            response_body=answer,
        )
        return key

    def write(self) -> Path:
        """Write the file; again after more was added."""
        self.path.write_bytes(_empty())
        # DuckDB looks for pandas at each value that it is given, which takes longer than the value where it is in vain.
        with patch.dict(sys.modules, {"pandas": None}), duckdb.connect(str(self.path)) as connection:
            connection.begin()
            for table, rows in self.tables.items():
                for row in rows:
                    names = ", ".join(f'"{name}"' for name in row)
                    marks = ", ".join("?" for _ in row)
                    connection.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", list(row.values()))
            connection.commit()
        return self.path


@cache
def _empty() -> bytes:
    """An archive with nothing in it; the comments of its schema take most of a test's time."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "empty.duckdb"
        with duckdb.connect(str(path)) as connection:
            connection.begin()
            connection.execute(SCHEMA.read_text())
            connection.execute(f"INSERT INTO archive VALUES ({VERSION}, now(), 'a test')")
            connection.commit()
        return path.read_bytes()
