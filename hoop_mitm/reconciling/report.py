"""What reconciliation finds, and what it could not look at."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

type Kind = Literal["bypassed", "not_at_bigquery", "unresolved", "text", "session", "bytes_billed"]
type Outcome = Literal["ran", "failed", "running", "never_ran", "unknown"]

#: In the order in which a report tells them.
KINDS: tuple[Kind, ...] = ("bypassed", "text", "session", "not_at_bigquery", "unresolved", "bytes_billed")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that does not fit.

    Attributes:
        kind: ``bypassed``: it ran and is not recorded; ``not_at_bigquery``: it is recorded and BigQuery knows nothing of
            it; ``unresolved``: the recording does not say how it ended; ``text``, ``session``, ``bytes_billed``: the two
            disagree about these.
        message: what is the case, in a sentence or two.
        next_step: what to do about it.
        job: ``project:location.id``; ``None`` where there is no job.
        user: whose rights it ran with, in BigQuery's account.
        principal: who asked, in the recording's account.
        ran: its text in BigQuery's account; ``recorded`` in the recording's.
        outcome: of an ``unresolved`` one: what BigQuery says now.
        children: of a ``bypassed`` script: how many of its statements ran as jobs.
    """

    kind: Kind
    message: str
    next_step: str
    at: datetime
    project: str | None = None
    job: str | None = None
    user: str | None = None
    principal: str | None = None
    session_id: str | None = None
    flow_id: str | None = None
    ran: str | None = None
    recorded: str | None = None
    outcome: Outcome | None = None
    children: int = 0


@dataclass(frozen=True, slots=True)
class NotChecked:
    """Something that belongs to the question and could not be looked at: the answer is not complete without it."""

    what: str
    why: str
    next_step: str


@dataclass(slots=True)
class Counts:
    """What was looked at. Every job of BigQuery's is in one of these, or a finding.

    Attributes:
        jobs: that BigQuery lists.
        matched: that are recorded.
        children: statements of recorded scripts.
        own: reconciliation's.
        background: BigQuery's own, such as the refresh of a materialized view.
        direct: of accounts that may go directly, by account.
        recorded: jobs in the recording that BigQuery should know.
        confirmed: of these, that only the API knew, because the list is behind or they ran elsewhere.
        without_job: of these, queries that BigQuery answered without a job, and that its list does not show.
        deleted: of these, whose metadata was deleted through the gateway.
        texts_not_compared: of the matched ones, whose text is not recorded or no longer kept.
        resolved: intents of a gateway that died, whose outcome the recording has.
    """

    jobs: int = 0
    matched: int = 0
    children: int = 0
    own: int = 0
    background: int = 0
    direct: Counter[str] = field(default_factory=Counter)
    recorded: int = 0
    confirmed: int = 0
    without_job: int = 0
    deleted: int = 0
    texts_not_compared: int = 0
    resolved: int = 0

    def add(self, other: "Counts") -> None:
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


@dataclass(frozen=True, slots=True)
class Report:
    """The answer: for which time, what was found, what was not looked at, and what to know about it.

    ``asked`` are the locations that answered, by project.
    """

    since: datetime
    until: datetime
    findings: tuple[Finding, ...]
    not_checked: tuple[NotChecked, ...]
    notes: tuple[str, ...]
    counts: Counts
    asked: Mapping[str, tuple[str, ...]]

    @property
    def exit_code(self) -> int:
        """1 when something does not fit; 3 when nothing was found, but not everything was looked at; else 0."""
        return 1 if self.findings else 3 if self.not_checked else 0
