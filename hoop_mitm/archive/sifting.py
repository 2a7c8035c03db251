"""Which of many jobs and exchanges may have brought rows with a text in them: by their raw answers, not understood."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from hoop_mitm.archive import bodies
from hoop_mitm.archive.database import Database
from hoop_mitm.archive.needle import Needle

_PAGES = """
    SELECT coalesce(job_key, id), response_body
    FROM flows
    WHERE coalesce(job_key, id) IN (SELECT unnest(string_split(?, chr(10))))
        AND door IN ('jobs.query', 'jobs.getQueryResults', 'tabledata.list')
        AND status = 200 AND response_body IS NOT NULL
"""

# Nothing can be told of the rows of a stream unread: they may be compressed.
_STREAMED = "SELECT unnest([job_key, flow_id]) FROM read_sessions"

_THREADS = 2


def sift(database: Database, needle: Needle, wanted: Iterable[str]) -> set[str]:
    """Those of ``wanted``, keys of jobs and ids of exchanges, in whose rows the text may stand."""
    found = {row[0] for row in database.all(_STREAMED)}
    owners: dict[bytes, list[str]] = {}
    # One text, because DuckDB takes long over many values.
    for owner, digest in database.all(_PAGES, ["\n".join(wanted)]):
        owners.setdefault(digest, []).append(owner)

    def standing(some: list[bodies.Stored]) -> list[bytes]:
        return [body.hash for body in some if not body.frames or _stands(needle, database, body)]

    with ThreadPoolExecutor(_THREADS) as threads:
        for portion in bodies.portions(database, list(owners)):
            for digests in threads.map(standing, (portion[place::_THREADS] for place in range(_THREADS))):
                found.update(owner for digest in digests for owner in owners[digest])
    return found


def _stands(needle: Needle, database: Database, body: bodies.Stored) -> bool:
    tail = b""
    for frame in body.frames:
        piece = tail + bodies.decompressed(database, frame)
        if needle.may_stand_in(piece):
            return True
        tail = piece[-needle.overlap :]
    return False
