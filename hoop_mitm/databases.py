"""SQLite files that only their owner may read."""

import contextlib
import os
import sqlite3
import threading
from pathlib import Path

_OPENING = threading.Lock()


def open_private(path: Path) -> sqlite3.Connection:
    """The database, made when there is none, for threads that take turns. Raises ``OSError``, ``sqlite3.Error``.

    One that is there is opened by nobody but SQLite: whoever closes it loses all locks that this process has on it, and the
    next program that ends would take the log away under our hands (https://sqlite.org/howtocorrupt.html, 2.2).
    """
    with _OPENING:
        if not path.exists():
            with contextlib.suppress(FileExistsError):
                os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        return sqlite3.connect(path, timeout=10, isolation_level=None, check_same_thread=False)
