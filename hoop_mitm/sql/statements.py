"""What one parsed statement does. Nothing is a read but what is on a list here."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Final

from hoop_mitm.bigquery.operation import TableRef
from hoop_mitm.bigquery.tokens import Token
from hoop_mitm.sql.certain import certain_tables
from hoop_mitm.sql.facts import Verb
from hoop_mitm.sql.names import Names
from hoop_mitm.sql.opaque import Opaque

if TYPE_CHECKING:
    from sqlglot import exp

_SCHEMA: Final = "SCHEMA"
_VERBS: Final = ("read", "write", "admin")


@dataclass(slots=True)
class Found:
    """What was found so far."""

    kinds: dict[str, None] = field(default_factory=dict)
    verb: Verb = "read"
    reads: dict[TableRef, None] = field(default_factory=dict)
    writes: dict[TableRef, None] = field(default_factory=dict)
    features: set[str] = field(default_factory=set)

    def does(self, kind: str, verb: Verb) -> None:
        """A statement of this kind is among them."""
        self.kinds[kind] = None
        self.at_least(verb)

    def at_least(self, verb: Verb) -> None:
        """The text as a whole does no less than this."""
        self.verb = max(self.verb, verb, key=_VERBS.index)


def add_expression(found: Found, tree: "exp.Expr", names: Names) -> None:
    """Adds what an expression of control flow reads.

    Raises:
        Opaque: something in it is not known to have no effect.
    """
    _check_nodes(tree, _reading())
    _add_reads(found, tree, names, frozenset())


def add_statement(found: Found, tree: "exp.Expr", kind: str, names: Names) -> None:
    """Adds what a statement does.

    Args:
        kind: BigQuery's word for it, by its first words; the tree must be of that kind.

    Raises:
        Opaque: the tree is of another kind, or something in it is not known.
    """
    from sqlglot import exp

    match tree:
        case exp.Query() if kind == "SELECT":
            _check_nodes(tree, _reading())
            found.does(kind, "read")
            _add_reads(found, tree, names, frozenset())
        case exp.Insert() | exp.Update() | exp.Delete() | exp.Merge() if kind == type(tree).__name__.upper():
            _change(found, tree, kind, names)
        case exp.Create() if kind.startswith("CREATE_"):
            _create(found, tree, kind, names)
        case exp.Drop() if kind.startswith("DROP_"):
            _drop(found, tree, kind, names)
        case exp.Alter() if kind.startswith("ALTER_"):
            _alter(found, tree, kind, names)
        case exp.Grant() | exp.Revoke() if kind == type(tree).__name__.upper():
            _grant(found, tree, kind, names)
        case _:
            _add_other(found, tree, kind, names)


def _add_other(found: Found, tree: "exp.Expr", kind: str, names: Names) -> None:
    from sqlglot import exp

    match tree:
        case exp.TruncateTable() if kind == "TRUNCATE_TABLE":
            found.does(kind, "write")
            _add_writes(found, tree.expressions, names)
        case exp.Export() if kind == "EXPORT_DATA":
            _check_nodes(tree, _reading() | {exp.Export, exp.FileFormatProperty, *_options()})
            found.does(kind, "admin")
            found.features.add("export_data")
            _add_reads(found, tree, names, frozenset())
        case exp.LoadData() if kind == "LOAD_DATA":
            found.does(kind, "write")
            found.features.add("load_data")
            _add_writes(found, [tree.this], names)
        case _:
            raise Opaque(f"hoop-mitm does not understand a statement in it ({kind.replace('_', ' ')}).")


def _grant(found: Found, tree: "exp.Expr", kind: str, names: Names) -> None:
    from sqlglot import exp

    securable = tree.args.get("securable")
    if not isinstance(securable, exp.Table):
        raise Opaque("it grants access to something that hoop-mitm does not know.")
    found.does(kind, "admin")
    found.features.add("access_control")
    is_dataset = str(tree.args.get("kind")).upper() == _SCHEMA
    found.writes[names.dataset(securable) if is_dataset else names.written(securable)] = None


def _change(found: Found, tree: "exp.Expr", kind: str, names: Names) -> None:
    """INSERT, UPDATE, DELETE, MERGE."""
    from sqlglot import exp

    changing: set[type[exp.Expr]] = {exp.Schema, exp.Values, exp.When, exp.Whens}
    # MERGE has the others as its parts.
    changing |= {exp.Merge, exp.Insert, exp.Update} if isinstance(tree, exp.Merge) else {type(tree)}
    _check_nodes(tree, _reading() | changing)
    found.does(kind, "write")
    targets = [tree.this] if tree.this else list(tree.args.get("tables") or ())
    written = _tables_at(targets)
    _add_writes(found, written, names)
    # What is changed in place is read as well; what is only appended to is not.
    _add_reads(found, tree, names, frozenset(map(id, written)) if isinstance(tree, exp.Insert) else frozenset())


def _create(found: Found, tree: "exp.Create", kind: str, names: Names) -> None:
    from sqlglot import exp

    _check_known(tree)
    properties = tree.args.get("properties")
    given = {type(item) for item in properties.expressions} if properties else set()
    temporary = exp.TemporaryProperty in given
    found.features.add("ddl")
    if isinstance(tree.this, exp.UserDefinedFunction):
        _create_function(found, tree, kind, names, temporary=temporary)
        return
    selects = isinstance(tree.args.get("expression"), exp.Query)
    kind = kind.removesuffix("_AS_SELECT")
    found.does(f"{kind}_AS_SELECT" if selects and kind == "CREATE_TABLE" else kind, "write" if temporary else "admin")
    made = _tables_at([tree.this])
    _add_reads(found, tree, names, frozenset(map(id, made)))
    if temporary and kind == "CREATE_TABLE" and made and not made[0].args.get("db"):
        found.features.add("temp_object")
        found.writes[names.made_temporary(made[0])] = None
    elif temporary:
        raise Opaque("it makes something temporary that hoop-mitm does not understand.")
    elif kind == "CREATE_SCHEMA":
        found.writes.update((names.dataset(table), None) for table in made)
    else:
        _add_writes(found, made, names)
    if kind == "CREATE_MODEL":
        found.features.add("model")


def _create_function(found: Found, tree: "exp.Create", kind: str, names: Names, *, temporary: bool) -> None:
    from sqlglot import exp

    if temporary:
        # Its body runs when it is called, in the same text; only a query can be in it.
        body = tree.args.get("expression")
        known = {exp.Create, exp.UserDefinedFunction, exp.ColumnDef, exp.TemporaryProperty, exp.ReturnsProperty}
        _check_nodes(tree, _reading() | known | _options() | {exp.LanguageProperty, exp.StabilityProperty})
        if kind != "CREATE_FUNCTION" or len(_parts_of(tree)) != 1 or body is None:
            raise Opaque("it makes a temporary function that hoop-mitm does not understand.")
        found.does(kind, "read")
        found.features.add("temp_object")
    else:
        found.does(kind, "admin")
    target = _tables_at([tree.this])
    _add_reads(found, tree, names, frozenset(map(id, target)))
    if not temporary:
        _add_writes(found, target, names)


def _parts_of(tree: "exp.Create") -> list["exp.Expr"]:
    from sqlglot import exp

    table = tree.this.this
    return table.parts if isinstance(table, exp.Table) else []


def _drop(found: Found, tree: "exp.Drop", kind: str, names: Names) -> None:
    _check_known(tree)
    found.does(kind, "admin")
    found.features.add("ddl")
    dropped = _tables_at(tree.args.get("tables") or [tree.this])
    if kind == "DROP_SCHEMA":
        found.writes.update((names.dataset(table), None) for table in dropped)
    else:
        _add_writes(found, dropped, names)
    if kind == "DROP_MODEL":
        found.features.add("model")


def _alter(found: Found, tree: "exp.Alter", kind: str, names: Names) -> None:
    from sqlglot import exp

    _check_known(tree)
    found.does(kind, "admin")
    found.features.add("ddl")
    targets = _tables_at([tree.this])
    for action in tree.args.get("actions") or ():
        if isinstance(action, exp.AlterRename):
            if not isinstance(action.this, exp.Table):
                raise Opaque("it renames something to what hoop-mitm does not understand.")
            # The new name stands alone: it stays in its dataset.
            found.writes[names.renamed(targets[0], action.this)] = None
            targets.append(action.this)
    _add_writes(found, targets[:1], names)
    _add_reads(found, tree, names, frozenset(map(id, targets)))


def _tables_at(nodes: "list[exp.Expr]") -> "list[exp.Table]":
    """The tables that stand directly in these places, with or without a list of columns."""
    from sqlglot import exp

    found = []
    for node in nodes:
        target = node.this if isinstance(node, (exp.Schema, exp.UserDefinedFunction)) else node
        if not isinstance(target, exp.Table) or isinstance(target.this, exp.Func):
            raise Opaque("what it makes or changes has no plain name.")
        found.append(target)
    return found


def _add_writes(found: Found, tables: "list[exp.Table]", names: Names) -> None:
    for ref in (ref for table in tables for ref in names.changed(table)):
        found.writes[ref] = None
        if not ref.dataset:
            found.features.add("unqualified_name")


def add_certain(found: Found, words: Sequence[Token], names: Names) -> None:
    """Adds the tables that the words tell, whatever the tree made of them."""
    for path in certain_tables(words):
        ref = names.certain(path)
        found.reads[ref] = None
        found.features.update(_features(ref))


def _check_pivoted(tree: "exp.Expr") -> None:
    """sqlglot knows the alias of a table still behind its ``PIVOT``, and so takes tables for arrays in its rows."""
    from sqlglot import exp

    gone = {
        source.alias_or_name.lower() for source in tree.find_all(exp.Table, exp.Subquery) if source.args.get("pivots")
    }
    columns = (each for unnest in tree.find_all(exp.Unnest) if gone for each in unnest.find_all(exp.Column))
    if any(column.parts[0].name.lower() in gone for column in columns if len(column.parts) > 1):
        raise Opaque("it names a table behind its PIVOT or UNPIVOT by the alias that it had before.")


def _add_reads(found: Found, tree: "exp.Expr", names: Names, not_read: frozenset[int]) -> None:
    from sqlglot import exp

    _check_pivoted(tree)
    for table in tree.find_all(exp.Table):
        if id(table) in not_read:
            continue
        if isinstance(table.this, exp.Func):
            # A table function; what it is called is found among the words.
            continue
        if _is_option(table):
            continue
        for ref in names.read(table):
            found.reads[ref] = None
            found.features.update(_features(ref))


def _features(ref: TableRef) -> Iterator[str]:
    if ref.table.endswith("*"):
        yield "wildcard_table"
    if not ref.dataset and not ref.table.startswith("INFORMATION_SCHEMA."):
        yield "unqualified_name"


def _is_option(table: "exp.Table") -> bool:
    """Whether the name is a connection's, not a table's."""
    from sqlglot import exp

    parent = table.parent
    if isinstance(parent, exp.Export):
        return table.arg_key == "connection"
    return isinstance(parent, exp.Property) and not isinstance(parent, exp.LikeProperty)


def _check_nodes(tree: "exp.Expr", known: "frozenset[type[exp.Expr]]") -> None:
    for node in tree.walk():
        if type(node) not in known:
            raise Opaque(f"it has a construct that hoop-mitm does not know ({type(node).__name__}).")


def _check_known(tree: "exp.Expr") -> None:
    from sqlglot import exp

    if any(isinstance(node, exp.Command) for node in tree.walk()):
        raise Opaque("a part of it is not understood.")


@cache
def _options() -> "frozenset[type[exp.Expr]]":
    from sqlglot import exp

    return frozenset({exp.Properties, exp.Property})


@cache
def _reading() -> "frozenset[type[exp.Expr]]":
    """Everything that a query can consist of. Functions have no effect in GoogleSQL, whatever their name."""
    from sqlglot import exp

    functions = {
        each
        for each in vars(exp).values()
        if isinstance(each, type) and issubclass(each, (exp.Func, exp.Binary, exp.Unary))
    }
    return frozenset(functions - {exp.Operator}) | {
        exp.Alias, exp.Aliases, exp.All, exp.Any, exp.AtTimeZone, exp.Between, exp.Boolean, exp.Bracket, exp.ByteString,
        exp.CTE, exp.Column, exp.ColumnDef, exp.Cube, exp.DataType, exp.DataTypeParam, exp.Distinct, exp.Except, exp.Filter, exp.From,
        exp.Group, exp.GroupingSets, exp.Having, exp.HavingMax, exp.HexString, exp.Identifier, exp.IgnoreNulls, exp.In, exp.Intersect,
        exp.Interval, exp.IntervalSpan, exp.JSON, exp.Join, exp.JSONKeyValue, exp.JSONPath, exp.JSONPathKey, exp.JSONPathRoot, exp.JSONPathSubscript,
        exp.JSONPathWildcard, exp.JSONPathSelector, exp.JSONPathSlice, exp.JSONPathUnion, exp.JSONPathRecursive, exp.JSONPathFilter, exp.JSONPathScript, exp.Kwarg, exp.Lambda, exp.Lateral, exp.Limit,
        exp.Literal, exp.Null, exp.Offset, exp.Order, exp.Ordered, exp.Parameter, exp.Pivot, exp.PivotAlias, exp.PivotAny, exp.Placeholder,
        exp.Pseudocolumn, exp.Qualify, exp.RawString, exp.RespectNulls, exp.Rollup, exp.Select, exp.Slice, exp.Star,
        exp.Subquery, exp.Table, exp.TableAlias, exp.TableColumn, exp.TableSample, exp.Tuple, exp.Union, exp.UnpivotColumns, exp.Values,
        exp.Var, exp.Version, exp.Where, exp.Window, exp.WindowSpec, exp.With, exp.WithinGroup, exp.Limit, exp.UnicodeString,
    }  # fmt: skip
