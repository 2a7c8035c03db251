"""A policy tried on what was recorded: what it would have decided otherwise."""

import json
from bisect import bisect_left
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final, Literal, cast

from hoop_mitm.bigquery.operation import Door, JobType, Operation, TableRef
from hoop_mitm.policy.decided import Decided
from hoop_mitm.policy.estimate import Estimate
from hoop_mitm.policy.policy import Policy
from hoop_mitm.policy.question import Question
from hoop_mitm.policy.reviews import reason_of
from hoop_mitm.policy.ruling import Ruling
from hoop_mitm.policy.verdict import Verdict
from hoop_mitm.sql import StatementFacts, understand

type Change = Literal["newly denied", "newly allowed", "newly reviewed"]

_CHANGES: Final[dict[str, Change]] = {
    "deny": "newly denied",
    "allow": "newly allowed",
    "review": "newly reviewed",
}
_OURS: Final = ("policy.", "review.", "default")
"""Rules whose verdicts a policy replaces. What another check refused, it would refuse again."""


@dataclass(slots=True)
class Changed:
    """Jobs of one principal that one rule would have decided otherwise.

    Attributes:
        change: what they would be now.
        rule: the new verdict's.
        jobs, bytes_billed: how many, and what they were billed: with ``newly denied``, what would not have been.
        price: of these bytes.
        example: a statement of them, with the new verdict's words.
    """

    change: Change
    principal: str
    rule: str
    example: str
    message: str
    jobs: int = 0
    bytes_billed: int = 0
    price: Decimal = Decimal(0)


@dataclass(slots=True)
class Trial:
    """What came of it.

    Attributes:
        policy: the version that was tried.
        jobs: how many were looked at.
        changed: what it would have decided otherwise, the dearest first.
        unread: jobs whose statement was not recorded, so that nobody can say.
        unestimated: jobs whose rule needs to know how much they read, which was never found out (they did not run).
        otherwise_refused: jobs that another check refused: no policy changes that.
    """

    policy: str
    jobs: int = 0
    changed: list[Changed] = field(default_factory=list)
    unread: int = 0
    unestimated: int = 0
    otherwise_refused: int = 0

    def of(self, change: Change) -> int:
        """How many jobs changed so."""
        return sum(each.jobs for each in self.changed if each.change == change)


def details_of(policy: Policy) -> frozenset[str]:
    """What of a job has to be told apart, so that ``trial`` decides on each as the gateway would."""
    wanted = {"bytes"} if any(rule.uses_estimate for rule in policy.rules) else set()
    named = {name for rule in policy.rules for name in rule.variables}
    details = {
        "labels": {"labels", "reason"},
        "session": {"session"},
        "program": {"program"},
        "agent": {"agent"},
        "now": {"now"},
    }
    return frozenset(wanted | {detail for detail, names in details.items() if named & names})


def tried(policy: Policy, jobs: Iterable[Decided], price: Callable[[int], Decimal]) -> Trial:
    """What ``policy`` would have decided about recorded jobs.

    Statements that differ in literals and layout alone are looked into once.

    Args:
        jobs: told apart by what ``details_of`` says.
        price: of so many bytes billed.
    """
    trial = Trial(policy.version)
    facts: dict[tuple[object, ...], StatementFacts] = {}
    rulings: dict[tuple[object, ...], Ruling] = {}
    alike = _Alike(policy)
    found: dict[tuple[str, str, str], Changed] = {}
    for job in jobs:
        trial.jobs += job.jobs
        if job.decision == "deny" and not job.rule.startswith(_OURS):
            trial.otherwise_refused += job.jobs
            continue
        if job.job_type == "QUERY" and job.statement is None:
            trial.unread += job.jobs
            continue
        key = alike.key(job)
        ruling = rulings.get(key)
        if ruling is None:
            ruling = rulings[key] = policy.decide(_question(job, facts, price))
        if ruling.needs_estimate:
            trial.unestimated += job.jobs
            continue
        if ruling.verdict.decision == job.decision:
            continue
        changed = _changed(found, job, ruling.verdict)
        changed.jobs += job.jobs
        changed.bytes_billed += job.bytes_billed
        changed.price += price(job.bytes_billed)
    trial.changed = sorted(found.values(), key=lambda each: (-each.bytes_billed, -each.jobs, each.principal, each.rule))
    return trial


