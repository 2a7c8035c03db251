"""``replay`` at a terminal: keys, and a line at the bottom that says where in the session one is.

What was shown scrolls away upwards and stays there. Nothing but plain control sequences is sent, so it works wherever
a terminal does, SSH included.
"""

import os
import select
import sys
import termios
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from rich.text import Text

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from hoop_mitm.archive import JobEntry, Moment
    from hoop_mitm.archive.reel import Reel

HELP = "space pause · n p step · + - speed · e next denial or error · j one job · r rows · g go to · q quit"

_SLOWEST, _FASTEST = 1 / 16, 256.0
_TICK = 0.2

type Show = Callable[["Moment"], "RenderableType"]
type Rows = Callable[["JobEntry", int], "RenderableType | None"]


class Player:
    """Plays a reel on a terminal.

    Args:
        reel: what is played.
        screen: where.
        show: how a moment looks.
        rows: a page of a job's rows (from 0), ``None`` behind the last.
        speed, max_idle: as of ``archive.play``.
    """

    def __init__(
        self, reel: "Reel", screen: "Console", show: Show, rows: Rows, *, speed: float, max_idle: timedelta | None
    ) -> None:
        self._reel, self._screen, self._show, self._rows = reel, screen, show, rows
        self._speed, self._max_idle = speed, max_idle
        self._paused = False
        self._page: tuple[str, int] | None = None
        self._due = 0.0

    def play(self) -> None:
        """Until its end, or ``q``."""
        with _single_keys() as key:
            self._print(Text(HELP, style="dim"))
            self._schedule()
            while True:
                self._status()
                pressed = key(self._patience())
                if pressed == "q":
                    break
                if pressed:
                    self._act(pressed, key)
                elif not self._paused and time.monotonic() >= self._due:
                    self._advance()
                    if self._reel.at_end and not self._reel.followed:
                        break
            self._clear()

    def _patience(self) -> float | None:
        if self._paused or self._reel.at_end:
            return None
        return max(0.0, min(_TICK, self._due - time.monotonic()))

    def _act(self, pressed: str, key: "Callable[[float | None], str]") -> None:
        actions: dict[str, Callable[[], None]] = {
            " ": self._pause,
            "n": self._step,
            "p": self._back,
            "+": lambda: self._faster(2),
            "-": lambda: self._faster(0.5),
            "e": self._to_trouble,
            "j": self._follow,
            "r": self._turn_page,
            "g": lambda: self._go(key),
        }
        if pressed in actions:
            actions[pressed]()

    def _pause(self) -> None:
        self._paused = not self._paused
        self._schedule()

    def _step(self) -> None:
        self._paused = True
        self._advance()

    def _back(self) -> None:
        self._paused = True
        if (moment := self._reel.back()) is not None:
            self._shown(moment)

    def _faster(self, times: float) -> None:
        self._speed = min(max(self._speed * times, _SLOWEST), _FASTEST)
        self._schedule()

    def _to_trouble(self) -> None:
        self._paused = True
        if self._reel.to_trouble():
            self._advance()
        else:
            self._print(Text("no more denials or errors", style="dim"))

    def _follow(self) -> None:
        last = self._reel.last
        if self._reel.followed or last is None or last.job is None:
            self._reel.follow(None)
        else:
            self._reel.follow(last.job.key)
        self._schedule()

    def _turn_page(self) -> None:
        """Rows of the job that was shown last, the next of them each time."""
        self._paused = True
        last = self._reel.last
        if last is None or last.job is None:
            self._print(Text("no job was shown yet", style="dim"))
            return
        page = self._page[1] + 1 if self._page and self._page[0] == last.job.key else 0
        found = self._rows(last.job, page)
        if found is None:
            self._print(Text("no more rows" if page else "the recording holds no rows of it", style="dim"))
            self._page = None
            return
        self._page = (last.job.key, page)
        self._print(found)

    def _go(self, key: "Callable[[float | None], str]") -> None:
        self._paused = True
        typed = ""
        while True:
            self._line(f"go to (m:ss): {typed}")
            pressed = key(None)
            if pressed in ("\r", "\n", ""):
                break
            typed = typed[:-1] if pressed in ("\x7f", "\b") else typed + pressed
        offset = offset_of(typed)
        if offset is None:
            self._print(Text("a time is m:ss, h:mm:ss, or seconds", style="dim"))
            return
        self._reel.seek(offset)
        self._advance()

    def _advance(self) -> None:
        moment = self._reel.next()
        if moment is not None:
            self._shown(moment)
        self._schedule()

    def _shown(self, moment: "Moment") -> None:
        self._page = None
        self._print(self._show(moment))

    def _schedule(self) -> None:
        wait = self._reel.wait()
        if self._max_idle is not None:
            wait = min(wait, self._max_idle)
        self._due = time.monotonic() + wait.total_seconds() / self._speed

    def _print(self, what: "RenderableType") -> None:
        self._clear()
        self._screen.print(what)

    def _status(self) -> None:
        reel = self._reel
        state = "paused" if self._paused else "the end" if reel.at_end else f"{self._speed:g}×"
        one = " · one job" if reel.followed else ""
        self._line(f"{_clock(reel.position)} / {_clock(reel.length)} · {reel.place:,} of {len(reel):,} · {state}{one}")

    def _line(self, text: str) -> None:
        self._clear()
        sys.stdout.write(f"\x1b[2m{text[: self._screen.width - 1]}\x1b[0m")
        sys.stdout.flush()

    @staticmethod
    def _clear() -> None:
        sys.stdout.write("\r\x1b[K")
        sys.stdout.flush()


def offset_of(text: str) -> timedelta | None:
    """``90``, ``1:30`` or ``1:02:03`` as a length of time; ``None`` where it is none."""
    parts = text.strip().split(":")
    try:
        numbers = [float(part) for part in parts]
    except ValueError:
        return None
    if len(numbers) > 3 or any(not 0 <= number < 10**6 for number in numbers):  # noqa: PLR2004 - h, m, s
        return None
    seconds = 0.0
    for number in numbers:
        seconds = seconds * 60 + number
    return timedelta(seconds=seconds)


def at_terminal() -> bool:
    """Whether somebody sits there who can press keys and see what they do."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def _clock(length: timedelta) -> str:
    minutes, seconds = divmod(int(length.total_seconds()), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


@contextmanager
def _single_keys() -> Iterator[Callable[[float | None], str]]:
    """Keys as they are pressed: the next one within so many seconds, or an empty text; ``q`` when the terminal goes."""
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)

    def key(seconds: float | None) -> str:
        ready, _, _ = select.select([descriptor], [], [], seconds)
        if not ready:
            return ""
        found = os.read(descriptor, 1)
        return found.decode("latin-1") if found else "q"

    try:
        tty.setcbreak(descriptor)
        yield key
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
