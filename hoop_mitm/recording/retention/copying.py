"""The archive's successor: a fresh file that only what stays was ever written to.

DuckDB gives no space back, and leaves what is deleted readable in the file. So nothing is deleted: what stays is copied.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

from hoop_mitm.errors import RecordingError
from hoop_mitm.recording.archive_file import attaching
from hoop_mitm.recording.retention.learnt import DELETED
from hoop_mitm.recording.retention.source import Source
from hoop_mitm.recording.tables import BROKEN, LOST

#: Tables beside the archive that :func:`copy` reads: ``going``, ``gone_body``, ``gone_session``, ``learnt``, and these.
_TOUCHED_FLOWS = """
    CREATE TABLE touched AS
    SELECT flows.id, flows.job_key, flows.chain, bool_or(going.record) AS gone
    FROM going JOIN old.main.flows ON flows.id = going.flow_id
    WHERE going.kind = 'flow' AND (going.record OR (going.words AND going.spoken))
    GROUP BY ALL
"""
_TOUCHED_JOBS = """
    CREATE TABLE touched_job AS
    SELECT DISTINCT job_key AS key FROM touched WHERE job_key IS NOT NULL
    UNION
    SELECT job_key FROM old.main.read_sessions
    WHERE job_key IS NOT NULL AND flow_id IN (SELECT id FROM touched)
"""
# What was recorded before there were chains cannot be made again from records: such jobs are edited.
_EDITED_JOBS = """
    CREATE TABLE edited_job AS
    SELECT job_key AS key, bool_and(flows.id IN (SELECT id FROM touched WHERE gone)) AS gone
    FROM old.main.flows
    WHERE job_key IN (SELECT key FROM touched_job)
    GROUP BY job_key HAVING bool_or(chain IS NULL)
"""
_REDONE_FLOWS = """
    CREATE TABLE redone AS
    SELECT id, error = $lost AS lost FROM old.main.flows
    WHERE chain IS NOT NULL AND id NOT IN (SELECT id FROM touched WHERE gone)
        AND (id IN (SELECT id FROM touched)
            OR job_key IN (SELECT key FROM touched_job WHERE key NOT IN (SELECT key FROM edited_job)))
"""

_TAKEN = "CASE WHEN going.record THEN NULL ELSE records.{0} END AS {0}"
_SPOKEN = "CASE WHEN going.record OR (going.words AND going.spoken) THEN NULL ELSE records.{0} END AS {0}"
_TOLD = "CASE WHEN going.record OR (going.words AND going.spoken AND going.kind = 'event') THEN NULL ELSE records.{0} END AS {0}"
_RECORDS = f"""
    SELECT records.* REPLACE (
        {", ".join(_TAKEN.format(name) for name in ("data", "who_salt", "who"))},
        {", ".join(_TOLD.format(name) for name in ("exchange_salt", "exchange"))},
        {", ".join(_SPOKEN.format(name) for name in ("statement_salt", "statement"))}
    )
    FROM old.main.records LEFT JOIN going ON going.chain = records.chain AND going.seq = records.seq
