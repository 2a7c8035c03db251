"""A moment of a replay."""

from collections.abc import Callable, Iterator
from datetime import timedelta

from rich.console import Group, RenderableType
from rich.text import Text

from hoop_mitm.archive import EventEntry, FlowEntry, JobEntry, Moment, Result, SessionDetail, SessionEntry
from hoop_mitm.cli import terminal
from hoop_mitm.cli.render import flow as flow_render
from hoop_mitm.cli.render import job as job_render

type Preview = Callable[[JobEntry], Result | None]

_STATEMENT_LINES = 20


def moment(now: Moment, session: SessionEntry, preview: Preview) -> RenderableType:
    """``now`` as it looks on the screen, with its time since the session's start."""
    stamp = Text(f"{_offset(now.offset)}  ", style="dim")
    who = terminal.safe(str(session.principal))
    parts: Iterator[RenderableType]
    if now.job is not None:
        parts = _ask(now.job, stamp, who) if now.kind == "ask" else _answer(now.job, stamp, preview)
    elif now.flow is not None:
        parts = iter([stamp + _call(now.flow, who)])
    elif now.event is not None:
        parts = iter([stamp + _event(now.event)])
    else:
        words = f"{who} comes in through {terminal.safe(session.connection)}, with {terminal.safe(session.agent)}"
        parts = iter([stamp + Text(words if now.kind == "start" else "the session ends", style="bold")])
    return Group(*parts)


def pause(skipped: timedelta) -> RenderableType:
    return Text(f"         … {terminal.took(skipped)} of nothing, left out", style="dim italic")


def summary(detail: SessionDetail) -> RenderableType:
    session = detail.session
    return Text(
        f"{terminal.count(session.jobs, 'job')}, {session.denied:,} denied, {terminal.size(session.bytes_processed)} read "
        f"in {terminal.took(session.duration)}",
        style="dim",
    )


def _ask(job: JobEntry, stamp: Text, who: str) -> Iterator[RenderableType]:
    verb = "estimates" if job.dry_run else "asks"
    yield stamp + Text.assemble((f"{who} {verb}", "bold cyan"), (f"  #{job.number}", "dim"))
    yield terminal.indented(job_render.subject(job, _STATEMENT_LINES), 9)


def _answer(job: JobEntry, stamp: Text, preview: Preview) -> Iterator[RenderableType]:
    yield stamp + Text.assemble(job_render.outcome(job), "  ", job_render.numbers(job), (f"  #{job.number}", "dim"))
    if problem := job_render.trouble(job):
        yield terminal.indented(problem, 9)
        return
    result = preview(job)
    if result is None or not result.table.num_rows:
        return
    yield terminal.indented(terminal.rows_table(result.columns, (row.values() for row in result.rows())), 9)
    total = result.total if result.total is not None else job.row_count
    if total is not None and total > result.table.num_rows:
        yield terminal.indented(
            Text(f"… {terminal.count(total - result.table.num_rows, 'more row', 'more rows')}", style="dim"), 9
        )


def _call(flow: FlowEntry, who: str) -> Text:
    line = Text.assemble(
        f"{who} calls ", (terminal.safe(flow_render.name(flow)), "bold"), "  ", flow_render.outcome(flow)
    )
    if flow.verdict.message:
        line.append(f"  {terminal.safe(flow.verdict.message)}", style="red")
    return line


def _event(event: EventEntry) -> Text:
    return Text(f"{terminal.safe(event.type)}: {terminal.safe(event.message)}", style="yellow")


def _offset(offset: timedelta) -> str:
    """``mm:ss.t``, or ``h:mm:ss`` when it is long."""
    seconds = offset.total_seconds()
    minutes, rest = divmod(seconds, 60)
    if minutes < 60:  # noqa: PLR2004
        return f"{minutes:02.0f}:{int(rest * 10) / 10:04.1f}"
    return f"{minutes // 60:.0f}:{minutes % 60:02.0f}:{int(rest):02}"
