"""Changing an archive as somebody would who can write to the file, and knows everything but the key."""

from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import duckdb
import orjson

from hoop_mitm.evidence import PARTS, Chain, Checkpoint, RecordingKey, commit, first_link, link, record_digest

#: Another value of a type.
_OTHER = {
    "VARCHAR": "coalesce({0}, '') || 'x'",
    "BIGINT": "coalesce({0}, 0) + 1",
    "INTEGER": "coalesce({0}, 0) + 1",
    "SMALLINT": "coalesce({0}, 0) + 1",
    "BOOLEAN": "NOT coalesce({0}, false)",
    "TIMESTAMP WITH TIME ZONE": "coalesce({0}, '2026-01-01 00:00:00+00') + INTERVAL 1 SECOND",
    "BLOB": "coalesce({0}, ''::BLOB) || '\\xAA'::BLOB",
    "VARCHAR[]": "list_append({0}, 'x')",
    "BIGINT[]": "list_append({0}, 1)",
    "MAP(VARCHAR, VARCHAR)": "map_concat({0}, MAP {{'x': 'y'}})",
    'STRUCT(project VARCHAR, dataset VARCHAR, "table" VARCHAR)': "{{'project': 'x', 'dataset': 'y', 'table': 'z'}}",
    'STRUCT(project VARCHAR, dataset VARCHAR, "table" VARCHAR)[]': (
        "list_append({0}, {{'project': 'x', 'dataset': 'y', 'table': 'z'}})"
    ),
}


def schema() -> Mapping[str, Mapping[str, tuple[str, bool]]]:
    """Each table of an archive, its columns, their types and whether they may be NULL."""
    with duckdb.connect() as connection:
        connection.execute(resources.files("hoop_mitm.recording").joinpath("schema.sql").read_text())
        rows = connection.execute(
            "SELECT c.table_name, column_name, data_type, is_nullable FROM duckdb_columns() AS c "
            "JOIN duckdb_tables() AS t USING (table_oid) WHERE NOT c.internal ORDER BY column_index"
        ).fetchall()
    tables: dict[str, dict[str, tuple[str, bool]]] = {}
    for table, column, type_, nullable in rows:
        tables.setdefault(table, {})[column] = (type_, nullable)
    return tables


def other(column: str, type_: str) -> str:
    """SQL for another value than the one in ``column``."""
    return _OTHER[type_].format(f'"{column}"')


def change(path: Path, *statements: str) -> None:
    """Run statements on the file. What is allowed to whoever has it is allowed here."""
    with duckdb.connect(path) as connection:
        for statement in statements:
            connection.execute(statement)


def ask(path: Path, question: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(path, read_only=True) as connection:
        return connection.execute(question).fetchall()


def chain_again(path: Path, *, key: RecordingKey | None = None) -> None:
    """Make the chains fit what the records say now; with a key of the attacker's the signatures too.

    Digests, commitments and links are all public arithmetic; only signing needs a key.
    """
    with duckdb.connect(path) as connection:
        for (name,) in connection.execute("SELECT DISTINCT chain FROM records").fetchall():
            rows = (
                connection.sql("FROM records WHERE chain = ? ORDER BY seq", params=[name]).to_arrow_table().to_pylist()
            )
            head = first_link(name)
            links: dict[int, bytes] = {}
            for row in rows:
                if row["data"] is not None:
                    row["data"] = _sealed(row, key)
                    row["digest"] = record_digest(row["data"].encode())
                head = links[row["seq"]] = link(head, row["seq"], row["digest"])
                connection.execute(
                    "UPDATE records SET data = ?, digest = ?, link = ? WHERE chain = ? AND seq = ?",
                    [row["data"], row["digest"], head, name, row["seq"]],
                )
            if key is not None:
                _sign_again(connection, name, rows[0]["seq"], links, key)


def _sealed(row: dict[str, Any], key: RecordingKey | None) -> str:
    note = orjson.loads(row["data"])
    for part in PARTS:
        if row[part] is not None:
            note["parts"][part] = commit(part, row[f"{part}_salt"], row[part].encode()).hex()
    if key is not None and row["kind"] == "genesis":
        note["key"], note["public"] = key.fingerprint, key.public.public_bytes_raw().hex()
    if key is not None and row["kind"] == "key":
        # A change to itself would be odd; the attacker makes something harmless of it.
        note = {"kind": "probe", "parts": {}}
        row["kind"] = "probe"
    return orjson.dumps(note, option=orjson.OPT_SORT_KEYS).decode()


def _sign_again(
    connection: duckdb.DuckDBPyConnection, name: str, first: int, links: Mapping[int, bytes], key: RecordingKey
) -> None:
    connection.execute("UPDATE records SET kind = 'probe' WHERE kind = 'key' AND chain = ?", [name])
    old = connection.sql("FROM checkpoints WHERE chain = ? ORDER BY number", params=[name]).to_arrow_table().to_pylist()
    connection.execute("DELETE FROM checkpoints WHERE chain = ?", [name])
    chain = Chain.begin(name, first - 1)
    for row in old:
        chain.seq, chain.head = row["seq"], links[row["seq"]]
        plant(connection, chain.sign(key, row["reason"]))


def plant(connection: duckdb.DuckDBPyConnection, checkpoint: Checkpoint) -> None:
    connection.execute(
        "INSERT INTO checkpoints VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            checkpoint.chain,
            checkpoint.number,
            checkpoint.seq,
            checkpoint.head,
            checkpoint.previous,
            checkpoint.at,
            checkpoint.reason,
            checkpoint.key,
            checkpoint.signature,
        ],
    )
