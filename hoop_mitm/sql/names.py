"""Which table a name in a tree means."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from hoop_mitm.bigquery.operation import TableRef
from hoop_mitm.bigquery.paths import Path
from hoop_mitm.sql.facts import Dataset
from hoop_mitm.sql.opaque import Opaque

if TYPE_CHECKING:
    from sqlglot import exp

WHOLE_DATASET: Final = "*"
TEMPORARY: Final = "_SESSION"
INFORMATION_SCHEMA: Final = "INFORMATION_SCHEMA"

_MOST_PARTS: Final = 3
_NO_ROWS: Final = frozenset({"from_", "joins", "laterals", "with_"})
"""Where in a query its own rows are not seen."""


class Names:
    """Turns the names of one script into tables."""

    def __init__(self, project: str, default: Dataset | None) -> None:
        self._project = project
        self._default = default
        # Google does not say whether a default dataset's project is also that of other datasets' names.
        self._of_datasets = "" if default and default[0] not in (None, project) else project
        self._temporary: set[str] = set()
        self._scopes = _Scopes()

    def made_temporary(self, table: "exp.Table") -> TableRef:
        """Remembers that the script makes this temporary table; what it is called in facts."""
        name = _parts(table)[-1]
        self._temporary.add(name.lower())
        return TableRef(self._project, TEMPORARY, name)

    def dataset(self, table: "exp.Table") -> TableRef:
        """A dataset that stands where a table could."""
        parts = _parts(table)
        if len(parts) >= _MOST_PARTS:
            raise Opaque(f"it has a dataset's name of {len(parts)} parts.")
        return TableRef(parts[0] if len(parts) > 1 else self._of_datasets, parts[-1], WHOLE_DATASET)

    def written(self, table: "exp.Table") -> TableRef:
        """What a name means that is made, changed or dropped."""
        parts = _parts(table)
        if len(parts) == 1 and parts[0].lower() in self._temporary:
            return TableRef(self._project, TEMPORARY, parts[0])
        return self._ref(parts)

    def changed(self, table: "exp.Table") -> Iterator[TableRef]:
        """As ``written``; and the default dataset's table, when a temporary one of its name may not be there."""
        ref = self.written(table)
        yield ref
        parts = _parts(table)
        if len(parts) == 1 and ref.dataset == TEMPORARY and self._default:
            yield self._ref(parts)

    def renamed(self, table: "exp.Table", new: "exp.Table") -> TableRef:
        """What a table is after ``RENAME TO``."""
        old, parts = self.written(table), _parts(new)
        return TableRef(old.project, old.dataset, parts[0]) if len(parts) == 1 else self._ref(parts)

    def read(self, table: "exp.Table") -> Iterator[TableRef]:
        """The tables that a name in a query may mean; none for a common table expression and for an array in a row."""
        parts = _parts(table)
        if len(parts) > 1:
            if not self._scopes.is_of_a_row(table, parts[0]):
                yield self._ref(parts)
        elif not self._scopes.is_cte(table, parts[0]):
            temporary = parts[0].lower() in self._temporary
            if temporary:
                yield TableRef(self._project, TEMPORARY, parts[0])
            if not temporary or self._default:
                # A temporary table may not be there, or no longer; then it is the default dataset's.
                yield self._ref(parts)

    def certain(self, path: Path) -> TableRef:
        """The table of a name that is one whatever aliases stand around it."""
        return self._ref(_split(".".join(path.parts)))

    def routine(self, path: Path) -> TableRef | None:
        """The function of a dataset that a name means; ``None``: of no dataset, and none is the default."""
        return self.certain(path) if len(path.parts) > 1 or self._default else None

    def forget_rows(self) -> None:
        """From here on no name is taken for an array in a row: aliases may be gone behind a pipe operator."""
        self._scopes.sees_rows = False

    def _ref(self, parts: list[str]) -> TableRef:
        project, dataset = (
            (self._default[0] or self._project, self._default[1]) if self._default else (self._project, "")
        )
        upper = [part.upper() for part in parts]
        if INFORMATION_SCHEMA in upper:
            place = upper.index(INFORMATION_SCHEMA)
            *before, table = (*parts[:place], ".".join(upper[place:]))
        else:
            *before, table = parts
        if len(before) >= _MOST_PARTS or "$" in table or "@" in table:
            raise Opaque(f"it has the table name {'.'.join(parts)[:80]!r}, which hoop-mitm does not understand.")
        if before:
            dataset = TEMPORARY if before[-1].upper() == TEMPORARY else before[-1]
            project = before[0] if len(before) > 1 else self._of_datasets
        return TableRef(project, dataset, table)


