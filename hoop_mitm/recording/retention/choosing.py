"""What goes: worked out in tables beside the archive (:class:`Source`).

``item``     every record (and, from before the chain, every row) that still says something, and what decides about it.
``going``    the same with the answer: all of it (``record``), its bodies (``bodies``), its statement, or what may quote one
             (``words``, where it is ``spoken``).
``gone_body``  the bodies that nothing points to any more which stays.
``gone_part``  what goes of which record, by part, as the signed event will list it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from hoop_mitm.recording.retention.cutoffs import OTHERS, Cutoff, Cutoffs
from hoop_mitm.recording.retention.source import Source

#: Kinds of records without which no chain can be followed. They tell nothing about anybody.
KEPT_KINDS = "('genesis', 'key', 'start', 'probe')"
#: What somebody wrote themselves into an event that is about no exchange: reviewers what they say, readers what they look for.
#: Until there was ``archive.search``, this stood in ``archive.read``, and takes who looked with it there.
_WORDED = "('review.approved', 'review.rejected', 'archive.read', 'archive.search')"
#: The archive's own work is told in a chain of this kind.
OWN_CHAIN = "starts_with(chain, 'kept-')"

_NOTED = f"""
    CREATE TABLE noted AS
    SELECT
        chain, seq, kind, coalesce(statement_salt IS NOT NULL, false) AS statement, exchange_salt IS NOT NULL AS exchange,
        CASE WHEN json_valid(data) THEN json_extract_string(data, [
            '$.id', '$.flow_id', '$.session_id', '$.session.id', '$.session.connection', '$.connection',
            '$.ended_at', '$.started_at', '$.at', '$.request.body.hash', '$.response.body.hash', '$.side', '$.body.hash', '$.type'
        ]) END AS f,
        CASE WHEN kind = 'event' AND json_valid(exchange)
            THEN concat(json_extract_string(exchange, '$.details.message'), json_extract_string(exchange, '$.details.about'))
            ELSE ''
        END AS words
    FROM old.main.records
    WHERE kind NOT IN {KEPT_KINDS}
        AND NOT (data IS NULL AND who IS NULL AND statement IS NULL AND exchange IS NULL)
"""  # noqa: S608 - names of ours

# Rows from before the chain have no record: they are their own. An event about an exchange may quote its statement; not
# where nobody was identified, because nothing is read then.
_RAW = f"""
    CREATE VIEW raw AS
    SELECT
        chain, seq, kind,
        CASE kind WHEN 'flow' THEN f[1] ELSE f[2] END AS flow_id,
        CASE kind WHEN 'flow' THEN f[4] WHEN 'session' THEN f[1] ELSE f[3] END AS session_id,
        coalesce(f[5], f[6]) AS connection,
        try_cast(coalesce(f[7], f[8], f[9]) AS TIMESTAMPTZ) AS ended,
        TRY(from_hex(CASE WHEN kind = 'salvage' AND f[12] = 'request' THEN f[13] ELSE f[10] END)) AS request,
        TRY(from_hex(CASE WHEN kind = 'salvage' AND f[12] = 'response' THEN f[13] ELSE f[11] END)) AS response,
        CASE kind
            WHEN 'flow' THEN statement
            WHEN 'event' THEN exchange AND (
                (f[2] IS NOT NULL AND f[14] <> 'identity.refused') OR (words <> '' AND f[14] IN {_WORDED})
            )
            ELSE false
        END AS spoken,
        NULL::VARCHAR AS row_id
    FROM noted
    UNION ALL
    SELECT
        NULL, NULL, 'flow', flows.id, flows.session_id, NULL, coalesce(flows.ended_at, flows.started_at),
        request_body, response_body,
        flows.message IS NOT NULL OR flows.error IS NOT NULL OR jobs.statement IS NOT NULL
            OR jobs.executed_statement IS NOT NULL OR coalesce(cardinality(jobs.labels), 0) > 0,
        flows.id
    FROM old.main.flows LEFT JOIN old.main.jobs ON jobs.key = flows.job_key
    WHERE flows.chain IS NULL
    UNION ALL
    SELECT
        NULL, NULL, 'event', flow_id, session_id, NULL, occurred_at, NULL, NULL,
        flow_id IS NOT NULL AND type <> 'identity.refused' AND (message <> '' OR details <> '{{}}'), id
    FROM old.main.events
    WHERE chain IS NULL
"""  # noqa: S608 - names of ours

# An intent and its outcome are one exchange, and end together; one without an outcome may still be running, and one that
# the fold holds back is not in the archive's tables yet.
_FLOWS = """
    CREATE TABLE flow AS
    SELECT
        flow_id AS id, max(session_id) AS session_id, max(connection) AS connection,
        CASE
            WHEN bool_or(chain IS NOT NULL AND starts_with(chain, $journal) AND seq >= $first)
                OR bool_or((chain, seq) IN (SELECT (chain, seq) FROM waiting))
                OR flow_id IN (SELECT id FROM old.main.flows WHERE state = 'open' AND error IS NULL)
            THEN 'infinity'::TIMESTAMPTZ
            ELSE max(ended)
        END AS ended
    FROM raw WHERE kind = 'flow' AND flow_id IS NOT NULL
    GROUP BY flow_id
