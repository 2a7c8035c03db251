"""What a verification found, for people."""

from collections.abc import Iterator

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from hoop_mitm.archive.verify import ChainReport, Finding, Place, Report
from hoop_mitm.cli import terminal

_ORIGINS = {
    "gateway": "recorded by a gateway",
    "archive": "what was done to the archive",
    "import": "imported from another program's file",
}
_CHECKED = {
    "records": "record",
    "checkpoints": "signature",
    "heads": "head",
    "sessions": "session",
    "flows": "exchange",
    "events": "event",
    "jobs": "job",
    "read_sessions": "read session",
    "bodies": "body",
}
_REMOVED = {
    "record": "whole records",
    "who": "persons",
    "statement": "statements",
    "exchange": "exchanges' heads",
    "request_body": "bodies of requests",
    "response_body": "bodies of answers",
}
_SHORT = 16


def whole(report: Report) -> Iterator[RenderableType]:
    yield _verdict(report)
    for chain in report.chains:
        yield Text("")
        yield from _chain(chain)
    if report.checked:
        yield Text("")
        yield Text(f"Checked: {', '.join(_count(what, number) for what, number in report.checked.items())}.")
    if report.findings:
        yield Text("\nWhat is wrong", style="bold red")
        for finding in report.findings:
            yield terminal.indented(_finding(finding), 2)
        more = sum(report.found.values()) - len(report.findings)
        if more:
            yield Text(f"  … and {more:,} more of these kinds.", style="dim")
    if report.notes:
        yield Text("\nWhat the recording says of itself", style="bold")
        yield from (terminal.indented(Text(terminal.safe(note)), 2) for note in report.notes)
    if report.limits:
        yield Text("\nWhat is not proved", style="bold yellow")
        yield from (terminal.indented(Text(terminal.safe(limit.words)), 2) for limit in report.limits)


def _verdict(report: Report) -> Text:
    what = f"{report.path} (session {report.bundle} alone)" if report.bundle else report.path
    if not report.verified:
        number = sum(report.found.values())
        words = "1 thing is wrong" if number == 1 else f"{number:,} things are wrong"
        return Text.assemble(f"{terminal.safe(what)}: ", ("broken", "bold red"), f", {words}.")
    rest = ", with the limits below." if report.limits else "."
    return Text.assemble(f"{terminal.safe(what)}: ", ("verified", "bold green"), rest)


def _chain(chain: ChainReport) -> Iterator[RenderableType]:
    yield Text.assemble(("Chain ", "bold"), (terminal.safe(chain.id), "cyan"), f": {_ORIGINS[chain.origin]}")
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim")
    grid.add_column(overflow="fold")
    when = f", {_minute(chain.begins)} to {_minute(chain.ends)} UTC" if chain.begins and chain.ends else ""
    withheld = f", {chain.withheld:,} of them withheld" if chain.withheld else ""
    grid.add_row("records", f"{chain.first:,} to {chain.last:,}{withheld}{when}")
    if chain.signed_at:
        keys = ", then ".join(f"{key[:_SHORT]}…" for key in chain.keys)
        at = f"{chain.signed_at:%Y-%m-%d %H:%M:%S} UTC"
        grid.add_row(
            "signed", f"up to record {chain.signed_to:,}, at {at}; {terminal.count(chain.checkpoints, 'signature')}"
        )
        grid.add_row("by", f"key {keys}{_proven(chain)}")
    else:
        grid.add_row("signed", Text("by nobody", style="red"))
    if chain.heads:
        grid.add_row("heads", f"{terminal.count(chain.heads, 'head')} kept elsewhere found in it")
    if chain.removed:
        taken = ", ".join(f"{number:,} {_REMOVED[part]}" for part, number in chain.removed.items())
        grid.add_row("taken", f"on purpose, as signed events say: {taken}")
    yield terminal.indented(grid, 2)


def _proven(chain: ChainReport) -> str:
    if chain.proven_to is None:
        return ""
    if not chain.proven_to:
        return " – none of those given"
    return " – as given" if chain.proven_to == chain.signed_to else f" – as given, up to record {chain.proven_to:,}"


def _finding(finding: Finding) -> Text:
    where = _where(finding.place)
    lines = [f"{where}: " if where else "", terminal.safe(finding.words), f"  [{finding.what}]"]
    return Text.assemble((lines[0], "bold"), lines[1], (lines[2], "dim"))


def _where(place: Place) -> str:
    parts = []
    if place.seq is not None:
        parts.append(
            f"record {place.seq:,}" if place.last in {None, place.seq} else f"records {place.seq:,} to {place.last:,}"
        )
    elif place.table:
        parts.append(place.table)
    if place.row:
        parts.append(f"{place.table} {place.row}" if place.seq is not None and place.table else place.row)
    if place.kind:
        parts.append(place.kind)
    if place.at:
        parts.append(place.at)
    if place.session:
        parts.append(f"session {place.session}")
    if place.chain:
        parts.append(f"chain {place.chain}")
    return terminal.safe(", ".join(parts))


def _count(what: str, number: int) -> str:
    word = _CHECKED.get(what, what)
    return f"{number:,} bodies" if word == "body" and number != 1 else terminal.count(number, word)


def _minute(text: str) -> str:
    return terminal.safe(text[:19].replace("T", " "))
