"""What changed from one session to another: which jobs, and what came back from each."""

import re
from collections import deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Literal

from hoop_mitm.archive.archive import Archive
from hoop_mitm.archive.entries import JobEntry, SessionEntry
from hoop_mitm.archive.statements import normal, ordering
from hoop_mitm.archive.tables import SAMPLES, RowDiff, compare
from hoop_mitm.bigquery.rows import Field

type Change = Literal["same", "added", "removed", "changed"]
type Pair = tuple[JobEntry | None, JobEntry | None]


@dataclass(frozen=True, slots=True)
class SchemaDiff:
    """Columns that only one result has, and those whose type or mode is another (before, after)."""

    added: tuple[Field, ...] = ()
    removed: tuple[Field, ...] = ()
    changed: tuple[tuple[Field, Field], ...] = ()

    @property
    def differ(self) -> bool:
        return bool(self.added or self.removed or self.changed)


@dataclass(frozen=True, slots=True)
class JobDiff:
    """One job of either session, or of both.

    Attributes:
        differences: in one word each, what makes a ``changed`` pair differ: ``statement``, ``place``, ``verdict``,
            ``state``, ``error``, ``schema``, ``rows``, ``row_count``. Bytes and time are shown and never make a
            difference: they depend on caches and on the day.
        schema / rows: ``None`` where there was nothing to compare; ``note`` says why.
    """

    change: Change
    before: JobEntry | None
    after: JobEntry | None
    differences: tuple[str, ...] = ()
    schema: SchemaDiff | None = None
    rows: RowDiff | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True)
class SessionDiff:
    before: SessionEntry
    after: SessionEntry
    jobs: tuple[JobDiff, ...]

    @property
    def same(self) -> bool:
        return all(job.change == "same" for job in self.jobs)

    def count(self, change: Change) -> int:
        return sum(job.change == change for job in self.jobs)


