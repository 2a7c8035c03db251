"""Labels that are the gateway's own."""

from typing import Final

from hoop_mitm.bigquery.unreadable import Unreadable

RESERVED_LABELS: Final = "hoop-"
"""Labels that start with this are the gateway's own."""

SESSION: Final = "hoop-session"
"""Label on every job: the id of the gateway's session, as in ``INFORMATION_SCHEMA.JOBS.labels``."""

REVIEW: Final = "hoop-review"
"""Label of a job that people have let run: the id of the review."""


def check_query_label(value: str) -> None:
    """Refuses a ``query_label``, as a connection property or set in SQL, that holds a label of the gateway's.

    Raises:
        Unreadable: it does.
    """
    if RESERVED_LABELS in value.lower():
        raise Unreadable(f"labels that start with {RESERVED_LABELS} are the gateway's.")
