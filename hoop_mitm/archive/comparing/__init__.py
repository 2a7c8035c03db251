"""What changed from one session to another, in one archive or in two: jobs, statements, schemas, rows, cost.

It knows what an archive holds and what values mean to BigQuery; it writes nothing but temporary files of its own.
"""

from hoop_mitm.archive.comparing.alignment import align
from hoop_mitm.archive.comparing.found import (
    Change,
    ColumnChange,
    Figure,
    JobDiff,
    Outcome,
    Piece,
    RowChange,
    RowDiff,
    SchemaDiff,
    SessionDiff,
)
from hoop_mitm.archive.comparing.rows import SAMPLES, Ways
from hoop_mitm.archive.comparing.sessions import COST_TOLERANCE, Options, diff

__all__ = [
    "COST_TOLERANCE",
    "SAMPLES",
    "Change",
    "ColumnChange",
    "Figure",
    "JobDiff",
    "Options",
    "Outcome",
    "Piece",
    "RowChange",
    "RowDiff",
    "SchemaDiff",
    "SessionDiff",
    "Ways",
    "align",
    "diff",
]
