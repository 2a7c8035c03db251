"""Other people's results inside a statement: anonymous tables, sessions and jobs that SQL can name.

BigQuery keeps each query's result in a hidden dataset (``_`` and forty hexadecimal digits, ``_script…`` for scripts) that
belongs to the Google identity, which all principals of a connection may share. So every such name in a statement is a
resource that must be the principal's own, however it is spelled. This reads words, not grammar, and errs on the side of
finding too much: a table alias that starts with ``_`` with a column that starts with ``anon`` is taken for one.
"""

import re
from collections.abc import Sequence
from itertools import islice
from typing import Final

from hoop_mitm.bigquery.calls import hands_over_unseen_text
from hoop_mitm.bigquery.labels import check_query_label
from hoop_mitm.bigquery.operation import Dataset, Resource, TableRef
from hoop_mitm.bigquery.paths import Path, mark, paths
from hoop_mitm.bigquery.tokens import Token, tokens
from hoop_mitm.bigquery.unreadable import Unreadable

EVERY_TABLE: Final = "*"
"""In place of a table's name: the hidden dataset as a whole. Nobody owns it, so nobody reaches it."""

RUN_TIME: Final = "?"
"""In place of an id: the statement makes the name at run time. Nobody owns it."""

LONGEST: Final = 2**20
"""Bytes of a statement. BigQuery takes no longer one either (its quotas: "maximum unresolved GoogleSQL query length")."""

MOST_WORDS: Final = 150_000
"""Words and signs that are read of a statement and of the SQL in its literals: a third of a second, or some 600 kB of
ordinary SQL. Most statements could name nothing of ours, and are not cut into words at all."""

_DEEPEST: Final = 8
"""Levels of SQL in the literals of SQL."""

_LONGEST_PROJECT: Final = 8
"""Parts of a project's name that are joined; one of a domain (``example.com:acme``) has a few."""

_PROCEDURES: Final = {"BQ.ABORT_SESSION": "bq_session", "BQ.JOBS.CANCEL": "job"}
_AFTER_LITERAL: Final = frozenset({";", "INTO", "USING", "END"})
_AFTER_VALUE: Final = frozenset({";"})
_BEFORE_TARGET: Final = frozenset({"SET", "INTO", "(", ","})
_DEFAULTS: Final = frozenset({"DATASET_ID", "DATASET_PROJECT_ID"})
_LABEL: Final = "QUERY_LABEL"

_HIDDEN = re.compile(r"_(?:(?:script)?[0-9a-f]{24,}|\w*anonymous)", re.IGNORECASE)
_ANYWHERE = re.compile(rf"(?<!\w){_HIDDEN.pattern}(?!\w)", re.IGNORECASE)

# Words without which nothing is named at run time, no job or session is ended, and no label is set.
_POWERS: Final = ("immediate", "dataset_id", "dataset_project_id", "query_label")
_CALL = re.compile(r"(?<!\w)call(?!\w)")
_HEXADECIMAL = re.compile(r"_(?:script)?[0-9a-f]{24}")
_UNDERSCORE = re.compile(r"(?<!\w)_\w")
_ESCAPED_NAME = re.compile(r"`[^`]*\\")

# The way a name looks in running text: legacy SQL, strings, comments.
_WRITTEN = re.compile(
    r"""
    (?<![\w.:-])
    (?:(?P<project>[a-z0-9][a-z0-9.:-]*[a-z0-9])[`\]]?\s*[.:]\s*[`\[]?)?
    (?P<dataset>_\w*)`?\s*\.\s*`?(?P<table>[\w$@*-]+)
    """,
    re.VERBOSE | re.IGNORECASE,
)
_DECORATOR = re.compile(r"[$@].*", re.DOTALL)


def is_hidden(dataset: str) -> bool:
    """Whether a dataset's name is of the kind that BigQuery makes for results."""
    return _HIDDEN.fullmatch(dataset) is not None


