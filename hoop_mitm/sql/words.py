"""A text cut into words, or an objection: nothing is left over that BigQuery could read in another way than we do."""

import re
from collections.abc import Sequence
from itertools import islice
from typing import Final

from hoop_mitm.bigquery.hidden import LONGEST, MOST_WORDS
from hoop_mitm.bigquery.tokens import Token, tokens
from hoop_mitm.sql.opaque import Opaque

_MARKS: Final = frozenset("()[],;.:+-*/%<>=!&|^~?@") | {"@@"}
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|0[xX][0-9a-fA-F]+")
_MANTISSA = re.compile(r"[0-9]+[eE]")
_PART_OF_NAME = re.compile(r"[0-9][0-9A-Za-z_]*")
_SURROGATE = re.compile("[\ud800-\udfff]")
# What stands between two words. Some programs end a line where BigQuery does not, so such ends are not taken at all.
_SPACE = re.compile(
    r"(?:[ \t\r\n\f\v]|(?:--|\#)[^\r\n\x0b\x0c\x1c-\x1e\x85\u2028\u2029]*(?:\r?\n|\Z)|/\*(?:[^*]|\*(?!/))*\*/)*",
    re.DOTALL,
)


def words_of(statement: str) -> list[Token]:
    """The words of a statement, comments and space left out.

    Raises:
        Opaque: it is too long, or a character, name, number or comment in it is not GoogleSQL's.
    """
    if any_surrogate := _SURROGATE.search(statement):
        raise Opaque(f"its character {any_surrogate.start() + 1} is not valid Unicode.")
    if len(statement) > LONGEST:
        raise Opaque(f"it is longer than {LONGEST} characters, which is more than BigQuery takes.")
    words = list(islice(tokens(statement), MOST_WORDS + 1))
    if len(words) > MOST_WORDS:
        raise Opaque(f"it has more than {MOST_WORDS} words and signs.")
    place = 0
    for word in words:
        _check(word, statement)
        _check_space(statement, place, word.start)
        place = word.end
    _check_space(statement, place, len(statement))
    return words


def upper(words: Sequence[Token], place: int) -> str:
    """The unquoted word or the sign at this place, in upper case; ``""`` for everything else, and behind the end."""
    if not 0 <= place < len(words) or words[place].kind not in ("word", "mark"):
        return ""
    return words[place].text.upper()


def _check(word: Token, statement: str) -> None:
    text = statement[word.start : word.end]
    match word.kind:
        case "mark" if text not in _MARKS:
            raise Opaque(f"it has the character {text!r} outside of quotes.")
        case "word" if not text.isascii():
            raise Opaque(f"the name {text[:40]!r} has letters that must be quoted with backticks.")
        case "number" if not _is_number(text, statement, word):
            raise Opaque(f"{text[:40]!r} is no number that BigQuery knows.")
        case "quoted" if len(text) < 3 or text[-1] != "`" or "\\" in text or "\n" in text or "\r" in text:  # noqa: PLR2004
            raise Opaque(f"the quoted name {text[:40]!r} is empty, does not end, or has escape sequences.")


def _is_number(text: str, statement: str, word: Token) -> bool:
    if _NUMBER.fullmatch(text):
        return True
    if _MANTISSA.fullmatch(text):
        return statement[word.end : word.end + 1] in ("+", "-")
    # shop.2026_orders, acme-1prod.shop.orders
    return statement[word.start - 1 : word.start] in (".", "-") and _PART_OF_NAME.fullmatch(text) is not None


def _check_space(statement: str, start: int, end: int) -> None:
    if end - start > 1 or (end > start and statement[start] != " "):
        match = _SPACE.fullmatch(statement, start, end)
        if match is None:
            raise Opaque("a comment in it does not end, or it has white space that BigQuery does not know.")
