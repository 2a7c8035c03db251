"""What is known of a statement before BigQuery has seen it."""

from dataclasses import dataclass
from typing import Final, Literal

from hoop_mitm.bigquery.operation import TableRef

type Verb = Literal["read", "write", "admin"]
type Dataset = tuple[str | None, str]
"""Project (``None``: the project of the request) and dataset of names that have none."""

FEATURES: Final = frozenset({
    "access_control", "call", "control_flow", "ddl", "dynamic_sql", "export_data", "external_query", "information_schema",
    "javascript", "legacy_sql", "load_data", "model", "parameter", "persistent_function", "remote_function",
    "session_variable", "table_function", "temp_object", "time_travel", "transaction", "unqualified_name",
    "wildcard_table",
})  # fmt: skip
"""Everything that ``StatementFacts.features`` can hold.

- ``access_control``: it grants or revokes. What makes or drops row access policies is opaque, and has no feature.
- ``call``: it calls a procedure, which may do anything.
- ``control_flow``: ``DECLARE``, ``SET``, ``IF``, loops, blocks.
- ``ddl``: it makes, changes or drops something, temporary things included.
- ``dynamic_sql``: ``EXECUTE IMMEDIATE``.
- ``export_data``, ``load_data``: ``EXPORT DATA``, ``EXPORT MODEL``, ``LOAD DATA``.
- ``external_query``: ``EXTERNAL_QUERY``: SQL that another database runs.
- ``information_schema``: it reads a view of an ``INFORMATION_SCHEMA``.
- ``javascript``: it defines a function that is not SQL.
- ``legacy_sql``: it is legacy SQL, or says so itself.
- ``model``: it makes or asks a model (``ML.…``, ``AI.…``).
- ``parameter``: it has query parameters.
- ``persistent_function``: it calls what may be a function of a dataset; whether that is a remote one, its call does not say.
- ``remote_function``: it defines a function that another service computes.
- ``session_variable``: it names a system variable (``@@…``).
- ``table_function``: it reads from a function of a dataset, and so what that reads.
- ``temp_object``: it makes, drops or reads something temporary.
- ``time_travel``: ``FOR SYSTEM_TIME AS OF``, ``APPENDS``, ``CHANGES``.
- ``transaction``: it begins, commits or rolls back one.
- ``unqualified_name``: a table's name has no dataset, and no default dataset is known: its ``dataset`` is ``""``.
- ``wildcard_table``: a table's name ends in ``*``.
"""


@dataclass(frozen=True, slots=True)
class StatementFacts:
    """What one text does, by the text alone. It sees behind no view, routine or connection.

    Attributes:
        kinds: BigQuery's own ``statementType`` of every statement in the text, in order, each once (``SELECT``,
            ``CREATE_TABLE_AS_SELECT``, ``EXPORT_DATA`` …); of a script ``SCRIPT`` comes first, and control flow has none.
            Of an opaque text, what its first words say: a description, nothing to rest a decision on.
        verb: the most that any of them does. ``read`` only when every part of the text is known to have no effect;
            ``write`` changes rows of tables, or makes temporary ones; ``admin`` is everything else: DDL, grants, exports,
            procedures, and all that is opaque.
        is_script: it is more than one statement, or has control flow.
        reads: tables that are named and read, each once, in order; a wildcard as it is written (``events_*``), a view of
            ``INFORMATION_SCHEMA`` with ``INFORMATION_SCHEMA.X`` as its table. What a statement changes in place it also
            reads. A project or dataset that the request leaves open is ``""``.
        writes: tables (and views) that are changed, made, dropped or filled by the text; a job's own destination is not
            in the text. Temporary tables have the dataset ``_SESSION``.
        functions: functions and procedures that are called, in lower case, with the path that they were called by.
        features: out of ``FEATURES``.
        opaque: why the text cannot be understood as a whole, as a sentence for people; ``""`` when it can. The other
            facts of an opaque text are not complete.
        routines: functions and table functions of datasets that are called, each once, as they are written; what they read
            is not in the text. With a default dataset also names that no function of GoogleSQL is known by, some too many.
    """

    kinds: tuple[str, ...]
    verb: Verb
    is_script: bool = False
    reads: tuple[TableRef, ...] = ()
    writes: tuple[TableRef, ...] = ()
    functions: tuple[str, ...] = ()
    features: frozenset[str] = frozenset()
    opaque: str = ""
    routines: tuple[TableRef, ...] = ()

    @property
    def is_opaque(self) -> bool:
        """Whether nothing may rest on these facts but a refusal, or a rule that names opaque statements."""
        return bool(self.opaque)