def is_result(dataset: str, table: str) -> bool:
    """Whether a table is a query's result: ``_0e32….anon5f…``, or anything in a hidden dataset.

    ``_SESSION`` is not one: it means the temporary tables of the session that the statement itself runs in.
    """
    if not dataset.startswith("_") or dataset.upper() == "_SESSION":
        return False
    return table[:4].lower() == "anon" or is_hidden(dataset)


def table_resource(project: str, dataset: str, table: str = EVERY_TABLE) -> Resource:
    """The resource of a result table; without ``table``, of its whole dataset."""
    return Resource("table", str(TableRef(project, dataset, undecorated(table))))


def undecorated(table: str) -> str:
    """A table's name without its partition (``$20260101``) or time (``@-3600000``) decorator."""
    return _DECORATOR.sub("", table)


def named_in(
    statement: str,
    *,
    project: str,
    default: Dataset | None = None,
    legacy: bool | None = None,
    parameters: Sequence[str] = (),
) -> tuple[Resource, ...]:
    """Every result table, job and session that a statement names, or could name at run time.

    Args:
        project: what a name without a project is taken to be in.
        default: project and dataset that names without a dataset are taken to be in.
        legacy: the dialect, as ``useLegacySql`` has it; ``None`` when it is not known.
        parameters: the values of query parameters, which a procedure may run.

    Raises:
        Unreadable: the statement is too long to be read, or sets a label that is the gateway's.
    """
    if len(statement) > LONGEST or len(statement.encode("utf-8", "surrogatepass")) > LONGEST:
        raise Unreadable(f"its statement is longer than {LONGEST} bytes, which is more than BigQuery takes.")
    scan = _Scan(project)
    lowered = statement.lower()
    if default and default[1].startswith("_") and (is_hidden(default[1]) or "anon" in lowered):
        scan.add(default[0] or project, default[1])
    if not _worth_reading(lowered):
        return scan.found
    scan.text(statement, whole_datasets=legacy is not False or "#legacysql" in lowered)
    if not legacy or "#standardsql" in lowered:
        scan.code(statement, parameters)
    return scan.found


def _worth_reading(lowered: str) -> bool:
    """Whether a statement could name anything of ours; most could not, and are not cut into words."""
    return (
        ("anon" in lowered and _UNDERSCORE.search(lowered) is not None)
        or _HEXADECIMAL.search(lowered) is not None
        or any(word in lowered for word in _POWERS)
        or _CALL.search(lowered) is not None
        # An escape sequence hides anything in a quoted name.
        or ("\\" in lowered and _ESCAPED_NAME.search(lowered) is not None)
    )


