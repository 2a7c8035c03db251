"""How long the journal's segments are kept after they were folded.

Age is counted while somebody folds, not by the wall clock: a clock that jumps must not take a journal away. When the
disk is nearly full the kept ones go first, oldest first, so that recording can go on.
"""

import contextlib
import logging
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

import orjson

from hoop_mitm.recording.layout import Layout

log = logging.getLogger(__name__)

#: Free space that is left to what is recorded next: bytes at most, and a share of the whole disk where that is less.
_RESERVE = 512 * 2**20
_SHARE = 20
_NOTED_EVERY = 60.0


class Kept:
    """For the one process that folds. ``keep`` is in seconds."""

    def __init__(self, layout: Layout, keep: float) -> None:
        self._layout = layout
        self._keep = keep
        self._ages = _read(layout.kept)
        self._counted_at = time.monotonic()
        self._noted_at = self._counted_at

    def count(self, folded: Sequence[int]) -> None:
        """Let time pass for the segments that begin with the records ``folded``, and forget all others."""
        now = time.monotonic()
        passed, self._counted_at = now - self._counted_at, now
        self._ages = {first: self._ages[first] + passed if first in self._ages else 0.0 for first in folded}
        if now - self._noted_at >= _NOTED_EVERY:
            self.note()

    def note(self) -> None:
        """Have the ages on the disk, for the next process. Lost, they begin at nothing again, which keeps more."""
        self._noted_at = time.monotonic()
        with contextlib.suppress(OSError):
            new = self._layout.kept.with_suffix(".new")
            new.write_bytes(orjson.dumps({str(first): round(age) for first, age in self._ages.items()}))
            new.rename(self._layout.kept)

    @property
    def keeps_nothing(self) -> bool:
        return self._keep <= 0

    def is_due(self, first: int) -> bool:
        """Whether the segment that begins with ``first`` was kept for long enough."""
        return self._ages.get(first, 0.0) >= self._keep

    def is_short(self) -> bool:
        """Whether the disk is so full that nothing more should be kept."""
        try:
            usage = shutil.disk_usage(self._layout.journal)
        except OSError:
            return False
        return usage.free < min(_RESERVE, usage.total // _SHARE)


def _read(path: Path) -> dict[int, float]:
    try:
        return {int(first): float(age) for first, age in orjson.loads(path.read_bytes()).items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
