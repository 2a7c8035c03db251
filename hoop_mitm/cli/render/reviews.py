"""Reviews for people."""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from rich.console import RenderableType
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from hoop_mitm.cli import terminal

_STYLES = {"PENDING": "yellow", "APPROVED": "green", "EXECUTED": "green", "REJECTED": "bold red"}
_MINUTE = 60
_FROM = {"CONNECTION": 130, "CLIENT": 110, "TABLES": 90}
_SHORT = 13
_CENT = Decimal("0.01")


def table(reviews: Sequence[Mapping[str, Any]], width: int) -> Table:
    """``width`` is the terminal's: a narrow one is shown less."""
    shown = Table(show_edge=False, pad_edge=False, header_style="bold", box=None, padding=(0, 1))
    rows = [_row(review) for review in reviews]
    titles = [title for title in rows[0] if width >= _FROM.get(title, 0)]
    for title in titles:
        shown.add_column(title, overflow="fold", no_wrap=title in ("ID", "STATE", "READ", "COST"))
    for row in rows:
        shown.add_row(*(row[title] for title in titles))
    return shown


def _row(review: Mapping[str, Any]) -> dict[str, Text | str]:
    return {
        "ID": Text(_short(review["id"]), style="cyan"),
        "STATE": Text(review["state"], style=_STYLES.get(review["state"], "dim")),
        "WHO": Text(terminal.safe(review["requester"])),
        "CONNECTION": Text(terminal.safe(review["connection"])),
        "WHAT": Text(terminal.safe(", ".join(review["kinds"]))),
        "TABLES": Text(terminal.safe(", ".join(review["tables"]))),
        "READ": terminal.size(review["estimated_bytes"]),
        "COST": Text(terminal.safe(_cost(review))),
        "YES": f"{review['approved']} of {review['min_approvals']}",
        "CLIENT": review["client"] or "",
        "REASON": Text(terminal.safe(review["reason"])),
    }


def _short(review_id: str) -> str:
    """Enough of a UUIDv7 to tell those of different milliseconds apart."""
    return review_id[:_SHORT]


def line(review: Mapping[str, Any]) -> str:
    """One line: what happened last."""
    said = f"  {review['message']}" if review["message"] else ""
    return terminal.safe(
        f"{review['id']}  {review['state']}  {review['requester']}  {', '.join(review['kinds'])}  "
        f"{', '.join(review['tables'])}{said}"
    )


def whole(review: Mapping[str, Any]) -> Iterator[RenderableType]:
    """Everything that a reviewer decides on, the statement last but for what is new in it."""
    facts = Table.grid(padding=(0, 2))
    for name, value in _facts(review):
        facts.add_row(Text(name, style="dim"), Text(terminal.safe(value)))
    yield facts
    yield Text()
    if review["statement"]:
        yield terminal.sql(review["statement"])
    if review["configuration"]:
        yield from _configuration(review["configuration"])
    yield from _news(review["previous"])
    yield Text()
    if review["you"]["may_decide"]:
        yield Text(f"hoop-mitm reviews approve {review['id']}    or    hoop-mitm reviews reject {review['id']} -m WHY")
    elif review["state"] == "PENDING":
        yield Text(terminal.safe(review["you"]["why_not"]), style="dim")


def _facts(review: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    requester = review["requester"]
    yield "review", f"{review['id']}  {review['state']}"
    yield "who", f"{requester['name']} ({requester['kind']}), groups: {', '.join(requester['groups']) or 'none'}"
    yield "with", review["program"] or review["user_agent"] or review["agent"]
    yield (
        "where",
        f"{review['connection']}, project {review['project']}, job {review['job']}, session {review['session']}",
    )
    yield "why", review["reason"] or "not said (comment hoop.reason: … or label hoop-reason)"
    yield "what", ", ".join(review["kinds"]) or "a job without a statement"
    yield "tables", ", ".join(review["tables"]) or "none named"
    yield "reads", _estimate(review)
    yield "rule", f"{review['rule']}: {review['min_approvals']} of {', '.join(review['groups'])}"
    for each in review["approvals"]:
        yield "approved", f"by {each['by']}" + (f": {each['message']}" if each["message"] else "")
    yield "until", terminal.day_and_clock(datetime.fromisoformat(review["expires_at"]))
    if review["client"]:
        yield "client", _client(review)
    if review["message"]:
        yield "ended", review["message"]


def _estimate(review: Mapping[str, Any]) -> str:
    if review["estimated_bytes"] is None:
        return "not known"
    cost = _cost(review)
    return terminal.size(review["estimated_bytes"]) + (f", {cost}" if cost else "")


def _cost(review: Mapping[str, Any]) -> str:
    if review["estimated_cost"] is None:
        return ""
    cost = Decimal(review["estimated_cost"])
    return f"{cost:,.2f} {review['currency']}" if not cost or cost >= _CENT else f"< {_CENT} {review['currency']}"


def _client(review: Mapping[str, Any]) -> str:
    asked = datetime.fromisoformat(review["polled_at"] or review["requested_at"])
    seconds = max(0, int((datetime.now(UTC) - asked).total_seconds()))
    ago = f"{seconds} s" if seconds < _MINUTE else f"{seconds // _MINUTE} min"
    if review["client"] == "gone":
        return f"gone: last heard of {ago} ago; it can still ask for the job by its id"
    return f"waits, last asked {ago} ago"


def _configuration(configuration: Mapping[str, Any]) -> Iterator[RenderableType]:
    """All that the job is told beside its statement: any of it can change what the statement does."""
    told = {**configuration, **configuration.get("query", {})}
    told["labels"] = {name: value for name, value in told.get("labels", {}).items() if not name.startswith("hoop-")}
    for name, value in told.items():
        if name != "query" and value not in ({}, []) and (name, value) != ("useLegacySql", False):
            yield Text(terminal.safe(f"{name}: {json.dumps(value, ensure_ascii=False)}"), style="dim")


def _news(previous: Mapping[str, Any] | None) -> Iterator[RenderableType]:
    yield Text()
    if previous is None:
        yield Text("Nothing of this shape was approved before.", style="dim")
        return
    by = ", ".join(previous["approved_by"])
    yield Text(
        terminal.safe(f"Last of this shape: {previous['id']}, for {previous['requester']}, approved by {by}."),
        style="dim",
    )
    if previous["difference"]:
        yield Syntax(terminal.safe(previous["difference"]), "diff", theme="ansi_dark", background_color="default")
    else:
        yield Text("It was exactly the same.", style="dim")
