"""What a reader of a session asks first: which tables were read, what needs attention, how each job ended."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from hoop_mitm.archive.entries import EventEntry, FlowEntry, JobEntry, SessionDetail
from hoop_mitm.bigquery.operation import TableRef

type Outcome = Literal["denied", "review", "error", "estimate", "ok", "unfinished"]

#: Doors through which rows come without a job.
READS_ROWS = ("tabledata.list", "storage.CreateReadSession")


@dataclass(frozen=True, slots=True)
class Concern:
    """A refusal, a failure, or an exchange of which nobody knows the outcome: of a job, a flow, or an event."""

    message: str
    job: JobEntry | None = None
    flow: FlowEntry | None = None
    event: EventEntry | None = None


_REFUSED_BY_REVIEW = ("review.rejected", "review.expired")
_OUTCOMES: dict[str, Outcome] = {"ran": "ok", "failed": "error"}


def outcome(job: JobEntry) -> Outcome:
    """How a job ended, in one word; ``unfinished`` where BigQuery's last known word was another than DONE."""
    if job.verdict.decision == "deny" or job.verdict.rule in _REFUSED_BY_REVIEW:
        return "denied"
    if job.verdict.decision == "review":
        return "review"
    if job.error and not job.resolved:
        return "error"
    if job.resolved:
        # Its answer was lost, and BigQuery was asked afterwards.
        return _OUTCOMES.get(job.resolved.outcome, "unfinished")
    if job.dry_run:
        return "estimate"
    return "ok" if job.state == "DONE" else "unfinished"


def was_reviewed(job: JobEntry) -> bool:
    """Whether it waited, and reviewers let it run."""
    return job.verdict.rule == "review.approved"


def last_word(job: JobEntry) -> str:
    """What is known of an unfinished job, in a word or two: BigQuery's last word, or what was found out afterwards."""
    return (job.resolved.outcome if job.resolved else job.state).replace("_", " ").lower()


def trouble(job: JobEntry) -> str | None:
    """What was refused or went wrong, in the words that the client got."""
    if job.verdict.decision != "allow":
        return f"{job.verdict.rule}: {job.verdict.message}"
    if job.resolved:
        return f"its answer was lost. {job.resolved.message}" + (f" {job.resolved.error}" if job.resolved.error else "")
    return job.error or None


def destination(job: JobEntry) -> TableRef | None:
    """The table that a job wrote to; ``None`` for the anonymous one that every SELECT has."""
    return None if job.destination is None or job.destination.dataset.startswith("_") else job.destination


def tables_read(detail: SessionDetail) -> dict[str, tuple[str, ...]]:
    """Each table with what read it: ``#3`` for a job, else the door."""
    reads: dict[str, dict[str, None]] = {}
    for job in detail.jobs:
        if job.verdict.decision == "allow" and not job.dry_run:
            for table in job.referenced_tables:
                reads.setdefault(str(table), {})[f"#{job.number}"] = None
    for flow in detail.flows:
        if flow.door in READS_ROWS and flow.job_key is None and flow.state == "complete":
            for table in flow.tables:
                reads.setdefault(str(table), {})[flow.door] = None
    return {table: tuple(readers) for table, readers in sorted(reads.items())}


def _came_of(flow: FlowEntry) -> str:
    if flow.resolved:
        return f"was sent, and its answer was lost. {flow.resolved.message}"
    return "was sent, and what came of it is not known"


def concerns(detail: SessionDetail) -> Iterator[Concern]:
    """What needs attention: of jobs first, then of exchanges, then of events."""
    for job in detail.jobs:
        if problem := trouble(job):
            yield Concern(problem, job=job)
    for flow in detail.flows:
        if flow.state == "open":
            yield Concern(_came_of(flow), flow=flow)
        elif flow.job_key is None and flow.verdict.decision == "deny":
            yield Concern(f"denied by {flow.verdict.rule}: {flow.verdict.message}", flow=flow)
        elif flow.state in ("failed", "truncated"):
            yield Concern(f"{flow.state}: {flow.error or ''}", flow=flow)
    for event in detail.events:
        if event.type.endswith(".refused"):
            yield Concern(f"{event.type}: {event.message}", event=event)
