"""What a recording holds, asked in SQL."""

import time
from pathlib import Path
from typing import Any

import duckdb

from hoop_mitm.archive.opening import open_settled


def ask(archive: Path, sql: str) -> list[tuple[Any, ...]]:
    """Rows of the archive once all that the journal holds is in it."""
    open_settled(archive).close()
    give_up = time.monotonic() + 60
    while True:
        try:
            with duckdb.connect(archive, read_only=True) as connection:
                return connection.execute(sql).fetchall()
        except duckdb.IOException:  # the fold has it open, for a moment
            assert time.monotonic() < give_up
            time.sleep(0.02)
