"""The read side: what an archive holds, told again.

It knows the schema of the archive and how BigQuery's answers are put together; it knows nothing of HTTP, mitmproxy or
the command line, and writes nothing (what a journal still holds is folded in through ``recording``).
"""

from importlib import import_module
from typing import TYPE_CHECKING

from hoop_mitm.archive.archive import Archive
from hoop_mitm.archive.entries import (
    EventEntry,
    Exchange,
    FlowEntry,
    JobEntry,
    Resolved,
    SessionDetail,
    SessionEntry,
)
from hoop_mitm.archive.following import Follower, News
from hoop_mitm.archive.ledger import Ledger, Lost, Recorded
from hoop_mitm.archive.opening import open_archive
from hoop_mitm.archive.query import Cursor, Query
from hoop_mitm.archive.replay import Beat, play
from hoop_mitm.archive.resolutions import RESOLVED
from hoop_mitm.archive.results import Result
from hoop_mitm.archive.search import Hit, Page, RowMatches
from hoop_mitm.archive.timeline import Moment, timeline
from hoop_mitm.archive.watching import watch

if TYPE_CHECKING:
    from hoop_mitm.archive.comparing import (
        Change,
        JobDiff,
        RowChange,
        RowDiff,
        SchemaDiff,
        SessionDiff,
        align,
        diff,
    )

__all__ = [
    "RESOLVED",
    "Archive",
    "Beat",
    "Change",
    "Cursor",
    "EventEntry",
    "Exchange",
    "FlowEntry",
    "Follower",
    "Hit",
    "JobDiff",
    "JobEntry",
    "Ledger",
    "Lost",
    "Moment",
    "News",
    "Page",
    "Query",
    "Recorded",
    "Resolved",
    "Result",
    "RowChange",
    "RowDiff",
    "RowMatches",
    "SchemaDiff",
    "SessionDetail",
    "SessionDiff",
    "SessionEntry",
    "align",
    "diff",
    "open_archive",
    "play",
    "timeline",
    "watch",
]


_COMPARING = frozenset({"Change", "JobDiff", "RowChange", "RowDiff", "SchemaDiff", "SessionDiff", "align", "diff"})


def __getattr__(name: str) -> object:
    # Few commands compare, and to import what does takes a fifth of the time of those that do not.
    if name not in _COMPARING:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("hoop_mitm.archive.comparing"), name)
