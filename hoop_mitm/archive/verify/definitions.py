"""Whether two definitions of a view mean the same, though different releases of DuckDB wrote them down.

A view is kept as it was understood, and told again by the DuckDB that reads the file: with other brackets, say. Only
brackets that change nothing are looked through here, and joins in brackets; what a view computes is compared as it is.
"""

from typing import Any

_LONGEST = 2**16


def mean_the_same(one: str, other: str) -> bool:
    """Whether both are one and the same view or macro; ``False`` also where that cannot be told."""
    if one == other or len(one) + len(other) > _LONGEST:
        return one == other
    import sqlglot
    from sqlglot.errors import SqlglotError

    try:
        return bool(
            _plain(sqlglot.parse_one(one, dialect="duckdb")) == _plain(sqlglot.parse_one(other, dialect="duckdb"))
        )
    except (SqlglotError, RecursionError):
        return False


def _plain(tree: Any) -> Any:
    from sqlglot import exp

    # What is within a bracket that was taken off is looked at the next time.
    while tree.find(exp.Paren):
        tree = tree.transform(lambda node: node.this if isinstance(node, exp.Paren) else node)
    return tree.transform(_without_brackets_around_joins)


def _without_brackets_around_joins(node: Any) -> Any:
    from sqlglot import exp

    if not isinstance(node, exp.Select):
        return node
    source = node.args.get("from_") or node.args.get("from")
    while source is not None and isinstance(source.this, exp.Subquery) and not source.this.alias:
        bracket, inner = source.this, source.this.this
        if not isinstance(inner, exp.Table | exp.Subquery):
            break
        joins = [*(inner.args.get("joins") or ()), *(bracket.args.get("joins") or ())]
        inner.set("joins", None)
        source.set("this", inner)
        node.set("joins", [*joins, *(node.args.get("joins") or ())])
    return node
