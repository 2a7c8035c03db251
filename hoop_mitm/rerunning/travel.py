"""A statement that reads its tables as they were at some time: ``FOR SYSTEM_TIME AS OF``, put in at their names."""

from datetime import UTC, datetime, timedelta

from hoop_mitm.bigquery.operation import TableRef
from hoop_mitm.sql import Dataset, StatementFacts, understand

#: As far back as BigQuery keeps what a table was.
WINDOW = timedelta(days=7)

# What has no past to be read, or may read more than its names say.
_NOT = {
    "external_query": "it asks another database",
    "information_schema": "INFORMATION_SCHEMA has no past",
    "model": "it asks a model",
    "persistent_function": "it may call a function that reads tables",
    "table_function": "it reads from a function",
    "time_travel": "it travels in time by itself",
    "unqualified_name": "it names a table without a dataset",
    "wildcard_table": "wildcard tables cannot be read as of a time",
}


class CannotTravel(Exception):
    """Why a statement cannot be asked as of a time."""


def as_of(statement: str, at: datetime, *, project: str, default_dataset: Dataset | None = None) -> str:
    """``statement`` with every table read as it was at ``at``.

    Raises:
        CannotTravel: BigQuery does not keep that, or it cannot be told where to put it.
    """
    if datetime.now(UTC) - at > WINDOW:
        raise CannotTravel(f"it was asked more than {WINDOW.days} days ago, and BigQuery keeps no more")
    facts = understand(statement, project=project, default_dataset=default_dataset)
    if facts.opaque:
        raise CannotTravel("it cannot be understood")
    for feature, why in _NOT.items():
        if feature in facts.features:
            raise CannotTravel(why)
    if facts.is_script or facts.verb != "read":
        raise CannotTravel("only a single query can")
    ends = _ends(statement, facts, project, default_dataset)
    clause = f" FOR SYSTEM_TIME AS OF TIMESTAMP '{at.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}+00'"
    for end in sorted(ends, reverse=True):
        statement = f"{statement[:end]}{clause}{statement[end:]}"
    _check(statement, len(ends))
    return statement


def _ends(statement: str, facts: StatementFacts, project: str, default: Dataset | None) -> set[int]:
    """Where the names of tables end."""
    import sqlglot
    from sqlglot import exp

    found: set[int] = set()
    reached: set[TableRef] = set()
    for table in sqlglot.parse_one(statement, dialect="bigquery").find_all(exp.Table):
        dataset = table.db or (default[1] if default else "")
        home = table.catalog or (default[0] if default and not table.db else None) or project
        ref = TableRef(home, dataset, table.name)
        if ref in facts.reads and "end" in table.parts[-1].meta:
            if not table.db and _is_named_in(table):
                raise CannotTravel(f"{table.name} may be a table, or a part of the query that is called so")
            if table.args.get("pivots") or isinstance(table.parent, exp.TableSample) or table.args.get("sample"):
                raise CannotTravel(f"{table.name} is pivoted or sampled")
            # BigQuery wants the time behind the alias.
            alias = table.args.get("alias")
            last = alias.this if alias is not None and alias.this is not None else table.parts[-1]
            if "end" not in last.meta:
                raise CannotTravel("its tables cannot all be found in its text")
            found.add(last.meta["end"] + 1)
            reached.add(ref)
    if reached != set(facts.reads):
        raise CannotTravel("its tables cannot all be found in its text")
    return found


def _is_named_in(table: object) -> bool:
    from sqlglot import exp

    assert isinstance(table, exp.Table)
    return any(cte.alias.lower() == table.name.lower() for cte in table.root().find_all(exp.CTE))


def _check(statement: str, tables: int) -> None:
    """That the clauses came where they belong."""
    import sqlglot
    from sqlglot import exp
    from sqlglot.errors import SqlglotError

    try:
        tree = sqlglot.parse_one(statement, dialect="bigquery")
    except SqlglotError:
        raise CannotTravel("a time cannot be put into its text") from None
    if sum(table.args.get("version") is not None for table in tree.find_all(exp.Table)) != tables:
        raise CannotTravel("a time cannot be put into its text")
