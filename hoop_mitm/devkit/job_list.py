"""``INFORMATION_SCHEMA.JOBS`` of the local BigQuery: the jobs that ran here, in Google's columns.

The emulator has no such view. A query that names it is given a table of the jobs as they are at that moment, which
lives as long as the query.
"""

import re
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from hoop_mitm.devkit.api import LOCATIONS, OK, ApiError, translated
from hoop_mitm.devkit.emulator import Emulator

_DATASET = "_job_lists"
_AT_ONCE = 2000
#: Bytes that a query of the view is said to process for a job; nobody knows how Google counts them.
_BYTES_OF_A_JOB = 2**10

# Written in any way that BigQuery takes: `region-us`.INFORMATION_SCHEMA.JOBS, `acme.region-us.INFORMATION_SCHEMA.JOBS` …
_VIEW = re.compile(
    r"(?:`?(?P<project>[a-z][a-z0-9.:-]*[a-z0-9])`?\s*\.\s*)?`?region-(?P<region>[A-Za-z0-9-]+)`?\s*\.\s*"
    r"`?INFORMATION_SCHEMA`?\s*\.\s*`?(?P<view>JOBS(?:_BY_PROJECT|_BY_USER)?)\b`?"
)


def _column(name: str, kind: str = "STRING", *fields: dict[str, Any], mode: str = "NULLABLE") -> dict[str, Any]:
    column: dict[str, Any] = {"name": name, "type": kind, "mode": mode}
    return column | {"fields": list(fields)} if fields else column


_TABLE = (_column("project_id"), _column("dataset_id"), _column("table_id"))

#: The columns that the local BigQuery has something to say in.
#: https://cloud.google.com/bigquery/docs/information-schema-jobs#schema
_SCHEMA = [
    _column("cache_hit", "BOOLEAN"),
    _column("creation_time", "TIMESTAMP"),
    _column("destination_table", "RECORD", *_TABLE),
    _column("end_time", "TIMESTAMP"),
    _column(
        "error_result", "RECORD", _column("reason"), _column("location"), _column("debug_info"), _column("message")
    ),
    _column("job_creation_reason", "RECORD", _column("code")),
    _column("job_id"),
    _column("job_type"),
    _column("labels", "RECORD", _column("key"), _column("value"), mode="REPEATED"),
    _column("parent_job_id"),
    _column("principal_subject"),
    _column("priority"),
    _column("project_id"),
    _column("project_number", "INTEGER"),
    _column("query"),
    _column("query_dialect"),
    _column("referenced_tables", "RECORD", *_TABLE, mode="REPEATED"),
    _column("session_info", "RECORD", _column("session_id")),
    _column("start_time", "TIMESTAMP"),
    _column("state"),
    _column("statement_type"),
    _column("total_bytes_billed", "INTEGER"),
    _column("total_bytes_processed", "INTEGER"),
    _column("total_slot_ms", "INTEGER"),
    _column("user_email"),
]


@dataclass(frozen=True, slots=True)
class Listed:
    """A statement in which each view has become a table, and what reading those is said to cost in bytes."""

    statement: str
    processed: int = 0


def region_of(statement: str) -> str | None:
    """The location whose jobs a statement asks for, which is where it runs; ``None`` when it asks for none."""
    match = _VIEW.search(statement)
    return None if match is None else _location(match["region"]) or match["region"]


