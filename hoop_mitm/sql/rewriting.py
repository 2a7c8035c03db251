"""Constructs of GoogleSQL that sqlglot does not know, put in words that it knows and that have the same facts.

The result is for the parser's eyes alone. What kind of statement a text is has been decided by its first word before.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from hoop_mitm.bigquery.paths import paths
from hoop_mitm.bigquery.tokens import Token
from hoop_mitm.sql.opaque import Opaque
from hoop_mitm.sql.words import upper

type _Edit = tuple[int, int, str]

# Pipe operators that are queries and nothing else; GoogleSQL has others that write.
_PIPES: Final = frozenset({
    "AGGREGATE", "AS", "CROSS", "DISTINCT", "DROP", "EXCEPT", "EXTEND", "FULL", "INNER", "INTERSECT", "JOIN", "LEFT",
    "LIMIT", "ORDER", "PIVOT", "RENAME", "RIGHT", "SELECT", "SET", "TABLESAMPLE", "UNION", "UNPIVOT", "WHERE", "WINDOW",
    "WITH",
})  # fmt: skip
_MOST_PIPES: Final = 500
_BEFORE_TABLES: Final = frozenset({"FROM", "JOIN", "TABLE", ","})
_NOTHING: Final = "WHERE TRUE"


def with_known_prefixes(piece: str, words: Sequence[Token]) -> str:
    """The text with its raw bytes (``rb'…'``) as raw strings, and every word in its place."""
    first = words[0].start
    starts = [word.start - first for word in words if word.kind == "string"]
    raw = [start for start in starts if piece[start : start + 2].lower() in ("rb", "br")]
    if not raw:
        return piece
    characters = list(piece)
    for start in raw:
        characters[start : start + 2] = " r"
    return "".join(characters)


def rewritten(piece: str, words: Sequence[Token]) -> str | None:
    """The text as sqlglot knows it; ``None`` when nothing had to be changed.

    Args:
        piece: text of one statement or expression.
        words: of it; their places count from the start of the first.

    Raises:
        Opaque: a pipe operator in it is not known, or not written as it should be.
    """
    first = words[0].start
    edits = sorted([*_arguments(words), *_pipes(words)])
    if not edits:
        return None
    out: list[str] = []
    done = 0
    for start, end, text in edits:
        if start - first < done:
            raise Opaque("constructs in it overlap in a way that hoop-mitm does not understand.")
        out += (piece[done : start - first], text)
        done = end - first
    return "".join([*out, piece[done:]])


def _arguments(words: Sequence[Token]) -> Iterator[_Edit]:
    """``TABLE d.t`` and ``MODEL d.m`` as arguments of table functions."""
    for path in paths(words):
        place = path.start - 1
        kind = upper(words, place)
        if (
            kind in ("TABLE", "MODEL")
            and upper(words, place - 1) in ("(", ",")
            and upper(words, path.end) in (")", ",")
        ):
            name = f"`{'.'.join(path.parts)}`"
            # A space on either side: words that stood apart stay apart.
            yield words[place].start, words[path.end - 1].end, f" (SELECT * FROM {name}) "  # noqa: S608 - is not run


def _pipes(words: Sequence[Token]) -> Iterator[_Edit]:
    pipes = [
        place
        for place in range(1, len(words))
        if upper(words, place) == ">" and upper(words, place - 1) == "|" and words[place - 1].end == words[place].start
    ]
    if pipes and any(word.text.lower().startswith("__tmp") for word in words):
        raise Opaque("it has a name that hoop-mitm's parser uses for itself (__tmp…).")
    if len(pipes) > _MOST_PIPES:
        # sqlglot's time grows with the square of their number.
        raise Opaque(f"it has more than {_MOST_PIPES} pipe operators.")
    _check_aliases(
        words,
        {
            words[place + 2].text.upper()
            for place in pipes
            if upper(words, place + 1) == "AS" and place + 2 < len(words)
        },
    )
    for place in pipes:
        operator = upper(words, place + 1)
        if operator not in _PIPES:
            raise Opaque(f"it has the pipe operator {operator or 'nothing'}, which hoop-mitm does not know.")
        end = _end_of_operator(words, place + 2)
        if operator in ("DROP", "RENAME"):
            if any(word.kind not in ("word", "quoted") and word.text != "," for word in words[place + 2 : end]):
                raise Opaque(f"its pipe operator {operator} has more in it than names.")
            yield words[place + 1].start, words[end - 1].end, _NOTHING
        elif operator == "SET":
            yield words[place + 1].start, words[place + 1].end, "EXTEND"
            for start in _items(words, place + 2, end):
                if upper(words, start + 1) != "=" or words[start].kind not in ("word", "quoted"):
                    raise Opaque("its pipe operator SET does not assign.")
                yield words[start].start, words[start + 1].end, ""


def _check_aliases(words: Sequence[Token], aliases: set[str]) -> None:
    """sqlglot makes an expression of ``|> AS name``, by which a table of that name elsewhere would not be seen."""
    for place, word in enumerate(words):
        named = word.kind in ("word", "quoted") and word.text.upper() in aliases and upper(words, place + 1) != "."
        if named and upper(words, place - 1) in _BEFORE_TABLES:
            raise Opaque(f"{word.text[:40]!r} is a pipe's alias in it, and also stands where a table can.")


def _items(words: Sequence[Token], start: int, end: int) -> Iterator[int]:
    """Where the items of a list begin."""
    yield start
    depth = 0
    for place in range(start, end):
        sign = upper(words, place)
        depth += (sign in ("(", "[")) - (sign in (")", "]"))
        if sign == "," and not depth:
            yield place + 1


def _end_of_operator(words: Sequence[Token], place: int) -> int:
    depth = 0
    while place < len(words):
        sign = upper(words, place)
        if sign in (")", "]"):
            if not depth:
                return place
            depth -= 1
        depth += sign in ("(", "[")
        if not depth and sign == "|" and upper(words, place + 1) == ">":
            return place
        place += 1
    return place