class _Alike:
    """Tells jobs apart as far as a policy does: each kind is decided on once."""

    def __init__(self, policy: Policy) -> None:
        named = {name for rule in policy.rules for name in rule.variables}
        words = [rule.words for rule in policy.rules]
        self._texts = bool(named & {"statement", "reason"})
        self._exact = bool(named & {"estimated_bytes", "estimated_price"})
        self._steps = sorted({size for each in words for size in (each.max_bytes, each.over_bytes) if size is not None})

    def key(self, job: Decided) -> tuple[object, ...]:
        """The same for jobs that are alike."""
        others = tuple(value for name, value in job.details.items() if name != "bytes")
        text = job.statement if self._texts or not job.fingerprint else job.fingerprint
        return (
            text, job.project, job.connection, job.principal, job.job_type, job.dry_run, job.destination,
            job.referenced_tables, job.statement_type, job.door, self._bytes(job.details.get("bytes")), others,
        )  # fmt: skip

    def _bytes(self, processed: int | None) -> int | None:
        """The number, or between which two of those that the rules name it lies."""
        return processed if processed is None or self._exact else bisect_left(self._steps, processed)


def _changed(found: dict[tuple[str, str, str], Changed], job: Decided, verdict: Verdict) -> Changed:
    change = _CHANGES[verdict.decision]
    key = (change, job.principal.key, verdict.rule)
    if key not in found:
        example = job.statement or f"a {job.job_type} job"
        found[key] = Changed(change, str(job.principal), verdict.rule, example, verdict.message)
    return found[key]


def _question(
    job: Decided, known: dict[tuple[object, ...], StatementFacts], price: Callable[[int], Decimal]
) -> Question:
    labels: dict[str, str] = json.loads(job.details.get("labels") or "{}")
    tables = () if job.statement is not None else job.referenced_tables
    destination = job.destination
    operation = Operation(
        door=Door(job.door, "admin", body="json"),
        project=job.project,
        tables=(*tables, destination) if destination else tables,
        statement=job.statement,
        dry_run=job.dry_run,
        labels=labels,
        job_type=cast("JobType", job.job_type.lower()),
        destination=destination,
        legacy_sql=False,
    )
    return Question(
        principal=job.principal,
        connection=job.connection,
        operation=operation,
        facts=_facts(job, known),
        estimate=_estimate(job, price),
        session_id=job.details.get("session") or "",
        program=job.details.get("program") or "",
        agent=job.details.get("agent") or "",
        reason=reason_of(job.statement, labels),
        at=job.details.get("now") or datetime.now(UTC),
    )


def _facts(job: Decided, known: dict[tuple[object, ...], StatementFacts]) -> StatementFacts | None:
    if job.statement is None:
        return None
    key = (job.fingerprint or job.statement, job.project, job.referenced_tables)
    if key not in known:
        known[key] = _understood(job.statement, job.project, job.referenced_tables)
    return known[key]


def _understood(statement: str, project: str, tables: tuple[TableRef, ...]) -> StatementFacts:
    """The default dataset of a request is not recorded; BigQuery's own account of the tables tells it."""
    facts = understand(statement, project=project)
    bare = {table.table for table in facts.reads if not table.dataset}
    datasets = {(table.project, table.dataset) for table in tables if table.table in bare}
    return understand(statement, project=project, default_dataset=datasets.pop()) if len(datasets) == 1 else facts


def _estimate(job: Decided, price: Callable[[int], Decimal]) -> Estimate | None:
    processed = job.details.get("bytes")
    if processed is None or job.dry_run:
        return None
    return Estimate(processed, job.statement_type, job.referenced_tables, price(processed))
