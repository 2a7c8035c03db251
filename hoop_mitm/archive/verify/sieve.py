"""Exchanges whose row is plainly what its record says, found by the hundred thousand in SQL.

The fold's own code says what a row must be (:mod:`.derived`), but to ask it takes ten times as long. So this lets through
only what it cannot answer with yes: rows that differ, and all that is out of the ordinary.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa

from hoop_mitm.archive.verify.file import File, UnreadableError
from hoop_mitm.archive.verify.spans import Span

#: Where a record has what stands in a column of the row, as JSON pointers by part.
_DATA = {
    "id": "/id",
    "session_id": "/session/id",
    "state": "/state",
    "door": "/operation/door",
    "kind": "/operation/kind",
    "protocol": "/operation/protocol",
    "http_version": "/http_version",
    "method": "/method",
    "host": "/host",
    "status": "/status",
    "grpc_status": "/grpc_status",
    "decision": "/verdict/decision",
    "rule": "/verdict/rule",
    "level": "/level",
    "request_body": "/request/body/hash",
    "request_size": "/request/size",
    "response_body": "/response/body/hash",
    "response_size": "/response/size",
    "started_at": "/started_at",
    "ended_at": "/ended_at",
}
_WHO = {"user_agent": "/user_agent", "client_address": "/client_address", "program": "/program"}
_STATEMENT = {"message": "/verdict.message", "error": "/error"}
_EXCHANGE = {
    "url": "/url",
    "tables": "/operation.tables",
    "request_headers": "/request.headers",
    "response_headers": "/response.headers",
}
#: Where a body is not recorded as a whole, the row says why in words.
_ODD = {
    "request_cut": "/request/body/cut",
    "request_encoded": "/request/body/encoded",
    "response_cut": "/response/body/cut",
    "response_encoded": "/response/body/encoded",
}
#: What is said of the easy ones.
_KEPT = ("id", "session_id", "state", "request_body", "response_body", "started_at", "ended_at")

#: How a column is compared with what the record says, where not as text.
_AS = {
    "status": "CAST(flows.status AS VARCHAR)",
    "grpc_status": "CAST(flows.grpc_status AS VARCHAR)",
    "request_size": "CAST(flows.request_size AS VARCHAR)",
    "response_size": "CAST(flows.response_size AS VARCHAR)",
    "request_body": "lower(hex(flows.request_body))",
    "response_body": "lower(hex(flows.response_body))",
    "tables": "CASE WHEN len(flows.tables) = 0 THEN '[]' ELSE CAST(to_json(list_transform(flows.tables, "
    "lambda each: {'dataset': each.dataset, 'project': each.project, 'table': each.\"table\"})) AS VARCHAR) END",
}
_SAID = {
    "message": "nullif({0}, '')",
    "error": "nullif({0}, '')",
    "tables": "coalesce({0}, '[]')",
    "started_at": "CAST({0} AS TIMESTAMPTZ)",
    "ended_at": "CAST({0} AS TIMESTAMPTZ)",
}
#: What comes from the record's place, or is compared elsewhere.
_PLACE = frozenset({"chain", "seq", "job_key"})

_PARTS = {"data": {**_DATA, **_ODD}, "who": _WHO, "statement": _STATEMENT, "exchange": _EXCHANGE}
COLUMNS = frozenset({*_DATA, *_WHO, *_STATEMENT, *_EXCHANGE, *_PLACE})


_READ = {
    part: {name: f"{part}_values[{number}]" for number, name in enumerate(pointers, 1)}
    for part, pointers in _PARTS.items()
}
_SAYS = {name: read for names in _READ.values() for name, read in names.items()}


def _extracted(part: str, pointers: Mapping[str, str]) -> str:
    listed = ", ".join(f"'{pointer}'" for pointer in pointers.values())
    return f"json_extract_string({part}, [{listed}]) AS {part}_values"


def _equal(name: str) -> str:
    there = _AS.get(name, f"flows.{name}")
    return f"{there} IS NOT DISTINCT FROM {_SAID.get(name, '{0}').format(_SAYS[name])}"


# Each step a table of its own: in one question DuckDB would read the JSON once for each column.
_SAYING = f"""
    CREATE OR REPLACE TABLE memory.main.said AS
    SELECT seq, {", ".join(_extracted(part, pointers) for part, pointers in _PARTS.items())}
    FROM file.main.records
    WHERE chain = $chain AND seq BETWEEN $first AND $last AND kind = 'flow'
        AND data IS NOT NULL AND who IS NOT NULL AND statement IS NOT NULL AND exchange IS NOT NULL
