"""The file as DuckDB opens it: read only, patient with a gateway that writes to it, its errors in plain words.

The gateway holds the file for about 50 ms each second, and DuckDB refuses everyone else for that time: so a reader
asks again until it gets in, reads, and lets go.
"""

import random
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hoop_mitm.errors import ArchiveBusy, ArchiveError

if TYPE_CHECKING:
    import duckdb

VERSION = 4

# An archive may come from anyone: its views must not reach out of the file, and nothing is fetched to read it.
_SETTINGS: dict[str, str | bool | int | float | list[str]] = {
    "enable_external_access": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "allow_community_extensions": "false",
}
_FIRST_PAUSE, _LONGEST_PAUSE = 0.01, 0.2


class Database:
    """An archive's file, open for reading."""

    def __init__(self, path: Path, *, wait: float) -> None:
        """Open ``path``, asking for up to ``wait`` seconds while another process holds it.

        Raises:
            ArchiveError: it cannot be opened, is no archive, or is newer than this program.
        """
        self.path = path
        self._connection = _connect(path, wait)
        try:
            # It would be drawn on standard output, among the data, where a query takes long.
            self.all("SET enable_progress_bar = false")
            self._check_version()
        except BaseException:
            self._connection.close()
            raise

    def all(self, query: str, values: Sequence[object] | Mapping[str, object] = ()) -> list[tuple[Any, ...]]:
        """Every row that ``query`` gives.

        Raises:
            ArchiveError: the file is damaged, or lacks what every archive has.
        """
        import duckdb

        try:
            return self._connection.execute(query, values).fetchall()
        except duckdb.InterruptException:
            raise KeyboardInterrupt from None
        except duckdb.CatalogException as error:
            raise self._foreign() from error
        except duckdb.Error as error:
            raise ArchiveError(f"{self.path} cannot be read, it may be damaged: {_first_line(error)}") from error

    def close(self) -> None:
        self._connection.close()

    def _foreign(self) -> ArchiveError:
        return ArchiveError(f"{self.path} is a DuckDB file, but not a hoop-mitm recording. Name another one with --db.")

    def _check_version(self) -> None:
        rows = self.all("SELECT version, written_by FROM archive LIMIT 1")
        if not rows:
            raise ArchiveError(f"{self.path} does not say which version it has: its first fold did not end.")
        version, written_by = rows[0]
        if not isinstance(version, int):
            raise self._foreign()
        if version < VERSION:
            raise ArchiveError(
                f"{self.path} has version {version} of the recording's format, and this program reads version {VERSION}. "
                f"Run `hoop-mitm migrate {self.path}`; the old file stays beside the new one."
            )
        if version > VERSION:
            raise ArchiveError(
                f"{self.path} has version {version} of the recording's format and was written by {written_by}; this "
                f"program reads up to version {VERSION}. Upgrade hoop-mitm to read it."
            )


def _connect(path: Path, wait: float) -> "duckdb.DuckDBPyConnection":
    import duckdb

    return patiently(path, wait, lambda: duckdb.connect(str(path), read_only=True, config=_SETTINGS))


def patiently[Opened](path: Path, wait: float, opened: Callable[[], Opened]) -> Opened:
    """What ``opened`` gives, asked for up to ``wait`` seconds while another process holds ``path``.

    Raises:
        ArchiveBusy: it stayed held.
        ArchiveError: it cannot be opened.
    """
    import duckdb

    give_up = time.monotonic() + wait
    pause = _FIRST_PAUSE
    while True:
        try:
            return opened()
        except duckdb.Error as error:
            if not _is_locked(error):
                raise _cannot_open(path, error) from error
            if time.monotonic() >= give_up:
                raise ArchiveBusy(
                    f"{path} is held by another program and was not let go for {wait:g} s. A gateway holds it for a "
                    "moment each second only: close the `duckdb` shell or notebook that has it open."
                ) from error
        # Jitter, so that a reader does not stay in step with the fold.
        time.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 - nothing here is secret
        pause = min(pause * 2, _LONGEST_PAUSE)


def _is_locked(error: Exception) -> bool:
    text = str(error)
    return "lock on file" in text or "different configuration" in text or "already attached" in text


def _cannot_open(path: Path, error: Exception) -> ArchiveError:
    text = str(error)
    # Where a file looks like SQLite's, DuckDB reaches for an extension that reads those.
    if "not a valid DuckDB database" in text or "external extensions is disabled" in text:
        return ArchiveError(f"{path} is not a hoop-mitm recording: it is no DuckDB file. Name another one with --db.")
    if "Permission denied" in text:
        return ArchiveError(f"{path} may not be read by this user. Ask its owner for the right to read it.")
    return ArchiveError(f"{path} cannot be opened, it may be damaged or from a newer DuckDB: {_first_line(error)}")


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]
