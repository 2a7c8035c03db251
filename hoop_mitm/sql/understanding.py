"""Facts of a statement: its words, the parts of a script, and each part's tree have to say the same."""

import re
from collections.abc import Sequence
from typing import Final

from hoop_mitm.bigquery.statement_types import SCRIPT, statement_type, statement_types
from hoop_mitm.bigquery.tokens import Token
from hoop_mitm.sql import cache
from hoop_mitm.sql.certain import has_pipes
from hoop_mitm.sql.facts import Dataset, StatementFacts
from hoop_mitm.sql.functions import calls_in, features_in, functions_in, reaches_out, routines_in
from hoop_mitm.sql.names import Names
from hoop_mitm.sql.opaque import Opaque
from hoop_mitm.sql.parsing import expression_tree, statement_tree
from hoop_mitm.sql.script import Part, script_of
from hoop_mitm.sql.statements import Found, add_certain, add_expression, add_statement
from hoop_mitm.sql.words import words_of

_MOST_NAMES: Final = 10_000
"""Tables and functions that facts can hold, together."""

# In others names of connections, roles and the like stand where tables do in these.
_WITH_QUERIES: Final = frozenset({
    "CREATE_FUNCTION", "CREATE_MATERIALIZED_VIEW", "CREATE_TABLE_AS_SELECT", "CREATE_VIEW", "DELETE", "EXPORT_DATA", "INSERT",
    "MERGE", "SELECT", "UPDATE",
})  # fmt: skip

_KNOWN: Final = cache.Cache()

_LEGACY = re.compile(r"#\s*legacysql", re.IGNORECASE)
_STANDARD = re.compile(r"\s*#standardsql[ \t]*(?:[\r\n]|\Z)", re.IGNORECASE)


def understand(
    statement: str, *, project: str, default_dataset: Dataset | None = None, legacy: bool = False
) -> StatementFacts:
    """The facts of a statement; whatever goes wrong on the way makes it opaque, nothing is raised.

    It takes as long as it takes: where somebody waits, ask ``Understanding.of``.

    Args:
        statement: the text, exactly as BigQuery gets it.
        project: the project of names that have none.
        default_dataset: project and dataset of table names that have no dataset.
        legacy: the request says ``useLegacySql``, or says nothing (REST's default is true). The text's own
            ``#standardSQL`` and ``#legacySQL`` are seen here.
    """
    key = cache.key(statement, project, default_dataset, legacy=legacy)
    facts = _KNOWN.get(key)
    if facts is None:
        facts = _facts(statement, Names(project, default_dataset), legacy=legacy)
        _KNOWN.put(key, facts)
    return facts


def _facts(statement: str, names: Names, *, legacy: bool) -> StatementFacts:
    if (legacy and not _STANDARD.match(statement)) or _LEGACY.search(statement):
        reason = "it is legacy SQL (useLegacySql must be false), which hoop-mitm does not understand."
        return StatementFacts((), "admin", features=frozenset({"legacy_sql"}), opaque=reason)
    words: list[Token] = []
    try:
        words = words_of(statement)
        return _understood(statement, words, names)
    except Opaque as error:
        return _opaque(statement, words, str(error))
    except Exception:  # noqa: BLE001 - what nobody thought of must not become a yes, nor stop who asked
        return StatementFacts((), "admin", opaque="hoop-mitm failed to understand it.")


def _understood(statement: str, words: Sequence[Token], names: Names) -> StatementFacts:
    script = script_of(words)
    if not script.parts:
        raise Opaque("there is no statement in it.")
    found = Found()
    statements = 0
    if has_pipes(words):
        names.forget_rows()
    for part in script.parts:
        statements += _add_part(found, statement, words, part, names)
    calls = calls_in(words)
    functions = functions_in(calls)
    routines = dict.fromkeys(ref for path in routines_in(words, calls) if (ref := names.routine(path)))
    features = found.features | set(features_in(words, calls)) | ({"control_flow"} if script.has_flow else set())
    if reaches_out(functions):
        found.at_least("write")
    if len(found.reads) + len(found.writes) + len(functions) > _MOST_NAMES:
        raise Opaque(f"it names more than {_MOST_NAMES} tables and functions.")
    is_script = script.has_flow or statements > 1
    return StatementFacts(
        kinds=(SCRIPT, *found.kinds) if is_script else tuple(found.kinds),
        verb=found.verb,
        is_script=is_script,
        reads=tuple(found.reads),
        writes=tuple(found.writes),
        functions=functions,
        features=frozenset(features),
        routines=tuple(routines),
    )


def _add_part(found: Found, statement: str, words: Sequence[Token], part: Part, names: Names) -> bool:
    """Adds what a part does; whether it is a statement that makes a text with others a script."""
    piece = words[part.start : part.end]
    match part.role:
        case "expression":
            add_expression(found, expression_tree(statement, piece), names)
            add_certain(found, piece, names)
            return False
        case "known":
            found.does(part.kind, "read" if part.kind == "ASSERT" else "write")
            return True
        case "statement":
            kind = statement_type(piece)
            if kind is None:
                raise Opaque(f"{piece[0].text[:40]!r} begins no statement that hoop-mitm knows.")
            add_statement(found, statement_tree(statement, piece), kind, names)
            if kind in _WITH_QUERIES:
                add_certain(found, piece, names)
            # A query with temporary functions before it is no script to BigQuery.
            return not (kind == "CREATE_FUNCTION" and "temp_object" in set(features_in(piece[:4], ())))


def _opaque(statement: str, words: Sequence[Token], reason: str) -> StatementFacts:
    kinds = statement_types(statement) if words else ()
    calls = calls_in(words)
    return StatementFacts(
        kinds=kinds,
        verb="admin",
        is_script=SCRIPT in kinds,
        functions=functions_in(calls)[:_MOST_NAMES],
        features=frozenset(features_in(words, calls)),
        opaque=reason,
    )
