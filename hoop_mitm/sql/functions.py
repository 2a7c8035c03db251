"""The functions that a text calls, and the features that its words show. By words alone: no parser has a say."""

from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import Final

from hoop_mitm.bigquery.paths import Path, paths
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
_DEFINES: Final = frozenset({"FUNCTION", "INDEX", "INSERT", "INTO", "MERGE", "PROCEDURE", "TABLE", "VIEW", "OVERWRITE"})

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
_REACHING: Final = frozenset({"external_query", "external_object_transform", "obj.get_access_url"})
_BEFORE_TABLES: Final = frozenset({"FROM", "JOIN", ","})

#: Functions of BigQuery that sqlglot's dialect has no name for, and words that call nothing and that a function may be called.
_ALSO_KNOWN: Final = frozenset({
    "AGGREGATE", "ARRAY_INCLUDES", "ARRAY_INCLUDES_ANY", "ARRAY_IS_DISTINCT", "BAG_OF_WORDS", "DATETIME_BUCKET", "DATE_BUCKET",
    "ERROR", "EXTEND", "FLOAT32", "GENERATE_RANGE_ARRAY", "IEEE_DIVIDE", "INSERT", "INTERVAL", "ISNULL", "JSON_FLATTEN",
    "NULLIFZERO", "OF", "PERCENT", "RANGE", "RANGE_CONTAINS", "RANGE_END", "RANGE_INTERSECT", "RANGE_OVERLAPS", "RANGE_START",
    "S2_CELLIDFROMPOINT", "S2_COVERINGCELLIDS", "SEARCH", "TEXT_ANALYZE", "TF_IDF", "TIMESTAMP_BUCKET", "VALUE", "ZEROIFNULL",
})  # fmt: skip
_GEOGRAPHY: Final = "st_"

type Call = tuple[str, Path]


def calls_in(words: Sequence[Token]) -> list[Call]:
    """Everything that is called, in order: its name in lower case, and the path as it is written."""
    return list(_called(words))


def _called(words: Sequence[Token]) -> Iterator[Call]:
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
        yield name, path


def functions_in(calls: Iterable[Call]) -> tuple[str, ...]:
    """What is called, in lower case, each once: ``count``, ``net.host``, ``acme.shop.discount``; procedures too."""
    return tuple(dict.fromkeys(name for name, _ in calls))


def reaches_out(functions: Iterable[str]) -> bool:
    """Whether one of the functions (as ``functions_in`` has them) can change something outside of BigQuery's tables: by SQL
    of another database, or by an URL that lets whoever has it write to an object in Cloud Storage."""
    # A dash before it may be a minus.
    return any(name.removeprefix("safe.").rpartition("-")[2] in _REACHING for name in functions)


def routines_in(words: Sequence[Token], calls: Iterable[Call]) -> Iterator[Path]:
    """The names, as they are written, by which functions and table functions of a dataset may be called; some several times.

    A name of one part is among them when no function of GoogleSQL is known by it and the text defines none: it may be one of
    the default dataset.
    """
    defined = {words[place + 1].text.lower() for place in range(len(words) - 1) if _defines_function(words, place)}
    for name, path in calls:
        plain = name.removeprefix("safe.")
        namespace, dot, _ = plain.rpartition(".")
        if dot:
            if namespace not in _NAMESPACES:
                yield path
                if any(word.kind == "mark" and word.text == "-" for word in words[path.start : path.end]):
                    # In an expression it may be a minus: x-hr.salary(1).
                    yield Path([path.parts[0].rpartition("-")[2], *path.parts[1:]], path.start, path.end)
        elif plain not in defined and not plain.startswith(_GEOGRAPHY) and plain.upper() not in _known():
            yield Path([words[path.end - 1].text], path.end - 1, path.end)


def _defines_function(words: Sequence[Token], place: int) -> bool:
    before = (upper(words, place - 2), upper(words, place - 1))
    return (
        upper(words, place) == "FUNCTION" and before[0] in ("CREATE", "REPLACE") and before[1] in ("TEMP", "TEMPORARY")
    )


@cache
def _known() -> frozenset[str]:
    from sqlglot.dialects.bigquery import BigQuery

    parser = BigQuery.parser_class
    names = {*parser.FUNCTIONS, *parser.FUNCTION_PARSERS, *parser.NO_PAREN_FUNCTION_PARSERS, *_ALSO_KNOWN}
    return frozenset(names | {name.upper() for name in _TABLES_OF_GOOGLE})


def features_in(words: Sequence[Token], calls: Iterable[Call]) -> Iterator[str]:
    """The features that single words show, of opaque texts too. Some see too much, none too little."""
    for name, path in calls:
        yield from _features_of_call(name, upper(words, path.start - 1))
    for place, word in enumerate(words):
        if word.kind in ("string", "number"):
            continue
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
