"""Signed heads on their way to where they are kept elsewhere: in order, each at least once, and never waited for.

What is not delivered lies in ``heads.sqlite`` in the journal's directory, with how far each sink has come.
"""

import contextlib
import logging
import os
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import orjson

from hoop_mitm.evidence import Checkpoint
from hoop_mitm.recording.layout import Layout, remove_segment
from hoop_mitm.recording.segment import checkpoints_in, is_broken
from hoop_mitm.recording.sinks import Sink, SinkError

log = logging.getLogger(__name__)

#: How long a sink that fails is left alone, in seconds: at first, and at most.
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0
_PATIENCE_AT_STOP = 5.0
_PAUSE_AT_STOP = 0.02

_TABLES = """
    CREATE TABLE IF NOT EXISTS heads (id INTEGER PRIMARY KEY AUTOINCREMENT, line TEXT NOT NULL) STRICT;
    CREATE TABLE IF NOT EXISTS noted (chain TEXT PRIMARY KEY, number INTEGER NOT NULL) STRICT;
    CREATE TABLE IF NOT EXISTS delivered (sink TEXT PRIMARY KEY, id INTEGER NOT NULL) STRICT;
"""
_NOTED = "SELECT coalesce(max(number), 0) FROM noted WHERE chain = ?"
_ADD = "INSERT INTO heads (line) VALUES (?)"
_NOTE = "INSERT INTO noted VALUES (?, ?) ON CONFLICT (chain) DO UPDATE SET number = excluded.number"
_NEXT = """
    SELECT id, line FROM heads
    WHERE id > (SELECT coalesce(max(id), 0) FROM delivered WHERE sink = ?)
    ORDER BY id LIMIT 1
"""
_DELIVERED = "INSERT INTO delivered VALUES (?, ?) ON CONFLICT (sink) DO UPDATE SET id = excluded.id"
_FORGET_SINKS = "DELETE FROM delivered WHERE sink NOT IN (SELECT value FROM json_each(?))"
#: What every sink has.
_FORGET = "DELETE FROM heads WHERE id <= (SELECT min(id) FROM delivered) AND (SELECT count(*) FROM delivered) = ?"

type Report = Callable[[str, str, dict[str, object]], None]