"""  # noqa: S608 - names of ours
_OURS = f"('{LOST}', '{BROKEN}')"
#: What is copied of each table that is not copied whole.
_SELECTIONS: Mapping[str, str] = {
    "records": _RECORDS,
    "bodies": "SELECT * FROM old.main.bodies WHERE hash NOT IN (SELECT hash FROM gone_body)",
    "sessions": "SELECT * FROM old.main.sessions WHERE id NOT IN (SELECT id FROM gone_session)",
    "flows": f"""
        SELECT * EXCLUDE (edited) REPLACE (
            CASE WHEN edited THEN NULL ELSE message END AS message,
            CASE WHEN edited AND error NOT IN {_OURS} THEN NULL ELSE error END AS error
        )
        FROM (
            SELECT *, chain IS NULL AND id IN (SELECT id FROM touched) AS edited FROM old.main.flows
            WHERE id NOT IN (SELECT id FROM touched WHERE gone) AND id NOT IN (SELECT id FROM redone)
        )
    """,  # noqa: S608 - texts of ours
    "jobs": f"""
        SELECT * EXCLUDE (edited) REPLACE (
            CASE WHEN edited THEN NULL ELSE statement END AS statement,
            CASE WHEN edited THEN NULL ELSE executed_statement END AS executed_statement,
            CASE WHEN edited THEN NULL ELSE fingerprint END AS fingerprint,
            CASE WHEN edited THEN NULL ELSE schema END AS schema,
            CASE WHEN edited THEN NULL ELSE message END AS message,
            CASE WHEN edited THEN MAP {{}} ELSE labels END AS labels,
            CASE WHEN edited AND error IS NOT NULL THEN '{DELETED}' ELSE error END AS error,
            CASE WHEN edited AND tables_from = 'statement' THEN [] ELSE referenced_tables END AS referenced_tables,
            CASE WHEN edited AND tables_from = 'statement' THEN NULL ELSE tables_from END AS tables_from
        )
        FROM (
            SELECT *, key IN (SELECT key FROM edited_job) AS edited FROM old.main.jobs
            WHERE key NOT IN (SELECT key FROM touched_job WHERE key NOT IN (SELECT key FROM edited_job WHERE NOT gone))
        )
    """,  # noqa: S608 - a text of ours
    "read_sessions": """
        SELECT * FROM old.main.read_sessions
        WHERE flow_id NOT IN (SELECT id FROM touched WHERE gone) AND flow_id NOT IN (SELECT id FROM redone)
    """,
    "events": """
        SELECT * EXCLUDE (edited) REPLACE (
            CASE WHEN edited THEN '' ELSE message END AS message, CASE WHEN edited THEN '{}' ELSE details END AS details
        )
        FROM (
            SELECT *,
                id IN (SELECT row_id FROM going WHERE words AND spoken AND kind = 'event' AND row_id IS NOT NULL)
                OR (chain IS NOT NULL AND (chain, seq) IN
                    (SELECT (chain, seq) FROM going WHERE words AND spoken AND kind = 'event' AND chain IS NOT NULL))
                AS edited
            FROM old.main.events
        )
        WHERE id NOT IN (SELECT row_id FROM going WHERE record AND kind = 'event' AND row_id IS NOT NULL)
            AND (chain IS NULL OR (chain, seq) NOT IN (SELECT (chain, seq) FROM going WHERE record AND chain IS NOT NULL))
    """,
    "observations": """
        SELECT * FROM old.main.observations
        WHERE (chain, seq) NOT IN (
            SELECT (chain, seq) FROM going WHERE record AND chain IS NOT NULL UNION ALL SELECT (chain, seq) FROM learnt
        )
        UNION ALL
        FROM learnt
        ORDER BY chain, seq
    """,
}  # fmt: skip
_TABLES = "SELECT schema_name, table_name FROM duckdb_tables() WHERE database_name = 'old' ORDER BY ALL"

_NOT_LIKE_THIS = "SELECT count(*) FROM old.main.records ANTI JOIN fresh.main.records USING (chain, seq, digest, link)"
_LEFT_OVER = """
    SELECT
        (SELECT count(*) FROM fresh.main.records JOIN going USING (chain, seq)
            WHERE (going.record AND coalesce(data, who, records.statement, exchange) IS NOT NULL)
                OR (going.record AND coalesce(who_salt, statement_salt, exchange_salt) IS NOT NULL)
                OR (going.words AND going.spoken AND going.kind = 'flow'
                    AND (records.statement IS NOT NULL OR statement_salt IS NOT NULL))
                OR (going.words AND going.spoken AND going.kind = 'event'
                    AND (records.exchange IS NOT NULL OR exchange_salt IS NOT NULL)))
        + (SELECT count(*) FROM fresh.main.bodies SEMI JOIN gone_body USING (hash))
        + (SELECT count(*) FROM fresh.main.sessions SEMI JOIN gone_session USING (id))
"""


def copy(source: Source, fresh: Path, progress: Callable[[str], None]) -> None:
    """Write what stays to the file ``fresh``, which must not exist. What :mod:`.rejoining` makes again is left out.

    Raises:
        RecordingError: the copy is not what it should be. (``duckdb.Error``: it cannot be written.)
    """
    for statement in (_TOUCHED_FLOWS, _TOUCHED_JOBS, _EDITED_JOBS):
        source.execute(statement)
    source.execute(_REDONE_FLOWS, {"lost": LOST})
    source.execute(attaching(fresh, "fresh"))
    source.execute("COPY FROM DATABASE old TO fresh (SCHEMA)")
    for schema, table in source.rows(_TABLES):
        progress(f"Copying {table}")
        name = f'"{schema}"."{table}"'
        selection = _SELECTIONS.get(table) if schema == "main" else None
        source.execute(f"INSERT INTO fresh.{name} {selection or f'FROM old.{name}'}")
    progress("Checking the copy")
    _check(source)
    source.execute("DETACH fresh")


def _check(source: Source) -> None:
    lost = source.one(_NOT_LIKE_THIS)
    if lost:
        raise RecordingError(f"{lost} records are not in the copy as they were; nothing was changed.")
    left = source.one(_LEFT_OVER)
    if left:
        raise RecordingError(f"{left} values are in the copy that should be gone; nothing was changed.")
    kept = "SELECT count(*) FROM old.main.bodies WHERE hash NOT IN (SELECT hash FROM gone_body)"
    if source.one(kept) != source.one("SELECT count(*) FROM fresh.main.bodies"):
        raise RecordingError("Not all bodies are in the copy; nothing was changed.")
