"""What a script hands to the procedures that it calls: text that stands in it, or text made at run time.

A procedure may run what it is given as SQL, so text that nobody has seen could name anything. Numbers, dates and the like
hold no SQL. A variable is as good as all that the script puts into it; one that the script does not declare (of the
session, or a parameter of a procedure) is not.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Final

from hoop_mitm.bigquery.tokens import Token

_CONSTANTS: Final = frozenset({"TRUE", "FALSE", "NULL"})
_NO_TEXT_TYPES: Final = frozenset({
    "INT64", "INT", "INTEGER", "SMALLINT", "BIGINT", "TINYINT", "BYTEINT", "FLOAT64", "NUMERIC", "DECIMAL", "BIGNUMERIC",
    "BIGDECIMAL", "BOOL", "BOOLEAN", "DATE", "DATETIME", "TIME", "TIMESTAMP", "INTERVAL",
})  # fmt: skip
_NO_TEXT_FUNCTIONS: Final = frozenset({
    "CURRENT_DATE", "CURRENT_DATETIME", "CURRENT_TIME", "CURRENT_TIMESTAMP", "DATE", "DATE_ADD", "DATE_SUB", "DATE_TRUNC",
    "DATE_DIFF", "LAST_DAY", "DATETIME", "DATETIME_ADD", "DATETIME_SUB", "DATETIME_TRUNC", "TIMESTAMP", "TIMESTAMP_ADD",
    "TIMESTAMP_SUB", "TIMESTAMP_TRUNC",
})  # fmt: skip
# Reserved words that may follow a column or table that is named "call", and stand before a parenthesis.
_NO_PROCEDURE: Final = frozenset({
    "AND", "AS", "BETWEEN", "FROM", "GROUP", "HAVING", "IN", "IS", "JOIN", "LIKE", "NOT", "ON", "OR", "USING", "WHERE",
})  # fmt: skip


def hands_over_unseen_text(words: Sequence[Token], *, parameters: bool) -> bool:
    """Whether an argument of a ``CALL`` could be text that does not stand in the script.

    Args:
        words: of a script.
        parameters: query parameters are seen elsewhere.
    """
    calls = list(_calls(words))
    if not calls:
        return False
    variables = _Variables(words, calls)
    return any(
        arguments is None or not all(_is_seen(argument, variables, parameters=parameters) for argument in arguments)
        for arguments in calls
    )


type _Arguments = list[Sequence[Token]]


def _calls(words: Sequence[Token]) -> "list[_Arguments | None]":
    """The arguments of each call; ``None`` where they do not end."""
    found: list[_Arguments | None] = []
    for place, token in enumerate(words):
        if _upper(token) == "CALL" and (opening := _opening(words, place + 1)):
            found.append(_arguments(words, opening + 1))
    return found


def _opening(words: Sequence[Token], place: int) -> int | None:
    """Where the arguments of the procedure that is named from ``place`` on begin."""
    start = place
    while place < len(words) and (words[place].kind in ("word", "quoted", "number") or words[place].text in (".", "-")):
        names = place > start and {words[place].kind, words[place - 1].kind} <= {"word", "quoted"}
        if names or _upper(words[place]) == "CALL":
            return None
        place += 1
    named = place > start and _upper(words[start]) not in _NO_PROCEDURE
    return place if named and place < len(words) and words[place].text == "(" else None


def _arguments(words: Sequence[Token], place: int) -> _Arguments | None:
    found: _Arguments = []
    start, depth = place, 0
    while place < len(words):
        token = words[place]
        if token.kind == "mark":
            if token.text in "([{":
                depth += 1
            elif token.text in ")]}" and depth:
                depth -= 1
            elif token.text == ")" or (token.text == "," and not depth):
                found.append(words[start:place])
                start = place + 1
                if token.text == ")":
                    return found
            elif token.text == ";":
                return None
        elif _upper(token) == "CALL":
            # Also keeps this linear: no word is looked at for two calls.
            return None
        place += 1
    return None


def _is_seen(argument: Sequence[Token], variables: "_Variables", *, parameters: bool) -> bool:
    match [token.kind if token.kind != "mark" else token.text for token in argument]:
        case [] | ["string"] | ["number"] | ["-" | "+", "number"]:
            return True
        case ["@", "word"] | ["?"]:
            return parameters
        case ["word", "string"]:
            return _upper(argument[0]) in _NO_TEXT_TYPES
        case ["word" | "quoted"]:
            return _upper(argument[0]) in _CONSTANTS or variables.is_seen(argument[0].text)
        case ["word", "(", *_]:
            return _upper(argument[0]) in _NO_TEXT_FUNCTIONS and not variables.functions and _is_one_call(argument)
        case _:
            return False


def _is_one_call(argument: Sequence[Token]) -> bool:
    depth = 0
    for place, token in enumerate(argument):
        if token.kind == "mark" and token.text in "()":
            depth += 1 if token.text == "(" else -1
            if depth == 0:
                return place == len(argument) - 1
    return False


class _Variables:
    """What a script's variables may hold."""

    def __init__(self, words: Sequence[Token], calls: "Sequence[_Arguments | None]") -> None:
        self._no_text: dict[str, bool] = {}
        self._made: set[str] = set()
        self.functions = any(_upper(token) == "FUNCTION" for token in words)
        """The script makes functions, which may be called like one of BigQuery's."""
        for place, token in enumerate(words):
            match _upper(token):
                case "DECLARE":
                    self._declared(words, place + 1)
                case "SET":
                    self._set(words, place + 1)
                case "INTO":
                    self._into(words, place + 1)
        given = Counter(a[0].text.lower() for arguments in calls for a in arguments or () if len(a) == 1)
        # A procedure may put text into a variable that the next is given.
        self._made |= {name for name, times in given.items() if times > 1}

    def is_seen(self, name: str) -> bool:
        no_text = self._no_text.get(name.lower())
        return no_text is not None and (no_text or name.lower() not in self._made)

    def _declared(self, words: Sequence[Token], place: int) -> None:
        names = []
        while place < len(words) and words[place].kind in ("word", "quoted"):
            names.append(words[place].text.lower())
            place += 1
            if place >= len(words) or words[place].text != ",":
                break
            place += 1
        no_text = place < len(words) and _upper(words[place]) in _NO_TEXT_TYPES
        while place < len(words) and words[place].text != ";" and _upper(words[place]) not in ("DEFAULT", "DECLARE"):
            place += 1
        made = place < len(words) and _upper(words[place]) == "DEFAULT" and not _is_constant(words, place + 1)
        for name in names:
            self._no_text[name] = no_text and self._no_text.get(name, True)
        if made:
            self._made.update(names)

    def _set(self, words: Sequence[Token], place: int) -> None:
        if place + 1 < len(words) and words[place + 1].text == "=" and words[place].kind in ("word", "quoted"):
            if not _is_constant(words, place + 2):
                self._made.add(words[place].text.lower())
        else:
            self._names(words, place, (")", ";", "SET"))

    def _into(self, words: Sequence[Token], place: int) -> None:
        self._names(words, place, (";", "USING", "INTO"))

    def _names(self, words: Sequence[Token], place: int, ends: tuple[str, ...]) -> None:
        while place < len(words) and words[place].text.upper() not in ends:
            if words[place].kind in ("word", "quoted"):
                self._made.add(words[place].text.lower())
            place += 1


def _is_constant(words: Sequence[Token], place: int) -> bool:
    """Whether one literal, and nothing more, stands from here to the end of the statement."""
    if place < len(words) and words[place].text in ("-", "+"):
        place += 1
    ends = place + 1 >= len(words) or words[place + 1].text == ";"
    return (
        ends
        and place < len(words)
        and (words[place].kind in ("string", "number") or _upper(words[place]) in _CONSTANTS)
    )


def _upper(token: Token) -> str:
    return token.text.upper() if token.kind == "word" else ""
