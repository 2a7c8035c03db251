"""Names that are a table's whatever aliases stand around them: told by the words, since a parser takes some for arrays."""

from collections.abc import Iterator, Sequence
from typing import Final

from hoop_mitm.bigquery.paths import Path, paths
from hoop_mitm.bigquery.tokens import Token
from hoop_mitm.sql.words import upper

_BEFORE_TABLES: Final = frozenset({"FROM", "JOIN", "LATERAL", "USING", ",", "("})
_ARGUMENTS: Final = frozenset({"TABLE", "MODEL"})


def certain_tables(words: Sequence[Token]) -> Iterator[Path]:
    """The names of a statement that are tables although they may begin as an alias of a row does.

    A quoted name with a point in it is one word, so no alias and a field. An argument after ``TABLE`` or ``MODEL`` is no
    array. And behind a pipe operator an alias may be gone. Some are found too many, for a name that means no table there.
    """
    piped = has_pipes(words)
    for path in paths(words):
        if len(path.parts) == 1 or upper(words, path.end) == "(":
            continue
        before, first = upper(words, path.start - 1), words[path.start]
        if before in _ARGUMENTS:
            if upper(words, path.start - 2) in ("(", ","):
                yield path
        elif (first.kind == "quoted" and "." in first.text and before in _BEFORE_TABLES) or (
            piped and before in ("FROM", "JOIN", "LATERAL")
        ):
            yield path


def has_pipes(words: Sequence[Token]) -> bool:
    """Whether a pipe operator is among the words."""
    return any(
        upper(words, place) == "|" and upper(words, place + 1) == ">" and words[place].end == words[place + 1].start
        for place in range(len(words) - 1)
    )
