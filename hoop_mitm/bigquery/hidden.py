"""Other people's results inside a statement: anonymous tables, sessions and jobs that SQL can name.

BigQuery keeps each query's result in a hidden dataset (``_`` and forty hexadecimal digits, ``_script…`` for scripts) that
belongs to the Google identity, which all principals of a connection may share. So every such name in a statement is a
resource that must be the principal's own, however it is spelled. This reads words, not grammar, and errs on the side of
finding too much: a table alias that starts with ``_`` with a column that starts with ``anon`` is taken for one.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from hoop_mitm.bigquery.operation import Resource, TableRef
from hoop_mitm.bigquery.tokens import Token, tokens

EVERY_TABLE: Final = "*"
"""In place of a table's name: the hidden dataset as a whole. Nobody owns it, so nobody reaches it."""

RUN_TIME: Final = "?"
"""In place of an id: the statement makes the name at run time. Nobody owns it."""

_PROCEDURES: Final = {"BQ.ABORT_SESSION": "bq_session", "BQ.JOBS.CANCEL": "job"}
_AFTER_LITERAL: Final = frozenset({";", "INTO", "USING", "END"})
_DEFAULTS: Final = frozenset({"DATASET_ID", "DATASET_PROJECT_ID"})

_HIDDEN = re.compile(r"_(?:(?:script)?[0-9a-f]{24,}|\w*anonymous)", re.IGNORECASE)
_ANYWHERE = re.compile(rf"(?<!\w){_HIDDEN.pattern}(?!\w)", re.IGNORECASE)

# Words without which nothing is named at run time, and no job or session is ended.
_POWERS: Final = ("execute", "dataset_id", "dataset_project_id", "abort_session", "cancel")
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

type Dataset = tuple[str | None, str]


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
    statement: str, *, project: str, default: Dataset | None = None, legacy: bool | None = None
) -> tuple[Resource, ...]:
    """Every result table, job and session that a statement names, or could name at run time.

    Args:
        project: what a name without a project is taken to be in.
        default: project and dataset that names without a dataset are taken to be in.
        legacy: the dialect, as ``useLegacySql`` has it; ``None`` when it is not known.
    """
    scan = _Scan(project)
    lowered = statement.lower()
    if default and default[1].startswith("_") and (is_hidden(default[1]) or "anon" in lowered):
        scan.add(default[0] or project, default[1])
    if not _worth_reading(lowered):
        return scan.found
    scan.text(statement, whole_datasets=legacy is not False or "#legacysql" in lowered)
    if not legacy or "#standardsql" in lowered:
        scan.code(list(tokens(statement)))
    return scan.found


def _worth_reading(lowered: str) -> bool:
    """Whether a statement could name anything of ours; most could not, and are not cut into words."""
    return (
        ("anon" in lowered and _UNDERSCORE.search(lowered) is not None)
        or _HEXADECIMAL.search(lowered) is not None
        or any(word in lowered for word in _POWERS)
        # An escape sequence hides anything in a quoted name, or in SQL that a procedure is given to run.
        or ("\\" in lowered and (_ESCAPED_NAME.search(lowered) is not None or "call" in lowered))
    )


class _Scan:
    def __init__(self, project: str) -> None:
        self._project = project
        self._found: dict[Resource, None] = {}

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

    def code(self, words: list[Token]) -> None:
        for path in _paths(words):
            self._path(path.parts)
            self._procedure(path, words)
        for place, token in enumerate(words):
            if token.kind == "string":
                self.text(token.text, whole_datasets=True)
            elif token.kind == "word":
                self._dynamic(token.text.upper(), words, place)

    def _path(self, parts: list[str]) -> None:
        for place, part in enumerate(parts):
            if not part.startswith("_"):
                continue
            project = ".".join(parts[:place]) or self._project
            if place + 1 < len(parts):
                if is_result(part, parts[place + 1]):
                    self.add(project, part, parts[place + 1])
            elif is_hidden(part):
                self.add(project, part)

    def _procedure(self, path: "_Path", words: list[Token]) -> None:
        kind = _PROCEDURES.get(".".join(path.parts).upper())
        if kind is None or _mark(words, path.end) != "(":
            return
        argument = words[path.end + 1] if path.end + 1 < len(words) else None
        if argument and argument.kind == "string" and _mark(words, path.end + 2) == ")":
            name = argument.text.replace(".", ":", 1) if kind == "job" else argument.text
            known = name if kind != "job" or ":" in name else f"{self._project}:{name}"
            self._found[Resource(kind, known)] = None
        elif not (kind == "bq_session" and argument and argument.text == ")"):
            self._found[Resource(kind, RUN_TIME)] = None

    def _dynamic(self, word: str, words: list[Token], place: int) -> None:
        """SQL that is put together at run time could name anyone's results; a plain literal has been read above."""
        after = words[place + 1] if place + 1 < len(words) else None
        if word == "EXECUTE" and after and after.text.upper() == "IMMEDIATE":
            literal = place + 2
            end = words[literal + 1].text.upper() if literal + 1 < len(words) else ";"
            plain = literal < len(words) and words[literal].kind == "string" and end in _AFTER_LITERAL
        elif word in _DEFAULTS and place and words[place - 1].text == "@@" and after and after.kind == "mark":
            # Reading a default is harmless; setting it to anything but a literal is not.
            if not any(token.kind == "word" and token.text.upper() == "SET" for token in words[:place]):
                return
            end = words[place + 3].text if place + 3 < len(words) else ";"
            plain = after.text == "=" and place + 2 < len(words) and words[place + 2].kind == "string" and end == ";"
        else:
            return
        if not plain:
            self._found[Resource("table", RUN_TIME)] = None


@dataclass(slots=True)
class _Path:
    parts: list[str]
    end: int


def _mark(words: list[Token], place: int) -> str:
    return words[place].text if place < len(words) and words[place].kind == "mark" else ""


def _paths(words: list[Token]) -> Iterator[_Path]:
    place = 0
    while place < len(words):
        if words[place].kind not in ("word", "quoted"):
            place += 1
            continue
        first, place = _first_part(words, place)
        parts = _split(first, words[place - 1])
        while _mark(words, place) == "." and place + 1 < len(words) and _may_follow(words[place + 1]):
            parts += _split(words[place + 1].text, words[place + 1])
            place += 2
        yield _Path(parts, place)


def _first_part(words: list[Token], place: int) -> tuple[str, int]:
    """A project may be written with dashes and no quotes: ``my-project.dataset.table``."""
    text, last = words[place].text, words[place]
    place += 1
    while (
        last.kind != "quoted"
        and place + 1 < len(words)
        and words[place].text == "-"
        and words[place].start == last.end
        and words[place + 1].start == words[place].end
        and words[place + 1].kind in ("word", "number")
    ):
        last = words[place + 1]
        text = f"{text}-{last.text}"
        place += 2
    return text, place


def _may_follow(token: Token) -> bool:
    return token.kind in ("word", "quoted", "number") or token.text == "*"


def _split(text: str, token: Token) -> list[str]:
    return text.split(".") if token.kind in ("quoted", "number") else [text]
