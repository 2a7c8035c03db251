"""What changed from one session to another: which jobs, and what came of each."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from hoop_mitm.archive.archive import Archive
from hoop_mitm.archive.comparing import parameters, schemas, varying
from hoop_mitm.archive.comparing.alignment import align
from hoop_mitm.archive.comparing.direct import READ, asked
from hoop_mitm.archive.comparing.found import Difference, Figure, JobDiff, RowDiff, SessionDiff
from hoop_mitm.archive.comparing.generated import Generated, hidden
from hoop_mitm.archive.comparing.landing import Landed, Missing
from hoop_mitm.archive.comparing.rows import Compared, Ways, compare
from hoop_mitm.archive.comparing.texts import pieces
from hoop_mitm.archive.comparing.workspace import Workspace
from hoop_mitm.archive.entries import FlowEntry, JobEntry, SessionEntry
from hoop_mitm.archive.statements import normal, ordering
from hoop_mitm.archive.words import count

#: Bytes billed differ when they do by more than this part of the larger.
COST_TOLERANCE = 0.1
# Time depends on the day: it is told where one took more than twice as long, and noticeably so.
_TIME_TOLERANCE, _NOTICEABLE_MS = 0.5, 1000.0
# Statements that give no rows to read.
_WITHOUT_ROWS = frozenset({"INSERT", "UPDATE", "DELETE", "MERGE", "TRUNCATE_TABLE", "EXPORT_DATA", "LOAD_DATA"})


@dataclass(frozen=True, slots=True)
class Options:
    """How two sessions are compared.

    Attributes:
        rows: how their rows are; of its ``ignore``, names that end in ``()`` are functions, as in ``functions``.
        functions: columns that are computed from these are not compared.
        cost_tolerance: bytes billed may differ by this part of the larger.
    """

    rows: Ways = field(default_factory=Ways)
    functions: tuple[str, ...] = varying.FUNCTIONS
    cost_tolerance: float = COST_TOLERANCE


class _Side:
    """One of the two sessions."""

    def __init__(self, letter: str, archive: Archive, session: SessionEntry) -> None:
        self.letter = letter
        self.archive = archive
        self.session = session
        detail = archive.show(session)
        self.jobs = asked(detail)
        self.names = Generated.of(detail)
        self.landing = archive.landing(session)
        self.flows: dict[str, FlowEntry] = {flow.id: flow for flow in detail.flows}


def diff(
    archive: Archive,
    before: SessionEntry,
    after: SessionEntry,
    options: Options | None = None,
    *,
    other: Archive | None = None,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> SessionDiff:
    """Compare two sessions of ``archive``, or one of it and one of the archive ``other``.

    Raises:
        ArchiveError: an archive is damaged.
    """
    one, two = _Side("A", archive, before), _Side("B", other or archive, after)
    pairs = align(one.jobs, two.jobs, one.names, two.names)
    jobs: list[JobDiff] = []
    with Workspace() as workspace:
        for done, (old, new, moved) in enumerate(pairs):
            progress(done, len(pairs))
            if old is not None and new is not None:
                jobs.append(_Pair((one, two), (old, new), options or Options(), workspace).compare(moved=moved))
            else:
                jobs.append(JobDiff("added" if old is None else "removed", old, new))
    return SessionDiff(before, after, tuple(jobs))


class _Pair:
    """Two jobs that belong together, being compared."""

    def __init__(
        self, sides: tuple[_Side, _Side], jobs: tuple[JobEntry, JobEntry], options: Options, workspace: Workspace
    ) -> None:
        self._one, self._two = sides
        self._old, self._new = old, new = jobs
        self._options = options
        self._workspace = workspace
        self._found = JobDiff("same", old, new)

    def compare(self, *, moved: bool) -> JobDiff:
        if moved:
            self._differs("moved")
        self._statements()
        self._parameters()
        if self._outcomes():
            self._tables()
            self._figures()
            self._schemas()
            self._rows()
        return self._found

    def _differs(self, what: Difference) -> None:
        self._found = replace(self._found, change="changed", differences=(*self._found.differences, what))

    def _remark(self, text: str) -> None:
        self._found = replace(self._found, remarks=(*self._found.remarks, text))

    def _cannot_say(self, text: str) -> None:
        self._found = replace(self._found, unknown=(*self._found.unknown, text))

    def _statements(self) -> None:
        old, new = self._old, self._new
        texts = self._one.names.without(old.statement or ""), self._two.names.without(new.statement or "")
        same = normal(texts[0]) == normal(texts[1])
        if not same:
            self._differs("literals" if old.fingerprint and old.fingerprint == new.fingerprint else "statement")
            self._found = replace(self._found, statement=pieces(old.statement or "", new.statement or ""))
        given = tuple(
            None
            if job.executed_statement is None or normal(job.executed_statement) == normal(job.statement or "")
            else side.names.without(job.executed_statement)
            for side, job in ((self._one, old), (self._two, new))
        )
        # What another statement was rewritten to is another text anyway.
        if (given[0] is None) != (given[1] is None) or (same and normal(given[0] or "") != normal(given[1] or "")):
            self._differs("executed")
            self._found = replace(
                self._found,
                executed=pieces(
                    old.executed_statement or old.statement or "", new.executed_statement or new.statement or ""
                ),
            )

    def _parameters(self) -> None:
        old = parameters.of_job(self._one.archive, self._old, self._one.flows)
        new = parameters.of_job(self._two.archive, self._new, self._two.flows)
        if old is not None and new is not None and old != new:
            self._differs("parameters")
            self._found = replace(self._found, parameters=(old, new))

    def _outcomes(self) -> bool:
        """Whether both ended in a way that leaves something more to compare."""
        old, new = self._old, self._new
        verdicts = [
            (job.verdict.decision, job.verdict.rule, side.names.without(job.verdict.message))
            for side, job in ((self._one, old), (self._two, new))
        ]
        allowed = old.verdict.decision == new.verdict.decision == "allow"
        if verdicts[0][2] != verdicts[1][2] or (not allowed and verdicts[0] != verdicts[1]):
            self._differs("verdict")
        elif old.verdict.rule != new.verdict.rule:
            self._remark(f"A was let through by the rule {old.verdict.rule}, B by {new.verdict.rule}.")
        if old.verdict.decision != "allow" or old.verdict.decision != new.verdict.decision:
            return False
        errors = [
            None if job.error is None else side.names.without(job.error)
            for side, job in ((self._one, old), (self._two, new))
        ]
        if errors[0] != errors[1]:
            self._differs("error")
        if any(errors):
            return False
        if old.state != new.state:
            self._differs("state")
        return not old.dry_run or old.state == new.state

    def _tables(self) -> None:
        old, new = (
            {str(table) for table in job.referenced_tables if not hidden(table)} for job in (self._old, self._new)
        )
        # BigQuery does not always say them.
        if old and new and old != new:
            self._differs("tables")
            self._found = replace(self._found, tables=(tuple(sorted(old - new)), tuple(sorted(new - old))))
        places = [
            None if job.destination is None or hidden(job.destination) else job.destination
            for job in (self._old, self._new)
        ]
        if places[0] != places[1]:
            self._differs("destination")

    def _figures(self) -> None:
        old, new = self._old, self._new
        tolerance = self._options.cost_tolerance
        cached = bool(old.cache_hit), bool(new.cache_hit)
        figures = (
            Figure(
                "bytes_billed", old.bytes_billed, new.bytes_billed, _far(old.bytes_billed, new.bytes_billed, tolerance)
            ),
            Figure(
                "bytes_processed",
                old.bytes_processed,
                new.bytes_processed,
                _far(old.bytes_processed, new.bytes_processed, tolerance),
            ),
            Figure("slot_ms", old.slot_ms, new.slot_ms, _far_in_time(old.slot_ms, new.slot_ms)),
            Figure("duration_ms", _ms(old), _ms(new), _far_in_time(_ms(old), _ms(new))),
        )
        self._found = replace(self._found, figures=figures)
        if cached[0] != cached[1]:
            self._remark(f"{'A' if cached[0] else 'B'} was answered from BigQuery's cache, so cost was not compared.")
        elif figures[0].beyond:
            self._differs("cost")

    def _schemas(self) -> None:
        if self._old.schema is None or self._new.schema is None:
            return
        found = schemas.compare(self._old.schema, self._new.schema)
        self._found = replace(self._found, schema=found)
        if found.differ:
            self._differs("schema")

    def _rows(self) -> None:
        old, new = self._old, self._new
        if old.dry_run or (old.job_type not in ("QUERY", READ)):
            return self._row_counts()
        try:
            landed = [
                side.landing.land(job, self._workspace, name)
                for side, job, name in ((self._one, old, "left"), (self._two, new, "right"))
            ]
            match landed:
                case [Landed() as one, Landed() as two]:
                    self._landed(one, two)
                case [Missing() as one, Missing() as two] if self._nothing_to_read(one, two):
                    self._row_counts()
                case [one, two]:
                    self._row_counts()
                    self._missing(one, two)
        finally:
            self._workspace.sweep()
        return None

    def _row_counts(self) -> None:
        old, new = self._old.row_count, self._new.row_count
        if None not in (old, new) and old != new:
            self._differs("row_count")

    def _nothing_to_read(self, one: Missing, two: Missing) -> bool:
        """Neither client asked for rows, or there were none to ask for."""
        old, new = self._old, self._new
        none = all(job.row_count == 0 or job.statement_type in _WITHOUT_ROWS for job in (old, new))
        ddl = all((job.statement_type or "").startswith(("CREATE", "DROP", "ALTER")) for job in (old, new))
        return none or ddl or (one.why == two.why == "unread")

    def _missing(self, one: Landed | Missing, two: Landed | Missing) -> None:
        if "row_count" in self._found.differences:
            return
        for letter, found in (("A", one), ("B", two)):
            if isinstance(found, Missing):
                self._cannot_say(f"{_why(letter, found)}, so rows were not compared.")

    def _landed(self, one: Landed, two: Landed) -> None:
        old, new = self._old, self._new
        order = ordering(new.statement or "") if ordering(old.statement or "") else None
        compared = compare(self._workspace, one, two, self._ways(), order=order, left_out=self._left_out())
        for remark in compared.remarks:
            self._remark(remark)
        by_reason: dict[str, list[str]] = {}
        for name, reason in compared.rows.left_out:
            by_reason.setdefault(reason, []).append(name)
        for reason, names in by_reason.items():
            self._remark(f"Not compared: {', '.join(names)} ({reason}).")
        rows = self._as_far_as_read(one, two, compared, sorts=order is not None)
        self._found = replace(self._found, rows=rows)
        if rows.differ:
            self._differs("rows")
        elif None not in (one.total, two.total) and one.total != two.total:
            self._differs("row_count")

    def _ways(self) -> Ways:
        ways = self._options.rows
        return replace(ways, ignore=tuple(name for name in ways.ignore if not name.endswith("()")))

    def _left_out(self) -> dict[str, str]:
        """Columns that are computed from what is something else each time."""
        named = tuple(name for name in self._options.rows.ignore if name.endswith("()"))
        functions = (*self._options.functions, *named)
        found: dict[str, str] = {}
        for job in (self._old, self._new):
            for name, function in varying.columns(job.statement or "", functions).items():
                found[name] = f"computed from {function}"
        return found

    def _as_far_as_read(self, one: Landed, two: Landed, compared: Compared, *, sorts: bool) -> RowDiff:
        """The difference less what is none: a row that one client has and the other had only not read so far."""
        rows = compared.rows
        parts = [(letter, each) for letter, each in (("A", one), ("B", two)) if each.complete is not True]
        if not parts:
            return rows
        read = " and ".join(_read(letter, each) for letter, each in parts)
        alike = len(parts) == 2 and (one.rows, one.total) == (two.rows, two.total)  # noqa: PLR2004 - both
        if alike and (sorts or not rows.differ):
            self._remark(f"{read}: what both read was compared.")
            return rows
        self._cannot_say(f"{read}: only what was read could be compared.")
        incomplete = {letter for letter, _ in parts}
        gone = {"added"} if "A" in incomplete else set()
        gone |= {"removed"} if "B" in incomplete else set()
        return replace(
            rows,
            added=0 if "added" in gone else rows.added,
            removed=0 if "removed" in gone else rows.removed,
            reordered=False,
            samples=tuple(sample for sample in rows.samples if sample.change not in gone),
        )


def _why(letter: str, found: Missing) -> str:
    match found.why:
        case "unread":
            return f"The client of {letter} read no rows"
        case "unreadable":
            return f"What is recorded of {letter}'s rows cannot be read"
    if found.levels:
        return f"{letter}'s rows were not recorded (level {', '.join(found.levels)})"
    return f"{letter}'s rows are not in the recording, or not any more"


def _read(letter: str, part: Landed) -> str:
    if part.complete is None:
        return f"The recording does not say whether the {count(part.rows, 'row')} of {letter} are all"
    of = f" of {part.total:,}" if part.total is not None else ""
    return f"The client of {letter} read {part.rows:,}{of} rows"


def _ms(job: JobEntry) -> float | None:
    return None if job.duration is None else job.duration.total_seconds() * 1000


def _far(old: float | None, new: float | None, tolerance: float) -> bool:
    return old is not None and new is not None and abs(old - new) > tolerance * max(old, new)


def _far_in_time(old: float | None, new: float | None) -> bool:
    return old is not None and new is not None and abs(old - new) > _NOTICEABLE_MS and _far(old, new, _TIME_TOLERANCE)
