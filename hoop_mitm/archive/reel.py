"""A session's moments with a place among them: what a player steps and seeks through."""

from bisect import bisect_left
from collections.abc import Sequence
from datetime import timedelta

from hoop_mitm.archive.timeline import Moment

_TROUBLE = frozenset({"deny", "error"})


class Reel:
    """The place is that of the moment that comes next; at the end there is none."""

    def __init__(self, moments: Sequence[Moment]) -> None:
        """``moments``: at least one, in order."""
        self._all = tuple(moments)
        self._moments = self._all
        self._offsets = [moment.offset for moment in self._moments]
        self.place = 0

    @property
    def length(self) -> timedelta:
        """From the first moment to the last of the session."""
        return self._all[-1].offset

    @property
    def position(self) -> timedelta:
        """When the moment was that came last."""
        return self._offsets[self.place - 1] if self.place else timedelta()

    @property
    def at_end(self) -> bool:
        return self.place == len(self._moments)

    @property
    def followed(self) -> bool:
        """Whether only one job is shown."""
        return self._moments is not self._all

    @property
    def last(self) -> Moment | None:
        """The moment that came last."""
        return self._moments[self.place - 1] if self.place else None

    def __len__(self) -> int:
        return len(self._moments)

    def wait(self) -> timedelta:
        """How long after the last moment the next one was."""
        return timedelta() if self.at_end else self._offsets[self.place] - self.position

    def next(self) -> Moment | None:
        """The next moment, which the place then lies behind; ``None`` at the end."""
        if self.at_end:
            return None
        self.place += 1
        return self._moments[self.place - 1]

    def back(self) -> Moment | None:
        """The moment before the one that came last, which then is the last; ``None`` at the start."""
        if self.place <= 1:
            return None
        self.place -= 1
        return self._moments[self.place - 1]

    def seek(self, offset: timedelta) -> None:
        """Go to the first moment that was ``offset`` after the start, or later; to the last at most."""
        self.place = min(bisect_left(self._offsets, offset), len(self._moments) - 1)

    def to_trouble(self) -> bool:
        """Go to the next denial or error; ``False``, and nothing is changed, where there is no more."""
        for place in range(self.place, len(self._moments)):
            if self._moments[place].kind in _TROUBLE:
                self.place = place
                return True
        return False

    def follow(self, key: str | None) -> None:
        """Show only the moments of the job with this key, or all again; the place in time stays."""
        at = self.position
        behind = self.place and self._moments[self.place - 1]
        found = tuple(moment for moment in self._all if moment.job is not None and moment.job.key == key)
        self._moments = found if key is not None and found else self._all
        self._offsets = [moment.offset for moment in self._moments]
        self.place = self._moments.index(behind) + 1 if behind in self._moments else bisect_left(self._offsets, at)
