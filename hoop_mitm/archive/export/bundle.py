"""One session as a file of its own, which ``hoop-mitm verify`` checks alone.

It has the archive's schema, so that everything that reads an archive reads it. Beside the session's rows it holds its
records, and of the chain just what connects them to the signatures around them: of the records between, digest and link.
"""

from datetime import UTC, datetime
from importlib import metadata, resources
from pathlib import Path

import duckdb
import pyarrow as pa

from hoop_mitm.archive.database import patiently
from hoop_mitm.archive.verify.file import File
from hoop_mitm.archive.verify.joined import group_of, join_alone
from hoop_mitm.errors import ArchiveError
from hoop_mitm.evidence import PARTS
from hoop_mitm.recording.archive_file import VERSION

_SETTINGS: dict[str, str | bool | int | float | list[str]] = {
    "threads": "2",
    "memory_limit": "1GB",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
}
_ATTACH_OLD = "ATTACH '{path}' AS old (READ_ONLY, TYPE duckdb)"
#: Small blocks: most sessions are small, and there are many columns.
_ATTACH_NEW = "ATTACH '{path}' AS new (BLOCK_SIZE 16384)"

_TOLD = """
    CREATE TABLE memory.main.told AS
    SELECT
        chain, seq, kind,
        CASE WHEN json_valid(data) THEN json_extract_string(data, [
            '/session/id', '/id', '/session_id', '/flow_id', '/request/body/hash', '/response/body/hash', '/body/hash'
        ]) END AS f
    FROM old.main.records WHERE kind IN ('flow', 'event', 'session', 'salvage') AND data IS NOT NULL
"""
#: The session's own records.
_MINE = """
    CREATE TABLE memory.main.mine AS
    SELECT chain, seq, kind, f FROM memory.main.told
    WHERE CASE kind
        WHEN 'flow' THEN f[1] = $session
        WHEN 'session' THEN f[2] = $session
        WHEN 'event' THEN f[3] = $session
        ELSE f[4] IN (SELECT f[2] FROM memory.main.told WHERE kind = 'flow' AND f[1] = $session)
    END
"""
#: Signed events that say what was taken of these.
_TAKING = """
    CREATE TABLE memory.main.taking AS
    SELECT DISTINCT removals.chain, event_seq AS seq
    FROM old.main.removals JOIN memory.main.mine
        ON mine.chain = target_chain AND mine.seq BETWEEN first_seq AND last_seq
"""
#: Chains that are needed, with the records that name their keys.
_NAMING = """
    CREATE TABLE memory.main.naming AS
    SELECT chain, seq, kind FROM old.main.records
    WHERE kind IN ('genesis', 'key')
        AND chain IN (SELECT chain FROM memory.main.mine UNION SELECT chain FROM memory.main.taking)
"""
#: What connects a record to the signature after it; and the session's first also to the one before.
_RANGES = """
    CREATE TABLE memory.main.range AS
    WITH bounds AS (
        SELECT chain, min(seq) AS first, max(seq) AS last, true AS from_signature FROM memory.main.mine GROUP BY chain
        UNION ALL
        SELECT chain, seq, seq, false FROM memory.main.taking
        UNION ALL
        SELECT chain, seq, seq, false FROM memory.main.naming
    )
    SELECT
        chain,
        coalesce(
            (SELECT max(seq) FROM old.main.checkpoints AS c WHERE from_signature AND c.chain = bounds.chain AND c.seq <= first),
            first - 1
        ) AS first,
        coalesce(
            (SELECT min(seq) FROM old.main.checkpoints AS c WHERE c.chain = bounds.chain AND c.seq >= last),
            (SELECT max(seq) FROM old.main.records AS r WHERE r.chain = bounds.chain)
        ) AS last
    FROM bounds
"""
_SHOWN = """
    CREATE TABLE memory.main.shown AS
    SELECT chain, seq FROM memory.main.mine
    UNION SELECT chain, seq FROM memory.main.taking
    UNION SELECT chain, seq FROM memory.main.naming
"""
_KEPT = ("data", *(column for name in PARTS for column in (f"{name}_salt", name)))
_RECORDS = f"""
    INSERT INTO new.main.records BY NAME
    SELECT records.* REPLACE ({", ".join(f"CASE WHEN shown.seq IS NULL THEN NULL ELSE {name} END AS {name}" for name in _KEPT)})
    FROM old.main.records LEFT JOIN memory.main.shown ON shown.chain = records.chain AND shown.seq = records.seq
    WHERE EXISTS (FROM memory.main.range WHERE range.chain = records.chain AND records.seq BETWEEN range.first AND range.last)
    ORDER BY records.chain, records.seq
"""  # noqa: S608 - names of ours
#: Signatures between the ends of a segment are left in: they tell when what was written.
_CHECKPOINTS = """
    INSERT INTO new.main.checkpoints BY NAME
    SELECT * FROM old.main.checkpoints
    WHERE EXISTS (
        FROM memory.main.range
        WHERE range.chain = checkpoints.chain AND checkpoints.seq BETWEEN range.first AND range.last
    )
    ORDER BY chain, number
"""
_REMOVALS = """
    INSERT INTO new.main.removals BY NAME
    SELECT removals.* FROM old.main.removals JOIN memory.main.taking
        ON taking.chain = removals.chain AND taking.seq = event_seq
"""
_OBSERVATIONS = """
    INSERT INTO new.main.observations BY NAME
    SELECT observations.* FROM old.main.observations JOIN memory.main.mine USING (chain, seq) ORDER BY chain, seq
"""
_BODIES = """
    INSERT INTO new.main.bodies BY NAME
    SELECT * FROM old.main.bodies
    WHERE rowid IN (
        SELECT rowid FROM old.main.bodies WHERE hash IN (
            SELECT request_body FROM old.main.flows WHERE session_id = $session
            UNION ALL SELECT response_body FROM old.main.flows WHERE session_id = $session
            UNION ALL SELECT try(from_hex(name)) FROM (SELECT unnest(f[5:7]) AS name FROM memory.main.mine WHERE kind <> 'event')
        )
    )
    ORDER BY rowid
"""
_ROWS = {
    "sessions": "SELECT * FROM old.main.sessions WHERE id = $session",
    "flows": "SELECT * FROM old.main.flows WHERE session_id = $session ORDER BY id",
    "events": """
        SELECT * FROM old.main.events
        WHERE session_id = $session OR (chain, seq) IN (SELECT (chain, seq) FROM memory.main.taking)
        ORDER BY seq
    """,
}
#: Of jobs that other sessions touched too, a bundle holds what this one's records tell.
_AS_THEY_ARE = {
    "jobs": "SELECT * FROM old.main.jobs WHERE session_id = $session ORDER BY started_at",
    "read_sessions": "SELECT * FROM old.main.read_sessions WHERE session_id = $session ORDER BY created_at",
}
_HELD = """
    INSERT INTO new.main.journals BY NAME
    SELECT * REPLACE (list_intersect(held, (SELECT list(seq) FROM memory.main.mine)) AS held)
    FROM old.main.journals
    WHERE len(list_intersect(held, (SELECT list(seq) FROM memory.main.mine))) > 0
"""
_KEYS = "UPDATE new.main.flows SET job_key = keys.job FROM keys WHERE flows.id = keys.id"
_VERSION = "SELECT version FROM old.main.archive"


