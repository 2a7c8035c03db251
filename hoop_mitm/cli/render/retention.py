"""What is kept, what goes, and what is on hold."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from hoop_mitm.cli import terminal
from hoop_mitm.recording.retention import Applied, Erased, HeldSession, OldCopy, Plan, Rewritten, Traces

_CLASSES = ("bodies", "statements", "metadata")
_UNSAID = "the recording was made again since, and does not say so"


def periods(keep: Mapping[str, Mapping[str, str | None]]) -> Table:
    """How long what is kept, by connection."""
    shown = _table("CONNECTION", *(name.upper() for name in _CLASSES))
    for connection, each in keep.items():
        shown.add_row(connection, *(each[name] or "for ever" for name in _CLASSES))
    return shown


def due(plan: Plan, verb: str) -> Iterator[RenderableType]:
    """What goes, as a table; ``verb`` is said of it: is due, would go, is gone."""
    beside = _beside(plan)
    if beside:
        yield f"Of {beside} in the gateway's state something {verb}."
    if not plan.shares:
        if not beside:
            yield f"Nothing {verb} on {terminal.day_and_clock(plan.now)}."
        return
    shown = _table("CONNECTION", f"WHAT {verb.upper()}")
    for title in ("EXCHANGES", "JOBS", "EVENTS", "SESSIONS", "BODIES", "SIZE"):
        shown.add_column(title, justify="right", no_wrap=True)
    for title in ("FROM", "TO"):
        shown.add_column(title, no_wrap=True)
    shown.add_column("HELD BACK", justify="right", no_wrap=True)
    for share in plan.shares:
        numbers = (share.flows, share.jobs, share.events, share.sessions, share.bodies)
        shown.add_row(
            terminal.safe(share.connection),
            share.what,
            *(f"{number:,}" if number else "-" for number in numbers),
            terminal.size(share.bytes) if share.bytes else "-",
            *("-" if at is None else terminal.day_and_clock(at) for at in (share.oldest, share.newest)),
            f"{share.held:,}" if share.held else "-",
        )
    yield shown


def sizes(rewritten: Rewritten) -> str:
    """What it did to the file."""
    return f"The archive has {terminal.size(rewritten.size_after)} now; it had {terminal.size(rewritten.size_before)}."


def holds_line(holds: Sequence[HeldSession]) -> str:
    if not holds:
        return "No session is on hold."
    unsaid = sum(not hold.recorded for hold in holds)
    more = f" Of {unsaid:,} of them {_UNSAID}." if unsaid else ""
    return f"{terminal.count(len(holds), 'session')} on hold.{more}"


def holds_table(holds: Sequence[HeldSession]) -> Table:
    shown = _table("SESSION", "SINCE", "BY", "REASON")
    for hold in holds:
        shown.add_row(
            terminal.safe(hold.session_id),
            terminal.day_and_clock(hold.since),
            Text(terminal.safe(hold.by)),
            Text(terminal.safe(hold.reason) + ("" if hold.recorded else f" ({_UNSAID})")),
        )
    return shown


def erased(done: Erased) -> Iterator[RenderableType]:
    """What went, the receipt, and what it does not reach."""
    for name, value in traces_shape(done.traces).items():
        if isinstance(value, int) and value:
            yield f"{name.replace('_', ' '):<12} {value:,}"
    yield ""
    yield "Receipt, to be kept with the request (the recording holds the commitment only):"
    yield f"  principal   {terminal.safe(done.receipt.principal)}"
    yield f"  salt        {done.receipt.salt}"
    yield f"  commitment  {done.receipt.commitment}"
    yield ""
    yield "Not reached, and yours to look at:"
    for place in done.unreached:
        yield f"  - {place}"


def plan_shape(plan: Plan) -> dict[str, Any]:
    shares = [
        {
            **asdict(share),
            **{name: at and at.isoformat() for name, at in (("oldest", share.oldest), ("newest", share.newest))},
        }
        for share in plan.shares
    ]
    beside = asdict(plan.beside) if plan.beside else None
    nothing = plan.empty and not any((beside or {}).values())
    return {"now": plan.now.isoformat(), "nothing": nothing, "shares": shares, "state": beside}


def _beside(plan: Plan) -> str:
    """How many reviews and charges lose something."""
    counts = ((plan.beside.reviews, "review"), (plan.beside.charges, "charge")) if plan.beside else ()
    return " and ".join(terminal.count(number, name) for number, name in counts if number)


def applied_shape(done: Applied, left: Sequence[OldCopy]) -> dict[str, Any]:
    return {**plan_shape(done.plan), "archive": _rewritten_shape(done.rewritten), "copies": _copies_shape(left)}


def erased_shape(done: Erased, left: Sequence[OldCopy]) -> dict[str, Any]:
    return {
        **traces_shape(done.traces),
        "receipt": asdict(done.receipt),
        "archive": _rewritten_shape(done.rewritten),
        "copies": _copies_shape(left),
        "unreached": list(done.unreached),
    }


def traces_shape(traces: Traces) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(traces).items()}


def holds_shape(holds: Sequence[HeldSession]) -> list[dict[str, Any]]:
    return [{**asdict(hold), "since": hold.since.isoformat()} for hold in holds]


def _rewritten_shape(rewritten: Rewritten | None) -> dict[str, Any] | None:
    if rewritten is None:
        return None
    return {
        "size_before": rewritten.size_before,
        "size_after": rewritten.size_after,
        "segments": rewritten.segments,
        "checkpoint": rewritten.checkpoint.as_json(),
    }


def _copies_shape(copies: Sequence[OldCopy]) -> list[dict[str, Any]]:
    return [{"path": str(copy.path), "size": copy.size} for copy in copies]


def _table(*titles: str) -> Table:
    shown = Table(show_edge=False, pad_edge=False, header_style="bold", box=None, padding=(0, 1))
    for title in titles:
        shown.add_column(title, overflow="fold")
    return shown
