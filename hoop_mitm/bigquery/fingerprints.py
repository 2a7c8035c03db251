"""Statements compared by what they do, not by their values or their layout."""

import hashlib
import re

from hoop_mitm.bigquery.tokens import Token, tokens

_LIST = re.compile(r"\?(?: , \?)+")


def fingerprint(statement: str) -> str:
    """Sixteen hexadecimal digits, the same for statements that differ only in literals, layout, case and comments."""
    return hashlib.sha256(normalised(statement).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def normalised(statement: str) -> str:
    """The statement in lower case with ``?`` for each literal, and for each list of literals."""
    words = list(tokens(statement))
    plain = (
        _name(word) if word.kind == "number" and _in_name(words, place) else _plain(word)
        for place, word in enumerate(words)
    )
    return _LIST.sub("?", " ".join(plain)).rstrip("; ")


def _plain(token: Token) -> str:
    return "?" if token.kind in ("string", "number") else _name(token)


def _name(token: Token) -> str:
    """A quoted name as it would be cut without its quotes."""
    text = token.text.lower()
    return re.sub(r"\s*([.-])\s*", r" \1 ", text) if token.kind == "quoted" else text


def _in_name(words: list[Token], place: int) -> bool:
    """Whether digits are part of a name: ``dataset.2026``, ``my-project-1.dataset``."""
    before = words[place - 1] if place else None
    if before is None or before.kind != "mark" or before.end != words[place].start:
        return False
    after = words[place + 1] if place + 1 < len(words) else None
    followed = after is not None and after.start == words[place].end and after.text in (".", "-")
    return before.text == "." or (before.text == "-" and followed)
