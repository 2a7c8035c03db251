"""The read side: what an archive holds, told again.

It knows the schema of the archive and how BigQuery's answers are put together; it knows nothing of HTTP, mitmproxy or
the command line, and writes nothing (what a journal still holds is folded in through ``recording``).
"""

from hoop_mitm.archive.archive import Archive
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