def _parts(table: "exp.Table") -> list[str]:
    """The parts of a name, however its dots stand within or between quotes."""
    return _split(".".join(part.name for part in table.parts))


def _split(text: str) -> list[str]:
    project, colon, rest = text.partition(":")
    if colon:
        # The project of a domain: example.com:acme.
        last, _, rest = rest.partition(".")
        parts = [f"{project}:{last}", *(rest.split(".") if rest else [])]
    else:
        parts = text.split(".")
    if not all(part.strip() for part in parts):
        raise Opaque("it has a table name with an empty part.")
    return parts


class _Scopes:
    """Which names are visible where, each list looked at once."""

    def __init__(self) -> None:
        # By identity; the nodes are kept, so that no other takes theirs.
        self._lists: dict[int, tuple[exp.With, dict[str, int], dict[int, int]]] = {}
        self._rows: dict[int, tuple[exp.Select, set[str]]] = {}
        self.sees_rows = True

    def is_cte(self, table: "exp.Table", name: str) -> bool:
        """Whether a common table expression of this name is visible where the table stands."""
        from sqlglot import exp

        child: exp.Expr = table
        inside: exp.CTE | None = None
        while (node := child.parent) is not None:
            own = node.args.get("with_")
            if isinstance(node, exp.With):
                if self._is_before(node, inside, name):
                    return True
                # Its owner has seen it.
                child, inside = node.parent or node, None
                continue
            if isinstance(node, exp.CTE):
                inside = node
            elif own is not None and name.lower() in self._list(own)[1]:
                return True
            child = node
        return False

    def is_of_a_row(self, table: "exp.Table", first: str) -> bool:
        """Whether the name begins with an alias of an outer query, and so means an array in its rows."""
        from sqlglot import exp

        child: exp.Expr = table
        while self.sees_rows and (node := child.parent) is not None:
            if isinstance(node, exp.CTE):
                # Its query sees no rows of the queries around it.
                return False
            if isinstance(node, exp.Select) and child.arg_key not in _NO_ROWS and first.lower() in self._aliases(node):
                return True
            child = node
        return False

    def _is_before(self, with_: "exp.With", inside: "exp.CTE | None", name: str) -> bool:
        """Whether it stands before us in the same list; or anywhere in it, when they may name each other."""
        _, names, places = self._list(with_)
        place = names.get(name.lower())
        if place is None:
            return False
        return inside is None or bool(with_.args.get("recursive")) or place < places[id(inside)]

    def _list(self, with_: "exp.With") -> "tuple[exp.With, dict[str, int], dict[int, int]]":
        """The names in a list and the places of its expressions."""
        if id(with_) not in self._lists:
            names: dict[str, int] = {}
            places: dict[int, int] = {}
            for place, expression in enumerate(with_.expressions):
                names.setdefault(expression.alias.lower(), place)
                places[id(expression)] = place
            self._lists[id(with_)] = with_, names, places
        return self._lists[id(with_)]

    def _aliases(self, select: "exp.Select") -> set[str]:
        if id(select) not in self._rows:
            sources = [select.args.get("from_"), *(select.args.get("joins") or ())]
            self._rows[id(select)] = select, {_alias(source.this) for source in sources if source}
        return self._rows[id(select)][1]


def _alias(source: "exp.Expr") -> str:
    """What the rows of a source are called; behind ``PIVOT`` and ``UNPIVOT`` only by the alias that follows it."""
    pivots = source.args.get("pivots")
    return str((pivots[-1].alias if pivots else source.alias_or_name) or "").lower()
