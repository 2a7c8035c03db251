"""The list of sessions."""

from collections.abc import Mapping, Sequence

from rich.table import Table
from rich.text import Text

from hoop_mitm.archive import SessionEntry
from hoop_mitm.cli import terminal

_STATUS = {"active": "green", "ended": "", "interrupted": "yellow"}


def table(sessions: Sequence[SessionEntry], short: Mapping[str, str]) -> Table:
    shown = Table(show_edge=False, pad_edge=False, header_style="bold", box=None, padding=(0, 1))
    shown.add_column("ID", no_wrap=True, style="cyan")
    shown.add_column("NAME", overflow="fold")
    shown.add_column("WHO", overflow="fold")
    shown.add_column("CONNECTION", overflow="fold")
    shown.add_column("CLIENT", overflow="fold")
    shown.add_column("STARTED", no_wrap=True)
    shown.add_column("STATUS", no_wrap=True)
    for title in ("JOBS", "DENIED", "READ", "COST"):
        shown.add_column(title, justify="right", no_wrap=True)
    for session in sessions:
        shown.add_row(
            short.get(session.id, session.id),
            Text(terminal.safe(session.name)),
            Text(terminal.safe(str(session.principal))),
            Text(terminal.safe(session.connection)),
            Text(terminal.safe(str(session.program or session.agent))),
            terminal.day_and_clock(session.started_at),
            Text(session.status, style=_STATUS[session.status]),
            f"{session.jobs:,}",
            Text(f"{session.denied:,}", style="bold red" if session.denied else "dim"),
            terminal.size(session.bytes_processed),
            terminal.price(session.bytes_billed),
        )
    return shown
