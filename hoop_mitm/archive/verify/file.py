"""The file under examination. It may come from anyone, and everything in it may be meant to deceive.

It is attached beside an empty database that stays the current one: no macro of the file can stand in for a function
that a question of ours uses, and no view of it for a table, since every table is named with the file's own name and
:mod:`.structure` has seen that it is a table. Nothing is written, nothing outside of it can be reached.
"""

import contextlib
import functools
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import duckdb
import pyarrow as pa

from hoop_mitm.archive.database import patiently

_SETTINGS: dict[str, str | bool | int | float | list[str]] = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "allow_community_extensions": "false",
    "preserve_insertion_order": "false",
}
_ATTACH = "ATTACH '{path}' AS file (READ_ONLY, TYPE duckdb)"
#: What a file says cannot change these any more.
_CLOSE = ("SET enable_external_access = false", "SET lock_configuration = true")


type Values = Sequence[object] | Mapping[str, object]


class UnreadableError(Exception):
    """A part of the file cannot be read; the text is DuckDB's."""


class File:
    """A context manager. Questions name its tables ``file.main.…``."""

    def __init__(self, path: Path, *, wait: float = 0, threads: int = 1, memory: str = "512MB") -> None:
        """Open ``path``.

        Args:
            wait: seconds to ask again for while somebody has it open for writing.
            threads: how many of them a question may use.
            memory: how much of it a question may use before it fails (or spills, for sorting and joining).

        Raises:
            ArchiveError: it cannot be opened, or stayed held.
        """
        self.path = path
        self._ours: set[str] = set()
        self._spill = tempfile.TemporaryDirectory(prefix="hoop-mitm-")
        settings = _SETTINGS | {"threads": str(threads), "memory_limit": memory, "temp_directory": self._spill.name}

        def opened() -> duckdb.DuckDBPyConnection:
            connection = duckdb.connect(config=settings)
            try:
                connection.execute(_ATTACH.format(path=str(path).replace("'", "''")))
            except BaseException:
                connection.close()
                raise
            return connection

        try:
            self._connection = patiently(path, wait, opened)
        except BaseException:
            self._spill.cleanup()
            raise
        for statement in _CLOSE:
            self._connection.execute(statement)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._connection.close()
        self._spill.cleanup()

    def rows(self, question: str, values: Values = ()) -> list[tuple[Any, ...]]:
        """Every row of the answer.

        Raises:
            UnreadableError: the file is damaged.
        """
        with _unreadable():
            return self._connection.execute(question, values).fetchall()

    def table(self, question: str, values: Values = ()) -> pa.Table:
        """The answer as a table.

        Raises:
            UnreadableError: the file is damaged.
        """
        with _unreadable():
            return _as_arrow(self._connection.execute(question, values).to_arrow_table)

    def batches(self, question: str, values: Values = (), *, rows: int, **tables: pa.Table) -> Iterator[pa.RecordBatch]:
        """The answer piece by piece, ``rows`` at a time; other questions may be asked meanwhile.

        The question may name ``tables`` of ours.

        Raises:
            UnreadableError: the file is damaged.
        """
        with _unreadable(), self._connection.cursor() as cursor:
            for name, table in tables.items():
                cursor.register(name, table)
            yield from _as_arrow(functools.partial(cursor.execute(question, values).to_arrow_reader, rows))

    def run(self, statement: str, values: Values = ()) -> None:
        """Make or change a table of ours beside the file.

        Raises:
            UnreadableError: the file is damaged.
        """
        with _unreadable():
            self._connection.execute(statement, values)

    def keep(self, table: str, rows: pa.Table) -> None:
        """Add ``rows`` to a table of ours beside the file, which begins with the first of them."""
        with _unreadable(), self._connection.cursor() as cursor:
            cursor.register("given", rows)
            if table not in self._ours:
                cursor.execute(f"CREATE TABLE memory.main.{table} AS FROM given LIMIT 0")
                self._ours.add(table)
            cursor.execute(f"INSERT INTO memory.main.{table} FROM given")

    def rows_with(self, question: str, **tables: pa.Table) -> list[tuple[Any, ...]]:
        """Every row of the answer to a question that also names ``tables`` of ours.

        Raises:
            UnreadableError: the file is damaged.
        """
        with _unreadable(), self._connection.cursor() as cursor:
            for name, table in tables.items():
                cursor.register(name, table)
            return cursor.execute(question).fetchall()


def _as_arrow[Answer](answer: Callable[[], Answer]) -> Answer:
    """DuckDB 2 would rather be asked through a relation. That takes five times as long: its filters pass nothing over."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Arrow output on a DB-API result")
        return answer()


@contextlib.contextmanager
def _unreadable() -> Iterator[None]:
    try:
        yield
    except (duckdb.Error, pa.ArrowException, UnicodeDecodeError) as error:
        raise UnreadableError(str(error).splitlines()[0] if str(error) else type(error).__name__) from error
