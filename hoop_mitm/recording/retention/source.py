"""The archive as it is: open for reading, so that nobody changes it while its successor is made, with tables of ours beside
it, in which it is worked out what goes."""

import contextlib
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import duckdb
import pyarrow as pa

from hoop_mitm.errors import RecordingError
from hoop_mitm.recording.archive_file import VERSION, ArchiveBusyError, foreign, is_busy, of_ours

_SETTINGS: dict[str, str | bool | int | float | list[str]] = {
    "threads": "2",
    "memory_limit": "1GB",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
}
_PAUSE = 0.02
_AT_ONCE = 1024

type Values = Sequence[object] | Mapping[str, object]


class Source:
    """A context manager. The archive's tables are called ``old.main.…``."""

    def __init__(self, path: Path, spill: Path | None = None, *, wait: float = 0) -> None:
        """Open the archive at ``path``.

        Args:
            spill: where to put what does not fit into memory; without it that is an error.
            wait: seconds to ask again for while somebody writes to it.

        Raises:
            ArchiveBusyError: somebody had it open for writing all the time.
            RecordingError: there is none, it cannot be opened, or is not of this program's version.
        """
        if not path.exists():
            raise RecordingError(f"There is no recording at {path}.")
        self._path = path
        self._connection = _attached(path, spill, wait)
        try:
            self._check(path)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._connection.close()

    def execute(self, statement: str, values: Values = ()) -> None:
        with of_ours(self._path):
            self._connection.execute(statement, values)

    def rows(self, question: str, values: Values = ()) -> list[tuple[Any, ...]]:
        with of_ours(self._path):
            return self._connection.execute(question, values).fetchall()

    def one(self, question: str, values: Values = ()) -> Any:
        """The only value of an answer."""
        ((value,),) = self.rows(question, values)
        return value

    def stream(self, question: str) -> Iterator[tuple[Any, ...]]:
        """The answer, some rows at a time. Other questions may be asked meanwhile."""
        cursor = self._connection.cursor()
        try:
            with of_ours(self._path):
                answer = cursor.execute(question)
            while rows := answer.fetchmany(_AT_ONCE):
                yield from rows
        finally:
            cursor.close()

    def fill(self, table: str, names: Sequence[str], rows: Iterable[Sequence[object]], *, shaped_like: str) -> None:
        """Put ``rows`` into ``table``; ``shaped_like`` is a question whose columns have their types."""
        schema = self._connection.sql(f"SELECT * FROM ({shaped_like}) LIMIT 0").to_arrow_table().schema  # noqa: S608
        batch = pa.Table.from_pylist([dict(zip(names, row, strict=True)) for row in rows], schema=schema)
        self._connection.register("batch", batch)
        try:
            self._connection.execute(f"INSERT INTO {table} BY NAME SELECT * FROM batch")  # noqa: S608 - a name of ours
        finally:
            self._connection.unregister("batch")

    def _check(self, path: Path) -> None:
        found = self.rows("SELECT version, written_by FROM old.main.archive")
        if not found or not isinstance(found[0][0], int):
            raise foreign(path)
        version, written_by = found[0]
        if version != VERSION:
            raise RecordingError(
                f"{path} has version {version} of the archive's format, written by {written_by}; this program works on "
                f"version {VERSION}. "
                + ("Upgrade hoop-mitm." if version > VERSION else f"Migrate it: `hoop-mitm migrate {path}`.")
            )


def _attached(path: Path, spill: Path | None, wait: float) -> duckdb.DuckDBPyConnection:
    give_up = time.monotonic() + wait
    while True:
        connection = duckdb.connect(config={**_SETTINGS, "temp_directory": str(spill or "")})
        try:
            connection.execute(f"ATTACH '{str(path).replace("'", "''")}' AS old (READ_ONLY)")
            connection.execute("SET GLOBAL TimeZone = 'UTC'")
        except duckdb.Error as error:
            with contextlib.suppress(duckdb.Error):
                connection.close()
            if not is_busy(error):
                raise RecordingError(f"{path} cannot be opened: {str(error).splitlines()[0]}") from error
            if time.monotonic() >= give_up:
                raise ArchiveBusyError(
                    f"{path} is open for writing in another program. Try again when it is closed."
                ) from error
        else:
            return connection
        time.sleep(_PAUSE)
