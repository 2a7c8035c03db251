"""What a search found: when, who, how it ended, and the place where the text stands."""

from collections.abc import Iterable, Iterator, Mapping

from rich.console import Group, RenderableType
from rich.text import Text

from hoop_mitm.archive import Hit
from hoop_mitm.cli import terminal
from hoop_mitm.cli.render import flow as flow_render
from hoop_mitm.cli.render import job as job_render

_AROUND = 70
_LONGEST_CELL = 60
_FOUND = "bold reverse"


def hits(found: Iterable[Hit], short: Mapping[str, str], text: str | None) -> Iterator[RenderableType]:
    """Each hit as a block; what was looked for is marked."""
    day = None
    for hit in found:
        own = hit.at.astimezone().date()
        if own != day:
            yield Text(f"{own:%A, %Y-%m-%d}", style="bold underline")
            day = own
        yield block(hit, short, text)


def block(hit: Hit, short: Mapping[str, str], text: str | None = None) -> RenderableType:
    """One hit: a line on when, who, how it ended and where, and below it what it says."""
    return Group(_head(hit, short), *(terminal.indented(each, 10) for each in _body(hit, text)))


def _head(hit: Hit, short: Mapping[str, str]) -> Text:
    who = str(hit.principal) if hit.principal else "nobody known"
    head = Text.assemble((terminal.clock(hit.at), "dim"), "  ", (terminal.safe(who), "bold"), "  ")
    if hit.job is not None:
        head.append_text(Text.assemble(job_render.outcome(hit.job), "  ", job_render.kind(hit.job)))
        if figures := job_render.numbers(hit.job):
            head.append("  ").append_text(figures)
    elif hit.flow is not None:
        head.append_text(
            Text.assemble(flow_render.outcome(hit.flow), "  ", (terminal.safe(flow_render.name(hit.flow)), "bold"))
        )
    elif hit.event is not None:
        head.append(terminal.safe(hit.event.type), style="yellow")
    if hit.session is not None:
        where = f"  {short.get(hit.session.id, hit.session.id)}"
        if hit.job is not None:
            where += f" #{hit.job.number}"
        head.append(where, style="cyan").append(f"  {terminal.safe(hit.session.name)}", style="dim")
    elif hit.flow is not None:
        head.append(f"  flow {hit.flow.id}", style="cyan")
    return head


def _body(hit: Hit, text: str | None) -> Iterator[RenderableType]:
    if hit.job is not None:
        yield from _job(hit, text)
    for said in _trouble(hit):
        yield _marked(said, text, "red")
    if "program" in hit.matched and (asked := hit.job or hit.flow):
        yield Text.assemble(("program ", "dim"), _marked(asked.program or "", text, ""))
    if hit.flow is not None and hit.flow.tables:
        yield _marked(", ".join(map(str, hit.flow.tables)), text, "")
    if hit.rows is not None:
        columns = ", ".join(terminal.safe(name) for name in hit.rows.columns)
        yield Text(f"in {terminal.count(hit.rows.count, 'row')}, in {columns}:", style="dim")
        for row in hit.rows.samples:
            yield _row(row, text)


def _job(hit: Hit, text: str | None) -> Iterator[RenderableType]:
    job = hit.job
    assert job is not None
    statement = job.statement
    if job.executed_statement is not None and "statement" in hit.matched and not _stands(statement or "", text):
        statement = job.executed_statement
    yield _marked(statement, text, "") if statement is not None else job_render.subject(job)
    if "table" in hit.matched:
        tables = [str(table) for table in (*job.referenced_tables, *([job.destination] if job.destination else []))]
        yield Text.assemble(
            ("tables ", "dim"), _marked(", ".join(each for each in tables if _stands(each, text)), text, "")
        )
    if "label" in hit.matched:
        labels = [f"{name}={value}" for name, value in job.labels.items()]
        yield Text.assemble(
            ("labels ", "dim"), _marked(", ".join(each for each in labels if _stands(each, text)), text, "")
        )
    if "job" in hit.matched:
        yield Text.assemble(("job ", "dim"), _marked(job.id or "", text, ""))


def _trouble(hit: Hit) -> Iterator[str]:
    if hit.job is not None and (problem := job_render.trouble(hit.job)):
        yield problem.plain
    if hit.flow is not None:
        if hit.flow.verdict.decision != "allow":
            yield f"{hit.flow.verdict.rule}: {hit.flow.verdict.message}"
        if hit.flow.error is not None:
            yield hit.flow.error
        if "url" in hit.matched:
            yield hit.flow.url
    if hit.event is not None:
        yield hit.event.message
        if "details" in hit.matched:
            yield ", ".join(f"{name} {value}" for name, value in hit.event.details.items())


def _row(row: dict[str, object], text: str | None) -> Text:
    line = Text(overflow="ellipsis", no_wrap=True)
    for name, value in row.items():
        shown = terminal.cell(value).plain
        line.append("  " if line.plain else "").append(f"{terminal.safe(name)} ", style="dim")
        line.append_text(_marked(shown, text, "", _LONGEST_CELL))
    return line


def _stands(where: str, text: str | None) -> bool:
    return text is not None and " ".join(text.lower().split()) in " ".join(where.lower().split())


def _marked(words: str, text: str | None, style: str, around: int = _AROUND) -> Text:
    """One line of ``words`` about the place where ``text`` stands, that place marked."""
    line = " ".join(words.split())
    wanted = " ".join((text or "").split())
    # Only where case keeps a text's length does a place in the one mean the same place in the other.
    place = line.lower().find(wanted.lower()) if wanted and len(line.lower()) == len(line) else -1
    if place < 0:
        return Text(terminal.one_line(line, 2 * around), style=style)
    start, end = max(place - around, 0), place + len(wanted) + around
    return Text.assemble(
        "…" if start else "",
        terminal.safe(line[start:place]),
        (terminal.safe(line[place : place + len(wanted)]), _FOUND),
        terminal.safe(line[place + len(wanted) : end]),
        "…" if end < len(line) else "",
        style=style,
    )
