"""What would go, counted."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from hoop_mitm.recording.retention.choosing import anything_goes
from hoop_mitm.recording.retention.source import Source
from hoop_mitm.recording.retention.stores import Lost

type What = Literal["bodies", "statements", "metadata"]
WHATS: tuple[What, ...] = ("bodies", "statements", "metadata")

_LOSSES = """
    CREATE TABLE loss AS
    SELECT 'metadata' AS what, * FROM going WHERE record
    UNION ALL
    SELECT 'statements', * FROM going WHERE words AND NOT record AND spoken
    UNION ALL
    SELECT 'bodies', * FROM going
    WHERE bodies AND NOT record
        AND (request IN (SELECT hash FROM gone_body) OR response IN (SELECT hash FROM gone_body))
"""
_COUNTS = """
    SELECT
        what, share, count(DISTINCT flow_id) FILTER (kind = 'flow') AS flows, count(*) FILTER (kind = 'event') AS events,
        min(ended) FILTER (isfinite(ended)) AS oldest, max(ended) FILTER (isfinite(ended)) AS newest
    FROM loss GROUP BY ALL
"""
# A job loses its statement with any of its exchanges that held it; it goes with the last of them.
_JOBS = """
    SELECT what, share, count(DISTINCT job_key) AS jobs
    FROM loss JOIN old.main.flows ON flows.id = loss.flow_id JOIN old.main.jobs ON jobs.key = flows.job_key
    WHERE loss.kind = 'flow' AND (what = 'metadata' OR (what = 'statements' AND jobs.statement IS NOT NULL))
    GROUP BY ALL
"""
_BODIES = """
    SELECT what, share, count(*) AS bodies, sum(bytes)::BIGINT AS bytes
    FROM (
        SELECT DISTINCT what, share, gone_body.hash, gone_body.bytes
        FROM (
            SELECT what, share, unnest([request, response]) AS hash FROM loss WHERE what <> 'statements'
        ) AS lost
        JOIN gone_body USING (hash)
    )
    GROUP BY ALL
"""
_SESSIONS = """
    SELECT 'metadata' AS what, share, count(*) AS sessions
    FROM gone_session WHERE id IN (SELECT id FROM old.main.sessions) GROUP BY ALL
"""
# A body that stays only because somebody on hold has got it too.
_HELD_BODIES = """
    CREATE TABLE due_body AS
    SELECT hash FROM (SELECT unnest([request, response]) AS hash, record OR bodies AS goes FROM due)
    WHERE hash IN (SELECT hash FROM stored)
    GROUP BY hash HAVING bool_and(goes)
"""
# What would be lost if nothing were on hold, without what is lost all the same: so both together are what would be.
_HELD = """
    SELECT what, share, count(*) AS held
    FROM (
        SELECT what, share, flow_id
        FROM (
            SELECT share, flow_id, unnest([
                CASE WHEN record THEN 'metadata' END,
                CASE WHEN words AND NOT record AND spoken THEN 'statements' END,
                CASE WHEN bodies AND NOT record
                    AND (request IN (SELECT hash FROM due_body) OR response IN (SELECT hash FROM due_body))
                THEN 'bodies' END
            ]) AS what
            FROM due WHERE kind = 'flow' AND flow_id IS NOT NULL
        )
        WHERE what IS NOT NULL
        EXCEPT
        SELECT what, share, flow_id FROM loss WHERE kind = 'flow'
    )
    GROUP BY ALL
"""
_SHARES = f"""
    SELECT share, what, flows, jobs, events, sessions, bodies, bytes, oldest, newest, held
    FROM ({_COUNTS})
    FULL JOIN ({_JOBS}) USING (what, share)
    FULL JOIN ({_BODIES}) USING (what, share)
    FULL JOIN ({_SESSIONS}) USING (what, share)
    FULL JOIN ({_HELD}) USING (what, share)
"""  # noqa: S608 - questions of ours


@dataclass(frozen=True, slots=True)
class Share:
    """What goes of one class of one connection.

    Attributes:
        connection: its name in ``hoop.yaml``; ``(others)`` for what belongs to none.
        what: ``bodies``; ``statements`` (of exchanges whose record stays); ``metadata`` (all that is left of them).
        flows, events, sessions: how many lose this.
        jobs: that lose their statement, or an exchange that told of them.
        bodies: how many go, each counted once; ``bytes`` is what they take in the file.
        oldest, newest: when the first and the last of these exchanges and events ended.
        held: exchanges that would lose this too if no session were on hold: ``flows`` and ``held`` together would lose it then.
    """

    connection: str
    what: What
    flows: int = 0
    jobs: int = 0
    events: int = 0
    sessions: int = 0
    bodies: int = 0
    bytes: int = 0
    oldest: datetime | None = None
    newest: datetime | None = None
    held: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """``shares`` lists only classes of which something goes, or is held; ``empty``: nothing of the archive goes.

    ``beside``: what goes of reviews and of what was spent; ``None`` when nobody said where they lie.
    """

    now: datetime
    shares: tuple[Share, ...]
    empty: bool
    beside: Lost | None = None


def plan(source: Source, now: datetime) -> Plan:
    """Count what was chosen by age."""
    source.execute(_LOSSES)
    source.execute(_HELD_BODIES)
    shares = [_share(row) for row in source.rows(_SHARES)]
    shares.sort(key=lambda each: (each.connection, WHATS.index(each.what)))
    return Plan(now, tuple(shares), empty=not anything_goes(source))


def _share(row: tuple[Any, ...]) -> Share:
    connection, what, flows, jobs, events, sessions, bodies, size, oldest, newest, held = row
    return Share(
        connection,
        what,
        flows=flows or 0,
        jobs=jobs or 0,
        events=events or 0,
        sessions=sessions or 0,
        bodies=bodies or 0,
        bytes=size or 0,
        oldest=oldest,
        newest=newest,
        held=held or 0,
    )
