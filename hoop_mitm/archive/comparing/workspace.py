"""Where two results lie while they are compared: a DuckDB of its own, in memory, with a bound.

What does not fit spills into a directory that only its owner may enter, and that is gone afterwards, also when
somebody interrupts.
"""

import os
import signal
import tempfile
import threading
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

#: DuckDB's own memory. What is decoded and not handed over yet comes on top.
MEMORY = "400MB"
#: The part of a row that says where in its result it stood.
PLACE = "p"

# Rows of a result beyond which they go into a table; fewer stay in Arrow.
_SMALL = 20_000


class Workspace:
    """Use it as a context manager. Nothing in it can reach a file or the network by itself."""

    def __init__(self) -> None:
        self._directory: tempfile.TemporaryDirectory[str] | None = None
        self._umask = 0
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._asked_to_end: Any = None
        self._used = False

    def __enter__(self) -> Self:
        import duckdb

        self._ends_on_request()
        self._directory = tempfile.TemporaryDirectory(prefix="hoop-mitm-diff-")
        # DuckDB makes its files with the rights that are usual.
        self._umask = os.umask(0o077)
        self._connection = duckdb.connect(
            ":memory:",
            config={
                "enable_external_access": "false",
                "autoinstall_known_extensions": "false",
                "autoload_known_extensions": "false",
                "memory_limit": MEMORY,
                "temp_directory": self._directory.name,
                "preserve_insertion_order": "false",
            },
        )
        self._connection.execute("SET TimeZone = 'UTC'")
        # It would be drawn on standard output, among the data.
        self._connection.execute("SET enable_progress_bar = false")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._connection is not None:
            self._connection.close()
        os.umask(self._umask)
        if self._directory is not None:
            self._directory.cleanup()
        if self._asked_to_end is not None:
            signal.signal(signal.SIGTERM, self._asked_to_end)

    def _ends_on_request(self) -> None:
        """A process that is asked to end cleans up first, where nobody else saw to that."""
        is_main = threading.current_thread() is threading.main_thread()
        if is_main and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
            self._asked_to_end = signal.signal(signal.SIGTERM, _end)

    def run(self, query: str, values: list[Any] | None = None) -> "duckdb.DuckDBPyConnection":
        """Run ``query``; what it gives is read from what is returned, before the next one."""
        return self._asked(lambda connection: connection.execute(query, values))

    def row(self, query: str) -> tuple[Any, ...]:
        """The one row that ``query`` gives."""
        found: list[tuple[Any, ...]] = self.run(query).fetchall()
        assert len(found) == 1
        return found[0]

    def number(self, query: str) -> int:
        return int(self.row(query)[0])

    def table(self, query: str) -> "pa.Table":
        """What ``query`` gives, whole."""
        return self._asked(lambda connection: connection.sql(query).to_arrow_table())

    def reader(self, query: str, rows: int) -> "pa.RecordBatchReader":
        """What ``query`` gives, so many rows at a time."""
        return self._asked(lambda connection: connection.sql(query).to_arrow_reader(rows))

    def _asked[T](self, question: Callable[["duckdb.DuckDBPyConnection"], T]) -> T:
        import duckdb

        assert self._connection is not None, "the workspace is not open"
        try:
            return question(self._connection)
        except duckdb.InterruptException:
            raise KeyboardInterrupt from None

    def show(self, name: str, table: "pa.Table") -> None:
        """Let queries read an Arrow table under ``name``."""
        assert self._connection is not None, "the workspace is not open"
        self._connection.register(name, table)
        self._used = True

    def forget(self, *names: str) -> None:
        """Drop tables and views with these names, where they are."""
        for name, kind in self._there():
            if name in names:
                self.run(f'DROP {kind} "{name}"')

    def sweep(self) -> None:
        """Drop everything in it."""
        if self._used:
            for name, kind in self._there():
                self.run(f'DROP {kind} "{name}"')
        self._used = False

    def _there(self) -> list[tuple[str, str]]:
        """What there is, and what kind of thing it is; views first, since they read tables."""
        return self.run(
            """
            SELECT view_name, 'VIEW' FROM duckdb_views() WHERE NOT internal
            UNION ALL
            SELECT table_name, 'TABLE' FROM duckdb_tables() WHERE NOT internal
            ORDER BY 2 DESC
            """
        ).fetchall()


def _end(number: int, _frame: object) -> None:
    raise SystemExit(128 + number)


class Shelf:
    """Rows that are laid down batch by batch, under a name; few stay in Arrow, many go into a table."""

    def __init__(self, workspace: Workspace, name: str, kinds: "list[pa.DataType]") -> None:
        import pyarrow as pa

        self.name = name
        self.rows = 0
        self._workspace = workspace
        self._schema = pa.schema(
            [pa.field(f"c{index}", kind) for index, kind in enumerate(kinds)] + [pa.field(PLACE, pa.int64())]
        )
        self._waiting: list[pa.Table] = []
        self._waiting_rows = 0
        self._is_table = False

    @property
    def small(self) -> "pa.Table | None":
        """All of it, where it is little; sorted by place."""
        import pyarrow as pa

        if self._is_table:
            return None
        return pa.concat_tables([self._schema.empty_table(), *self._waiting]).sort_by(PLACE)

    def lay(self, arrays: "list[pa.Array]", start: int) -> None:
        """Rows as columns, the first of which stood at ``start``."""
        import pyarrow as pa

        count = len(arrays[0]) if arrays else 0
        places = pa.array(range(start, start + count), pa.int64())
        self._waiting.append(pa.Table.from_arrays([*arrays, places], schema=self._schema))
        self._waiting_rows += count
        self.rows += count
        if self._waiting_rows > _SMALL:
            self._put()

    def close(self) -> None:
        """After the last rows. Many are under the shelf's name then; few only where ``small`` is shown."""
        if self._is_table:
            self._put()

    def _put(self) -> None:
        import pyarrow as pa

        self._workspace.show("waiting", pa.concat_tables([self._schema.empty_table(), *self._waiting]))
        if self._is_table:
            self._workspace.run(f"INSERT INTO {self.name} FROM waiting")
        else:
            self._workspace.run(f"CREATE TABLE {self.name} AS FROM waiting")
            self._is_table = True
        self._workspace.forget("waiting")
        self._waiting, self._waiting_rows = [], 0
