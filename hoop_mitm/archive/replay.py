"""Playing a session back in its own rhythm."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

from hoop_mitm.archive.timeline import Moment


@dataclass(frozen=True, slots=True)
class Beat:
    """A moment whose turn it is; ``skipped`` is how much idle time before it was left out."""

    moment: Moment
    skipped: timedelta = timedelta()


def play(
    moments: Sequence[Moment],
    *,
    speed: float = 1.0,
    max_idle: timedelta | None = None,
    instant: bool = False,
    begin: timedelta | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Beat]:
    """Hand out each moment when it is due.

    ``speed`` 2 plays twice as fast. ``max_idle`` is the longest pause in recorded time; what is longer is cut to it.
    ``instant`` does not wait at all. ``begin`` is the offset that the first moment is not waited for from.
    """
    before = begin or timedelta()
    for moment in moments:
        pause = moment.offset - before
        before = moment.offset
        if instant:
            yield Beat(moment)
            continue
        played = pause if max_idle is None else min(pause, max_idle)
        if played > timedelta():
            sleep(played.total_seconds() / speed)
        yield Beat(moment, pause - played)
