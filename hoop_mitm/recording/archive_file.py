"""The archive, open for a fold: as briefly as can be, because nobody else can have it meanwhile."""

import contextlib
import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from importlib import metadata, resources
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import duckdb
import pyarrow as pa

from hoop_mitm.errors import RecordingError
from hoop_mitm.recording.layout import Layout, sync_directory

VERSION = 4
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

#: Small row groups keep the stall of a checkpoint short.
_ATTACH = "ATTACH '{path}' AS {name} (ROW_GROUP_SIZE 8192)"
#: What is made by a newer DuckDB shall open in older ones, back to 1.4: in its own newest format it would not. The formats before
#: that one have a checkpoint write the whole file's metadata again, which takes five times as long.
_MAKE = "ATTACH '{path}' AS {name} (ROW_GROUP_SIZE 8192, STORAGE_VERSION 'v1.4.0')"
_SETTINGS: dict[str, str | bool | int | float | list[str]] = {
    "threads": "2",
    "memory_limit": "1GB",
    "checkpoint_threshold": "1GB",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
}
_VERSION = "SELECT version, written_by FROM archive"
#: Somebody else has the file; this process itself has it open for reading.
_BUSY = ("lock on file", "already attached", "different configuration")
_DAMAGED = (
    "Corrupt database file",
    "Could not read enough bytes",
    "not a valid DuckDB database file",
    "Failure while replaying WAL",
    "Serialization Error",
    "INTERNAL Error",
)
_FIRST_PAUSE, _LONGEST_PAUSE = 0.005, 0.03


class ArchiveBusyError(RecordingError):
    """Somebody reads the archive just now."""


class ArchiveDamagedError(RecordingError):
    """The file is not what was written to it."""


class ArchiveIsOlderError(RecordingError):
    """The file has an older version of the format: see :mod:`hoop_mitm.recording.migrating`."""


class ArchiveFile:
    """A context manager. Tables are read and written as lists of rows, through Arrow."""

    # What verifying joins exchanges in lies in no file.
    _path = Path(":memory:")

    def __init__(self, path: Path, *, wait: float = 0) -> None:
        """Open the archive, and make it when there is none.

        Args:
            wait: seconds to ask again for while somebody has it open.

        Raises:
            ArchiveBusyError: somebody had it open all the time.
            ArchiveDamagedError: it is damaged.
            ArchiveIsOlderError: it is of an older version.
            RecordingError: it cannot be opened, or is of a version that this program does not know.
        """
        if not path.exists():
            _make(path)
        self._path = path
        self._connection = attached(path, wait)
        self._schemas: dict[str, pa.Schema] = {}
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
        """Have everything in the file itself, and let it go."""
        self._connection.close()

    def begin(self) -> None:
        self._connection.execute("BEGIN")

    def rollback(self) -> None:
        with contextlib.suppress(duckdb.Error):
            self._connection.execute("ROLLBACK")

    def commit(self) -> None:
        self._connection.execute("COMMIT")

    def rows(self, statement: str, values: Sequence[object] = ()) -> list[dict[str, Any]]:
        with of_ours(self._path):
            found: list[dict[str, Any]] = (
                self._connection.sql(statement, params=list(values)).to_arrow_table().to_pylist()
            )
        return found

    def execute(self, statement: str, values: Sequence[object] = ()) -> None:
        with of_ours(self._path):
            self._connection.execute(statement, list(values))

    def rows_among(self, statement: str, wanted: Iterable[str], values: Sequence[object] = ()) -> list[dict[str, Any]]:
        """The rows of a statement that reads the strings of ``wanted`` under that name."""
        with self._wanted(wanted):
            return self.rows(statement, values)

    def execute_among(self, statement: str, wanted: Iterable[str]) -> None:
        """Run a statement that reads the strings of ``wanted`` under that name."""
        with self._wanted(wanted):
            self.execute(statement)

    @contextlib.contextmanager
    def _wanted(self, wanted: Iterable[str]) -> Iterator[None]:
        # As a parameter each string would cost a hundred times more: DuckDB goes looking for pandas for every one.
        self._connection.register("wanted", pa.table({"value": pa.array(list(wanted), pa.string())}))
        try:
            yield
        finally:
            self._connection.unregister("wanted")

    def execute_with(self, statement: str, table: str, rows: Iterable[dict[str, Any]]) -> None:
        """Run a statement that reads ``rows``, shaped like ``table``, under the name ``batch``."""
        schema = self._schema(table)
        times = [column.name for column in schema if pa.types.is_timestamp(column.type)]
        # Arrow takes a number faster than an aware datetime.
        plain = [row | {name: _microseconds(row.get(name)) for name in times} for row in rows]
        batch = pa.Table.from_pylist(plain, schema=schema)
        if batch.num_rows:
            self._connection.register("batch", batch)
            with of_ours(self._path):
                self._connection.execute(statement)
            self._connection.unregister("batch")

    def insert(self, table: str, rows: Iterable[dict[str, Any]]) -> None:
        self.execute_with(f"INSERT INTO {table} SELECT * FROM batch", table, rows)  # noqa: S608 - a name of ours

    def _schema(self, table: str) -> pa.Schema:
        if table not in self._schemas:
            with of_ours(self._path):
                empty = self._connection.sql(f"SELECT * FROM {table} LIMIT 0")  # noqa: S608 - a name of ours
            self._schemas[table] = empty.to_arrow_table().schema
        return self._schemas[table]

    def _check(self, path: Path) -> None:
        version, written_by = _version(self._connection, path)
        if version < VERSION:
            raise ArchiveIsOlderError(
                f"{path} has version {version} of the archive's format, and this program writes version {VERSION}. "
                "`hoop-mitm migrate` brings it up to date."
            )
        if version > VERSION:
            raise RecordingError(
                f"{path} has version {version} of the archive's format, written by {written_by}; this program writes version "
                f"{VERSION}. Upgrade hoop-mitm, or move the file away to begin a new one. Nothing is lost meanwhile."
            )


