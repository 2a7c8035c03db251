"""What a query would read: the tables behind a statement and their bytes, roughly as BigQuery counts them.

BigQuery counts the full size of every column that a query names, whatever its WHERE clause says. This does the
same by name, which errs on the high side where two tables share a column's name. Nothing else may rest on it.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

_MEGABYTE = 2**20
#: BigQuery's least charge, per table that a query reads and per query.
MINIMUM_BILLED = 10 * _MEGABYTE
_VIEW_DEPTH = 16
_DOTTED = re.compile(r"`([^`]+)`|\b([A-Za-z_][\w-]*(?:\.[A-Za-z_][\w$*]*){1,2})")


@dataclass(frozen=True, order=True, slots=True)
class TableName:
    project: str
    dataset: str
    table: str

    def reference(self) -> dict[str, str]:
        """As the REST API writes it."""
        return {"projectId": self.project, "datasetId": self.dataset, "tableId": self.table}


@dataclass(frozen=True, slots=True)
class TableFacts:
    """What the storage knows of a table: ``columns`` are bytes by column, ``query`` is a view's text."""

    rows: int
    columns: dict[str, int]
    query: str | None = None

    @property
    def bytes(self) -> int:
        return sum(self.columns.values())


@dataclass(frozen=True, slots=True)
class Estimate:
    """The tables that BigQuery would list as referenced, and the bytes that it would process and bill."""

    tables: tuple[TableName, ...] = ()
    processed: int = 0

    @property
    def billed(self) -> int:
        if self.processed == 0:
            return 0
        rounded = -(-self.processed // _MEGABYTE) * _MEGABYTE
        return max(rounded, MINIMUM_BILLED * max(len(self.tables), 1))


type Facts = Callable[[Sequence[TableName]], list[TableFacts | None]]
type Listing = Callable[[str, str], list[str]]


@dataclass(slots=True)
class _Names:
    tables: set[TableName] = field(default_factory=set)
    columns: set[str] = field(default_factory=set)
    everything: bool = False


class Estimates:
    """Estimates against a catalogue: ``facts`` describes tables, ``listing`` names a dataset's tables."""

    def __init__(self, facts: Facts, listing: Listing) -> None:
        self._facts = facts
        self._listing = listing

    def of(self, statement: str, project: str, dataset: tuple[str, str] | None = None) -> Estimate:
        """What ``statement`` reads, run in ``project`` with an optional default dataset (project, name)."""
        tables: set[TableName] = set()
        processed = self._read(statement, project, dataset, tables, _VIEW_DEPTH)
        return Estimate(tuple(sorted(tables)), processed)

    def _read(
        self, statement: str, project: str, dataset: tuple[str, str] | None, tables: set[TableName], depth: int
    ) -> int:
        names = _names(statement, project, dataset)
        wanted = sorted(names.tables)
        total = 0
        for name, known in zip(wanted, self._facts(wanted), strict=True) if wanted else ():
            if name.table.endswith("*"):
                total += self._wildcard(name, names)
                tables.add(name)
            elif known is None:
                continue
            elif known.query is not None and not known.columns:
                if depth:
                    total += self._read(known.query, name.project, (name.project, name.dataset), tables, depth - 1)
            else:
                tables.add(name)
                total += _bytes(known, names)
        return total

    def _wildcard(self, name: TableName, names: _Names) -> int:
        prefix = name.table.removesuffix("*")
        family = [
            TableName(name.project, name.dataset, table)
            for table in self._listing(name.project, name.dataset)
            if table.startswith(prefix)
        ]
        return sum(_bytes(known, names) for known in self._facts(family) if known is not None)


def _bytes(facts: TableFacts, names: _Names) -> int:
    if names.everything:
        return facts.bytes
    return sum(size for column, size in facts.columns.items() if column.lower() in names.columns)


def _names(statement: str, project: str, dataset: tuple[str, str] | None) -> _Names:
    names = _Names()
    try:
        trees = [tree for tree in sqlglot.parse(statement, dialect="bigquery") if tree is not None]
    except SqlglotError:
        trees = []
    if not trees or any(tree.find(exp.Command) for tree in trees):
        # A script, or something newer than the parser: everything that looks like a table is asked about.
        names.everything = True
        names.tables.update(_looks_like_tables(statement, project, dataset))
    for tree in trees:
        targets = set(map(id, _written(tree)))
        for table in tree.find_all(exp.Table):
            name = _name(table, project, dataset)
            if name is not None and id(table) not in targets and not _is_local(table):
                names.tables.add(name)
        names.columns.update(column.name.lower() for column in tree.find_all(exp.Column))
        names.everything |= _takes_everything(tree)
    return names


def _written(tree: exp.Expr) -> Iterator[exp.Expr]:
    """Tables that a statement writes without reading them."""
    if isinstance(tree, exp.Insert | exp.Create | exp.Drop | exp.TruncateTable | exp.Alter):
        target = tree.this.this if isinstance(tree.this, exp.Schema) else tree.this
        yield from target.find_all(exp.Table) if isinstance(target, exp.Expr) else ()


def _name(table: exp.Table, project: str, dataset: tuple[str, str] | None) -> TableName | None:
    if not isinstance(table.this, exp.Identifier):
        return None
    # `a.b.c` in one pair of backticks, and project names with dashes, come as one identifier or several.
    parts = ".".join(part.name for part in table.parts).split(".")
    parts[-1] = parts[-1].partition("$")[0].partition("@")[0]
    if any(part.upper() == "INFORMATION_SCHEMA" for part in parts):
        return None
    match parts:
        case [name] if dataset:
            return TableName(*dataset, name)
        case [named, name]:
            return TableName(project, named, name)
        case [*more, named, name] if more:
            return TableName(".".join(more), named, name)
    return None


def _is_local(table: exp.Table) -> bool:
    """Whether this names a common table expression, or (`FROM orders o, o.items`) a column of a neighbour."""
    first = table.parts[0].name.lower()
    node: exp.Expr | None = table
    while node is not None:
        with_ = node.args.get("with_") or node.args.get("with")
        if (
            isinstance(with_, exp.With)
            and len(table.parts) == 1
            and first in {c.alias.lower() for c in with_.expressions}
        ):
            return True
        if isinstance(node, exp.Select) and len(table.parts) > 1:
            neighbours = [_from(node), *node.args.get("joins", [])]
            for neighbour in neighbours:
                source = neighbour.this if neighbour is not None else None
                if source is not None and source is not table and source.alias_or_name.lower() == first:
                    return True
        node = node.parent
    return False


def _takes_everything(tree: exp.Expr) -> bool:
    if any(not isinstance(star.parent, exp.Count) and _is_over_a_table(star) for star in tree.find_all(exp.Star)):
        return True
    # A whole row as a value: `TO_JSON_STRING(u)`. DELETE reads all of a row too.
    aliases = {table.alias_or_name.lower() for table in tree.find_all(exp.Table)}
    rows = any(not column.table and column.name.lower() in aliases for column in tree.find_all(exp.Column))
    return rows or isinstance(tree, exp.Delete | exp.Update | exp.Merge)


def _is_over_a_table(star: exp.Star) -> bool:
    """Whether a star stands for the columns of a table, and not of a subquery that names its own."""
    select = star.find_ancestor(exp.Select)
    if select is None:
        return True
    sources = [_from(select), *select.args.get("joins", [])]
    tables = [source.this for source in sources if source is not None and isinstance(source.this, exp.Table)]
    return any(not _is_local(table) for table in tables)


def _from(select: exp.Expr) -> Any:
    # sqlglot has begun to write `from_` and `with_` for what were Python's keywords.
    return select.args.get("from_") or select.args.get("from")


def _looks_like_tables(statement: str, project: str, dataset: tuple[str, str] | None) -> Iterator[TableName]:
    for match in _DOTTED.finditer(statement):
        parts = (match[1] or match[2]).split(".")
        match parts:
            case [name] if dataset:
                yield TableName(*dataset, name)
            case [named, name]:
                yield TableName(project, named, name)
            case [home, named, name]:
                yield TableName(home, named, name)
