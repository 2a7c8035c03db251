"""A job as BigQuery tells of it, in its API or in ``INFORMATION_SCHEMA.JOBS``."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Self

from hoop_mitm.bigquery.labels import SESSION
from hoop_mitm.bigquery.operation import TableRef


@dataclass(frozen=True, slots=True)
class Ran:
    """One job of BigQuery's.

    Attributes:
        location: ``US``, ``europe-west1`` …
        id: of a query that ran without a job, the query's id.
        parent_id: of the script that it is a statement of.
        user: ``user_email``: whose rights it ran with.
        kind: ``QUERY``, ``LOAD``, ``EXTRACT``, ``COPY``; ``None`` for a background job of BigQuery's own.
        statement: its text; the view may hold the beginning of a long one only.
        destination: an anonymous table where none was named.
        error: BigQuery's message where it failed.
        bytes_billed: ``None`` where BigQuery does not say.
    """

    project: str
    location: str
    id: str
    user: str
    created_at: datetime
    state: str
    parent_id: str | None = None
    kind: str | None = "QUERY"
    statement_type: str | None = None
    statement: str | None = None
    destination: TableRef | None = None
    error: str | None = None
    bytes_billed: int | None = None
    rows_changed: int | None = None
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def session(self) -> str | None:
        """The gateway's session that its label names. Anybody can write one."""
        return self.labels.get(SESSION)

    @property
    def name(self) -> str:
        """``project:location.id``, as BigQuery itself and the ``bq`` command write it."""
        return f"{self.project}:{self.location}.{self.id}"

    @classmethod
    def of_resource(cls, job: Mapping[str, Any]) -> Self:
        """From a job as ``jobs.get`` and ``jobs.list`` give it (``projection=full``)."""
        reference, configuration = job["jobReference"], job.get("configuration") or {}
        statistics, status = job.get("statistics") or {}, job.get("status") or {}
        kind = next((kind for kind in ("query", "load", "extract", "copy") if kind in configuration), None)
        settings, query = configuration.get(kind or "") or {}, statistics.get("query") or {}
        error = status.get("errorResult")
        return cls(
            project=reference["projectId"],
            location=reference.get("location") or "",
            id=reference["jobId"],
            user=job.get("user_email") or "",
            created_at=datetime.fromtimestamp(int(statistics.get("creationTime") or 0) / 1000, UTC),
            state=status.get("state") or "PENDING",
            parent_id=statistics.get("parentJobId"),
            kind=kind.upper() if kind else None,
            statement_type=query.get("statementType"),
            statement=settings.get("query"),
            destination=_table(settings.get("destinationTable"), "projectId", "datasetId", "tableId"),
            error=_message(error),
            bytes_billed=_number(query.get("totalBytesBilled")),
            rows_changed=_number(query.get("numDmlAffectedRows")),
            labels=configuration.get("labels") or {},
        )

    @classmethod
    def of_row(cls, row: Mapping[str, Any], location: str) -> Self:
        """From a row of the view, as `jobs_view.statement` asks for it."""
        return cls(
            project=row["project_id"],
            location=location,
            id=row["job_id"],
            user=row["user_email"] or "",
            created_at=row["creation_time"],
            state=row["state"],
            parent_id=row["parent_job_id"],
            kind=row["job_type"],
            statement_type=row["statement_type"],
            statement=row["query"],
            destination=_table(row["destination_table"], "project_id", "dataset_id", "table_id"),
            error=_message(row["error_result"]),
            bytes_billed=row["total_bytes_billed"],
            labels={label["key"]: label["value"] for label in row["labels"]},
        )


def _table(reference: Mapping[str, Any] | None, *parts: str) -> TableRef | None:
    if not reference or not all(reference.get(part) for part in parts):
        return None
    project, dataset, table = (str(reference[part]) for part in parts)
    return TableRef(project, dataset, table)


def _message(error: Mapping[str, Any] | None) -> str | None:
    return None if not error else str(error.get("message") or error.get("reason") or "unknown error")


def _number(value: object) -> int | None:
    return None if value is None else int(str(value))
