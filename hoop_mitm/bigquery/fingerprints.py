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
    words = " ".join(_plain(token) for token in tokens(statement))
    return _LIST.sub("?", words).rstrip("; ")


def _plain(token: Token) -> str:
    match token.kind:
        case "string" | "number":
            return "?"
        case "quoted":
            # As it would be cut without its quotes.
            return re.sub(r"\s*([.-])\s*", r" \1 ", token.text.lower())
        case _:
            return token.text.lower()
