"""What two statements have in common, from their tokens: layout, comments, case and quotes around names say nothing.

Tokens and not a parse, because tokens exist for everything that BigQuery takes, scripts and pipe syntax included.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from hoop_mitm.bigquery.tokens import Token, tokens

_CACHED = 20_000


@dataclass(frozen=True, slots=True)
class Ordering:
    """A top-level ``ORDER BY``.

    ``columns`` are the names (lower case) or places (from 1) of the result's columns that it sorts by;
    ``None`` when one is an expression.
    """

    columns: tuple[str | int, ...] | None


@lru_cache(maxsize=_CACHED)
def normal(statement: str) -> str:
    """``statement`` in one spelling; literals are kept as they are, and so is the case of names in dotted paths."""
    return " ".join(key for key, _ in keyed(statement))


@lru_cache(maxsize=_CACHED)
def keyed(statement: str) -> tuple[tuple[str, Token], ...]:
    """The tokens of ``statement``, each with the one spelling of what it means."""
    found = _trimmed(statement)
    return tuple((_key(found, index), token) for index, token in enumerate(found))


# Of what may follow ``|> ORDER BY``, these pass on its order.
_KEEPS_ORDER = frozenset({"limit", "as", "order"})


def ordering(statement: str) -> Ordering | None:
    """The ``ORDER BY`` that sorts the result of ``statement`` (the last one of a script), if there is one."""
    found: list[Token] | None = None
    depth = 0
    before = ""
    piped = False
    for token in _unwrapped(_trimmed(statement)):
        depth += _step(token)
        word = token.text.lower() if token.kind in ("word", "mark") else ""
        if depth == 0 and (before, word) == ("order", "by"):
            found = []
        elif (depth == 0 and piped and word not in _KEEPS_ORDER) or (depth == 0 and word == ";"):
            found = None
        elif found is not None:
            found.append(token)
        piped = (before, word) == ("|", ">")
        before = word
    return None if found is None else Ordering(_columns(found))


def _key(of: Sequence[Token], index: int) -> str:
    token = of[index]
    match token.kind:
        case "string":
            return repr(token.text)
        case "word" | "quoted":
            # `my-project.b.c` in one pair of backticks means the same as my-project.b.c.
            parts = re.split(r"([.-])", token.text) if token.kind == "quoted" else [token.text]
            in_path = len(parts) > 1 or _is_dot(of, index - 1) or _is_dot(of, index + 1)
            return " ".join(part if in_path else part.lower() for part in parts if part)
    return token.text


def _is_dot(of: Sequence[Token], index: int) -> bool:
    return 0 <= index < len(of) and of[index].kind == "mark" and of[index].text in (".", "-")


def _trimmed(statement: str) -> list[Token]:
    """The tokens without the semicolons at the end."""
    found = list(tokens(statement))
    while found and found[-1].kind == "mark" and found[-1].text == ";":
        found.pop()
    return found


def _unwrapped(of: Sequence[Token]) -> Sequence[Token]:
    """A query without the parentheses around all of it."""
    while len(of) > 1 and of[0].text == "(" and of[0].kind == "mark" and _closes(of) == len(of) - 1:
        of = of[1:-1]
    return of


def _closes(of: Sequence[Token]) -> int:
    """The place of the bracket that closes the first one."""
    depth = 0
    for place, token in enumerate(of):
        depth += _step(token)
        if depth == 0:
            return place
    return -1


def _columns(of: Sequence[Token]) -> tuple[str | int, ...] | None:
    """The columns of an ``ORDER BY`` whose tokens, and all that follow, are ``of``."""
    columns: list[str | int] = []
    group: list[Token] = []
    depth = 0
    for token in [*of, Token("mark", "|", 0, 0)]:
        depth += _step(token)
        ends = depth == 0 and (
            token.text == "|" or (token.kind == "word" and token.text.lower() in ("limit", "offset"))
        )
        if ends or (depth == 0 and token.text == "," and token.kind == "mark"):
            column = _column(group)
            if column is None:
                return None
            columns.append(column)
            group = []
        else:
            group.append(token)
        if ends:
            break
    return tuple(columns)


_NOISE = frozenset({"asc", "desc", "nulls", "first", "last"})


def _column(group: Sequence[Token]) -> str | int | None:
    match [token for token in group if token.kind != "word" or token.text.lower() not in _NOISE]:
        case [Token("number", text)] if text.isdecimal():
            return int(text)
        case [Token("word" | "quoted", text)]:
            return text.lower()
        case [Token("word" | "quoted"), Token("mark", "."), Token("word" | "quoted", text)]:
            return text.lower()
    return None


def _step(token: Token) -> int:
    if token.kind != "mark":
        return 0
    return (token.text in "([") - (token.text in ")]")