def write(source: Path, session: str, target: Path, *, wait: float = 10) -> None:
    """Write the session with the id ``session`` of the archive ``source`` to ``target``, which must not exist.

    Raises:
        ArchiveError: the archive cannot be read, or the file cannot be written.
    """
    connection = patiently(source, wait, lambda: _attached(source))
    try:
        if connection.execute(_VERSION).fetchall() != [(VERSION,)]:
            raise ArchiveError(
                f"{source} is not of this program's version {VERSION}; `hoop-mitm migrate` brings it there."
            )
        connection.execute(_ATTACH_NEW.format(path=str(target).replace("'", "''")))
        _fill(connection, session)
        connection.execute("DETACH new")
        joined = _join(target, session)
        connection.execute(_ATTACH_NEW.format(path=str(target).replace("'", "''")))
        connection.begin()
        _put_jobs(connection, session, joined)
        connection.commit()
        connection.execute("CHECKPOINT new")
    except duckdb.Error as error:
        raise ArchiveError(f"{source} cannot be bundled: {str(error).splitlines()[0]}") from error
    finally:
        connection.close()


def _attached(source: Path) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(config=_SETTINGS)
    try:
        connection.execute(_ATTACH_OLD.format(path=str(source).replace("'", "''")))
    except BaseException:
        connection.close()
        raise
    return connection


def _fill(connection: duckdb.DuckDBPyConnection, session: str) -> None:
    connection.begin()
    connection.execute("USE new")
    connection.execute(resources.files("hoop_mitm.recording").joinpath("schema.sql").read_text())
    connection.execute(resources.files("hoop_mitm.archive.export").joinpath("bundle.sql").read_text())
    connection.execute("USE memory")
    connection.commit()
    for statement in (_TOLD, _MINE, _TAKING, _NAMING, _RANGES, _SHOWN):
        connection.execute(statement, {"session": session} if "$session" in statement else None)
    connection.begin()
    program = f"hoop-mitm {metadata.version('hoop-mitm')}"
    now = datetime.now(UTC)
    connection.execute(
        "INSERT INTO new.main.archive VALUES (?, ?, ?)", [VERSION, now, f"{program}, duckdb {duckdb.__version__}"]
    )
    connection.execute("INSERT INTO new.main.bundle VALUES (?, ?, ?)", [session, now, program])
    for statement in (_RECORDS, _CHECKPOINTS, _REMOVALS, _OBSERVATIONS, _BODIES, _HELD):
        connection.execute(statement, {"session": session} if "$session" in statement else None)
    for table, selection in _ROWS.items():
        connection.execute(f"INSERT INTO new.main.{table} BY NAME {selection}", {"session": session})
    connection.commit()


def _join(target: Path, session: str) -> tuple[pa.Table, pa.Table, dict[str, str]] | None:
    """What the session's own records come to; ``None`` where they are older than the chain."""
    with File(target) as file:
        group = group_of(file, session)
        return join_alone(file, group) if group else None


def _put_jobs(
    connection: duckdb.DuckDBPyConnection, session: str, joined: tuple[pa.Table, pa.Table, dict[str, str]] | None
) -> None:
    if joined is None:
        for table, selection in _AS_THEY_ARE.items():
            connection.execute(f"INSERT INTO new.main.{table} BY NAME {selection}", {"session": session})
        return
    jobs, read_sessions, keys = joined
    for table, rows in (("jobs", jobs), ("read_sessions", read_sessions)):
        connection.register("rows", rows)
        connection.execute(f"INSERT INTO new.main.{table} BY NAME FROM rows")
        connection.unregister("rows")
    connection.execute("UPDATE new.main.flows SET job_key = NULL")
    named = {"id": pa.array(keys.keys(), pa.string()), "job": pa.array(keys.values(), pa.string())}
    connection.register("keys", pa.table(named))
    connection.execute(_KEYS)
    connection.unregister("keys")
