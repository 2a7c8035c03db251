"""Names of tables, routines and columns among a statement's words: ``acme-prod.shop.orders``, in whichever quotes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hoop_mitm.bigquery.tokens import Token


@dataclass(slots=True)
class Path:
    """A dotted name. ``parts`` are without quotes; ``start`` and ``end`` are places among the words."""

    parts: list[str]
    start: int
    end: int


def paths(words: Sequence[Token]) -> Iterator[Path]:
    """Every name, dotted or not, keywords among them."""
    place = 0
    while place < len(words):
        if words[place].kind not in ("word", "quoted"):
            place += 1
            continue
        start = place
        first, place = _first_part(words, place)
        parts = _split(first, words[place - 1])
        while mark(words, place) == "." and place + 1 < len(words) and _may_follow(words[place + 1]):
            parts += _split(words[place + 1].text, words[place + 1])
            place += 2
        yield Path(parts, start, place)


def _first_part(words: Sequence[Token], place: int) -> tuple[str, int]:
    """A project may be written with dashes and no quotes: ``my-project.dataset.table``."""
    last = words[place]
    text = [last.text]
    place += 1
    while (
        last.kind != "quoted"
        and place + 1 < len(words)
        and words[place].text == "-"
        and words[place].start == last.end
        and words[place + 1].start == words[place].end
        and words[place + 1].kind in ("word", "number")
    ):
        last = words[place + 1]
        text.append(last.text)
        place += 2
    return "-".join(text), place


def _may_follow(token: Token) -> bool:
    return token.kind in ("word", "quoted", "number") or token.text == "*"


def _split(text: str, token: Token) -> list[str]:
    return text.split(".") if token.kind in ("quoted", "number") else [text]


def mark(words: Sequence[Token], place: int) -> str:
    """The sign at this place, ``""`` where there is none."""
    return words[place].text if place < len(words) and words[place].kind == "mark" else ""
