"""SQLite files that only their owner may read."""

import contextlib
import os
import sqlite3
import threading
import time
from pathlib import Path

_OPENING = threading.Lock()
# Seconds for another program that has it.
_PATIENCE = 10.0


def open_private(path: Path) -> sqlite3.Connection:
    """The database, with a write-ahead log, made when there is none, for threads that take turns.

    Raises ``OSError``, ``sqlite3.Error``.

    One that is there is opened by nobody but SQLite: whoever closes it loses all locks that this process has on it, and the
    next program that ends would take the log away under our hands (https://sqlite.org/howtocorrupt.html, 2.2).
    """
    with _OPENING:
        if not path.exists():
            with contextlib.suppress(FileExistsError):
                os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        connection = sqlite3.connect(path, timeout=_PATIENCE, isolation_level=None, check_same_thread=False)
    try:
        _log_ahead(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _log_ahead(connection: sqlite3.Connection) -> None:
    """Of several that open a new file at once, all but one are told at once that it is locked, and do not wait for it."""
    give_up = time.monotonic() + _PATIENCE
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > give_up:
                raise
            time.sleep(0.01)
        else:
            return
