"""A comparison in words, the same on a terminal and on a page."""

from collections import Counter
from collections.abc import Iterator

from hoop_mitm.archive.comparing.found import Difference, Figure, JobDiff, Outcome, RowDiff, SessionDiff
from hoop_mitm.archive.entries import JobEntry
from hoop_mitm.archive.words import UNKNOWN, count, price, size, took
from hoop_mitm.bigquery.rows import Field

_TOTALS: dict[Difference, str] = {
    "moved": "moved",
    "literals": "with other literals",
    "statement": "with an edited statement",
    "parameters": "with other parameters",
    "executed": "rewritten in another way",
    "verdict": "with another verdict",
    "state": "in another state",
    "error": "with another error",
    "tables": "reading other tables",
    "destination": "writing elsewhere",
    "cost": "at another cost",
    "schema": "with another schema",
    "rows": "with other rows",
    "row_count": "with another number of rows",
}
_NAMES = {"bytes_billed": "billed", "bytes_processed": "read", "slot_ms": "slot time", "duration_ms": "took"}


def verdict(found: SessionDiff) -> str:
    """What came out, in one line."""
    said: dict[Outcome, str] = {
        "same": f"Same: {count(len(found.jobs), 'job')}, no difference.",
        "different": "Different: "
        + ", ".join(f"{n} {kind}" for kind in ("changed", "added", "removed", "same") if (n := found.count(kind)))
        + ".",
        "unknown": f"No difference was found, and not everything could be compared: {count(len(found.jobs), 'job')}, "
        f"{sum(bool(job.unknown) for job in found.jobs)} of them not in full.",
    }
    return said[found.outcome]


def totals(found: SessionDiff) -> Iterator[str]:
    """What differs, the most frequent first; then rows; then what could not be compared."""
    counted = Counter(difference for job in found.jobs for difference in job.differences)
    for difference, number in counted.most_common():
        yield f"{count(number, 'job')} {_TOTALS[difference]}"
    rows = [job.rows for job in found.jobs if job.rows is not None and job.rows.differ]
    if rows:
        whole = RowDiff(
            sum(each.same for each in rows),
            added=sum(each.added for each in rows),
            removed=sum(each.removed for each in rows),
            changed=sum(each.changed for each in rows),
            reordered=any(each.reordered for each in rows),
        )
        yield f"in all: {row_words(whole)}"
    unknown = sum(bool(job.unknown) for job in found.jobs)
    if unknown and found.outcome == "different":
        yield f"{count(unknown, 'job')} not compared in full"


def job_words(job: JobDiff) -> Iterator[str]:
    """What makes a pair differ, a few words each."""
    for difference in job.differences:
        yield _in_figures(job, difference) or _WORDS.get(difference) or f"another {difference.replace('_', ' ')}"


_WORDS: dict[Difference, str] = {
    "moved": "moved",
    "literals": "literals edited",
    "statement": "statement edited",
    "executed": "executed statement differs",
    "parameters": "other parameters",
    "tables": "other tables",
}


def _in_figures(job: JobDiff, difference: Difference) -> str | None:
    before, after = job.before, job.after
    assert before is not None
    assert after is not None
    match difference:
        case "verdict" if before.verdict.decision != after.verdict.decision:
            return f"{_decided(before)} → {_decided(after)}"
        case "cost":
            return f"billed {size(before.bytes_billed)} → {size(after.bytes_billed)}"
        case "rows" if job.rows is not None:
            return row_words(job.rows)
        case "row_count" if before.row_count is not None and after.row_count is not None:
            return f"{before.row_count:,} → {after.row_count:,} rows"
        case "schema" if job.schema is not None:
            return _schema_words(len(job.schema.added), len(job.schema.removed), len(job.schema.changed))
    return None


def _decided(job: JobEntry) -> str:
    return {"allow": "allowed", "deny": "denied"}.get(job.verdict.decision, job.verdict.decision)


def _schema_words(added: int, removed: int, changed: int) -> str:
    parts = [
        f"{count(number, 'column')} {word}"
        for number, word in ((added, "added"), (removed, "removed"), (changed, "changed"))
        if number
    ]
    return ", ".join(parts) or "columns in another order"


def row_words(rows: RowDiff) -> str:
    counted = [(rows.added, "added"), (rows.removed, "removed"), (rows.changed, "changed")]
    parts = [f"{count(number, 'row')} {word}" for number, word in counted if number]
    if rows.reordered:
        parts.append("rows in another order" if parts else "the same rows in another order")
    return ", ".join(parts) or "the same rows"


def pairing(rows: RowDiff) -> str:
    """How the rows were paired."""
    if rows.key:
        return f"Paired by {', '.join(rows.key)} ({'as given' if rows.key_given else 'found to be unique in both'})."
    if rows.changed:
        return "Paired by their place."
    return "No key pairs them."


def by_column(rows: RowDiff) -> str | None:
    """In which columns the changed rows differ."""
    if not rows.columns:
        return None
    told = ", ".join(f"{name} in {number:,}" for name, number in rows.columns)
    return f"Changed: {told}."


def figures(job: JobDiff) -> str:
    """Cost and time of both, in one line."""
    if job.before is None or job.after is None:
        return ""
    parts = [
        f"{_NAMES[figure.name]} {_change(_figure(figure, figure.before), _figure(figure, figure.after))}"
        for figure in job.figures
        if not (figure.before is None and figure.after is None)
    ]
    cost = _change(price(job.before.bytes_billed), price(job.after.bytes_billed))
    cached = [letter for letter, each in (("A", job.before), ("B", job.after)) if each.cache_hit]
    if cached:
        parts.append(f"{' and '.join(cached)} from cache")
    return ", ".join([*parts, cost]) if parts else ""


def _figure(figure: Figure, value: float | None) -> str:
    from datetime import timedelta

    if value is None:
        return UNKNOWN
    return took(timedelta(milliseconds=value)) if figure.name.endswith("_ms") else size(int(value))


def _change(old: str, new: str) -> str:
    return old if old == new else f"{old} → {new}"


def said(job: JobEntry, what: str) -> str:
    """What one side says where verdict, state, error or destination differ."""
    match what:
        case "verdict":
            message = f": {job.verdict.message}" if job.verdict.message else ""
            return f"{job.verdict.decision} ({job.verdict.rule}){message}"
        case "destination":
            return str(job.destination or "nowhere")
    return (job.state if what == "state" else job.error) or "none"


def column(field: Field, name: str | None = None) -> str:
    """A column with its type and mode."""
    mode = "" if field.mode == "NULLABLE" else f" {field.mode}"
    inner = f"<{', '.join(column(each) for each in field.fields)}>" if field.fields else ""
    return f"{name or field.name} {field.type}{inner}{mode}"


def subject(job: JobEntry) -> str:
    """What a job without a statement is about."""
    tables = ", ".join(str(table) for table in job.referenced_tables)
    what = "rows read without a job" if job.job_type == "READ" else job.job_type
    return f"{what}: {tables}" if tables else what


def numbers(job: JobDiff) -> str:
    """``#3 → #4``; what was done without a job has none."""
    told = [f"#{each.number}" for each in (job.before, job.after) if each is not None and each.number]
    return " → ".join(told) or "·"
