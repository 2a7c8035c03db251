"""What was recorded of an exchange and is not there any more, because retention took it."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from hoop_mitm.archive.database import Database

_ANY = "SELECT EXISTS (FROM removals)"
# Of ranges that begin before a record the last one is the only one that can hold it: none lies within another.
_DELETED = """
    SELECT wanted.id, wanted.part, epoch_us(events.occurred_at)
    FROM (
        SELECT id, chain, seq, request_body, response_body, unnest(['statement', 'request_body', 'response_body']) AS part
        FROM flows WHERE id IN (SELECT unnest(string_split(?, ','))) AND chain IS NOT NULL
    ) AS wanted
    ASOF JOIN removals
        ON removals.target_chain = wanted.chain AND removals.part = wanted.part AND wanted.seq >= removals.first_seq
    JOIN events ON events.chain = removals.chain AND events.seq = removals.event_seq
    WHERE wanted.seq <= removals.last_seq
        AND (wanted.part <> 'request_body' OR wanted.request_body IS NOT NULL)
        AND (wanted.part <> 'response_body' OR wanted.response_body IS NOT NULL)
"""


def read(database: Database, flow_ids: Sequence[str]) -> Mapping[str, Mapping[str, datetime]]:
    """By flow: which of ``statement``, ``request_body`` and ``response_body`` is deleted, and since when."""
    found: dict[str, dict[str, datetime]] = {}
    if flow_ids and database.all(_ANY) == [(True,)]:
        for flow, part, at in database.all(_DELETED, [",".join(flow_ids)]):
            found.setdefault(flow, {})[part] = datetime.fromtimestamp(0, UTC) + timedelta(microseconds=at)
    return found
