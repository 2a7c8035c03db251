"""The one statement that reconciliation runs: the jobs that BigQuery lists for a project, a location and a time.

https://cloud.google.com/bigquery/docs/information-schema-jobs
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from hoop_mitm.reconciling.ran import Ran

KEPT: Final = timedelta(days=180)
"""How long the view lists a job. (The API knows jobs for about as long.)"""

LAG: Final = timedelta(minutes=10)
"""How far the view may be behind. Google says "near real-time" and names no bound; this is a generous guess."""

LABEL: Final = {"hoop-reconcile": "jobs"}
"""What our own jobs carry, for people. It proves nothing: anybody can write it."""

_MOMENT = r"\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}\.\d{6}\+00"

_STATEMENT = """\
SELECT
  project_id, job_id, parent_job_id, user_email, creation_time, state, job_type, statement_type, query,
  destination_table, error_result, total_bytes_billed, labels
FROM `{project}`.`region-{region}`.INFORMATION_SCHEMA.JOBS_BY_PROJECT
WHERE creation_time >= TIMESTAMP '{since}' AND creation_time < TIMESTAMP '{until}'
ORDER BY creation_time, job_id
"""

_OURS = re.compile(
    re.escape(_STATEMENT)
    .replace(re.escape("{project}"), r"(?:[a-z0-9.-]+:)?[a-z][a-z0-9-]*")
    .replace(re.escape("{region}"), r"[a-z0-9-]+")
    .replace(re.escape("{since}"), _MOMENT)
    .replace(re.escape("{until}"), _MOMENT)
)


def statement(project: str, location: str, since: datetime, until: datetime) -> str:
    """Asks for the jobs that were created from ``since`` until before ``until``."""
    return _STATEMENT.format(project=project, region=location.lower(), since=_moment(since), until=_moment(until))


def is_ours(ran: Ran, asker: str | None) -> bool:
    """Whether a job is one of reconciliation's own, of this run or of one before.

    Not by its label: it ran as ``asker``, it is this statement to the letter, and its rows went nowhere else. Whoever
    imitates that has read the list of jobs, and nothing more.
    """
    if ran.kind != "QUERY" or ran.statement is None or not asker or ran.user != asker:
        return False
    kept = ran.destination is None or ran.destination.dataset.startswith("_")
    return kept and _OURS.fullmatch(ran.statement) is not None


def _moment(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}+00"