"""
_WAITING = """
    CREATE TABLE waiting AS
    SELECT records.chain, records.seq
    FROM (SELECT id, unnest(held) AS seq FROM old.main.journals) AS held
    JOIN old.main.records ON records.seq = held.seq AND starts_with(records.chain, held.id)
"""
_ITEMS = """
    CREATE TABLE item AS
    SELECT raw.* REPLACE (
        coalesce(raw.session_id, flow.session_id) AS session_id,
        coalesce(raw.connection, flow.connection, sessions.connection) AS connection,
        CASE
            WHEN raw.chain IS NOT NULL AND starts_with(raw.chain, $journal) AND raw.seq >= $first THEN 'infinity'::TIMESTAMPTZ
            WHEN raw.kind = 'event' THEN raw.ended
            ELSE coalesce(flow.ended, raw.ended)
        END AS ended
    )
    FROM raw
    LEFT JOIN flow ON flow.id = raw.flow_id
    LEFT JOIN old.main.sessions ON sessions.id = coalesce(raw.session_id, flow.session_id)
"""
_UNREADABLE = """
    UPDATE item SET ended = (
        SELECT max(earlier.ended) FROM item AS earlier
        WHERE earlier.chain = item.chain AND earlier.seq < item.seq AND isfinite(earlier.ended)
    )
    WHERE ended IS NULL
"""
# What is told of a session itself goes with the last exchange in it.
_SESSIONS = """
    CREATE TABLE session AS
    SELECT id, max(connection) AS connection, max(ended) AS ended
    FROM (
        SELECT session_id AS id, connection, ended FROM item WHERE session_id IS NOT NULL AND kind <> 'event'
        UNION ALL
        SELECT id, connection, last_seen_at FROM old.main.sessions
    )
    GROUP BY id
"""
_WITH_THE_SESSION = (
    "UPDATE item SET ended = session.ended FROM session WHERE session.id = item.session_id AND kind = 'session'"
)
_OWN = f"DELETE FROM item WHERE {OWN_CHAIN} AND kind = 'event' AND session_id IS NULL"  # noqa: S608 - names of ours

_CUTOFFS = "CREATE TABLE cutoff (connection VARCHAR, bodies TIMESTAMPTZ, statements TIMESTAMPTZ, metadata TIMESTAMPTZ)"
_HELD = "CREATE TABLE held (session_id VARCHAR)"
_DUE = """
    CREATE TABLE due AS
    SELECT
        item.*, coalesce(cutoff.connection, $others) AS share, coalesce(item.session_id IN (FROM held), false) AS held,
        coalesce(ended < cutoff.metadata, false) AS record,
        coalesce(ended < cutoff.statements, false) AS words,
        coalesce(ended < cutoff.bodies, false) AS bodies
    FROM item JOIN cutoff ON cutoff.connection IS NOT DISTINCT FROM
        (CASE WHEN item.connection IN (SELECT connection FROM cutoff) THEN item.connection END)
"""
_GOING_BY_AGE = """
    CREATE VIEW going AS
    SELECT * REPLACE (record AND NOT held AS record, words AND NOT held AS words, bodies AND NOT held AS bodies)
    FROM due
"""
_SESSIONS_BY_AGE = """
    CREATE TABLE gone_session AS
    SELECT session.id, coalesce(cutoff.connection, $others) AS share
    FROM session JOIN cutoff ON cutoff.connection IS NOT DISTINCT FROM
        (CASE WHEN session.connection IN (SELECT connection FROM cutoff) THEN session.connection END)
    WHERE session.ended < cutoff.metadata AND session.id NOT IN (FROM held)
        AND session.id NOT IN (SELECT session_id FROM going WHERE NOT record AND session_id IS NOT NULL AND kind <> 'event')
"""

_USES = """
    CREATE TABLE use AS
    SELECT request AS hash, record OR bodies AS goes FROM going WHERE request IS NOT NULL
    UNION ALL
    SELECT response, record OR bodies FROM going WHERE response IS NOT NULL
"""
_STORED = """
    CREATE TABLE stored AS
    SELECT hash, sum(octet_length(data))::BIGINT AS bytes, sum(size)::BIGINT AS size FROM old.main.bodies GROUP BY hash
"""
# A body is kept once, whoever has got it: it goes with the last of them. What nobody points to tells of nobody.
_GONE_BODIES = """
    CREATE TABLE gone_body AS
    SELECT stored.* FROM stored
    LEFT JOIN (SELECT hash, bool_and(goes) AS goes FROM use GROUP BY hash) AS used USING (hash)
    WHERE coalesce(used.goes, true)
