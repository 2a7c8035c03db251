"""The fold as a child of the gateway: its JSON and DuckDB never hold the gateway's interpreter lock."""

import contextlib
import logging
import os
import subprocess
import sys
import time
from pathlib import Path

import hoop_mitm
from hoop_mitm.recording.layout import Layout

log = logging.getLogger(__name__)

_PAUSE_AFTER_DEATH = 5.0
_STUCK = 60.0
#: The last fold may wait for a reader; what it cannot fold stays in the journal.
_LAST_FOLD = 30.0


class Folder:
    """Starts the fold, starts it again when it dies, and ends it. The journal holds what is not folded."""

    def __init__(self, layout: Layout, interval: float, keep: float = 0.0) -> None:
        """Both in seconds: how often to fold, and how long the journal is kept afterwards."""
        self._layout = layout
        self._interval = interval
        self._keep = keep
        self._process: subprocess.Popen[bytes] | None = None
        self._not_before = 0.0
        self._folded_to = -1
        self._stuck_since = 0.0

    def start(self) -> None:
        package = Path(hoop_mitm.__file__).parent.parent
        paths = [str(package), *filter(None, [os.environ.get("PYTHONPATH")])]
        command = [
            # -P: the directory that the gateway was started in has no say in what is imported.
            *(sys.executable, "-P", "-m", "hoop_mitm.recording.fold"),
            *(str(self._layout.directory), "--interval", str(self._interval), "--keep", str(self._keep)),
        ]
        self._not_before = time.monotonic() + _PAUSE_AFTER_DEATH
        try:
            with self._layout.fold_log.open("ab") as output:
                self._process = subprocess.Popen(  # noqa: S603 - our own module
                    command,
                    stdin=subprocess.PIPE,
                    stdout=output,
                    stderr=output,
                    env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
                )
        except OSError as error:
            log.error("the fold cannot be started, records stay in the journal: %s", error)  # noqa: TRY400

    def keep_running(self, last: int) -> None:
        """Start it again when it has ended, and complain when it does not get on; ``last`` is the newest record."""
        self._watch(last)
        if time.monotonic() < self._not_before:
            return
        if self._process is not None:
            status = self._process.poll()
            if status is None:
                return
            self._close_input()
            log.error("the fold ended with status %s and is started again; see %s", status, self._layout.fold_log)
        self.start()

    def _watch(self, last: int) -> None:
        now = time.monotonic()
        folded_to = self._layout.folded_to()[0]
        if folded_to != self._folded_to or folded_to >= last:
            self._folded_to, self._stuck_since = folded_to, now
        elif now - self._stuck_since > _STUCK:
            self._stuck_since = now
            log.warning(
                "%s has not taken anything in for %d s while %d records wait in the journal (nothing is lost). Is it open in "
                "another program? See also %s",
                *(self._layout.archive, _STUCK, last - folded_to, self._layout.fold_log),
            )

    def stop(self) -> None:
        """Let it fold what is left, and end."""
        if self._process is None:
            return
        self._close_input(b"goodbye\n")
        try:
            self._process.wait(_LAST_FOLD)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def _close_input(self, last_words: bytes = b"") -> None:
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.write(last_words)
                self._process.stdin.close()
