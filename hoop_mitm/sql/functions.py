"""The functions that a text calls, and the features that its words show. By words alone: no parser has a say."""

from collections.abc import Iterator, Sequence
from typing import Final

from hoop_mitm.bigquery.paths import paths
from hoop_mitm.bigquery.tokens import Token
from hoop_mitm.sql.words import upper

#: Words that stand before a parenthesis and call nothing.
_NO_FUNCTIONS: Final = frozenset({
    "ALL", "AND", "ANY", "ARRAY", "AS", "ASSERT", "BETWEEN", "BIGNUMERIC", "BIGDECIMAL", "BY", "BYTES", "CASE",
    "CLUSTER", "COLUMNS", "CROSS", "CUBE", "DECIMAL", "DECLARE", "DEFAULT", "DISTINCT", "ELSE", "END", "EXCEPT",
    "EXISTS", "FILES", "FILTER", "FOLLOWING", "FOR", "FROM", "FULL", "GROUP", "HAVING", "IN", "INNER", "INTERSECT",
    "INTO", "IS", "JOIN", "KEY", "LATERAL", "LIKE", "LIMIT", "NOT", "NUMERIC", "OFFSET", "ON", "OPTIONS", "OR",
    "ORDER", "ORDINAL", "OUTER", "OVER", "PARAMETERIZED", "PARTITION", "PARTITIONS", "PERCENT", "PIVOT", "QUALIFY",
    "RECURSIVE", "RETURNS", "ROLLUP", "ROW", "ROWS", "SAFE_OFFSET", "SAFE_ORDINAL", "SELECT", "SET", "SETS", "SOME",
    "STRING", "STRUCT", "SYSTEM", "TABLE", "TABLESAMPLE", "THEN", "TO", "UNION", "UNNEST", "UNPIVOT", "UNTIL",
    "USING", "VALUES", "WHEN", "WHERE", "WHILE", "WINDOW", "WITH",
})  # fmt: skip

# Before these names stand definitions and targets, with columns or parameters in the parentheses.
_DEFINES: Final = frozenset(
    {"FUNCTION", "INDEX", "INSERT", "INTO", "MERGE", "PROCEDURE", "TABLE", "VIEW", "OVERWRITE", "ON"}
)

_NAMESPACES: Final = frozenset({
    "aead", "ai", "bag", "deterministic", "hll_count", "keys", "kll_quantiles", "ml", "net", "obj", "safe", "d3a_count",
})  # fmt: skip
_MODELS: Final = ("ml.", "ai.")
_TIME_TRAVEL: Final = frozenset({"appends", "changes"})
_BY_WORD: Final = {
    "?": "parameter", "@": "parameter", "@@": "session_variable", "MODEL": "model", "SYSTEM_TIME": "time_travel",
    "TRANSACTION": "transaction",
}  # fmt: skip
_BY_TWO: Final = {
    ("EXECUTE", "IMMEDIATE"): "dynamic_sql",
    ("EXPORT", "DATA"): "export_data",
    ("EXPORT", "MODEL"): "export_data",
    ("LOAD", "DATA"): "load_data",
    ("REMOTE", "WITH"): "remote_function",
    **{(before, word): "temp_object" for before in ("CREATE", "REPLACE") for word in ("TEMP", "TEMPORARY")},
}
#: What follows the word where it is a name, or where the language is SQL.
_SQL_LANGUAGE: Final = frozenset({"", "SQL", ",", ")", "(", ".", "="})
_TABLES_OF_GOOGLE: Final = frozenset({
    "appends", "changes", "external_query", "external_object_transform", "gap_fill", "range_sessionize", "unnest",
    "vector_search",
})  # fmt: skip
_BEFORE_TABLES: Final = frozenset({"FROM", "JOIN", ","})


def functions_in(words: Sequence[Token]) -> tuple[str, ...]:
    """What is called, in lower case, each once: ``count``, ``net.host``, ``acme.shop.discount``; procedures too."""
    return tuple(dict.fromkeys(name for name, _ in _calls(words)))


def features_in(words: Sequence[Token]) -> Iterator[str]:
    """The features that single words show, of opaque texts too. Some see too much, none too little."""
    for name, place in _calls(words):
        yield from _features_of_call(name, upper(words, place - 1))
    for place, word in enumerate(words):
        text = upper(words, place)
        if feature := _BY_WORD.get(text):
            yield feature
        if feature := _BY_TWO.get((upper(words, place - 1), text)):
            yield feature
        if text == "CALL" and upper(words, place + 1) != "(":
            yield "call"
        if text == "LANGUAGE" and upper(words, place + 1) not in _SQL_LANGUAGE:
            yield "javascript"
        yield from _features_of_name(word)


def _features_of_name(word: Token) -> Iterator[str]:
    if word.kind in ("word", "quoted"):
        name = word.text.upper()
        if "INFORMATION_SCHEMA" in name:
            yield "information_schema"
        if name.startswith("_SESSION"):
            yield "temp_object"


def _features_of_call(name: str, before: str) -> Iterator[str]:
    namespace, dot, _ = name.rpartition(".")
    if name == "external_query":
        yield "external_query"
    if name.startswith(_MODELS):
        yield "model"
    if name in _TIME_TRAVEL and before in _BEFORE_TABLES:
        yield "time_travel"
    if dot and namespace not in _NAMESPACES:
        yield "table_function" if before in ("FROM", "JOIN") else "persistent_function"
    elif not dot and before in ("FROM", "JOIN") and name not in _TABLES_OF_GOOGLE:
        yield "table_function"


def _calls(words: Sequence[Token]) -> Iterator[tuple[str, int]]:
    """Each call's name, and where it begins."""
    for path in paths(words):
        if upper(words, path.end) != "(":
            continue
        last = words[path.end - 1]
        if len(path.parts) == 1:
            # A dash before it is a minus.
            name = last.text.lower()
            if last.kind == "word" and name.upper() in _NO_FUNCTIONS:
                continue
        else:
            name = ".".join(path.parts).lower()
        before = upper(words, path.start - 1)
        if before in _DEFINES or (before == "EXISTS" and upper(words, path.start - 2) == "NOT"):
            continue
        yield name, path.start