class _Scan:
    def __init__(self, project: str) -> None:
        self._project = project
        self._found: dict[Resource, None] = {}
        self._words_left = MOST_WORDS

    @property
    def found(self) -> tuple[Resource, ...]:
        return tuple(self._found)

    def add(self, project: str, dataset: str, table: str = EVERY_TABLE) -> None:
        self._found[table_resource(project, dataset, table)] = None

    def text(self, text: str, *, whole_datasets: bool) -> None:
        spans: set[int] = set()
        for match in _WRITTEN.finditer(text):
            if is_result(match["dataset"], match["table"]):
                spans.add(match.start("dataset"))
                self.add(match["project"] or self._project, match["dataset"], match["table"])
        if whole_datasets:
            for match in _ANYWHERE.finditer(text):
                if match.start() not in spans:
                    self.add(self._project, match[0])

    def code(self, statement: str, parameters: Sequence[str] = (), depth: int = 0) -> None:
        words = self._cut(statement)
        for path in paths(words):
            self._path(path.parts)
            self._procedure(path, words)
        for token in words:
            if token.kind == "string":
                self.text(token.text, whole_datasets=True)
        self._system_variables(words)
        calls, executes = self._calls(words, depth), self._executes(words)
        if calls or executes:
            # Any literal may be what is run: directly, through a variable or in a procedure.
            for token in words:
                if token.kind == "string":
                    self._nested(token.text, depth + 1)
        if calls:
            for value in parameters:
                self.text(value, whole_datasets=True)
                self._nested(value, depth + 1)

    def _cut(self, statement: str) -> list[Token]:
        words = list(islice(tokens(statement), self._words_left + 1))
        self._words_left -= len(words)
        if self._words_left < 0:
            raise Unreadable(f"its statement has more than {MOST_WORDS} words and signs; split it, or load the data.")
        return words

    def _nested(self, statement: str, depth: int) -> None:
        if not _worth_reading(statement.lower()):
            return
        if depth > _DEEPEST:
            self._run_time()
        else:
            self.code(statement, depth=depth)

    def _run_time(self) -> None:
        self._found[Resource("table", RUN_TIME)] = None

    def _path(self, parts: list[str]) -> None:
        for place, part in enumerate(parts):
            if not part.startswith("_"):
                continue
            project = ".".join(parts[max(0, place - _LONGEST_PROJECT) : place]) or self._project
            if place + 1 < len(parts):
                if is_result(part, parts[place + 1]):
                    self.add(project, part, parts[place + 1])
            elif is_hidden(part):
                self.add(project, part)

    def _procedure(self, path: Path, words: list[Token]) -> None:
        kind = _PROCEDURES.get(".".join(path.parts).upper())
        if kind is None or mark(words, path.end) != "(":
            return
        argument = words[path.end + 1] if path.end + 1 < len(words) else None
        if argument and argument.kind == "string" and mark(words, path.end + 2) == ")":
            name = argument.text.replace(".", ":", 1) if kind == "job" else argument.text
            known = name if kind != "job" or ":" in name else f"{self._project}:{name}"
            self._found[Resource(kind, known)] = None
        elif not (kind == "bq_session" and argument and argument.text == ")"):
            self._found[Resource(kind, RUN_TIME)] = None

    def _executes(self, words: list[Token]) -> bool:
        """Whether SQL is run that stands in a literal; what is put together at run time could name anyone's results."""
        found = False
        for place, token in enumerate(words[:-1]):
            if (
                token.kind == "word"
                and token.text.upper() == "EXECUTE"
                and words[place + 1].text.upper() == "IMMEDIATE"
            ):
                found = True
                if _literal(words, place + 2, _AFTER_LITERAL) is None:
                    self._run_time()
        return found

    def _calls(self, words: list[Token], depth: int) -> bool:
        # In SQL that is run from a literal, parameters are what USING says, not what the request says.
        if hands_over_unseen_text(words, parameters=depth == 0):
            self._run_time()
        return any(token.kind == "word" and token.text.upper() == "CALL" for token in words)

    def _system_variables(self, words: list[Token]) -> None:
        """Reading a default or a label is harmless; setting it to anything but a literal is not."""
        setting = False
        for place, token in enumerate(words):
            if token.text == ";":
                setting = False
            elif token.kind == "word" and token.text.upper() in ("SET", "INTO"):
                setting = True
            elif setting and token.text == "@@" and words[place - 1].text.upper() in _BEFORE_TARGET:
                name = words[place + 1].text.upper() if place + 1 < len(words) else ""
                value = _literal(words, place + 3, _AFTER_VALUE) if mark(words, place + 2) == "=" else None
                if name in _DEFAULTS and value is None:
                    self._run_time()
                elif name == _LABEL:
                    if value is None:
                        raise Unreadable("it sets @@query_label to what is made at run time; write the label into it.")
                    check_query_label(value)


def _literal(words: list[Token], place: int, ends: frozenset[str]) -> str | None:
    """The text of a string that stands alone."""
    if place >= len(words) or words[place].kind != "string":
        return None
    end = words[place + 1].text.upper() if place + 1 < len(words) else ";"
    return words[place].text if end in ends else None
