"""What a recording holds, asked in SQL."""

from pathlib import Path
from typing import Any

import duckdb

from hoop_mitm.archive import open_archive


def ask(archive: Path, sql: str) -> list[tuple[Any, ...]]:
    """Rows of the archive once all that the journal holds is in it."""
    with open_archive(archive):
        pass
    while True:
        try:
            with duckdb.connect(archive, read_only=True) as connection:
                return connection.execute(sql).fetchall()
        except duckdb.IOException:
            continue  # the fold has it open, for a moment
