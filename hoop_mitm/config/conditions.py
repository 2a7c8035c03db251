"""Conditions of rules: CEL (https://cel.dev) over a closed set of variables.

A condition is type-checked when the configuration is read: a misspelt variable, a wrong type or a result that is not true
or false is an error then, not a surprise later. Its loops are bounded by the runtime, its regular expressions are RE2's,
which take no more than linear time.
"""

import re
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Final

from pydantic import AfterValidator

if TYPE_CHECKING:
    from cel_expr_python.cel import Env, Expression

LONGEST: Final = 4096
"""Characters of one condition."""

VARIABLES: Final[Mapping[str, tuple[str, str]]] = {
    "principal": ("string", "who asks: the e-mail address, or the subject where there is none"),
    "issuer": ("string", "the `iss` that vouches for them"),
    "subject": ("string", "their `sub` there"),
    "groups": ("list(string)", "the groups they are in"),
    "machine": ("bool", "whether it is a workload, not a person"),
    "connection": ("string", "the connection's name"),
    "session": ("string", "the session's id"),
    "program": ("string", "which program asks (`Cursor › bq`), where that is known; a hint, any program can take any name"),
    "agent": ("string", "the client as its headers tell it (`python`, `bq` …); a hint as well"),
    "door": ("string", "BigQuery's method (`jobs.query`, `tabledata.list`, `storage.CreateReadSession`)"),
    "verb": ("string", "`read`, `write`, `admin` or `metadata`: the most that is done"),
    "kinds": ("list(string)", "BigQuery's word for each statement (`SELECT`, …), `SCRIPT` too of a script; of other jobs `LOAD` …"),
    "reads": ("list(string)", "tables that are read, `project.dataset.table`, as they are named; functions of datasets too, and `project.dataset.*` for all of one"),
    "writes": ("list(string)", "tables that are written, made, changed or dropped"),
    "tables": ("list(string)", "both"),
    "datasets": ("list(string)", "`project.dataset` of these, and of what else is named"),
    "functions": ("list(string)", "functions that the statement calls, in lower case"),
    "features": ("list(string)", "what else it uses: `external_query`, `dynamic_sql`, `export_data` … (docs/statements.md)"),
    "opaque": ("string", 'why the statement cannot be understood; `""` where it can'),
    "script": ("bool", "whether it is more than one statement"),
    "statement": ("string", 'the SQL as it was sent; `""` where there is none'),
    "dry_run": ("bool", "whether BigQuery is only asked to estimate"),
    "project": ("string", "the project that the job runs in"),
    "location": ("string", "BigQuery's location, where the request names one"),
    "labels": ("map(string, string)", "labels that the client put on the job"),
    "reason": ("string", "why, in the client's words (label `hoop-reason` or comment `hoop.reason:`)"),
    "now": ("timestamp", 'when it is asked: `now.getHours("Europe/Berlin")`, `now.getDayOfWeek()` (0 is Sunday)'),
    "estimated_bytes": ("int", "what it would read, by BigQuery's dry run; naming it asks BigQuery"),
    "estimated_price": ("double", "what that costs, by `cost.price_per_tib`; naming it asks BigQuery"),
    "referenced_tables": ("list(string)", "tables that it would read, behind views too; naming it asks BigQuery"),
}  # fmt: skip
"""What a condition may name: type, and meaning."""

ESTIMATED: Final = ("estimated_bytes", "estimated_price", "referenced_tables")
"""Variables that only BigQuery's dry run can fill."""

_NAMES_FACTS = re.compile(r"\b(?:datasets|features|functions|kinds|reads|script|tables|verb|writes)\b")
_NAMES_ESTIMATED = re.compile(rf"\b(?:{'|'.join(ESTIMATED)})\b")
_WORD = re.compile(r"\w+")
_MESSAGE = re.compile(r"ERROR: <input>:\d+:\d+: ([^\n]*)")
_UNDECLARED = re.compile(r"undeclared reference to '(\w+)'")


class ConditionError(Exception):
    """A condition could not be evaluated; the text says why, in CEL's words."""


class Condition:
    """One condition, ready to be asked."""

    def __init__(self, text: str) -> None:
        """Raises ``ValueError``, in words for who wrote it: it is not a condition."""
        if len(text) > LONGEST:
            raise ValueError(f"a condition has at most {LONGEST} characters")
        self.text = text
        self.needs_estimate = _NAMES_ESTIMATED.search(text) is not None
        """Whether it names what only an estimate tells (or seems to, in a string: then one is asked for in vain)."""
        self.names = frozenset(_WORD.findall(text)) & VARIABLES.keys()
        """The variables that it names, and perhaps some that only its strings do."""
        self.needs_facts = _NAMES_FACTS.search(text) is not None
        """Whether it names what a statement has to be understood for."""
        self._expression = _compiled(text)

    def holds(self, values: Mapping[str, Any]) -> bool:
        """Whether it is true of these values of ``VARIABLES``; those that are unknown may be left out.

        Raises:
            ConditionError: it is neither true nor false: a key that is not there, a value that is unknown, a loop
                without end.
        """
        try:
            # Each value that is handed over costs its conversion.
            result = self._expression.eval(data={name: values[name] for name in self.names if name in values})
            value = result.value()
        except (RuntimeError, ValueError, TypeError) as error:
            raise ConditionError(_words(str(error))) from error
        if not isinstance(value, bool):
            raise ConditionError(_words(str(value)))
        return value


def _compiled(text: str) -> "Expression":
    from cel_expr_python.cel import Type

    try:
        expression = _environment().compile(text)
    except (RuntimeError, ValueError) as error:
        raise ValueError(_explained(str(error))) from error
    if expression.return_type() != Type.BOOL:
        raise ValueError(f"a condition is true or false, and this is {expression.return_type().name()}")
    return expression


@cache
def _environment() -> "Env":
    from cel_expr_python.cel import NewEnv, Type

    types = {
        "string": Type.STRING,
        "bool": Type.BOOL,
        "int": Type.INT,
        "double": Type.DOUBLE,
        "timestamp": Type.TIMESTAMP,
        "list(string)": Type.List(Type.STRING),
        "map(string, string)": Type.Map(Type.STRING, Type.STRING),
    }
    return NewEnv(variables={name: types[type_] for name, (type_, _) in VARIABLES.items()})


def _explained(message: str) -> str:
    from hoop_mitm.config.schema import suggestion  # It asks the model, which asks us.

    unknown = _UNDECLARED.search(message)
    if unknown and unknown[1] not in VARIABLES:
        return f"there is no variable {unknown[1]}; {suggestion(unknown[1], tuple(VARIABLES))}"
    return _words(message)


def _words(message: str) -> str:
    found = _MESSAGE.search(message)
    return (found[1] if found else message.partition("\n")[0])[:300]


def _checked(text: str) -> str:
    Condition(text)
    return text


ConditionText = Annotated[str, AfterValidator(_checked)]
"""A condition as the file has it, checked."""
