"""What changed from one session to another."""

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from hoop_mitm.archive import Change, JobDiff, JobEntry, RowChange, RowDiff, SchemaDiff, SessionDiff, SessionEntry
from hoop_mitm.bigquery.rows import Field
from hoop_mitm.cli import terminal
from hoop_mitm.cli.render import job as job_render

_MARKS: dict[Change, tuple[str, str]] = {
    "same": ("=", "dim"),
    "added": ("+", "bold green"),
    "removed": ("-", "bold red"),
    "changed": ("~", "bold yellow"),
}
_STATEMENT_LINES = 10


def whole(found: SessionDiff) -> Iterator[RenderableType]:
    yield _sessions(found.before, found.after)
    yield Text("")
    for job in found.jobs:
        yield _line(job)
        if job.change != "same":
            yield terminal.indented(_details(job))
            yield Text("")
    yield _verdict(found)


def _sessions(before: SessionEntry, after: SessionEntry) -> Table:
    grid = Table.grid(padding=(0, 2))
    for letter, session in (("A", before), ("B", after)):
        grid.add_row(
            Text(letter, style="bold"),
            Text(terminal.safe(session.name), style="bold"),
            Text(terminal.safe(str(session.principal))),
            terminal.day_and_clock(session.started_at),
            Text(session.id, style="cyan"),
        )
    return grid


def _line(job: JobDiff) -> Text:
    mark, style = _MARKS[job.change]
    one = job.after or job.before
    assert one is not None
    numbers = " → ".join(f"#{each.number}" for each in (job.before, job.after) if each is not None)
    line = Text.assemble((f"{mark} ", style), (numbers, "dim" if job.change == "same" else "bold"), "  ")
    if job.change == "same":
        return line + Text(terminal.one_line(one.statement or one.job_type), style="dim")
    what = {"added": "only in B", "removed": "only in A"}.get(job.change) or ", ".join(_words(job))
    return line + Text(what, style=style)


def _words(job: JobDiff) -> Iterator[str]:
    for difference in job.differences:
        match difference:
            case "rows" if job.rows is not None:
                yield _row_words(job.rows)
            case "row_count" if job.before and job.after:
                yield f"{job.before.row_count:,} → {job.after.row_count:,} rows"
            case "place":
                yield "asked at another place"
            case _:
                yield f"another {difference}"


def _row_words(rows: RowDiff) -> str:
    counted = [(rows.added, "added"), (rows.removed, "removed"), (rows.changed, "changed")]
    parts = [f"{terminal.count(number, 'row')} {word}" for number, word in counted if number]
    return ", ".join(parts) or "the same rows in another order"


def _details(job: JobDiff) -> RenderableType:
    one = job.after or job.before
    assert one is not None
    parts: list[RenderableType] = []
    if job.before and job.after and "statement" in job.differences:
        for letter, each in (("A", job.before), ("B", job.after)):
            parts += [Text(letter, style="bold"), job_render.subject(each, _STATEMENT_LINES)]
    else:
        parts.append(job_render.subject(one, _STATEMENT_LINES))
    if job.before and job.after:
        parts += _pair(job, job.before, job.after)
    else:
        parts.append(Text.assemble(job_render.outcome(one), "  ", job_render.numbers(one)))
    if job.note:
        parts.append(Text(job.note, style="yellow"))
    return Group(*parts)


def _pair(job: JobDiff, before: JobEntry, after: JobEntry) -> Iterator[RenderableType]:
    for difference in ("verdict", "state", "error"):
        if difference in job.differences:
            yield Text.assemble(
                f"{difference}: ", (_said(before, difference), "red"), " → ", (_said(after, difference), "green")
            )
    if job.schema is not None and job.schema.differ:
        yield from _schema(job.schema)
    if job.rows is not None and job.rows.samples:
        yield _samples(job.rows)
    yield Text(_figures(before, after), style="dim")


def _said(job: JobEntry, what: str) -> str:
    if what == "verdict":
        return f"{job.verdict.decision} ({terminal.safe(job.verdict.rule)})"
    return terminal.safe((job.state if what == "state" else job.error) or "none")


def _schema(schema: SchemaDiff) -> Iterator[Text]:
    for column in schema.added:
        yield Text(f"+ column {_column(column)}", style="green")
    for column in schema.removed:
        yield Text(f"- column {_column(column)}", style="red")
    for old, new in schema.changed:
        yield Text(f"~ column {_column(old)} → {_column(new)}", style="yellow")


def _column(column: Field) -> str:
    mode = "" if column.mode == "NULLABLE" else f" {column.mode}"
    inner = f"<{', '.join(_column(field) for field in column.fields)}>" if column.fields else ""
    return f"{terminal.safe(column.name)} {column.type}{inner}{mode}"


def _samples(rows: RowDiff) -> RenderableType:
    """The rows that differ; in a changed one the cells that do are marked."""
    names = list(rows.samples[0].after or rows.samples[0].before or ())
    table = Table(show_edge=False, pad_edge=False, header_style="bold")
    table.add_column("")
    for name in names:
        table.add_column(Text(terminal.safe(name) + (" (key)" if name in rows.key else "")), overflow="fold")
    for change in rows.samples:
        mark, style = _MARKS[change.change]
        table.add_row(Text(mark, style=style), *(_cell(change, name, style) for name in names))
    shown = len(rows.samples)
    rest = rows.added + rows.removed + rows.changed - shown
    return (
        Group(table, Text(f"… and {terminal.count(rest, 'more row', 'more rows')}", style="dim")) if rest > 0 else table
    )


def _cell(change: RowChange, name: str, style: str) -> Text:
    if change.before is not None and change.after is not None:
        if name not in change.cells:
            return terminal.cell(change.after[name])
        old, new = terminal.cell(change.before[name]), terminal.cell(change.after[name])
        old.stylize("red")
        new.stylize("green")
        return Text.assemble(old, " → ", new)
    only = terminal.cell((change.after or change.before or {})[name])
    only.stylize(style)
    return only


def _figures(before: JobEntry, after: JobEntry) -> str:
    read = _change(terminal.size(before.bytes_processed), terminal.size(after.bytes_processed))
    return f"{read} read, in {_change(terminal.took(before.duration), terminal.took(after.duration))}"


def _change(old: str, new: str) -> str:
    return old if old == new else f"{old} → {new}"


def _verdict(found: SessionDiff) -> Text:
    if found.same:
        return Text(f"Same: {terminal.count(len(found.jobs), 'job')}, no difference.", style="bold green")
    kinds: tuple[Change, ...] = ("changed", "added", "removed", "same")
    return Text(", ".join(f"{found.count(kind)} {kind}" for kind in kinds if found.count(kind)), style="bold")
