"""What a question means, in the words that rules use."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any, Final, Literal

from hoop_mitm.bigquery import hidden
from hoop_mitm.bigquery.operation import Operation, TableRef
from hoop_mitm.policy.patterns import UNKNOWN, named
from hoop_mitm.policy.question import Question

type Verb = Literal["read", "write", "admin", "metadata"]

OWN_DOORS: Final = frozenset({
    "jobs.get", "jobs.list", "jobs.getQueryResults", "jobs.cancel", "jobs.upload", "storage.ReadRows",
    "storage.SplitReadStream", "discovery.getRest", "mcp.get_job", "mcp.get_query_results", "mcp.cancel_job",
    "mcp.initialize", "mcp.list_tools", "mcp.ping", "mcp.notification", "mcp.discover",
})  # fmt: skip
"""Doors that follow up what was ruled when it was asked for, or that speak of nothing at BigQuery. That what they name is
the principal's own is seen to before the policy is asked."""

_RESULT_DOORS: Final = frozenset({"tabledata.list", "tables.get", "storage.CreateReadSession"})
"""Doors by which a client reads the result of its own query, which lies in a table without a name of its own."""

_KIND_OF_JOB: Final[Mapping[str, str]] = {"load": "LOAD", "copy": "COPY", "extract": "EXTRACT"}
_ORDER: Final[Mapping[str, int]] = {"metadata": 0, "read": 1, "write": 2, "admin": 3}
_OF_ITSELF = "_SESSION"
"""The dataset of temporary tables: they belong to whoever made them."""