def version_of(path: Path, wait: float) -> int:
    """The version of an archive's format.

    Raises:
        ArchiveBusyError: somebody had it open all the time.
        RecordingError: it cannot be opened, or is no archive.
    """
    if not path.exists():
        raise RecordingError(f"{path} does not exist.")
    with contextlib.closing(attached(path, wait)) as connection:
        return _version(connection, path)[0]


def _version(connection: duckdb.DuckDBPyConnection, path: Path) -> tuple[int, str]:
    with of_ours(path):
        rows = connection.execute(_VERSION).fetchall()
    if not rows or not isinstance(rows[0][0], int):
        raise foreign(path)
    return rows[0][0], rows[0][1]


@contextlib.contextmanager
def of_ours(path: Path) -> Iterator[None]:
    """Where a table or a column is missing that every archive has, say so of the file.

    Raises:
        RecordingError: one is.
    """
    try:
        yield
    except (duckdb.CatalogException, duckdb.BinderException) as error:
        raise foreign(path) from error


def foreign(path: Path) -> RecordingError:
    """What is said of a DuckDB file that is no archive."""
    return RecordingError(f"{path} is a DuckDB file, but no hoop-mitm archive. Move it away.")


def _make(path: Path) -> None:
    """Make an empty archive, whole or not at all: of a file half made on a full disk nothing would ever come.

    Not in the place of a link, which names a file that may be there tomorrow.
    """
    if path.is_symlink():
        raise RecordingError(
            f"{path} is a link to {path.readlink()}, which is not there: is its disk mounted? Nothing is lost, the journal "
            "holds what is recorded. To begin a new archive there, link its directory instead; here, remove the link."
        )
    new = path.with_name(f"{path.name}.new")
    for leftover in (new, _wal(new)):
        leftover.unlink(missing_ok=True)
    if _wal(path).exists():
        # Its file was taken away; it fits no other.
        _wal(path).rename(path.with_name(f"{path.name}.wal.orphan"))
    try:
        connection = attached(new, 0)
        try:
            connection.execute("BEGIN")
            fill(connection)
            connection.execute("COMMIT")
            connection.execute("CHECKPOINT archive")
        finally:
            connection.close()
        new.chmod(Layout(path.parent).archive_mode)
        new.rename(path)
        sync_directory(path.parent)
    except (OSError, duckdb.Error) as error:
        for leftover in (new, _wal(new)):
            leftover.unlink(missing_ok=True)
        raise RecordingError(f"{path} cannot be made: {str(error).splitlines()[0]}") from error


def fill(connection: duckdb.DuckDBPyConnection) -> None:
    """Make the tables of an empty archive, which the connection uses."""
    connection.execute(resources.files("hoop_mitm.recording").joinpath("schema.sql").read_text())
    program = f"hoop-mitm {metadata.version('hoop-mitm')}, duckdb {duckdb.__version__}"
    connection.execute("INSERT INTO archive VALUES (?, now(), ?)", [VERSION, program])


def _wal(path: Path) -> Path:
    return path.with_name(f"{path.name}.wal")


def _microseconds(moment: datetime | None) -> int | None:
    return None if moment is None else (moment - _EPOCH) // timedelta(microseconds=1)


def attaching(path: Path, name: str) -> str:
    """The statement that attaches an archive for writing, as ``name``; what is made by it is laid out as the fold's is."""
    return (_ATTACH if path.exists() else _MAKE).format(path=str(path).replace("'", "''"), name=name)


def is_busy(error: duckdb.Error) -> bool:
    """Whether an archive cannot be attached because somebody else has it."""
    return any(sign in str(error) for sign in _BUSY)


def is_damage(error: duckdb.Error) -> bool:
    """Whether an error says that the file is not what was written to it."""
    return any(sign in str(error) for sign in _DAMAGED)


def attached(path: Path, wait: float) -> duckdb.DuckDBPyConnection:
    """A connection that has an archive, of whatever version, as ``archive`` for writing, and nobody else has it.

    Raises:
        ArchiveBusyError: somebody had it open for all of ``wait`` seconds.
        ArchiveDamagedError: it is damaged.
        RecordingError: it cannot be opened.
    """
    give_up = time.monotonic() + wait
    pause = _FIRST_PAUSE
    while True:
        # Else values would be spilled into whatever directory somebody was in.
        connection = duckdb.connect(config={**_SETTINGS, "temp_directory": f"{path}.tmp"})
        try:
            connection.execute(attaching(path, "archive"))
            connection.execute("USE archive")
            connection.execute("SET TimeZone = 'UTC'")
        except duckdb.Error as error:
            with contextlib.suppress(duckdb.Error):
                connection.close()
            first_line = str(error).splitlines()[0]
            if is_damage(error):
                raise ArchiveDamagedError(f"{path} is damaged: {first_line}") from error
            if not is_busy(error):
                raise RecordingError(f"{path} cannot be opened for folding: {first_line}") from error
            if time.monotonic() >= give_up:
                raise ArchiveBusyError(f"{path} is being read by another program; folding waits.") from error
        else:
            return connection
        time.sleep(pause)
        pause = min(pause * 2, _LONGEST_PAUSE)
