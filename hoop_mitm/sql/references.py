"""The tables that a statement reads, as far as its text tells."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from hoop_mitm.bigquery.operation import TableRef

if TYPE_CHECKING:
    from sqlglot import exp

#: A longer statement is not parsed: it would take seconds.
LONGEST = 64 * 2**10


def tables_read(
    statement: str, project: str, default_dataset: tuple[str | None, str] | None = None
) -> tuple[TableRef, ...]:
    """The tables that ``statement`` names and reads, without those it only writes, each once, in order.

    This is a description, not a decision: it does not see behind views, routines, scripts and dynamic SQL, and gives
    nothing for what it cannot parse. BigQuery's own account of a job is better where there is one.

    Args:
        project: the project of names that have none.
        default_dataset: project and dataset of names that have none; without it these are left out.
    """
    if len(statement) > LONGEST:
        return ()
    import sqlglot
    from sqlglot.errors import SqlglotError

    try:
        trees = [tree for tree in sqlglot.parse(statement, dialect="bigquery") if tree is not None]
    except (SqlglotError, RecursionError):
        return ()
    found = (ref for tree in trees for ref in _read_by(tree, project, default_dataset))
    return tuple(dict.fromkeys(found))


def _read_by(tree: "exp.Expr", project: str, default: tuple[str | None, str] | None) -> Iterator[TableRef]:
    from sqlglot import exp

    named = {cte.alias.lower() for cte in tree.find_all(exp.CTE)}
    for table in tree.find_all(exp.Table):
        if not isinstance(table.this, exp.Identifier) or _is_only_written(table):
            continue
        if table.db:
            yield TableRef(table.catalog or project, table.db, table.name)
        elif default and table.name.lower() not in named:
            yield TableRef(default[0] or project, default[1], table.name)


def _is_only_written(table: "exp.Table") -> bool:
    from sqlglot import exp

    node = table.parent if isinstance(table.parent, exp.Schema) else table
    writing = (exp.Insert, exp.Create, exp.Drop, exp.Alter, exp.TruncateTable)
    return isinstance(node.parent, writing) and node.arg_key != "expression"