class Asked:
    """A question as rules see it. Every attribute is computed once, when it is first looked at."""

    def __init__(self, question: Question) -> None:
        self.question = question
        self.operation: Operation = question.operation

    @cached_property
    def is_own(self) -> bool:
        """Whether it only follows up what was decided before, on something of the principal's own."""
        operation = self.operation
        if operation.door.name in OWN_DOORS:
            return True
        return (
            operation.door.name in _RESULT_DOORS
            and bool(operation.tables)
            and all(hidden.is_result(table.dataset, table.table) for table in operation.tables)
        )

    @cached_property
    def opaque(self) -> str:
        """Why it cannot be understood, as a sentence; ``""`` where it can."""
        if self.operation.statement is None:
            return ""
        if self.question.facts is None:
            return "hoop-mitm did not look into the statement."
        for key, words in _BROUGHT_ALONG.items():
            if _brings(self.operation, key):
                return f"the request {words} of its own ({key})."
        return self.question.facts.opaque

    @cached_property
    def verb(self) -> Verb:
        """The most that is done."""
        operation, facts = self.operation, self.question.facts
        if operation.job_type == "extract":
            return "admin"  # It takes rows out of BigQuery, as EXPORT DATA does.
        if operation.statement is None:
            return operation.kind
        if self.opaque or facts is None:
            return "admin"
        into: Verb = "write" if self._destination else "read"
        return max(facts.verb, into, key=_ORDER.__getitem__)

    @cached_property
    def kinds(self) -> tuple[str, ...]:
        """BigQuery's words for the statements; of other jobs what kind of job it is; else nothing."""
        facts = self.question.facts
        if self.operation.statement is not None:
            return facts.kinds if facts else ()
        kind = _KIND_OF_JOB.get(self.operation.job_type or "")
        return (kind,) if kind else ()

    @cached_property
    def reads(self) -> tuple[str, ...]:
        """Tables that are read, as they are named; and functions of datasets, for what they read."""
        facts = self.question.facts
        return _names(
            *((*facts.reads, *facts.routines) if facts else ()), *([] if self._writes_all else self._named)
        ) + (() if self._writes_all else self._whole)

    @cached_property
    def writes(self) -> tuple[str, ...]:
        """Tables that are written, made, changed or dropped."""
        facts = self.question.facts
        return _names(
            *(facts.writes if facts else ()),
            *([self._destination] if self._destination else ()),
            *(self._named if self._writes_all else ()),
        ) + (self._whole if self._writes_all else ())

    @cached_property
    def tables(self) -> tuple[str, ...]:
        """Both."""
        return tuple(dict.fromkeys((*self.reads, *self.writes)))

    @property
    def things(self) -> tuple[str, ...]:
        """All that is touched: the tables, whole datasets (``acme.shop.*``) among them."""
        return self.tables

    @cached_property
    def _whole(self) -> tuple[str, ...]:
        """Datasets that the request names outside of SQL and of which it names no table: all that they hold."""
        if self.operation.statement is not None:
            # The default dataset is none of them: it is where tables of the statement are, and those are named.
            return ()
        of_tables = {name.rpartition(".")[0] for name in _names(*self.operation.tables)}
        return tuple(
            f"{dataset}.{UNKNOWN}"
            for dataset in self.operation.datasets
            if dataset not in of_tables and not hidden.is_hidden(dataset.rpartition(".")[2])
        )

    @cached_property
    def behind(self) -> tuple[str, ...] | None:
        """Tables that BigQuery itself says it would read, behind views too; ``None`` while nobody has asked it."""
        estimate = self.question.estimate
        return _names(*estimate.referenced_tables) if estimate else None

    @property
    def can_be_estimated(self) -> bool:
        """Whether an estimate would say more: it is a statement that is to run, and there is none yet."""
        operation = self.operation
        return operation.statement is not None and not operation.dry_run and self.question.estimate is None

    @cached_property
    def bytes(self) -> tuple[int, int | None]:
        """At least and at most so much is read; ``None`` where nobody can say. An estimate that BigQuery is asked for
        reads nothing."""
        operation, estimate = self.operation, self.question.estimate
        if operation.statement is not None and not operation.dry_run:
            if estimate is None:
                return 0, None
            return estimate.processed_bytes, estimate.processed_bytes if estimate.is_bound else None
        if operation.door.name == "storage.CreateReadSession" or operation.job_type == "extract":
            return 0, None
        return 0, 0

    @cached_property
    def what(self) -> str:
        """What it is, in a few words for people: ``DELETE, which changes acme.shop.orders``."""
        kinds = [kind for kind in self.kinds if kind != "SCRIPT"]
        word = ("a script of " if "SCRIPT" in self.kinds else "") + _few(kinds) if kinds else self.operation.door.name
        parts = [word]
        if self.writes:
            parts.append(f"which changes {_few(self.writes)}")
        elif self.things:
            parts.append(f"about {_few(self.things)}" if self.verb == "admin" else f"which reads {_few(self.things)}")
        return ", ".join(parts)

    @cached_property
    def values(self) -> Mapping[str, Any]:
        """The variables of conditions; those that nobody knows are not there."""
        question, operation, facts = self.question, self.operation, self.question.facts
        principal = question.principal
        values: dict[str, Any] = {
            "principal": str(principal),
            "issuer": principal.issuer,
            "subject": principal.subject,
            "groups": list(principal.groups),
            "machine": principal.kind == "machine",
            "connection": question.connection,
            "session": question.session_id,
            "program": question.program,
            "agent": question.agent,
            "door": operation.door.name,
            "verb": self.verb,
            "kinds": list(self.kinds),
            "reads": list(self.reads),
            "writes": list(self.writes),
            "tables": list(self.tables),
            "datasets": sorted({*operation.datasets, *(name.rpartition(".")[0] for name in self.tables)}),
            "functions": list(facts.functions) if facts else [],
            "features": sorted(facts.features) if facts else [],
            "opaque": self.opaque,
            "script": facts.is_script if facts else False,
            "statement": operation.statement or "",
            "dry_run": operation.dry_run,
            "project": operation.project,
            "location": operation.location or "",
            "labels": dict(operation.labels),
            "reason": question.reason,
            "now": question.at,
        }
        least, most = self.bytes
        if most is not None:
            values["estimated_bytes"] = least
        if estimate := question.estimate:
            if estimate.price is not None:
                values["estimated_price"] = float(estimate.price)
            values["referenced_tables"] = list(self.behind or ())
        elif not self.can_be_estimated:
            values |= {"estimated_price": 0.0, "referenced_tables": list(self.tables)}
        return values

    @property
    def _destination(self) -> TableRef | None:
        table = self.operation.destination
        return None if table is None or hidden.is_result(table.dataset, table.table) else table

    @property
    def _writes_all(self) -> bool:
        """Whether the tables that the request names outside of SQL are there to be changed."""
        operation = self.operation
        return operation.job_type is None and operation.statement is None and operation.kind in ("write", "admin")

    @property
    def _named(self) -> tuple[TableRef, ...]:
        return tuple(table for table in self.operation.tables if table != self.operation.destination)


def _names(*tables: TableRef) -> tuple[str, ...]:
    return tuple(
        dict.fromkeys(
            named(table)
            for table in tables
            if table.dataset.upper() != _OF_ITSELF and not hidden.is_result(table.dataset, table.table)
        )
    )


_BROUGHT_ALONG: Final = {
    "tableDefinitions": "defines external tables",
    "userDefinedFunctionResources": "brings functions",
}
"""What a query's configuration may hold that its statement then means, and that nobody has looked into."""


def _brings(operation: Operation, key: str) -> bool:
    body: Any = operation.body or {}
    job = (body.get("configuration") or {}).get("query") if operation.door.name == "jobs.insert" else body
    return bool(isinstance(job, dict) and job.get(key))


_SHOWN: Final = 3


def _few(names: tuple[str, ...] | list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