class JobList:
    """The view, for statements that name it.

    Attributes:
        unprivileged: who lacks ``bigquery.jobs.listAll``: they may ask for ``JOBS_BY_USER`` only.
        longest: characters that it holds of a text. Google names no limit, and tests want one.
    """

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator
        self.unprivileged: set[str] = set()
        self.longest: int | None = None

    @contextmanager
    def in_place_of_views(
        self, statement: str, project: str, location: str, who: str, jobs: Iterable[dict[str, Any]]
    ) -> Iterator[Listed]:
        """``statement`` as the emulator can run it. ``jobs`` are the resources of all jobs that there are.

        Raises:
            ApiError: the view is of another location, or not for ``who``.
        """
        found = list(_VIEW.finditer(statement))
        if not found:
            yield Listed(statement)
            return
        known = list(jobs)
        made: list[str] = []
        parts: list[str] = []
        processed = end = 0
        try:
            for match in found:
                shown = self._shown(match, project, location, who, known)
                table = self._table(project, shown)
                made.append(table)
                parts += [statement[end : match.start()], f"`{project}`.`{_DATASET}`.`{table}`"]
                end = match.end()
                processed += max(len(shown), 1) * _BYTES_OF_A_JOB
            yield Listed("".join([*parts, statement[end:]]), processed)
        finally:
            for table in made:
                self._emulator.call("DELETE", f"{_path(project)}/{_DATASET}/tables/{table}")

    def _shown(
        self, view: re.Match[str], project: str, location: str, who: str, jobs: list[dict[str, Any]]
    ) -> list[dict[str, Any]]:
        home = view["project"] or project
        region = _location(view["region"])
        full_name = f"{home}:region-{view['region']}.INFORMATION_SCHEMA.{view['view']}"
        if region is None or region != location:
            raise ApiError(404, "notFound", f"Not found: Table {full_name} was not found in location {location}")
        if view["view"] != "JOBS_BY_USER" and who in self.unprivileged:
            raise ApiError(
                403,
                "accessDenied",
                f"Access Denied: Table {full_name}: User does not have permission to query table {full_name}, "
                "or perhaps it does not exist.",
            )
        return [
            job
            for job in jobs
            if job["jobReference"]["projectId"] == home
            and job["jobReference"]["location"] == location
            and (view["view"] != "JOBS_BY_USER" or job["user_email"] == who)
        ]

    def _table(self, project: str, jobs: list[dict[str, Any]]) -> str:
        name = f"jobs_{secrets.token_hex(8)}"
        self._emulator.call(
            "POST", _path(project), json_body={"datasetReference": {"projectId": project, "datasetId": _DATASET}}
        )
        tables = f"{_path(project)}/{_DATASET}/tables"
        reference = {"projectId": project, "datasetId": _DATASET, "tableId": name}
        self._call(tables, {"tableReference": reference, "schema": {"fields": _SCHEMA}})
        for start in range(0, len(jobs), _AT_ONCE):
            rows = [{"json": _row(job, self.longest)} for job in jobs[start : start + _AT_ONCE]]
            self._call(f"{tables}/{name}/insertAll", {"rows": rows})
        return name

    def _call(self, path: str, body: dict[str, Any]) -> None:
        status, answer = self._emulator.call("POST", path, json_body=body)
        if status != OK or answer.get("insertErrors"):
            raise translated(500 if status == OK else status, answer)


def _path(project: str) -> str:
    return f"/bigquery/v2/projects/{quote(project)}/datasets"


def _location(region: str) -> str | None:
    return next((location for location in LOCATIONS if location.lower() == region.lower()), None)


def _row(job: dict[str, Any], longest: int | None) -> dict[str, Any]:
    configuration, statistics, status = job["configuration"], job["statistics"], job["status"]
    kind = configuration["jobType"].lower()
    settings: dict[str, Any] = configuration[kind]
    query = statistics.get("query", {})
    error = status.get("errorResult")
    dialect = "LEGACY_SQL" if settings.get("useLegacySql") else "GOOGLE_SQL"
    return {
        "cache_hit": query.get("cacheHit"),
        "creation_time": _time(statistics.get("creationTime")),
        "destination_table": _table(settings.get("destinationTable")),
        "end_time": _time(statistics.get("endTime")),
        "error_result": error and {name: error.get(name) for name in ("reason", "location", "message")},
        "job_creation_reason": job.get("jobCreationReason"),
        "job_id": job["jobReference"]["jobId"],
        "job_type": configuration["jobType"],
        "labels": [{"key": key, "value": value} for key, value in (configuration.get("labels") or {}).items()],
        "parent_job_id": statistics.get("parentJobId"),
        "principal_subject": job["principal_subject"],
        "priority": settings.get("priority", "INTERACTIVE") if kind == "query" else None,
        "project_id": job["jobReference"]["projectId"],
        "project_number": 1,
        "query": settings["query"][:longest] if kind == "query" else None,
        "query_dialect": dialect if kind == "query" else None,
        "referenced_tables": [_table(table) for table in query.get("referencedTables", ())],
        "session_info": {"session_id": session["sessionId"]} if (session := statistics.get("sessionInfo")) else None,
        "start_time": _time(statistics.get("startTime")),
        "state": status["state"],
        "statement_type": query.get("statementType"),
        "total_bytes_billed": query.get("totalBytesBilled"),
        "total_bytes_processed": statistics.get("totalBytesProcessed"),
        "total_slot_ms": statistics.get("totalSlotMs"),
        "user_email": job["user_email"],
    }


def _table(reference: dict[str, str] | None) -> dict[str, str | None] | None:
    if not reference:
        return None
    return {f"{part}_id": reference.get(f"{part}Id") for part in ("project", "dataset", "table")}


def _time(milliseconds: str | None) -> str | None:
    if milliseconds is None:
        return None
    return datetime.fromtimestamp(int(milliseconds) / 1000, UTC).isoformat(timespec="milliseconds")
