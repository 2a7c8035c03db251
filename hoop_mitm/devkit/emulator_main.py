"""Runs inside the emulator's own environment: starts bqemulator, and adds what it does not offer over REST.

It knows nothing of hoop-mitm. It says its ports in one JSON line on stdout and ends when its stdin does, so that
it never outlives the process that started it, however that one dies.
"""

import asyncio
import json
import os
import threading
from pathlib import Path
from typing import Any

# bqemulator logs to stdout, from its import on: the ports get the real one, the log goes to stderr.
ANNOUNCE = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)

from bqemulator.config import Settings  # noqa: E402
from bqemulator.jobs.executor import JOB_RESULTS, _insert_via_arrow_view  # noqa: E402
from bqemulator.server import EmulatorServer  # noqa: E402
from bqemulator.storage.sql_identifiers import quoted_table_ref  # noqa: E402
from fastapi import Request  # noqa: E402


def end_with_parent() -> None:
    while os.read(0, 1024):
        pass
    os._exit(0)


def column_bytes(name: str, kind: str) -> str:
    """SQL for the bytes of one column, after BigQuery's table of data sizes."""
    column = '"' + name.replace('"', '""') + '"'
    plain = kind.upper()
    if plain.endswith("[]") or plain.startswith(("STRUCT", "MAP", "JSON", "UNION")):
        return f"COALESCE(SUM(octet_length(encode({column}::VARCHAR))), 0)"
    if plain == "VARCHAR":
        return f"COALESCE(SUM(2 + octet_length(encode({column}))), 0)"
    if plain == "BLOB":
        return f"COALESCE(SUM(2 + octet_length({column})), 0)"
    if plain.startswith("DECIMAL"):
        return f"COUNT({column}) * 16"
    if plain == "BOOLEAN":
        return f"COUNT({column})"
    if plain == "GEOMETRY":
        return f"COALESCE(SUM(octet_length(ST_AsWKB({column})::BLOB)), 0)"
    return f"COUNT({column}) * 8"


def add_routes(app: Any, context: Any) -> None:
    """``/world/…``: facts about tables, and results of jobs as tables."""

    async def tables(request: Request) -> dict[str, Any]:
        return {"tables": [describe(*name) for name in (await request.json())["tables"]]}

    def describe(project: str, dataset: str, table: str) -> dict[str, Any] | None:
        known = context.catalog.get_table(project, dataset, table)
        if known is None:
            return None
        if known.table_type == "VIEW":
            return {"type": "VIEW", "query": known.view_query or "", "rows": 0, "columns": {}}
        cursor = context.engine.connection.cursor()
        target = quoted_table_ref(project, dataset, table)
        columns = [(row[0], row[1]) for row in cursor.execute(f"DESCRIBE {target}").fetchall()]
        sizes = ", ".join(column_bytes(*column) for column in columns)
        rows, *bytes_ = cursor.execute(f"SELECT COUNT(*), {sizes} FROM {target}").fetchone()  # noqa: S608 - the emulator quoted the name.
        names = [name for name, _ in columns]
        return {
            "type": known.table_type,
            "query": known.view_query,
            "rows": rows,
            "columns": {name: int(size) for name, size in zip(names, bytes_, strict=True)},
        }

    async def results(request: Request) -> dict[str, Any]:
        """Appends the rows of a job's result to a table that exists."""
        body = await request.json()
        result = JOB_RESULTS.get(body["job"])
        if result is None:
            return {"rows": None}
        async with context.engine.write_lock():
            _insert_via_arrow_view(
                arrow_table=result,
                view_name=f"__bqemu_world_{threading.get_ident()}",
                target_ref=quoted_table_ref(*body["table"]),
                ctx=context,
            )
        return {"rows": result.num_rows}

    app.add_api_route("/world/tables", tables, methods=["POST"])
    app.add_api_route("/world/results", results, methods=["POST"])


def shut_in(connection: Any) -> None:
    """SQL reaches files below the working directory, where uploads lie, and no others."""
    here = str(Path.cwd()).replace("'", "''")
    connection.execute(f"SET allowed_directories = ['{here}']")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")


async def main() -> None:
    server = EmulatorServer(Settings(rest_port=0, grpc_port=0))
    await server.start()
    shut_in(server._context.engine.connection)  # noqa: SLF001 - it has no other way in.
    add_routes(server._fastapi_server.config.app, server._context)  # noqa: SLF001 - it has no other way in.
    ports = {"rest": server.rest_port, "grpc": server.grpc_port}
    ANNOUNCE.write(json.dumps(ports) + "\n")
    ANNOUNCE.close()
    await asyncio.Event().wait()


if __name__ == "__main__":
    threading.Thread(target=end_with_parent, daemon=True).start()
    asyncio.run(main())
