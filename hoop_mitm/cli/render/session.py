"""One session: who, through what, when; what needs attention; then everything that was asked."""

from collections import Counter
from collections.abc import Iterator, Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from hoop_mitm.archive import SessionDetail, SessionEntry, summary
from hoop_mitm.cli import terminal
from hoop_mitm.cli.render import flow as flow_render
from hoop_mitm.cli.render import job as job_render

_MOST_ATTENTION = 20

_STATUS = {
    "active": ("active", "bold green"),
    "ended": ("ended", ""),
    "interrupted": ("never closed: the gateway stopped without saying so", "yellow"),
    "imported": ("imported from another program's file: no evidence of this gateway", "bold magenta"),
}


def whole(detail: SessionDetail, *, with_flows: bool) -> Iterator[RenderableType]:
    yield header(detail.session, detail.programs)
    if tables := _tables(detail):
        yield Text("\nTables that were read", style="bold")
        yield terminal.indented(tables, 2)
    if attention := list(_attention(detail)):
        yield Text("\nNeeds attention", style="bold")
        yield terminal.indented(Group(*attention[:_MOST_ATTENTION]), 2)
        if len(attention) > _MOST_ATTENTION:
            yield Text(f"  … and {len(attention) - _MOST_ATTENTION:,} more", style="dim")
    if detail.jobs:
        yield Text("\nJobs", style="bold")
    for job in detail.jobs:
        yield terminal.indented(job_render.block(job), 2)
        yield Text("")
    if with_flows:
        yield Text("Exchanges", style="bold")
        yield terminal.indented(flow_render.table(detail.flows), 2)
    elif calls := _calls(detail):
        yield Text.assemble(("Without a job: ", "bold"), calls)


def header(session: SessionEntry, programs: Sequence[str] = ()) -> Panel:
    who = session.principal
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim")
    grid.add_column(overflow="fold")
    groups = f"  groups {', '.join(who.groups)}" if who.groups else "  no groups"
    grid.add_row(
        "who", Text.assemble((terminal.safe(str(who)), "bold"), (terminal.safe(groups), ""), f"  ({who.kind})")
    )
    grid.add_row("", Text(terminal.safe(f"{who.subject} at {who.issuer}"), style="dim"))
    grid.add_row(
        "through", Text(terminal.safe(f"{session.connection}, with {session.agent} from {session.client_address}"))
    )
    for place, program in enumerate(programs):
        grid.add_row("" if place else "program", Text(terminal.safe(program)))
    grid.add_row(
        "when",
        Text(
            f"{terminal.span(session.started_at, session.ended_at or session.last_seen_at)} ({terminal.took(session.duration)})"
        ),
    )
    denied = (f"{session.denied:,} denied", "bold red") if session.denied else ("none denied", "")
    grid.add_row(
        "what",
        Text.assemble(
            terminal.count(session.jobs, "job"), ", ", denied, f", {terminal.count(session.flows, 'exchange')}"
        ),
    )
    grid.add_row(
        "read", Text(f"{terminal.size(session.bytes_processed)}, {terminal.price(session.bytes_billed)} at list price")
    )
    words, style = _STATUS[session.status]
    grid.add_row("status", Text(words, style=style))
    grid.add_row("session", Text(session.id, style="cyan"))
    return Panel(
        grid,
        title=Text(terminal.safe(session.name), style="bold"),
        title_align="left",
        box=box.ROUNDED,
        expand=False,
    )


def _tables(detail: SessionDetail) -> Table | None:
    """Each table with what read it: an auditor's first question."""
    reads = summary.tables_read(detail)
    if not reads:
        return None
    grid = Table.grid(padding=(0, 2))
    grid.add_column(overflow="fold")
    grid.add_column(style="dim", overflow="fold")
    for name, readers in reads.items():
        grid.add_row(Text(terminal.safe(name)), f"by {', '.join(readers)}")
    return grid


def _attention(detail: SessionDetail) -> Iterator[Text]:
    """Denials, failures and exchanges whose outcome nobody knows."""
    for concern in summary.concerns(detail):
        words = Text(terminal.safe(concern.message), style="red")
        if concern.job is not None:
            words = Text.assemble((f"#{concern.job.number} ", "bold"), job_render.outcome(concern.job), "  ", words)
            words.truncate(400, overflow="ellipsis")
        elif concern.flow is not None:
            name = terminal.safe(flow_render.name(concern.flow))
            words = Text(f"{terminal.clock(concern.flow.started_at)} {name} ", style="red").append_text(words)
        elif concern.event is not None:
            words = Text(f"{terminal.clock(concern.event.at)} ", style="red").append_text(words)
        yield words


def _calls(detail: SessionDetail) -> str:
    counts = Counter(flow_render.name(flow) for flow in detail.flows if flow.job_key is None)
    return ", ".join(f"{number} x {terminal.safe(name)}" for name, number in counts.most_common())
