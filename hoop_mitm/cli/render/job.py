"""One job: a block of a session, or all there is to know."""

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from hoop_mitm.archive import FlowEntry, JobEntry, Result, summary, words
from hoop_mitm.cli import terminal
from hoop_mitm.cli.render import flow as flow_render

_STATEMENT_LINES = 12


_OUTCOMES = {
    "denied": Text("DENIED", style="bold red"),
    "review": Text("REVIEW", style="bold yellow"),
    "error": Text("ERROR", style="bold red"),
    "estimate": Text("estimate", style="blue"),
    "ok": Text("ok", style="green"),
}


def outcome(job: JobEntry) -> Text:
    """One word about how it ended, the same everywhere."""
    known = _OUTCOMES.get(summary.outcome(job))
    return known.copy() if known else Text(summary.last_word(job), style="yellow")


def numbers(job: JobEntry) -> Text:
    """Rows, bytes, price and time, as far as they are known and say something."""
    parts: list[str] = []
    if job.row_count is not None:
        parts.append(terminal.count(job.row_count, "row"))
    if job.bytes_processed is not None:
        parts.append(terminal.size(job.bytes_processed) + (" estimated" if job.dry_run else ""))
    if job.cache_hit:
        parts.append("from cache")
    elif job.bytes_billed and not job.dry_run:
        parts.append(terminal.price(job.bytes_billed))
    if job.duration is not None and job.verdict.decision != "deny":
        parts.append(terminal.took(job.duration))
    return Text(" · ".join(parts))


def trouble(job: JobEntry) -> Text | None:
    """What was refused or went wrong, in the words that the client got."""
    problem = summary.trouble(job)
    return Text(terminal.safe(problem), style="red") if problem else None


def block(job: JobEntry) -> RenderableType:
    """A job as a part of its session: when, how it ended, what it asked."""
    head = Text.assemble(
        (f"#{job.number}", "bold"), "  ", (terminal.clock(job.started_at), "dim"), "  ", outcome(job), "  ", kind(job)
    )
    if figures := numbers(job):
        head.append("  ")
        head.append_text(figures)
    if summary.was_reviewed(job):
        head.append("  after a review", "yellow")
    parts: list[RenderableType] = [head]
    if problem := trouble(job):
        parts.append(terminal.indented(problem))
    parts.append(terminal.indented(subject(job)))
    return Group(*parts)


def kind(job: JobEntry) -> Text:
    return Text(terminal.safe(job.statement_type or job.job_type.lower()), style="bold")


def subject(job: JobEntry, lines: int | None = _STATEMENT_LINES) -> RenderableType:
    """What it was about: the statement, or the tables of a load, copy or extract."""
    if job.statement is not None:
        return terminal.sql(job.statement, lines=lines)
    sources = ", ".join(str(table) for table in job.referenced_tables)
    target = f" into {job.destination}" if job.destination else ""
    at = job.deleted.get("statement")
    none = f"(its statement was {words.missing(at)})"
    told = f"{sources}{target}".strip()
    return Text(terminal.safe(f"{told} {none}".strip() if at else told or none), style="italic")


def whole(job: JobEntry, flows: tuple[FlowEntry, ...], result: Result | None) -> Iterator[RenderableType]:
    """Everything about one job; ``result`` holds the first rows."""
    head = Text.assemble((f"Job {terminal.safe(job.label)}", "bold"), "  ", outcome(job), "  ", kind(job))
    yield head
    if problem := trouble(job):
        yield problem
    yield facts(job)
    yield Text("\nStatement", style="bold")
    yield terminal.indented(subject(job, None), 2)
    if job.executed_statement is not None and job.executed_statement != job.statement:
        yield Text("\nWhat BigQuery was given instead", style="bold")
        yield terminal.indented(terminal.sql(job.executed_statement), 2)
    if result is not None:
        yield Text(f"\n{rows_title(result)}", style="bold")
        yield terminal.rows_table(result.columns, (row.values() for row in result.rows()))
    elif job.schema:
        yield Text("\nColumns", style="bold")
        yield Text("  " + ", ".join(f"{terminal.safe(c.name)} {c.type}" for c in job.schema))
    yield Text("\nExchanges", style="bold")
    yield flow_render.table([flow for flow in flows if flow.id in set(job.flows)])


def facts(job: JobEntry) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim")
    grid.add_column(overflow="fold")
    end = job.ended_at or job.started_at
    lines = [
        ("when", terminal.span(job.started_at, end) + (f" ({terminal.took(job.duration)})" if job.duration else "")),
        ("by", job.program or ""),
        ("where", " · ".join(part for part in (job.project, job.location) if part)),
        ("figures", numbers(job).plain),
        ("read", ", ".join(str(table) for table in job.referenced_tables)),
        ("wrote to", str(summary.destination(job) or "")),
        ("verdict", f"{job.verdict.decision} (rule {job.verdict.rule})"),
        ("labels", ", ".join(f"{name}={value}" for name, value in job.labels.items())),
    ]
    for name, value in lines:
        if value:
            grid.add_row(name, Text(terminal.safe(value)))
    return grid


def rows_title(result: Result) -> str:
    shown = result.table.num_rows
    if result.total is None or result.total == shown:
        return terminal.count(shown, "row")
    return f"{shown:,} of {terminal.count(result.total, 'row')}"