class Heads:
    """Takes checkpoints to sinks, on threads of its own."""

    def __init__(self, layout: Layout, sinks: Sequence[Sink], report: Report) -> None:
        """``report`` is told once when a sink fails, and once when it takes lines again: type, message, details."""
        self._layout = layout
        self._path = layout.heads
        self._sinks = sinks
        self._report = report
        self._new: queue.SimpleQueue[Checkpoint | None] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._failing: set[str] = set()
        self._wake = {sink.name: threading.Event() for sink in sinks}
        self._threads: list[threading.Thread] = []
        self._one_at_a_time = threading.Lock()

    def offer(self, checkpoint: Checkpoint) -> None:
        """One more. Returns at once."""
        if self._sinks:
            self._new.put(checkpoint)

    def start(self) -> None:
        """Take up what is not delivered yet, also what a crash kept from being noted here."""
        if not self._sinks:
            return
        self._stopping.clear()
        self._threads = [
            threading.Thread(target=self._note_all, name="hoop-heads", daemon=True),
            *(
                threading.Thread(target=self._deliver_all, args=(sink,), name="hoop-heads", daemon=True)
                for sink in self._sinks
            ),
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Deliver what can be delivered within a few seconds; the rest waits for the next start."""
        if not self._threads:
            return
        give_up = time.monotonic() + _PATIENCE_AT_STOP
        self._new.put(None)
        self._threads[0].join(_PATIENCE_AT_STOP)
        while time.monotonic() < give_up and any(self._is_behind(sink) for sink in self._sinks):
            time.sleep(_PAUSE_AT_STOP)
        self._stopping.set()
        for wake in self._wake.values():
            wake.set()
        for thread in self._threads:
            thread.join(max(0.0, give_up - time.monotonic()))
        self._threads = []

    # The thread that notes.

    def _note_all(self) -> None:
        waiting: list[Checkpoint] = list(self._missed())
        stop = False
        while True:
            if waiting or stop:
                try:
                    self._note(waiting)
                    waiting = []
                except (OSError, sqlite3.Error) as error:
                    # They lie in the journal all the while.
                    log.warning("%s cannot be written, heads wait: %s", self._path, error)
                    self._stopping.wait(0 if stop else _FIRST_PAUSE)
            for wake in self._wake.values():
                wake.set()
            if stop:
                return
            with contextlib.suppress(queue.Empty):
                found = self._new.get(timeout=_FIRST_PAUSE if waiting else None)
                stop = found is None
                waiting += [found] if found else []

    def _note(self, checkpoints: Iterable[Checkpoint]) -> None:
        with self._database() as connection:
            connection.execute("BEGIN IMMEDIATE")
            for checkpoint in checkpoints:
                if checkpoint.number > connection.execute(_NOTED, [checkpoint.chain]).fetchone()[0]:
                    connection.execute(_ADD, [orjson.dumps(checkpoint.as_json()).decode()])
                    connection.execute(_NOTE, [checkpoint.chain, checkpoint.number])
            connection.execute(_FORGET_SINKS, [orjson.dumps([sink.name for sink in self._sinks]).decode()])
            connection.execute(_FORGET, [len(self._sinks)])
            connection.execute("COMMIT")

    def _missed(self) -> list[Checkpoint]:
        """What the journal holds; most of it is noted already."""
        found = []
        for _, path in self._layout.segments():
            with contextlib.suppress(OSError, sqlite3.Error):
                found += checkpoints_in(path)
        return found

    # A sink's thread.

    def _deliver_all(self, sink: Sink) -> None:
        wake = self._wake[sink.name]
        pause = _FIRST_PAUSE
        while not self._stopping.is_set():
            wake.wait()
            wake.clear()
            try:
                while not self._stopping.is_set() and self._deliver_one(sink):
                    pause = _FIRST_PAUSE
            except SinkError as error:
                self._fail(sink, error)
            except Exception:
                log.exception("a signed head is not delivered")
            else:
                continue
            self._stopping.wait(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)
            wake.set()

    def _deliver_one(self, sink: Sink) -> bool:
        """Whether there was one, and it is delivered."""
        if (found := self._next(sink)) is None:
            return False
        number, line = found
        sink.send(line)
        with self._database() as connection:
            # Should this fail, it is sent twice, which does no harm.
            connection.execute(_DELIVERED, [sink.name, number])
        if sink.name in self._failing:
            self._failing.discard(sink.name)
            log.warning("signed heads reach their sink again: %s", sink.name)
            self._report("heads.delivered", "Signed heads reach their sink again.", {"sink": sink.name})
        return True

    def _fail(self, sink: Sink, error: SinkError) -> None:
        if sink.name in self._failing:
            return
        self._failing.add(sink.name)
        log.error("signed heads do not reach their sink, and are sent again: %s", error)
        details: dict[str, object] = {"sink": sink.name, "error": str(error)}
        self._report("heads.failing", "Signed heads do not reach their sink; they are sent again.", details)

    def _next(self, sink: Sink) -> tuple[int, str] | None:
        if not self._path.exists():
            return None
        with self._database() as connection:
            found: tuple[int, str] | None = connection.execute(_NEXT, [sink.name]).fetchone()
        return found

    def _is_behind(self, sink: Sink) -> bool:
        """Whether there is something to wait for."""
        try:
            return sink.name not in self._failing and self._next(sink) is not None
        except (OSError, sqlite3.Error):
            return False

    @contextlib.contextmanager
    def _database(self) -> Iterator[sqlite3.Connection]:
        # One thread at a time: a file that is removed while another has it open takes the whole process with it.
        with self._one_at_a_time, contextlib.closing(self._connect()) as connection:
            yield connection

    def _connect(self) -> sqlite3.Connection:
        try:
            return _opened(self._path)
        except sqlite3.Error as error:
            if not is_broken(error):
                raise
            # Begun anew: what the journal still holds is then sent again.
            remove_segment(self._path)
            return _opened(self._path)


def _opened(path: Path) -> sqlite3.Connection:
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))
    connection = sqlite3.connect(path, isolation_level=None, timeout=10)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(_TABLES)
    except BaseException:
        connection.close()
        raise
    return connection
