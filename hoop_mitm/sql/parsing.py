"""From words to a tree, by sqlglot, held against our own reading of the words.

sqlglot reads many dialects leniently. So its tokens must be our words, sign by sign, or nothing is taken from it.
"""

import logging
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Final

from hoop_mitm.bigquery.tokens import Token
from hoop_mitm.sql.opaque import Opaque
from hoop_mitm.sql.rewriting import rewritten, with_known_prefixes
from hoop_mitm.sql.words import words_of

if TYPE_CHECKING:
    from sqlglot import exp
    from sqlglot.dialects.dialect import Dialect
    from sqlglot.errors import SqlglotError
    from sqlglot.tokenizer_core import Token as Theirs

_DIALECT: Final = "bigquery"
_BEFORE, _AFTER = "SELECT (", "\n)"
_STRINGS: Final = frozenset({"STRING", "RAW_STRING", "BYTE_STRING"})


def statement_tree(text: str, words: Sequence[Token]) -> "exp.Expr":
    """The tree of one statement.

    Args:
        text: of the whole script, into which the words' places point.
        words: of the statement.

    Raises:
        Opaque: it does not parse, is nested too deeply, or sqlglot reads other words than we do.
    """
    return _tree(text, words, "", "")


def expression_tree(text: str, words: Sequence[Token]) -> "exp.Expr":
    """The tree of a query that selects nothing but this expression. Raises as ``statement_tree``."""
    return _tree(text, words, _BEFORE, _AFTER)


@cache
def _dialect() -> "Dialect":
    from sqlglot.dialects.dialect import Dialect

    # It warns of what it does not know; here that is an answer.
    logging.getLogger("sqlglot").setLevel(logging.CRITICAL)
    return Dialect.get_or_raise(_DIALECT)


def _tree(text: str, words: Sequence[Token], before: str, after: str) -> "exp.Expr":
    from sqlglot.errors import SqlglotError

    first = words[0].start
    changed: str | None = None
    piece = with_known_prefixes(text[first : words[-1].end], words)
    try:
        found = _dialect().tokenize(f"{before}{piece}{after}")
        ends = len(found) - (1 if after else 0)
        _check_same(words, found[2 if before else 0 : ends], first - len(before))
        changed = rewritten(piece, words)
        if changed is not None:
            # Its words are ours by now, so only the parser sees it.
            words_of(changed)
            found = _dialect().tokenize(f"{before}{changed}{after}")
            piece = changed
        trees = _dialect().parser().parse(found, f"{before}{piece}{after}")
    except SqlglotError as error:
        place = _place(error, text, first, len(before)) if changed is None else ""
        raise Opaque(
            f"hoop-mitm's parser does not know a construct in it{place}, or it is not valid GoogleSQL."
        ) from error
    except RecursionError as error:
        raise Opaque("it is nested too deeply to be understood.") from error
    except Opaque:
        raise
    except Exception as error:  # Whatever a parser does to hostile text, it must not become a yes.
        raise Opaque("hoop-mitm's parser failed on it.") from error
    if len(trees) != 1 or trees[0] is None:
        raise Opaque("hoop-mitm's parser finds other statements in it than hoop-mitm.")
    return trees[0]


def _place(error: "SqlglotError", text: str, first: int, shift: int) -> str:
    """Where in the whole text the parser gave up, in words; ``""`` where it does not say."""
    said = getattr(error, "errors", None)
    line, column = (said[0].get("line"), said[0].get("col")) if said else (None, None)
    if not line or not column:
        return ""
    if line == 1:
        column += first - (text.rfind("\n", 0, first) + 1) - shift
    return f" (line {line + text.count(chr(10), 0, first)}, column {column})"


def _check_same(words: Sequence[Token], found: "Sequence[Theirs]", shift: int) -> None:
    place = 0
    for token in found:
        place = _after(words, place, token, shift)
    if place != len(words):
        raise _two_ways()


def _after(words: Sequence[Token], place: int, token: "Theirs", shift: int) -> int:
    """The place behind the words that ``token`` consists of."""
    start, end = token.start + shift, token.end + 1 + shift
    kind = token.token_type.name
    word = words[place] if place < len(words) else None
    if word is None:
        raise _two_ways()
    if word.kind == "string" or word.text == "@@":
        # Strings that follow each other are one word of ours, and so are the signs before a system variable.
        expected = kind in _STRINGS if word.kind == "string" else kind == "PARAMETER"
        if expected and word.start <= start < end <= word.end:
            return place + (end == word.end)
    elif word.kind == "number" and kind not in _STRINGS and word.start <= start < end <= word.end:
        # 2026_orders is one word of ours.
        return place + (end == word.end)
    elif word.kind == "quoted":
        if (kind, start, end, token.text) == ("IDENTIFIER", word.start, word.end, word.text):
            return place + 1
    elif kind not in _STRINGS and kind != "IDENTIFIER" and start == word.start:
        # A keyword of theirs may be several words (GROUP BY), a sign several signs.
        while place < len(words) and words[place].end <= end and words[place].kind not in ("string", "quoted"):
            place += 1
        if words[place - 1].end == end:
            return place
    raise _two_ways()


def _two_ways() -> Opaque:
    return Opaque("its words can be read in two ways (quotes, comments or signs that programs read differently).")
