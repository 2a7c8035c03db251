"""What kind of statement a text is, in BigQuery's words, for statements that BigQuery never saw."""

import itertools
from collections.abc import Iterator, Sequence

from hoop_mitm.bigquery.tokens import Token, tokens

SCRIPT = "SCRIPT"

# Their own words say it all.
_PLAIN = frozenset({"insert", "update", "delete", "merge", "assert", "call", "grant", "revoke"})
_QUERIES = frozenset({"select", "with", "from"})
_DDL = frozenset({"create", "alter", "drop", "undrop"})
# What may stand between the verb and the thing, and changes nothing of what it is called.
_MODIFIERS = frozenset({"or", "replace", "temp", "temporary", "aggregate", "unique", "public", "private"})
# The longest first: a table function is no table.
_THINGS = tuple(
    tuple(thing.split())
    for thing in (
        "all row access policies",
        "row access policy",
        "materialized view",
        "external table",
        "external schema",
        "snapshot table",
        "table function",
        "search index",
        "vector index",
        "table",
        "view",
        "schema",
        "model",
        "function",
        "procedure",
        "capacity",
        "reservation",
        "assignment",
        "connection",
        "organization",
        "project",
    )
)
_CONTROL = frozenset(
    {"declare", "set", "if", "loop", "while", "for", "repeat", "begin", "execute", "case", "raise", "return"}
)
_BLOCKS = _CONTROL | {"else", "elseif", "when"}
# After these a statement begins within another.
_OPENS = frozenset({"begin", "then", "else", "do", "loop", "repeat"})


def statement_types(statement: str) -> tuple[str, ...]:
    """BigQuery's word for ``statement``; of a script ``SCRIPT`` and the words for what is in it, each once.

    Empty where the text begins like no statement. It goes by the first words: what does not parse has a type too.
    """
    parts = [part for part in _parts(list(tokens(statement))) if part]
    found = dict.fromkeys(type_ for part in parts if (type_ := statement_type(part)) is not None)
    scripted = len(parts) > 1 or any(
        _word(part[0]) in _CONTROL and not _begins_transaction(part[0], part[1] if len(part) > 1 else None)
        for part in parts
    )
    return (SCRIPT, *found) if scripted else tuple(found)


def _parts(words: Sequence[Token]) -> Iterator[list[Token]]:
    """What stands between semicolons, and within the blocks of a script."""
    part: list[Token] = []
    depth = 0
    in_case = False
    for word, following in itertools.zip_longest(words, words[1:]):
        if word.kind == "mark":
            depth += (word.text in "([") - (word.text in ")]")
        ends = depth <= 0 and word.kind == "mark" and word.text == ";"
        if not ends:
            # The THEN of an expression begins no statement.
            in_case = in_case or (bool(part) and _word(word) == "case")
            part.append(word)
            opens = depth <= 0 and _word(word) in _OPENS and _word(part[0]) in _BLOCKS and not in_case
            ends = opens and not _begins_transaction(word, following)
        if ends:
            yield part
            part, in_case = [], False
    yield part


def _begins_transaction(first: Token, second: Token | None) -> bool:
    return _word(first) == "begin" and second is not None and _word(second) == "transaction"


def statement_type(part: Sequence[Token]) -> str | None:
    """BigQuery's word for the words of one statement; ``None`` where they begin like none."""
    words = (_word(token) for token in part)
    match list(itertools.dropwhile("(".__eq__, words)):
        case [first, *_] if first in _QUERIES:
            return "SELECT"
        case [first, *_] if first in _PLAIN:
            return first.upper()
        case ["begin", "transaction", *_]:
            return "BEGIN_TRANSACTION"
        case ["truncate", *_]:
            return "TRUNCATE_TABLE"
        case ["commit" | "rollback" as first, *_]:
            return f"{first.upper()}_TRANSACTION"
        case ["export" | "load" as first, what, *_]:
            return f"{first}_{what}".upper()
        case [first, *rest] if first in _DDL:
            return _ddl(first, rest)
    return None


def _ddl(verb: str, words: Sequence[str]) -> str | None:
    start = next((place for place, word in enumerate(words) if word not in _MODIFIERS), len(words))
    thing = next((thing for thing in _THINGS if tuple(words[start : start + len(thing)]) == thing), None)
    if thing is None:
        return None
    name = "_".join((verb, *thing)).upper()
    selects = verb == "create" and thing == ("table",) and "as" in words[start:]
    return f"{name}_AS_SELECT" if selects else name


def _word(token: Token) -> str:
    return token.text.lower() if token.kind in ("word", "mark") else ""