def diff(
    archive: Archive,
    before: SessionEntry,
    after: SessionEntry,
    *,
    samples: int = SAMPLES,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> SessionDiff:
    """Compare two sessions of ``archive``; ``samples`` rows of each kind of change are kept."""
    pairs = align(archive.show(before).jobs, archive.show(after).jobs)
    jobs: list[JobDiff] = []
    for done, (old, new, moved) in enumerate(pairs):
        progress(done, len(pairs))
        if old is not None and new is not None:
            jobs.append(_compare(archive, old, new, moved=moved, samples=samples))
        else:
            jobs.append(JobDiff("added" if old is None else "removed", old, new))
    return SessionDiff(before, after, tuple(jobs))


def align(before: Sequence[JobEntry], after: Sequence[JobEntry]) -> list[tuple[JobEntry | None, JobEntry | None, bool]]:
    """Pair the jobs of two sessions: by normalised statement and order first, then, in the gaps that this leaves, by
    statement without literals and order. What is still left and has the same statement was moved (``True``)."""
    pairs: list[Pair] = []
    for old, new in _matched(before, after, _exact):
        if len(old) == len(new) == 1 and _exact(old[0]) == _exact(new[0]):
            pairs.append((old[0], new[0]))
        else:
            pairs.extend(_single(_matched(old, new, _loose)))
    return _find_moved(pairs)


def _exact(job: JobEntry) -> Hashable:
    text = normal(job.statement) if job.statement is not None else None
    return (job.job_type, job.dry_run, text, None if text else (job.referenced_tables, job.destination))


def _loose(job: JobEntry) -> Hashable:
    return (job.job_type, job.dry_run, job.fingerprint) if job.fingerprint else _exact(job)


type Jobs = Sequence[JobEntry]


def _matched(before: Jobs, after: Jobs, key: Callable[[JobEntry], Hashable]) -> Iterator[tuple[Jobs, Jobs]]:
    """Runs of both sequences: each pair that is equal by ``key`` on its own, and the gaps between as they are."""
    keys_before, keys_after = [key(job) for job in before], [key(job) for job in after]
    start = _common(keys_before, keys_after)
    end = _common(keys_before[start:][::-1], keys_after[start:][::-1])
    for index in range(start):
        yield before[index : index + 1], after[index : index + 1]
    # SequenceMatcher is quadratic where a statement repeats: it only sees what lies between the equal ends.
    middle_before, middle_after = before[start : len(before) - end], after[start : len(after) - end]
    matcher = SequenceMatcher(
        None, keys_before[start : len(before) - end], keys_after[start : len(after) - end], autojunk=False
    )
    for tag, first, last, other_first, other_last in matcher.get_opcodes():
        if tag == "equal":
            for one, other in zip(range(first, last), range(other_first, other_last), strict=True):
                yield middle_before[one : one + 1], middle_after[other : other + 1]
        else:
            yield middle_before[first:last], middle_after[other_first:other_last]
    for index in range(end, 0, -1):
        yield before[len(before) - index :][:1], after[len(after) - index :][:1]


def _common(one: Sequence[Hashable], other: Sequence[Hashable]) -> int:
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def _single(runs: Iterator[tuple[Jobs, Jobs]]) -> Iterator[Pair]:
    for old, new in runs:
        if len(old) == len(new) == 1 and _loose(old[0]) == _loose(new[0]):
            yield old[0], new[0]
        else:
            yield from ((job, None) for job in old)
            yield from ((None, job) for job in new)


def _find_moved(pairs: list[Pair]) -> list[tuple[JobEntry | None, JobEntry | None, bool]]:
    gone: dict[Hashable, deque[JobEntry]] = {}
    for old, new in pairs:
        if old is not None and new is None:
            gone.setdefault(_exact(old), deque()).append(old)
    found: dict[str, JobEntry] = {}
    for old, new in pairs:
        if old is None and new is not None and (candidates := gone.get(_exact(new))):
            found[new.key] = candidates.popleft()
    moved = {job.key for job in found.values()}
    return [
        (old or found.get(new.key) if new else old, new, old is None and new is not None and new.key in found)
        for old, new in pairs
        if new is not None or (old is not None and old.key not in moved)
    ]


def _compare(archive: Archive, old: JobEntry, new: JobEntry, *, moved: bool, samples: int) -> JobDiff:
    differences = ["place"] if moved else []
    if normal(old.statement or "") != normal(new.statement or ""):
        differences.append("statement")
    if (old.verdict.decision, old.verdict.rule) != (new.verdict.decision, new.verdict.rule):
        differences.append("verdict")
    if old.state != new.state:
        differences.append("state")
    if _error(old) != _error(new):
        differences.append("error")
    schema = _compare_schemas(old.schema, new.schema)
    if schema is not None and schema.differ:
        differences.append("schema")
    rows, note = _compare_rows(archive, old, new, samples)
    if rows is not None and rows.differ:
        differences.append("rows")
    elif rows is None and None not in (old.row_count, new.row_count) and old.row_count != new.row_count:
        differences.append("row_count")
    return JobDiff("changed" if differences else "same", old, new, tuple(differences), schema, rows, note)


def _error(job: JobEntry) -> str | None:
    """The error without the ids that each run has of its own."""
    if job.error is None or job.id is None:
        return job.error
    return re.sub(rf"\S*{re.escape(job.id)}\S*", "<job>", job.error)


def _compare_schemas(old: tuple[Field, ...] | None, new: tuple[Field, ...] | None) -> SchemaDiff | None:
    if old is None or new is None:
        return None
    old_by_name, new_by_name = ({column.name.lower(): column for column in columns} for columns in (old, new))
    return SchemaDiff(
        added=tuple(column for name, column in new_by_name.items() if name not in old_by_name),
        removed=tuple(column for name, column in old_by_name.items() if name not in new_by_name),
        changed=tuple(
            (column, new_by_name[name])
            for name, column in old_by_name.items()
            if name in new_by_name and column != new_by_name[name]
        ),
    )


def _compare_rows(archive: Archive, old: JobEntry, new: JobEntry, samples: int) -> tuple[RowDiff | None, str | None]:
    before, after = archive.rows(old), archive.rows(new)
    if before is None and after is None:
        return None, None
    if before is None or after is None:
        which = "first" if before is None else "second"
        return None, f"The {which} session has no recorded rows for it, so rows were not compared."
    rows = compare(before.table, after.table, ordering(new.statement or ""), samples)
    partial = [name for name, result in (("first", before), ("second", after)) if result.complete is False]
    note = f"The client of the {' and the '.join(partial)} session read only part of the result." if partial else None
    return rows, note
