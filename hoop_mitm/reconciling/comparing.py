"""BigQuery's list of jobs, held against the recording. Asks nobody anything."""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from hoop_mitm.archive import Recorded
from hoop_mitm.bigquery import mcp
from hoop_mitm.reconciling import jobs_view, texts
from hoop_mitm.reconciling.ran import Ran
from hoop_mitm.reconciling.report import Counts, Finding, Kind

SKEW: Final = timedelta(minutes=2)
"""How far the gateway's clock may be from BigQuery's."""

ANSWERED_WITHIN: Final = timedelta(minutes=5)
"""How long after a request whose end is not recorded its job may have been created."""

type _Place = tuple[str, str, str]

_ACCEPTED: Final = frozenset({"PENDING", "RUNNING", "DONE"})


@dataclass(frozen=True, slots=True)
class Setting:
    """What is known beside the two lists.

    Attributes:
        called: the recorded jobs with these ids, whenever they were.
        asker: the account that reconciliation asks as.
        direct_accounts: whose jobs need not be recorded.
    """

    called: Callable[[Collection[str]], Iterable[Recorded]]
    asker: str | None = None
    direct_accounts: frozenset[str] = frozenset()


@dataclass(slots=True)
class Compared:
    """What came of it.

    Attributes:
        pairs: each of BigQuery's jobs that is recorded, with its record.
        left: records of the range that none of BigQuery's jobs is.
        doubtful: pairs whose texts differ, as far as the list tells.
        gateway_accounts: accounts that recorded jobs ran as.
    """

    pairs: list[tuple[Ran, Recorded]] = field(default_factory=list)
    left: list[Recorded] = field(default_factory=list)
    doubtful: list[tuple[Ran, Recorded]] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    gateway_accounts: set[str] = field(default_factory=set)
    counts: Counts = field(default_factory=Counts)


def compare(jobs: Sequence[Ran], recorded: Sequence[Recorded], setting: Setting) -> Compared:
    """Which of BigQuery's ``jobs`` are recorded, and what is wrong with the others.

    ``recorded`` should reach a little further than ``jobs`` on both sides: what the gateway noted before midnight may
    have run after it.
    """
    result = Compared()
    rest = _pair(jobs, recorded, result)
    rest = _pair_by_id(rest, setting.called({job.id for job in rest}), result)
    taken = {record.key for _, record in result.pairs}
    result.left = [record for record in recorded if record.key not in taken]
    result.gateway_accounts = {job.user for job, _ in result.pairs if job.user}
    _explain(rest, setting, result)
    for job, record in result.pairs:
        _hold_together(job, record, result)
    result.counts.jobs = len(jobs)
    result.counts.matched = len(result.pairs)
    return result


def _pair(jobs: Sequence[Ran], recorded: Sequence[Recorded], result: Compared) -> list[Ran]:
    rest = _pair_by_id(jobs, recorded, result)
    without_id: dict[tuple[str, str], list[Recorded]] = defaultdict(list)
    for record in recorded:
        if record.id is None:
            without_id[record.project, record.session_id].append(record)
    still = []
    for job in rest:
        candidates = without_id.get((job.project, job.session or ""), [])
        found = next((each for each in candidates if may_be(job, each)), None)
        if found is None:
            still.append(job)
        else:
            # One record explains one job: a second one with the same text is somebody else's.
            candidates.remove(found)
            result.pairs.append((job, found))
    return still


def _pair_by_id(jobs: Iterable[Ran], recorded: Iterable[Recorded], result: Compared) -> list[Ran]:
    by_id: dict[tuple[str, str], list[Recorded]] = defaultdict(list)
    for record in recorded:
        if record.id is not None:
            by_id[record.project, record.id].append(record)
    rest = []
    for job in jobs:
        named = [each for each in by_id.get((job.project, job.id), ()) if _is(job, each)]
        # One whose answer nobody saw comes last: where another is known to be BigQuery's, it is that one.
        found = min(named, key=lambda each: each.state == "UNKNOWN", default=None)
        if found is None:
            rest.append(job)
        else:
            result.pairs.append((job, found))
    return rest


def _is(job: Ran, record: Recorded) -> bool:
    if record.location and job.location and record.location.lower() != job.location.lower():
        return False
    # An id that BigQuery refused us, or whose answer nobody saw, may have been given to somebody else's job.
    return record.state in _ACCEPTED or (record.state == "UNKNOWN" and job.session == record.session_id)


def may_be(job: Ran, record: Recorded) -> bool:
    """Whether a job can be the one of a request that was never told a job id, by what both say of it."""
    if record.query_id is not None:
        return record.query_id == job.id
    if job.session != record.session_id or job.kind != record.job_type:
        return False
    last = record.ended_at if record.ended_at and record.state != "UNKNOWN" else record.started_at + ANSWERED_WITHIN
    if not record.started_at - SKEW <= job.created_at <= last + SKEW:
        return False
    if record.statement is not None and (job.statement is None or not texts.same(record.statement, job.statement)):
        return False
    match record.state:
        case "FAILED":
            return job.error is not None
        case "DONE":
            return job.error is None
    return True


