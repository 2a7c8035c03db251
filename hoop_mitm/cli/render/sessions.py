"""The list of sessions."""

from collections.abc import Mapping, Sequence

from rich.table import Table
from rich.text import Text

from hoop_mitm.archive import SessionEntry
from hoop_mitm.cli import terminal

_STATUS = {"active": "green", "ended": "", "interrupted": "yellow", "imported": "bold magenta"}
_ROOMY = 120
_NUMBERS = ("JOBS", "DENIED", "READ", "COST")

# In how many columns of a terminal something is shown; who asked, through what, and how often stand everywhere.
_FROM = {"CONNECTION": _ROOMY, "STATUS": 110, "READ": 100, "COST": 90}


def table(sessions: Sequence[SessionEntry], short: Mapping[str, str], width: int) -> Table:
    """``width`` is the terminal's: a narrow one is shown less, in a form that can be read."""
    rows = [_row(session, short, roomy=width >= _ROOMY) for session in sessions]
    shown = Table(show_edge=False, pad_edge=False, header_style="bold", box=None, padding=(0, 1))
    titles = [title for title in rows[0] if width >= _FROM.get(title, 0)] if rows else []
    for title in titles:
        text = title in ("NAME", "WHO", "CONNECTION", "CLIENT")
        shown.add_column(
            title,
            justify="right" if title in _NUMBERS else "left",
            no_wrap=not text,
            overflow="fold",
            style="cyan" if title == "ID" else "",
        )
    for row in rows:
        shown.add_row(*(row[title] for title in titles))
    return shown


def _row(session: SessionEntry, short: Mapping[str, str], *, roomy: bool) -> dict[str, Text | str]:
    started = terminal.day_and_clock(session.started_at)
    return {
        "ID": short.get(session.id, session.id),
        "NAME": Text(terminal.safe(session.name)),
        "WHO": Text(terminal.safe(str(session.principal))),
        "CONNECTION": Text(terminal.safe(session.connection)),
        "CLIENT": Text(terminal.safe(str((session.program if roomy else None) or session.agent))),
        "STARTED": started if roomy else started.rpartition(":")[0],
        "STATUS": Text(session.status, style=_STATUS[session.status]),
        "JOBS": f"{session.jobs:,}",
        "DENIED": Text(f"{session.denied:,}", style="bold red" if session.denied else "dim"),
        "READ": terminal.size(session.bytes_processed),
        "COST": terminal.price(session.bytes_billed),
    }
