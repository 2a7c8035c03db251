"""What was found out afterwards about requests whose answers were never recorded."""

from collections.abc import Sequence
from typing import Final

from hoop_mitm.archive import bodies
from hoop_mitm.archive.database import Database
from hoop_mitm.archive.entries import Resolved

RESOLVED: Final = "intent.resolved"
"""The type of the event that says it."""

_RESOLVED = """
    SELECT flow_id, message, details
    FROM events
    WHERE type = ? AND flow_id IN (SELECT unnest(?))
    ORDER BY seq
"""


def read(database: Database, flow_ids: Sequence[str]) -> dict[str, Resolved]:
    """By flow; the last word counts."""
    rows = database.all(_RESOLVED, [RESOLVED, list(flow_ids)]) if flow_ids else ()
    return {flow_id: _resolved(message, bodies.details(details)) for flow_id, message, details in rows}


def _resolved(message: str, details: dict[str, object]) -> Resolved:
    job, error = details.get("job"), details.get("error")
    return Resolved(
        str(details.get("outcome") or "unknown"),
        message,
        job if isinstance(job, str) else None,
        error if isinstance(error, str) else None,
    )