"""
_GONE_PARTS = """
    CREATE TABLE gone_part AS
    SELECT 'record' AS part, chain, seq FROM going WHERE record
    UNION ALL
    SELECT CASE kind WHEN 'flow' THEN 'statement' ELSE 'exchange' END, chain, seq
    FROM going WHERE spoken AND words AND NOT record
    UNION ALL
    SELECT 'request_body', chain, seq FROM going
    WHERE bodies AND NOT record AND request IN (SELECT hash FROM gone_body)
    UNION ALL
    SELECT 'response_body', chain, seq FROM going
    WHERE bodies AND NOT record AND response IN (SELECT hash FROM gone_body)
"""
# What stays between the first and the last that goes: there a range must end.
_STAYING_PARTS = f"""
    CREATE TABLE staying_part AS
    WITH span AS (
        SELECT part, chain, min(seq) AS first, max(seq) AS last FROM gone_part WHERE chain IS NOT NULL GROUP BY ALL
    )
    SELECT part, chain, seq
    FROM (
        SELECT 'record' AS part, chain, seq FROM going WHERE NOT record
        UNION ALL
        SELECT 'record', chain, seq FROM old.main.records
        WHERE kind IN {KEPT_KINDS} OR ({OWN_CHAIN} AND data IS NOT NULL)
        UNION ALL
        SELECT 'statement', chain, seq FROM going WHERE kind = 'flow' AND spoken AND NOT record
        UNION ALL
        SELECT 'exchange', chain, seq FROM old.main.records WHERE exchange_salt IS NOT NULL
        UNION ALL
        SELECT 'request_body', chain, seq FROM going WHERE request IS NOT NULL AND NOT record
        UNION ALL
        SELECT 'response_body', chain, seq FROM going WHERE response IS NOT NULL AND NOT record
    ) AS staying
    JOIN span USING (part, chain)
    WHERE seq BETWEEN first AND last
        AND (part, chain, seq) NOT IN (SELECT (part, chain, seq) FROM gone_part WHERE chain IS NOT NULL)
"""  # noqa: S608 - names of ours
# Between records that have the same next one that stays there is none that does.
_RANGES = """
    SELECT part, chain, min(seq), max(seq)
    FROM (
        SELECT gone_part.part, gone_part.chain, gone_part.seq, staying_part.seq AS next
        FROM gone_part ASOF LEFT JOIN staying_part
            ON staying_part.part = gone_part.part AND staying_part.chain = gone_part.chain AND gone_part.seq < staying_part.seq
        WHERE gone_part.chain IS NOT NULL
    )
    GROUP BY part, chain, next
    ORDER BY ALL
"""


@dataclass(frozen=True, slots=True)
class Range:
    """Records of one chain in a row that lose the same part; ``last`` is included."""

    part: str
    chain: str
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Horizon:
    """Records of ``journal`` from the number ``first`` on lie in the segment that is still written to: they wait."""

    journal: str
    first: int


#: Everything may go.
NO_HORIZON = Horizon("", 2**62)


def choose_by_age(source: Source, cutoffs: Cutoffs, held: Sequence[str], horizon: Horizon = NO_HORIZON) -> None:
    """Decide about everything by its age. ``held`` are ids of sessions of which nothing goes."""
    list_items(source, horizon)
    source.execute(_CUTOFFS)
    source.execute("INSERT INTO cutoff VALUES (NULL, ?, ?, ?)", _values(cutoffs.other))
    for name, cutoff in cutoffs.by_connection.items():
        source.execute("INSERT INTO cutoff VALUES (?, ?, ?, ?)", [name, *_values(cutoff)])
    list_held(source, held)
    source.execute(_DUE, {"others": OTHERS})
    source.execute("DROP TABLE item")
    source.execute(_GOING_BY_AGE)
    source.execute(_SESSIONS_BY_AGE, {"others": OTHERS})
    list_parts(source)


def ranges(source: Source) -> list[Range]:
    """What goes, in the form and order in which it is signed."""
    source.execute(_STAYING_PARTS)
    return [Range(*row) for row in source.rows(_RANGES)]


def anything_goes(source: Source) -> bool:
    return bool(source.one("SELECT EXISTS (FROM gone_part) OR EXISTS (FROM gone_session)"))


def _values(cutoff: Cutoff) -> list[object]:
    return [cutoff.bodies, cutoff.statements, cutoff.metadata]


def list_items(source: Source, horizon: Horizon) -> None:
    beyond = {"journal": horizon.journal, "first": horizon.first}
    for statement in (_NOTED, _RAW, _WAITING):
        source.execute(statement)
    for statement in (_FLOWS, _ITEMS):
        source.execute(statement, beyond)
    for statement in ("DROP VIEW raw", "DROP TABLE noted", _UNREADABLE, _SESSIONS, _WITH_THE_SESSION, _OWN):
        source.execute(statement)


def list_held(source: Source, held: Sequence[str]) -> None:
    source.execute(_HELD)
    for session in held:
        source.execute("INSERT INTO held VALUES (?)", [session])


def list_parts(source: Source) -> None:
    for statement in (_USES, _STORED, _GONE_BODIES, "DROP TABLE use", _GONE_PARTS):
        source.execute(statement)
