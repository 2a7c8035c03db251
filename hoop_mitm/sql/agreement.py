"""A statement's facts held against BigQuery's own account of it."""

from collections.abc import Sequence
from typing import Final

from hoop_mitm.bigquery.operation import TableRef
from hoop_mitm.bigquery.statement_types import SCRIPT
from hoop_mitm.sql.facts import StatementFacts
from hoop_mitm.sql.names import INFORMATION_SCHEMA

_HIDING: Final = frozenset({"model", "persistent_function", "table_function", "temp_object", "unqualified_name"})
"""Features of texts that read tables which they do not name."""


def agrees(facts: StatementFacts, statement_type: str, referenced_tables: Sequence[TableRef]) -> str:
    """What BigQuery's dry run says against the facts, as a sentence for people; ``""`` when it says nothing against them.

    The type must be one that the facts name, and a statement that names nothing to read must read nothing. More cannot be
    asked of the tables: BigQuery lists those behind a view in its place (or beside it: Google does not say), those of
    row access policies, and no more than fifty. ``behind`` tells them, so that a rule can be asked about them as well.

    Args:
        statement_type: ``statistics.query.statementType`` of the dry run; ``""`` when it has none.
        referenced_tables: ``statistics.query.referencedTables`` of the dry run.
    """
    if facts.opaque:
        return f"hoop-mitm does not understand the statement: {facts.opaque}"
    if statement_type and not _is_of(facts, statement_type):
        ours = ", ".join(facts.kinds)
        return f"BigQuery takes the statement for {statement_type}, and hoop-mitm for {ours}."
    unnamed = behind(facts, referenced_tables)
    if unnamed and not facts.reads and not facts.features & _HIDING:
        return f"BigQuery reads {unnamed[0]} for the statement, and hoop-mitm finds no table in it."
    return ""


def behind(facts: StatementFacts, referenced_tables: Sequence[TableRef]) -> tuple[TableRef, ...]:
    """The tables of a dry run that the text does not name: those behind views and functions, or what was misread."""
    named = {_key(table) for table in (*facts.reads, *facts.writes)}
    families = [_key(table) for table in facts.reads if table.table.endswith("*")]
    return tuple(
        table
        for table in referenced_tables
        if _key(table) not in named
        and not any(_is_of_family(_key(table), family) for family in families)
        and INFORMATION_SCHEMA not in table.table
    )


def _is_of(facts: StatementFacts, statement_type: str) -> bool:
    return facts.is_script if statement_type == SCRIPT else statement_type in facts.kinds


type _Key = tuple[str, str, str]


def _key(table: TableRef) -> _Key:
    return table.project.lower(), table.dataset, table.table


def _is_of_family(table: _Key, family: _Key) -> bool:
    return table[:2] == family[:2] and table[2].startswith(family[2].removesuffix("*"))
