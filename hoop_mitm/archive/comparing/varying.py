"""Columns that are computed from a function that gives something else each time: found in the statement's text.

Only what is certain is said: a column of the outermost query whose expression calls such a function, or takes a column
of a subquery that does. Where the parser does not understand a statement, or a ``*`` hides what a column is, nothing
is.
"""

import logging
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlglot import exp

#: Functions whose value depends on when, by whom or how often they are asked.
FUNCTIONS = (
    "CURRENT_DATE",
    "CURRENT_DATETIME",
    "CURRENT_TIME",
    "CURRENT_TIMESTAMP",
    "GENERATE_UUID",
    "RAND",
    "SESSION_USER",
)

# sqlglot's own names for what BigQuery calls otherwise.
_ALIASES = {"UUID": "GENERATE_UUID", "CURRENT_USER": "SESSION_USER"}
_LONGEST = 100_000
_STAR = "*"

type Columns = Mapping[str, str]


@lru_cache(maxsize=10_000)
def columns(statement: str, functions: tuple[str, ...] = FUNCTIONS) -> Columns:
    """The columns of the result (lower case) that are computed from one of ``functions``, each with the first of them."""
    import sqlglot
    from sqlglot import exp
    from sqlglot.errors import SqlglotError

    if len(statement) > _LONGEST or not any(name.lower() in statement.lower() for name in functions):
        return {}
    logging.getLogger("sqlglot").setLevel(logging.ERROR)
    try:
        parsed = [each for each in sqlglot.parse(statement, read="bigquery") if each is not None]
    except (SqlglotError, RecursionError):
        return {}
    query = parsed[-1] if parsed else None
    wanted = frozenset(name.upper().removesuffix("()") for name in functions)
    return _named(_of_query(query, wanted, {})) if isinstance(query, exp.Query) else {}


def _named(found: "_Output") -> Columns:
    """By name; columns without one are ``f0_``, ``f1_`` … to BigQuery, as long as no ``*`` hides how many there are."""
    names: dict[str, str] = {}
    nameless = 0
    for name, function in found:
        if name == _STAR:
            nameless = -1
            continue
        if not name and nameless < 0:
            continue
        if function:
            names[name.lower() or f"f{nameless}_"] = function
        nameless += not name
    return names


type _Output = list[tuple[str, str | None]]


def _of_query(query: "exp.Query", wanted: frozenset[str], known: Mapping[str, _Output]) -> _Output:
    """The columns of a query in order, each with the function it is computed from, if any; empty where that is unknown."""
    from sqlglot import exp

    known = dict(known)
    with_ = query.args.get("with_") or query.args.get("with")
    for table in with_.expressions if with_ else ():
        known[table.alias_or_name.lower()] = (
            _of_query(table.this, wanted, known) if isinstance(table.this, exp.Query) else []
        )
    if isinstance(query, exp.Subquery):
        return _of_query(query.this, wanted, known) if isinstance(query.this, exp.Query) else []
    if isinstance(query, exp.SetOperation):
        left, right = (_of_query(side, wanted, known) for side in (query.left, query.right))
        if len(left) != len(right):
            return []
        return [(name, one or other) for (name, one), (_, other) in zip(left, right, strict=True)]
    if not isinstance(query, exp.Select):
        return []
    sources = _sources(query, wanted, known)
    found: _Output = []
    for projection in query.expressions:
        if isinstance(projection, exp.Star) or (
            isinstance(projection, exp.Column) and isinstance(projection.this, exp.Star)
        ):
            only = next(iter(sources.values())) if len(sources) == 1 else []
            if (
                projection.find(exp.Select)
                or not only
                or projection.args.get("except_")
                or projection.args.get("replace")
            ):
                # What a star stands for is not known, so the names after it are, but not their places.
                found.append((_STAR, None))
                continue
            found.extend(only)
            continue
        named = isinstance(projection, exp.Column | exp.Dot)
        name = projection.alias_or_name if named else projection.alias
        found.append((name, _cause(projection, wanted, sources)))
    return found


def _sources(query: "exp.Select", wanted: frozenset[str], known: Mapping[str, _Output]) -> dict[str, _Output]:
    """What the query reads from, by the name it has there; a table's columns are not known, so its list is empty."""
    from sqlglot import exp

    from_ = query.args.get("from_") or query.args.get("from")
    joins = query.args.get("joins") or ()
    found: dict[str, _Output] = {}
    for each in ([from_.this] if from_ else []) + [join.this for join in joins]:
        if isinstance(each, exp.Subquery):
            inner = _of_query(each.this, wanted, known) if isinstance(each.this, exp.Query) else []
            found[each.alias.lower() or f"<{len(found)}>"] = inner
        elif isinstance(each, exp.Table):
            is_with = not each.db and each.name.lower() in known
            found[each.alias_or_name.lower()] = known[each.name.lower()] if is_with else []
        else:
            found[f"<{len(found)}>"] = []
    return found


def _cause(projection: "exp.Expression", wanted: frozenset[str], sources: Mapping[str, _Output]) -> str | None:
    """The function that a column is computed from, here or in what it is taken from."""
    from sqlglot import exp

    for node in projection.walk():
        if isinstance(node, exp.Func) and (name := _name(node)) in wanted:
            return f"{name}()"
        if isinstance(node, exp.Column):
            cause = _taken(node, sources)
            if cause:
                return cause
    return None


def _taken(column: "exp.Column", sources: Mapping[str, _Output]) -> str | None:
    """What the column of a subquery was computed from; an unqualified name must have one place only to come from."""
    qualifier = column.table.lower()
    if qualifier:
        outputs: Sequence[_Output] = [sources[qualifier]] if qualifier in sources else []
    else:
        outputs = list(sources.values()) if len(sources) == 1 else []
    for output in outputs:
        for name, cause in output:
            if name.lower() == column.name.lower() and cause:
                return cause
    return None


def _name(function: "exp.Func") -> str:
    from sqlglot import exp

    name = function.name if isinstance(function, exp.Anonymous) else function.sql_name()
    return _ALIASES.get(name.upper(), name.upper())