"""  # noqa: S608 - names of ours
_ROWS = """
    CREATE OR REPLACE TABLE memory.main.rows AS
    FROM file.main.flows WHERE chain = $chain AND seq BETWEEN $first AND $last
"""
_EQUAL_ONES = f"""
    CREATE OR REPLACE TABLE memory.main.equal AS
    SELECT said.seq FROM memory.main.said JOIN memory.main.rows AS flows ON flows.seq = said.seq
    WHERE {" AND ".join(_equal(name) for name in sorted(COLUMNS - _PLACE))}
"""  # noqa: S608 - names of ours
#: The first of each session tells of it, and the first and last of a span tell when it was.
_EASY = f"""
    CREATE OR REPLACE TABLE memory.main.easy AS
    SELECT seq, {", ".join(f"{_SAYS[name]} AS {name}" for name in _KEPT)}
    FROM memory.main.said
    WHERE seq NOT IN ($first, $last) AND {" AND ".join(f"{_SAYS[name]} IS NULL" for name in _ODD)}
        AND seq NOT IN (SELECT min(seq) FROM memory.main.said GROUP BY {_SAYS["session_id"]})
        AND CASE {_SAYS["state"]}
            WHEN 'open' THEN {_SAYS["id"]} IS NOT NULL AND seq NOT IN (SELECT seq FROM memory.main.rows)
            ELSE seq IN (SELECT seq FROM memory.main.equal)
        END
        AND seq NOT IN (SELECT seq FROM memory.main.rows GROUP BY seq HAVING count(*) > 1)
"""  # noqa: S608 - names of ours
_SEQS = "SELECT seq FROM memory.main.easy"
_INTENTS = "SELECT id, seq, true AS is_open FROM memory.main.easy WHERE state = 'open'"
_BODIES = """
    SELECT from_hex(request_body) AS hash, seq, 'request' AS side FROM memory.main.easy WHERE request_body IS NOT NULL
    UNION ALL
    SELECT from_hex(response_body), seq, 'response' FROM memory.main.easy WHERE response_body IS NOT NULL
"""
_SESSIONS = """
    SELECT
        session_id AS id, min(seq) AS first, max(seq) AS last,
        max(greatest(CAST(started_at AS TIMESTAMPTZ), CAST(ended_at AS TIMESTAMPTZ))) AS seen,
        max(CAST(started_at AS TIMESTAMPTZ)) AS began
    FROM memory.main.easy WHERE session_id IS NOT NULL GROUP BY session_id
"""


@dataclass(slots=True)
class Easy:
    """What there is nothing to say about.

    Attributes:
        seqs, rows: the records, as numbers; their rows are there, once, and are what the records say. Or they are intents without a row.
        intents: of these, those without a row: id, seq, is_open.
        bodies: the bodies that they name: hash, seq, side.
        sessions: what they say of times of sessions: id, first, last, seen, began.
    """

    seqs: frozenset[int] = frozenset()
    rows: pa.Table | None = None
    intents: pa.Table | None = None
    bodies: pa.Table | None = None
    sessions: pa.Table | None = None


def easy_ones(file: File, span: Span, *, bodies: bool = True) -> Easy:
    """The exchanges of ``span`` that nothing is wrong with; none, when that cannot be said so fast."""
    given = {"chain": span.chain, "first": span.first, "last": span.last}
    try:
        names = set(file.table("SELECT * FROM file.main.flows LIMIT 0").column_names)
        if names != COLUMNS:
            return Easy()
        file.run(_SAYING, given)
        file.run(_ROWS, given)
        file.run(_EQUAL_ONES)
        file.run(_EASY, {"first": span.first, "last": span.last})
        seqs = file.table(_SEQS)
        return Easy(
            frozenset(seqs.column(0).to_pylist()),
            seqs,
            file.table(_INTENTS),
            file.table(_BODIES) if bodies else None,
            file.table(_SESSIONS),
        )
    except UnreadableError:
        # Something is no JSON, or no time: it is looked at record by record.
        return Easy()
