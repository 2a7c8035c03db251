"""What became of a request whose answer was never recorded: asked of BigQuery, afterwards."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from hoop_mitm.archive import Recorded
from hoop_mitm.reconciling.client import BigQuery
from hoop_mitm.reconciling.comparing import ANSWERED_WITHIN, SKEW, may_be
from hoop_mitm.reconciling.ran import Ran
from hoop_mitm.reconciling.report import Outcome

SETTLED: Final = timedelta(minutes=2)
"""How long after a request BigQuery may still make a job of it: until then "there is none" means "not yet"."""


@dataclass(frozen=True, slots=True)
class Resolution:
    """What BigQuery says: the outcome, and the job where there is one.

    Attributes:
        jobless: there may never have been a job, although it ran.
    """

    outcome: Outcome
    job: Ran | None = None
    jobless: bool = False

    @property
    def is_final(self) -> bool:
        """Whether asking again later would give the same."""
        return self.outcome in ("ran", "failed", "never_ran") or self.jobless

    @property
    def message(self) -> str:
        """In a sentence."""
        name = f"job {self.job.name}" if self.job else "no job"
        match self.outcome, self.job:
            case "ran", Ran() as job:
                changed = "" if job.rows_changed is None else f", {job.rows_changed:,} rows changed"
                return f"It ran: {name} ended well ({job.statement_type or job.kind}{changed})."
            case "failed", Ran() as job:
                return f"It ran and failed: {name} ended with an error."
            case "running", Ran():
                return f"It is still running: {name}."
            case "never_ran", _:
                return "It never ran: BigQuery knows of no such job."
        if self.jobless:
            return "It is not known whether it ran: BigQuery may have answered it without making a job of it."
        return "BigQuery knows of no such job yet."


def resolve(
    client: BigQuery, record: Recorded, *, others: Collection[str], now: datetime, everybody: bool = False
) -> Resolution:
    """Asks what became of ``record``.

    Args:
        client: with the credential that it was sent with or, for ``everybody``, one that may list all jobs.
        others: ids of jobs that are recorded as something else.

    Raises:
        AskingError: BigQuery cannot be asked just now.
    """
    job = _by_id(client, record) if record.id else _by_looks(client, record, others, everybody=everybody)
    if job is not None:
        return Resolution(_outcome(job), job)
    if now - record.started_at < SETTLED:
        return Resolution("unknown")
    if record.may_be_jobless:
        return Resolution("unknown", jobless=True)
    return Resolution("never_ran")


def of_job(job: Ran) -> Resolution:
    """What a job that is known tells."""
    return Resolution(_outcome(job), job)


def _by_id(client: BigQuery, record: Recorded) -> Ran | None:
    assert record.id
    job = client.job(record.project, record.id, record.location)
    # An id can be in use already: then BigQuery refused ours, and this is an older job, or somebody else's.
    if job is None or job.session != record.session_id or job.created_at < record.started_at - SKEW:
        return None
    return job


def _by_looks(client: BigQuery, record: Recorded, others: Collection[str], *, everybody: bool) -> Ran | None:
    since, until = record.started_at - SKEW, record.started_at + ANSWERED_WITHIN + SKEW
    jobs = client.jobs(record.project, since, until, everybody=everybody)
    return next((job for job in jobs if job.id not in others and may_be(job, record)), None)


def _outcome(job: Ran) -> Outcome:
    if job.state != "DONE":
        return "running"
    return "failed" if job.error else "ran"
