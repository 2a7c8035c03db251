"""What reconciliation found, for a person: the answer first, then each finding with what to do."""

from collections.abc import Iterator
from datetime import UTC, datetime

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from hoop_mitm.cli import terminal
from hoop_mitm.reconciling import KINDS, Finding, Kind, NotChecked, Report

_SHOWN = 100
_STATEMENT_LINES = 8

_TITLES: dict[Kind, tuple[str, str]] = {
    "bypassed": ("job that ran without passing the gateway", "jobs that ran without passing the gateway"),
    "text": ("job that ran with another text", "jobs that ran with another text"),
    "session": ("job of another session", "jobs of another session"),
    "not_at_bigquery": ("recorded job that BigQuery does not know", "recorded jobs that BigQuery does not know"),
    "unresolved": ("request without a recorded outcome", "requests without a recorded outcome"),
    "bytes_billed": ("job with another cost", "jobs with another cost"),
}


def whole(report: Report) -> Iterator[RenderableType]:
    yield from _summary(report)
    for kind in KINDS:
        found = [finding for finding in report.findings if finding.kind == kind]
        if not found:
            continue
        yield Text(f"\n{terminal.count(len(found), *_TITLES[kind])}", style="bold red")
        for finding in found[:_SHOWN]:
            yield terminal.indented(_finding(finding), 2)
            yield Text("")
        if len(found) > _SHOWN:
            yield Text(f"  … and {len(found) - _SHOWN:,} more; --json has all of them", style="dim")
    if report.not_checked:
        yield Text("\nNot checked", style="bold yellow")
        for each in report.not_checked:
            yield terminal.indented(_not_checked(each), 2)
    if report.notes:
        yield Text("\nTo know", style="bold")
        for note in report.notes:
            yield terminal.indented(Text(terminal.safe(note)), 2)


def _summary(report: Report) -> Iterator[RenderableType]:
    counts = report.counts
    if report.findings:
        yield Text("The recording and BigQuery do not agree.", style="bold red")
    elif report.not_checked:
        yield Text("Nothing was found, but not everything could be looked at.", style="bold yellow")
    else:
        yield Text("The recording and BigQuery agree.", style="bold green")
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim")
    grid.add_column(overflow="fold")
    numbers = {kind: sum(finding.kind == kind for finding in report.findings) for kind in KINDS}
    if found := [terminal.count(number, *_TITLES[kind]) for kind, number in numbers.items() if number]:
        grid.add_row("found", Text("\n".join(found), style="red"))
    grid.add_row("time", f"{_moment(report.since)} to {_moment(report.until)} UTC")
    places = [f"{project} in {', '.join(places) or 'no location'}" for project, places in report.asked.items()]
    grid.add_row("asked", Text(terminal.safe("; ".join(places) or "nobody")))
    others = [
        (counts.children, "statement of a recorded script", "statements of recorded scripts"),
        (counts.own, "of reconciliation itself", "of reconciliation itself"),
        (counts.background, "background job of BigQuery's own", "background jobs of BigQuery's own"),
        *((number, f"of {account}, which may go directly", None) for account, number in counts.direct.items()),
    ]
    parts = [terminal.count(number, noun, plural or noun) for number, noun, plural in others if number]
    grid.add_row(
        "jobs",
        Text(
            terminal.safe(
                ", ".join([f"{terminal.count(counts.jobs, 'job')} there", f"{counts.matched:,} recorded", *parts])
            )
        ),
    )
    records = [
        (counts.confirmed, "known to the API only"),
        (counts.without_job, "answered without a job"),
        (counts.deleted, "deleted through the gateway"),
        (counts.resolved, "resolved after a crash"),
        (counts.texts_not_compared, "without a recorded text to compare"),
    ]
    parts = [f"{number:,} {what}" for number, what in records if number]
    grid.add_row("records", ", ".join([f"{counts.recorded:,} that BigQuery should know", *parts]))
    yield terminal.indented(grid, 2)


def _finding(finding: Finding) -> RenderableType:
    head = Text.assemble((f"{_moment(finding.at)} UTC", "dim"))
    for part in (finding.job, finding.outcome and finding.outcome.replace("_", " ")):
        if part:
            head.append(f"  {terminal.safe(part)}", style="bold")
    parts: list[RenderableType] = [head, terminal.indented(Text(terminal.safe(finding.message)))]
    if finding.children:
        parts.append(terminal.indented(Text(f"It is a script of {terminal.count(finding.children, 'statement')}.")))
    who = [
        ("asked by", finding.principal),
        ("session", finding.session_id),
        ("flow", finding.flow_id),
    ]
    told = "  ".join(f"{name} {value}" for name, value in who if value)
    if told:
        parts.append(terminal.indented(Text(terminal.safe(told), style="dim")))
    if finding.kind == "text":
        parts += [terminal.indented(Text("recorded", style="dim")), _statement(finding.recorded or "")]
        parts += [terminal.indented(Text("ran", style="dim")), _statement(finding.ran or "")]
    elif statement := finding.ran or finding.recorded:
        parts.append(_statement(statement))
    parts.append(terminal.indented(Text.assemble(("Next: ", "bold"), terminal.safe(finding.next_step))))
    return Group(*parts)


def _statement(text: str) -> RenderableType:
    return terminal.indented(terminal.sql(text, lines=_STATEMENT_LINES), 6)


def _not_checked(each: NotChecked) -> RenderableType:
    return Group(
        Text(terminal.safe(each.what), style="bold"),
        terminal.indented(Text(terminal.safe(each.why))),
        terminal.indented(Text.assemble(("Next: ", "bold"), terminal.safe(each.next_step))),
    )


def _moment(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
