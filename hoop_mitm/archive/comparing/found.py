"""What a comparison of two sessions found: its nouns."""

from dataclasses import dataclass
from typing import Any, Literal

from hoop_mitm.archive.entries import JobEntry, SessionEntry
from hoop_mitm.bigquery.rows import Field

type Change = Literal["same", "added", "removed", "changed"]

#: ``unknown``: nothing was found to differ, and not everything could be compared.
type Outcome = Literal["same", "different", "unknown"]

type Difference = Literal[
    "moved",
    "literals",
    "statement",
    "parameters",
    "executed",
    "verdict",
    "state",
    "error",
    "tables",
    "destination",
    "cost",
    "schema",
    "rows",
    "row_count",
]


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of a statement: in both, only in the first, or only in the second."""

    kind: Literal["same", "removed", "added"]
    text: str


@dataclass(frozen=True, slots=True)
class ColumnChange:
    """A column by its dotted name; ``before`` or ``after`` is ``None`` where only one result has it."""

    name: str
    before: Field | None
    after: Field | None


@dataclass(frozen=True, slots=True)
class SchemaDiff:
    """Columns, and those inside of records, that differ; ``reordered``: those that both have stand in another order."""

    columns: tuple[ColumnChange, ...] = ()
    reordered: bool = False

    @property
    def differ(self) -> bool:
        return bool(self.columns) or self.reordered

    @property
    def added(self) -> tuple[ColumnChange, ...]:
        return tuple(each for each in self.columns if each.before is None)

    @property
    def removed(self) -> tuple[ColumnChange, ...]:
        return tuple(each for each in self.columns if each.after is None)

    @property
    def changed(self) -> tuple[ColumnChange, ...]:
        return tuple(each for each in self.columns if each.before is not None and each.after is not None)


@dataclass(frozen=True, slots=True)
class RowChange:
    """One row that differs; ``cells`` are the columns of a ``changed`` one that do, dotted inside of records."""

    change: Literal["added", "removed", "changed"]
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    cells: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RowDiff:
    """Counts of rows, and samples of those that differ.

    Attributes:
        same: rows that both have.
        columns: for each column how many of the changed rows differ in it; only those that do.
        key: the columns that paired the changed rows; empty when none was given, and none was found that pairs any.
        key_given: somebody named the key; else it was found to be unique on both sides.
        ordered: the statement sorts its result, so order counts.
        reordered: rows that both have come in another order (rows that sort equal may swap).
        left_out: columns that were not compared, each with the reason.
    """

    same: int
    added: int = 0
    removed: int = 0
    changed: int = 0
    columns: tuple[tuple[str, int], ...] = ()
    key: tuple[str, ...] = ()
    key_given: bool = False
    ordered: bool = False
    reordered: bool = False
    samples: tuple[RowChange, ...] = ()
    left_out: tuple[tuple[str, str], ...] = ()

    @property
    def differ(self) -> bool:
        return bool(self.added or self.removed or self.changed or self.reordered)


@dataclass(frozen=True, slots=True)
class Figure:
    """A measure of both jobs, in bytes or milliseconds; ``beyond`` what is tolerated."""

    name: Literal["bytes_billed", "bytes_processed", "slot_ms", "duration_ms"]
    before: float | None
    after: float | None
    beyond: bool


@dataclass(frozen=True, slots=True)
class JobDiff:
    """One job of either session, or of both. Reading a table without a job is one too (``job_type`` ``READ``).

    Attributes:
        differences: what makes a ``changed`` pair differ, each named once.
        moved: it stands at another place among the jobs.
        statement / executed: the two texts piece by piece, where they differ.
        tables: referenced tables that only the first, and that only the second has.
        parameters: of both, as JSON text, where they differ.
        schema / rows: ``None`` where there was nothing to compare.
        figures: cost and time; only the bytes billed can be a difference (``cost``).
        remarks: what a reader should know of the comparison.
        unknown: what could not be compared, and why; empty where everything was.
    """

    change: Change
    before: JobEntry | None
    after: JobEntry | None
    differences: tuple[Difference, ...] = ()
    statement: tuple[Piece, ...] = ()
    executed: tuple[Piece, ...] = ()
    tables: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())
    parameters: tuple[str, str] | None = None
    schema: SchemaDiff | None = None
    rows: RowDiff | None = None
    figures: tuple[Figure, ...] = ()
    remarks: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()

    @property
    def moved(self) -> bool:
        return "moved" in self.differences


@dataclass(frozen=True, slots=True)
class SessionDiff:
    before: SessionEntry
    after: SessionEntry
    jobs: tuple[JobDiff, ...]

    @property
    def outcome(self) -> Outcome:
        if any(job.change != "same" for job in self.jobs):
            return "different"
        return "unknown" if any(job.unknown for job in self.jobs) else "same"

    @property
    def same(self) -> bool:
        """Everything was compared, and nothing differs."""
        return self.outcome == "same"

    def count(self, change: Change) -> int:
        return sum(job.change == change for job in self.jobs)
