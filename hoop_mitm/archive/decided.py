"""Recorded jobs as a policy is tried on them: those that are alike in all that rules may look at are counted together."""

from collections.abc import Collection
from datetime import datetime
from typing import Any, Final

from hoop_mitm.archive import stored
from hoop_mitm.archive.database import Database
from hoop_mitm.bigquery.operation import TableRef
from hoop_mitm.identity.principal import Principal
from hoop_mitm.policy.decided import Decided

DETAILS: Final = {
    "labels": "CAST(jobs.labels AS JSON)",
    "session": "jobs.session_id",
    "program": "coalesce(sessions.program, '')",
    "agent": "sessions.agent",
    "now": "epoch_us(jobs.started_at)",
    "bytes": "jobs.bytes_processed",
}
"""What makes many kinds of one, and is told apart only where it is asked for: SQL by name."""

_DECIDED = """
    WITH starts AS (
        SELECT job_key, arg_max(door, seq) AS door
        FROM flows
        WHERE door IN ('jobs.insert', 'jobs.query', 'mcp.execute_sql', 'mcp.execute_sql_readonly') AND job_key IS NOT NULL
        GROUP BY job_key
    )
    SELECT
        statement, fingerprint, project, connection, issuer, subject, email, groups, sessions.kind,
        jobs.job_type, dry_run, destination, referenced_tables, statement_type,
        -- A policy asked for the review; that reviewers said yes is no policy's doing.
        CASE WHEN rule = 'review.approved' THEN 'review' ELSE decision END,
        rule, coalesce(door, 'jobs.insert'),
        {details},
        count(*), coalesce(sum(bytes_billed), 0)
    FROM jobs
    JOIN sessions ON sessions.id = jobs.session_id
    LEFT JOIN starts ON starts.job_key = jobs.key
    WHERE jobs.started_at >= $since
    GROUP BY ALL
    ORDER BY min(jobs.started_at)
"""


def decided(database: Database, since: datetime, details: Collection[str]) -> tuple[Decided, ...]:
    """Jobs that were asked for since then, grouped; ``details`` out of ``DETAILS``."""
    columns = ", ".join(sql if name in details else "NULL" for name, sql in DETAILS.items())
    return tuple(_decided(row) for row in database.all(_DECIDED.format(details=columns), {"since": since}))


def _decided(row: tuple[Any, ...]) -> Decided:
    statement, fingerprint, project, connection, issuer, subject, email, groups, kind, *rest = row
    job_type, dry_run, destination, referenced, statement_type, decision, rule, door, *rest = rest
    details = dict(zip(DETAILS, rest[: len(DETAILS)], strict=True))
    if details["now"] is not None:
        details["now"] = stored.time(details["now"])
    jobs, billed = rest[len(DETAILS) :]
    return Decided(
        statement=statement,
        fingerprint=fingerprint,
        project=project or "",
        connection=connection,
        principal=Principal(issuer, subject, email, tuple(groups), kind),
        job_type=job_type,
        dry_run=dry_run,
        destination=TableRef(**destination) if destination else None,
        referenced_tables=tuple(TableRef(**table) for table in referenced),
        statement_type=statement_type or "",
        decision=decision,
        rule=rule,
        door=door,
        jobs=jobs,
        bytes_billed=int(billed),
        details=details,
    )
