"""How often each thing was asked for: of several answers each has its turn, and the last one stays."""

import threading
from collections.abc import Hashable, Sequence


class Taken:
    """Counts. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._taken: dict[Hashable, int] = {}

    def reset(self) -> None:
        with self._lock:
            self._taken.clear()

    def next[T](self, key: Hashable, of: Sequence[T]) -> T:
        """Of what belongs to ``key``, at least one, the one whose turn it is."""
        with self._lock:
            place = self._taken.get(key, 0)
            self._taken[key] = place + 1
        return of[min(place, len(of) - 1)]
