"""Which recorded answer belongs to a question: the same question, and of several the next in turn."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass

from hoop_mitm.archive.comparing.texts import pieces
from hoop_mitm.archive.statements import keyed
from hoop_mitm.serving.question import Question
from hoop_mitm.serving.recorded import Ask
from hoop_mitm.serving.turns import Taken

_LONGEST = 600


@dataclass(frozen=True, slots=True)
class Miss:
    """Something that was asked and is not in the recording. ``closest``: the recorded job that is most like it."""

    asked: str
    message: str
    closest: Ask | None = None


class Missed(Exception):
    """Asked was what is not in the recording; nothing is sent anywhere else."""

    def __init__(self, miss: Miss) -> None:
        self.miss = miss
        super().__init__(miss.message)


class Turns:
    """Hands out the recorded jobs, each question's in their order; the last one again when there are no more.

    With ``strict`` jobs must be asked for in the order in which they were recorded, and as often.
    """

    def __init__(self, asks: Sequence[Ask], *, strict: bool = False) -> None:
        self._asks = asks
        self._strict = strict
        self._by_question: dict[tuple[object, ...], list[Ask]] = {}
        for ask in asks:
            self._by_question.setdefault(ask.question.key, []).append(ask)
        self._taken = Taken()
        self._lock = threading.Lock()
        self._next = 0

    def reset(self) -> None:
        """Begin from the start."""
        self._taken.reset()
        self._next = 0

    def take(self, question: Question) -> Ask:
        """The recorded job that answers ``question``.

        Raises:
            Missed: there is none, or (``strict``) it is not this one's turn.
        """
        if self._strict:
            with self._lock:
                return self._in_order(question)
        found = self._by_question.get(question.key)
        if not found:
            raise Missed(self._miss(question))
        return self._taken.next(question.key, found)

    def _in_order(self, question: Question) -> Ask:
        if self._next < len(self._asks) and self._asks[self._next].question.key == question.key:
            self._next += 1
            return self._asks[self._next - 1]
        if question.key not in self._by_question:
            raise Missed(self._miss(question))
        if self._next == len(self._asks):
            raise Missed(Miss(question.text, "The recording has no more jobs: this one was asked for too often."))
        due = self._asks[self._next]
        message = (
            f"It is not this one's turn (--strict). Next in the recording is {due.label}: {_shown(due.question.text)}"
        )
        raise Missed(Miss(question.text, message, due))

    def _miss(self, question: Question) -> Miss:
        closest = self._closest(question)
        if closest is None:
            return Miss(question.text, "The recording has no job of this kind.")
        return Miss(question.text, _compared(closest, question), closest)

    def _closest(self, question: Question) -> Ask | None:
        from rapidfuzz.distance import Indel

        words = [key for key, _ in keyed(question.text)]

        def likeness(ask: Ask) -> tuple[float, int]:
            same = Indel.normalized_similarity(words, [key for key, _ in keyed(ask.question.text)])
            return same, -len(list(question.differences(ask.question)))

        of_kind = [ask for ask in self._asks if ask.question.kind == question.kind]
        first_of_each = list({ask.question.key: ask for ask in reversed(of_kind)}.values())
        return max(first_of_each, key=likeness, default=None)


def _compared(closest: Ask, asked: Question) -> str:
    """What of ``asked`` is not as in ``closest``, in words."""
    recorded = closest.question
    told: list[str] = []
    for name in recorded.differences(asked):
        match name:
            case "statement":
                told.append(_edit(recorded.text, asked.text))
            case "dry run":
                told.append("it was an estimate only" if recorded.dry_run else "it was not only an estimate")
            case _:
                attribute = name.replace(" ", "_")
                was, now = getattr(recorded, attribute) or "none", getattr(asked, attribute) or "none"
                told.append(f"its {name}: {_shown(was)} was recorded, {_shown(now)} is asked")
    return f"The recording has no such job. Closest is {closest.label}, but for {'; '.join(told)}."


def _edit(before: str, after: str) -> str:
    """The statement with what went in [-…-] and what came in {+…+}."""
    marks = {"removed": ("[-", "-]"), "added": ("{+", "+}"), "same": ("", "")}
    parts = [f"{marks[piece.kind][0]}{piece.text}{marks[piece.kind][1]}" for piece in pieces(before, after)]
    return f"its statement: {_shown(''.join(parts))}"


def _shown(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"
