"""What changed from one session to another: the summary first, then job by job."""

from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from hoop_mitm.archive import Change, JobDiff, JobEntry, RowChange, RowDiff, SchemaDiff, SessionDiff, SessionEntry
from hoop_mitm.archive.comparing import Piece, wording
from hoop_mitm.cli import terminal
from hoop_mitm.cli.render import job as job_render

_MARKS: dict[Change, tuple[str, str]] = {
    "same": ("=", "dim"),
    "added": ("+", "bold green"),
    "removed": ("-", "bold red"),
    "changed": ("~", "bold yellow"),
}
_OUTCOMES = {"same": "bold green", "different": "bold yellow", "unknown": "bold magenta"}
_STATEMENT_LINES = 10
# What is the same is told in a line, but not by the thousand.
_SAME_LINES = 20


def whole(found: SessionDiff) -> Iterator[RenderableType]:
    yield _sessions(found.before, found.after)
    yield Text("")
    yield Text(wording.verdict(found), style=_OUTCOMES[found.outcome])
    for line in wording.totals(found):
        yield Text(f"  {line}")
    yield Text("")
    same = 0
    for job in found.jobs:
        if job.change == "same" and not job.unknown:
            same += 1
            if same > _SAME_LINES:
                continue
        yield _line(job)
        if job.change != "same" or job.unknown or job.remarks:
            yield terminal.indented(_details(job))
            yield Text("")
    if same > _SAME_LINES:
        yield Text(f"… and {terminal.count(same - _SAME_LINES, 'job')} more that are the same", style="dim")


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
    line = Text.assemble((f"{mark} ", style), (wording.numbers(job), "dim" if job.change == "same" else "bold"), "  ")
    if job.change == "same":
        return line + Text(terminal.one_line(one.statement or wording.subject(one)), style="dim")
    what = {"added": "only in B", "removed": "only in A"}.get(job.change) or ", ".join(wording.job_words(job))
    return line + Text(terminal.safe(what), style=style)


def _details(job: JobDiff) -> RenderableType:
    one = job.after or job.before
    assert one is not None
    parts: list[RenderableType] = []
    if job.change == "same":
        pass
    elif job.statement:
        parts.append(_pieces(job.statement))
    elif one.statement is None:
        parts.append(Text(terminal.safe(wording.subject(one))))
    else:
        parts.append(job_render.subject(one, _STATEMENT_LINES))
    if job.before and job.after:
        parts += _pair(job, job.before, job.after)
    else:
        parts.append(Text.assemble(job_render.outcome(one), "  ", job_render.numbers(one)))
    parts += (Text(terminal.safe(remark), style="dim") for remark in job.remarks)
    parts += (Text(terminal.safe(reason), style="magenta") for reason in job.unknown)
    return Group(*parts)


def _pieces(pieces: Sequence[Piece]) -> Text:
    """A statement with what went and what came marked; by signs too, where there is no colour."""
    text = Text()
    for piece in pieces:
        shown = terminal.safe(piece.text)
        match piece.kind:
            case "same":
                text.append(shown)
            case "removed":
                text.append(f"[-{shown}-]", style="red strike")
            case "added":
                text.append(f"{{+{shown}+}}", style="green")
    lines = text.split("\n")
    kept = [n for n, line in enumerate(lines) if line.spans]
    if len(lines) <= _STATEMENT_LINES:
        return text
    near = {n + by for n in kept for by in (-1, 0, 1)}
    shown_lines: list[Text] = []
    for number, line in enumerate(lines):
        if number in near:
            shown_lines.append(line)
        elif number - 1 in near or number == 0:
            shown_lines.append(Text("…", style="dim"))
    return Text("\n").join(shown_lines)


def _pair(job: JobDiff, before: JobEntry, after: JobEntry) -> Iterator[RenderableType]:
    for difference in ("verdict", "state", "error", "destination"):
        if difference in job.differences:
            yield Text.assemble(
                f"{difference}: ",
                (terminal.safe(wording.said(before, difference)), "red"),
                " → ",
                (terminal.safe(wording.said(after, difference)), "green"),
            )
    if job.executed:
        yield Text("executed:", style="bold")
        yield _pieces(job.executed)
    if job.parameters is not None:
        old, new = job.parameters
        yield Text.assemble("parameters: ", (terminal.safe(old), "red"), " → ", (terminal.safe(new), "green"))
    for sign, style, tables in (("-", "red", job.tables[0]), ("+", "green", job.tables[1])):
        for table in tables:
            yield Text(f"{sign} table {terminal.safe(table)}", style=style)
    if job.schema is not None and job.schema.differ:
        yield from _schema(job.schema)
    if job.rows is not None and job.rows.differ:
        yield from _rows(job.rows)
    if job.change != "same":
        yield Text(wording.figures(job), style="dim")


def _schema(schema: SchemaDiff) -> Iterator[Text]:
    for change in schema.columns:
        if change.before is None and change.after is not None:
            yield Text(f"+ column {terminal.safe(wording.column(change.after, change.name))}", style="green")
        elif change.before is not None and change.after is None:
            yield Text(f"- column {terminal.safe(wording.column(change.before, change.name))}", style="red")
        elif change.before is not None and change.after is not None:
            old, new = wording.column(change.before, change.name), wording.column(change.after)
            yield Text(f"~ column {terminal.safe(old)} → {terminal.safe(new)}", style="yellow")
    if schema.reordered:
        yield Text("~ columns in another order", style="yellow")


def _rows(rows: RowDiff) -> Iterator[RenderableType]:
    yield Text(terminal.safe(" ".join(filter(None, (wording.pairing(rows), wording.by_column(rows))))), style="dim")
    if rows.samples:
        yield _samples(rows)


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
        marked = [cell for cell in change.cells if cell == name or cell.startswith((f"{name}.", f"{name}["))]
        if not marked:
            return terminal.cell(change.after[name])
        old, new = terminal.cell(change.before[name]), terminal.cell(change.after[name])
        old.stylize("red")
        new.stylize("green")
        inside = [cell.removeprefix(name).lstrip(".") for cell in marked if cell != name]
        where = Text(terminal.safe(f" ({', '.join(inside)})"), style="yellow") if inside else Text("")
        return Text.assemble(old, " → ", new, where)
    only = terminal.cell((change.after or change.before or {})[name])
    only.stylize(style)
    return only