def _explain(rest: Sequence[Ran], setting: Setting, result: Compared) -> None:
    """Sorts out what is not recorded: what need not be, and what went past the gateway."""
    # The gateway's own account is never let off: with it, anybody who holds its key would be.
    direct = setting.direct_accounts - result.gateway_accounts - {setting.asker}
    recorded = {_place(job, job.id) for job, _ in result.pairs} | set(_recorded_parents(rest, setting))
    past: dict[_Place, Ran] = {}
    children: Counter[_Place] = Counter()
    for job in _from_the_top(rest):
        parent = _place(job, job.parent_id) if job.parent_id else None
        if parent in recorded:
            recorded.add(_place(job, job.id))
            result.counts.children += 1
        elif parent in past:
            children[parent] += 1
        elif not _need_not_be_recorded(job, setting, direct, result.counts):
            past[_place(job, job.id)] = job
    for place, job in past.items():
        result.findings.append(_bypassed(job, setting, result, children[place]))


def _need_not_be_recorded(job: Ran, setting: Setting, direct: Collection[str], counts: Counts) -> bool:
    if jobs_view.is_ours(job, setting.asker):
        counts.own += 1
    elif job.kind is None:
        counts.background += 1
    elif job.user in direct:
        counts.direct[job.user] += 1
    else:
        return False
    return True


def _place(job: Ran, job_id: str) -> _Place:
    return job.project, job.location.lower(), job_id


def _recorded_parents(rest: Sequence[Ran], setting: Setting) -> Iterator[_Place]:
    """Recorded scripts, of whatever time, that one of these jobs says it is a statement of."""
    below: dict[tuple[str, str], list[Ran]] = defaultdict(list)
    for job in rest:
        if job.parent_id:
            below[job.project, job.parent_id].append(job)
    for record in setting.called({parent for _, parent in below}):
        for job in below.get((record.project, record.id or ""), ()):
            if record.state in _ACCEPTED and record.location in (None, job.location):
                yield _place(job, record.id or "")


def _from_the_top(jobs: Sequence[Ran]) -> Iterator[Ran]:
    """Each statement of a script behind the script that it is a part of."""
    waiting, ids = list(jobs), {job.id for job in jobs}
    done: set[str] = set()
    while waiting:
        ready = [job for job in waiting if job.parent_id not in ids or job.parent_id in done] or waiting
        yield from ready
        done |= {job.id for job in ready}
        waiting = [job for job in waiting if job.id not in done]


def _bypassed(job: Ran, setting: Setting, result: Compared, children: int) -> Finding:
    kind = job.statement_type or job.kind or "job"
    own = job.user in result.gateway_accounts or job.user == setting.asker
    message = f"{kind} ran without passing the gateway, " + (
        f"with the gateway's own account {job.user}: somebody else holds its credential."
        if own
        else f"with the rights of {job.user or 'somebody unknown'}."
    )
    if job.session:
        message += (
            f" It carries the label of session {job.session}, where it is not recorded: the label was copied, or the "
            "record is gone."
        )
    step = (
        f"Rotate the credential of {job.user}, and find out who holds a copy: the audit log has the caller's address."
        if own
        else f"Take the right to run jobs in {job.project} from {job.user}; if it is meant to go directly, name it in "
        "`reconcile.direct_accounts`."
    )
    if job.session:
        step += " `hoop-mitm verify` tells whether a record was removed."
    return Finding(
        "bypassed",
        message,
        step,
        job.created_at,
        project=job.project,
        job=job.name,
        user=job.user,
        session_id=job.session,
        ran=job.statement,
        children=children,
    )


def _hold_together(job: Ran, record: Recorded, result: Compared) -> None:
    if record.statement is None or job.statement is None:
        result.counts.texts_not_compared += job.kind == "QUERY"
    elif not texts.same(record.statement, job.statement):
        result.doubtful.append((job, record))
    # Google's MCP server takes no labels.
    if job.session != record.session_id and not (record.door in mcp.EXECUTES and job.session is None):
        result.findings.append(_other_session(job, record))
    both_done = job.state == record.state == "DONE"
    if both_done and None not in (job.bytes_billed, record.bytes_billed) and job.bytes_billed != record.bytes_billed:
        result.findings.append(_other_bill(job, record))


def other_text(job: Ran, record: Recorded) -> Finding:
    """A recorded job that ran with another text."""
    return _about(
        job,
        record,
        "text",
        "The text that ran is not the text that is recorded.",
        "`hoop-mitm verify` tells whether the record was changed; if it was not, something changed the statement behind "
        "the gateway.",
    )


def _other_session(job: Ran, record: Recorded) -> Finding:
    said = f"carries the label of session {job.session}" if job.session else "carries no session's label"
    return _about(
        job,
        record,
        "session",
        f"It is recorded in session {record.session_id}, and {said}.",
        "`hoop-mitm verify` tells whether the record was changed; what the gateway sends carries the label of its session.",
    )


def _other_bill(job: Ran, record: Recorded) -> Finding:
    return _about(
        job,
        record,
        "bytes_billed",
        f"BigQuery billed {job.bytes_billed:,} bytes, and {record.bytes_billed:,} are recorded.",
        "The recording's figures of cost are off by this; `hoop-mitm verify` tells whether they were changed.",
    )


def _about(job: Ran, record: Recorded, kind: Kind, message: str, next_step: str) -> Finding:
    return Finding(
        kind,
        message,
        next_step,
        job.created_at,
        project=job.project,
        job=job.name,
        user=job.user,
        principal=str(record.principal),
        session_id=record.session_id,
        flow_id=record.flow_id,
        ran=job.statement,
        recorded=record.statement,
    )
