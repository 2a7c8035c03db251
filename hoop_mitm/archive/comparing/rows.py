"""What differs between two results, row by row. DuckDB does the comparing, so that a million rows are no matter."""

# ruff: noqa: S608 - tables and columns of a workspace are named by us, and field names quoted by _quoted

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from types import MappingProxyType
from typing import Any, Literal

from hoop_mitm.archive.comparing import schemas
from hoop_mitm.archive.comparing.found import RowChange, RowDiff
from hoop_mitm.archive.comparing.landing import Landed
from hoop_mitm.archive.comparing.workspace import PLACE, Workspace
from hoop_mitm.archive.statements import Ordering
from hoop_mitm.bigquery.rows import Field

SAMPLES = 10
_MAX_KEY_CANDIDATES = 8
# An estimate of how many values are distinct may be off by this part.
_NEARLY = 0.7
_NO_KEYS = frozenset({"FLOAT", "BOOLEAN", "JSON", "RANGE", "GEOGRAPHY", "INTERVAL", "RECORD"})

type Side = Literal["before", "after"]


@dataclass(frozen=True, slots=True)
class Ways:
    """How rows are compared.

    Attributes:
        key: columns, dotted inside of records, that pair rows; where a result lacks one, a key is looked for.
        ignore: columns, dotted inside of records, that are not compared.
        float_tolerance: two floats are equal where they differ by no more than this part of the larger.
        samples: rows of each kind of change that are kept.
    """

    key: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    float_tolerance: float = 0.0
    samples: int = SAMPLES


@dataclass(frozen=True, slots=True)
class Compared:
    """``rows``, and what a reader should know of how they were compared."""

    rows: RowDiff
    remarks: tuple[str, ...] = ()


def compare(
    workspace: Workspace,
    before: Landed,
    after: Landed,
    ways: Ways,
    *,
    order: Ordering | None = None,
    left_out: Mapping[str, str] = MappingProxyType({}),
) -> Compared:
    """Compare the columns that both results have with the same type; ``left_out`` names more that are ignored, and why.

    Rows are compared as a multiset; where the statement sorts (``order``), their order counts too. A row that is gone
    and one that is new are one changed row when a key pairs them: the one that is given, or a column, or two, found
    to be unique in both results.
    """
    shared = schemas.common(before.columns, after.columns)
    reasons = dict.fromkeys(ways.ignore, "--ignore")
    reasons.update(left_out)
    columns, ignored = schemas.without(shared, list(reasons))
    by_name = {name.lower(): reason for name, reason in reasons.items()}
    said = tuple((name, by_name[name.lower()]) for name in ignored)
    if _same_at_a_glance(before, after):
        return Compared(RowDiff(before.rows, ordered=order is not None, left_out=said))
    comparison = _Comparison(workspace, (before, after), columns, ways, order)
    try:
        found = comparison.run()
    finally:
        comparison.clear()
    return Compared(replace(found, left_out=said), tuple(comparison.remarks))


def _same_at_a_glance(before: Landed, after: Landed) -> bool:
    """Two small results of which each value is the same, in the same order."""
    if before.table is None or after.table is None:
        return False
    return before.columns == after.columns and bool(before.table.equals(after.table))


@dataclass(frozen=True, slots=True)
class _Column:
    """``expression`` is its value in either table, ``{}`` being the table's name and a dot."""

    field: Field
    expression: str

    @property
    def name(self) -> str:
        return self.field.name


class _Comparison:
    """One comparison in a workspace: tables ``a`` and ``b``, ``pairs`` of places, ``gone`` and ``new`` rows."""

    def __init__(
        self,
        workspace: Workspace,
        sides: tuple[Landed, Landed],
        columns: Sequence[Field],
        ways: Ways,
        order: Ordering | None,
    ) -> None:
        before, after = sides
        self.remarks: list[str] = []
        self._workspace = workspace
        self._columns = [_Column(column, f"{{}}c{index}") for index, column in enumerate(columns)]
        self._sizes = before.rows, after.rows
        self._order = order
        self._names = [column.name.lower() for column in before.columns]
        self._ways = ways
        for name, landed in (("a", before), ("b", after)):
            if landed.table is not None:
                workspace.show(landed.name, landed.table)
            values = ", ".join(
                f"{_projected(column, _place_of(column, landed))} AS c{index}" for index, column in enumerate(columns)
            )
            workspace.run(f"CREATE VIEW {name} AS SELECT {values + ', ' if values else ''}{PLACE} FROM {landed.name}")

    def clear(self) -> None:
        self._workspace.forget("a", "b", "pairs", "differences", "gone", "new")

    def run(self) -> RowDiff:
        if not self._columns:
            return self._without_columns()
        key, given = self._key()
        if not key:
            return self._as_multiset()
        found = self._by_key(key)
        # One that was found and paired nothing that changed is not worth a word.
        return replace(found, key=found.key if given or found.changed else (), key_given=given)

    def _without_columns(self) -> RowDiff:
        """No column is comparable: only the number of rows is."""
        first, second = self._sizes
        return RowDiff(
            min(first, second),
            added=max(second - first, 0),
            removed=max(first - second, 0),
            ordered=self._order is not None,
        )

    # A key, before anything is compared: joining by it is several times quicker than counting rows.

    def _key(self) -> tuple[list[_Column], bool]:
        if self._ways.key:
            given = [self._find(name) for name in self._ways.key]
            named = ", ".join(self._ways.key)
            if None not in given:
                columns = [column for column in given if column is not None]
                twice = [letter for table, letter in (("a", "A"), ("b", "B")) if not self._is_unique(columns, table)]
                if not twice:
                    return columns, True
                self.remarks.append(f"{named} is not unique in {' and '.join(twice)}, so it paired no rows.")
            else:
                self.remarks.append(f"The result has no column {named}, so it paired no rows.")
        return self._find_key(), False

    def _find(self, name: str) -> _Column | None:
        path = schemas.find([column.field for column in self._columns], name)
        if path is None or path[-1].fields or path[-1].mode == "REPEATED":
            return None
        index = next(i for i, column in enumerate(self._columns) if column.field is path[0])
        fields = "".join(f".{_quoted(field.name)}" for field in path[1:])
        whole = ".".join(field.name for field in path)
        return _Column(replace(path[-1], name=whole), f"{{}}c{index}{fields}")

    def _usable(self) -> list[_Column]:
        usable = [
            column
            for column in self._columns
            if column.field.mode != "REPEATED" and schemas.standard(column.field.type) not in _NO_KEYS
        ]
        usable.sort(key=lambda column: _not_named_like_a_key(column.name))
        return usable[:_MAX_KEY_CANDIDATES]

    def _find_key(self) -> list[_Column]:
        """The column that is unique and never NULL in both results, and has the most values in common."""
        usable = self._usable()
        # What is all of a row pairs it with nothing but itself.
        if not usable or not all(self._sizes) or len(self._columns) == 1:
            return []
        for table, size in zip("ab", self._sizes, strict=True):
            counts = ", ".join(
                f"approx_count_distinct({c.expression.format('')}), count({c.expression.format('')})" for c in usable
            )
            found = self._workspace.row(f"SELECT {counts} FROM {table}")
            usable = [
                column
                for column, distinct, present in zip(usable, found[::2], found[1::2], strict=True)
                if present == size and distinct >= size * _NEARLY
            ]
            if not usable:
                return []
        best: list[_Column] = []
        most = -1
        for column in usable:
            if not all(self._is_unique([column], table, nulls=False) for table in "ab"):
                continue
            value = column.expression.format("")
            common = self._workspace.number(f"""
                SELECT count(*) FROM (
                    SELECT {value} FROM a WHERE hash({value}) % {self._part} = 0
                    INTERSECT
                    SELECT {value} FROM b WHERE hash({value}) % {self._part} = 0
                )
            """)
            if common > most:
                best, most = [column], common
            if most * self._part >= min(self._sizes):
                break
        # Without a common value it pairs nothing, whatever its name.
        return best if most > 0 else []

    @property
    def _part(self) -> int:
        """Of so many values one is looked at, where there are many."""
        return max(1, min(self._sizes) // 20_000)

    def _is_unique(self, columns: Sequence[_Column], table: str, *, nulls: bool = True) -> bool:
        values = [column.expression.format("") for column in columns]
        present = "true" if nulls else " AND ".join(f"bool_and({value} IS NOT NULL)" for value in values)
        distinct = values[0] if len(values) == 1 else f"row({', '.join(values)})"
        # A NULL is one value more, which count() leaves out.
        null = f" + max(CASE WHEN {distinct} IS NULL THEN 1 ELSE 0 END)" if len(values) == 1 else ""
        found, unique, ok = self._workspace.row(
            f"SELECT count(*), coalesce(count(DISTINCT {distinct}){null}, 0), coalesce({present}, true) FROM {table}"
        )
        return bool(found == unique and ok)

    def _by_key(self, key: Sequence[_Column]) -> RowDiff:
        equal_keys = _all_equal(key, "a", "b")
        rest = " AND ".join(self._close(column, "a.", "b.") for column in self._columns) or "true"
        self._workspace.run(f"""
            CREATE TABLE pairs AS
            SELECT a.{PLACE} AS before, b.{PLACE} AS after
            FROM a FULL JOIN b ON {equal_keys}
            WHERE a.{PLACE} IS NULL OR b.{PLACE} IS NULL OR NOT ({rest})
        """)
        added, removed, changed = self._workspace.row("""
            SELECT count(*) FILTER (before IS NULL), count(*) FILTER (after IS NULL),
                count(*) FILTER (before IS NOT NULL AND after IS NOT NULL)
            FROM pairs
        """)
        return RowDiff(
            same=self._sizes[0] - removed - changed,
            added=added,
            removed=removed,
            changed=changed,
            columns=self._columns_that_changed() if changed else (),
            key=tuple(column.name for column in key),
            ordered=self._order is not None,
            reordered=self._is_reordered(equal_keys),
            samples=self._samples_of_pairs(),
        )

    def _columns_that_changed(self) -> tuple[tuple[str, int], ...]:
        counts = ", ".join(f"count(*) FILTER (NOT {self._close(column, 'a.', 'b.')})" for column in self._columns)
        found = self._workspace.row(f"""
            SELECT {counts}
            FROM pairs JOIN a ON a.{PLACE} = before JOIN b ON b.{PLACE} = after
        """)
        return tuple((column.name, count) for column, count in zip(self._columns, found, strict=True) if count)

    def _samples_of_pairs(self) -> tuple[RowChange, ...]:
        def rows(table: str, condition: str, side: str) -> list[dict[str, Any]]:
            return self._rows(f"""
                SELECT {self._list(f"{table}.")}
                FROM (FROM pairs WHERE {condition} ORDER BY before, after LIMIT {self._ways.samples:d}) AS chosen
                JOIN {table} ON {table}.{PLACE} = {side}
                ORDER BY before, after
            """)

        both = "before IS NOT NULL AND after IS NOT NULL"
        return (
            *map(self._changed, rows("a", both, "before"), rows("b", both, "after")),
            *(RowChange("removed", row, None) for row in rows("a", "after IS NULL", "before")),
            *(RowChange("added", None, row) for row in rows("b", "before IS NULL", "after")),
        )

    def _is_reordered(self, equal_keys: str) -> bool:
        """Whether the rows that both have, and that are the same, come in another order, by what they are sorted by."""
        if self._order is None:
            return False
        columns = self._sorted_by()
        same = f"""
            SELECT row_number() OVER (ORDER BY {{0}}.{PLACE}) AS n, {{1}}
            FROM a JOIN b ON {equal_keys}
            WHERE a.{PLACE} NOT IN (SELECT before FROM pairs WHERE before IS NOT NULL)
        """
        old = ", ".join(f"{column.expression.format('a.')} AS s{n}" for n, column in enumerate(columns))
        new = ", ".join(f"{column.expression.format('b.')} AS s{n}" for n, column in enumerate(columns))
        differ = " OR ".join(f"one.s{n} IS DISTINCT FROM other.s{n}" for n, _ in enumerate(columns))
        return bool(
            self._workspace.number(f"""
                SELECT count(*) FROM ({same.format("a", old)}) AS one JOIN ({same.format("b", new)}) AS other USING (n)
                WHERE {differ}
            """)
        )

    def _sorted_by(self) -> Sequence[_Column]:
        """The result's columns that it is sorted by; all, where one is not in the result or not compared."""
        assert self._order is not None
        if self._order.columns is None:
            return self._columns
        by_name = {column.name.lower(): column for column in self._columns}
        found = [
            by_name.get(self._names[each - 1] if isinstance(each, int) and 0 < each <= len(self._names) else str(each))
            for each in self._order.columns
        ]
        return [column for column in found if column is not None] if None not in found else self._columns

    # Without a key: how often each row comes on either side.

    def _as_multiset(self) -> RowDiff:
        self._find_differences()
        if self._ways.float_tolerance:
            self._forgive()
        removed, added = self._workspace.row(
            "SELECT coalesce(sum(-surplus) FILTER (surplus < 0), 0), coalesce(sum(surplus) FILTER (surplus > 0), 0) FROM differences"
        )
        ordered = self._order is not None
        if not removed and not added:
            return RowDiff(
                self._sizes[0], ordered=ordered, reordered=ordered and bool(self._places_that_differ(self._sorted_by()))
            )
        key = self._key_of_two() if removed and added else []
        changed = self._pair(key, removed, added)
        return RowDiff(
            same=self._sizes[0] - removed,
            added=added - changed,
            removed=removed - changed,
            changed=changed,
            columns=self._columns_of_differences() if changed else (),
            key=tuple(column.name for column in key),
            ordered=ordered,
            samples=self._samples_of_differences(),
        )

    def _find_differences(self) -> None:
        """Each row that one side has more often than the other, how much more often, and where it stands first."""
        columns = self._list()
        self._workspace.run(f"""
            CREATE TABLE differences AS
            SELECT {columns}, sum(surplus)::BIGINT AS surplus, min({PLACE}) AS {PLACE},
                row_number() OVER (ORDER BY min({PLACE})) AS id
            FROM (SELECT {columns}, {PLACE}, -1 AS surplus FROM a UNION ALL SELECT {columns}, {PLACE}, 1 AS surplus FROM b)
            GROUP BY {columns}
            HAVING sum(surplus) <> 0
        """)
        self._workspace.run("CREATE VIEW gone AS FROM differences WHERE surplus < 0")
        self._workspace.run("CREATE VIEW new AS FROM differences WHERE surplus > 0")

    def _forgive(self) -> None:
        """Takes back rows that differ in nothing but floats, and in those by no more than is tolerated.

        Of rows that are alike in all else, the smallest floats are paired first; with one column of floats that pairs as
        many as can be paired.
        """
        floats = [column for column in self._columns if _has_float(column.field)]
        if not floats:
            return
        exact = [column for column in self._columns if not _has_float(column.field)]
        group = f"dense_rank() OVER (ORDER BY {self._list(columns=exact)})" if exact else "1"
        reader = self._workspace.reader(
            f"""
            SELECT {group} AS "group", id, surplus, {self._list(columns=floats)}
            FROM differences
            ORDER BY "group", {self._list(columns=floats)}, id
            """,
            10_000,
        )
        spent: dict[int, int] = {}
        for rows in _grouped(row for batch in reader for row in batch.to_pylist()):
            for here, there, count in self._forgiven(rows, floats):
                spent[here] = spent.get(here, 0) + count
                spent[there] = spent.get(there, 0) - count
        if spent:
            import pyarrow as pa

            changes = {"id": pa.array(spent, pa.int64()), "change": pa.array(spent.values(), pa.int64())}
            self._workspace.show("spent", pa.table(changes))
            self._workspace.run(
                "UPDATE differences SET surplus = surplus + spent.change FROM spent WHERE spent.id = differences.id"
            )
            self._workspace.run("DELETE FROM differences WHERE surplus = 0")
            self._workspace.forget("spent")

    def _forgiven(self, rows: Sequence[dict[str, Any]], floats: Sequence[_Column]) -> Iterator[tuple[int, int, int]]:
        """Which row that is gone is which new one, and how often."""
        index = {column.name: self._columns.index(column) for column in floats}
        first = next((f"c{index[c.name]}" for c in floats if _is_float(c.field)), None)
        gone = [row for row in rows if row["surplus"] < 0]
        new = [row for row in rows if row["surplus"] > 0]
        left = {row["id"]: abs(row["surplus"]) for row in rows}
        start = 0
        for row in gone:
            while first and start < len(new) and _below(new[start][first], row[first], self._ways.float_tolerance):
                start += 1
            for other in new[start:]:
                if first and _below(row[first], other[first], self._ways.float_tolerance):
                    break
                if left[other["id"]] and all(
                    self._alike(c.field, row[f"c{index[c.name]}"], other[f"c{index[c.name]}"]) for c in floats
                ):
                    count = min(left[row["id"]], left[other["id"]])
                    left[row["id"]] -= count
                    left[other["id"]] -= count
                    yield row["id"], other["id"], count
                    if not left[row["id"]]:
                        break

    def _key_of_two(self) -> list[_Column]:
        """A column, or two, by which the rows that differ can be paired, and that are unique in both results."""
        usable = self._usable()
        best: list[_Column] = []
        most = 0
        for size in (1, 2):
            for candidate in combinations(usable, size):
                # The rows that differ are few: what is not unique among them need not be looked for in all.
                if not all(self._is_unique(candidate, table, nulls=False) for table in ("gone", "new")):
                    continue
                pairs = self._workspace.number(
                    f"SELECT count(*) FROM gone JOIN new ON {_all_equal(candidate, 'gone', 'new')}"
                )
                if pairs > most and all(self._is_unique(candidate, table, nulls=False) for table in "ab"):
                    best, most = list(candidate), pairs
            if best:
                break
        return best

    def _pair(self, key: Sequence[_Column], removed: int, added: int) -> int:
        """``pairs``: which row that is gone became which new one. Returns how many."""
        if key:
            query = f"SELECT gone.id AS before, new.id AS after FROM gone JOIN new ON {_all_equal(key, 'gone', 'new')}"
        elif removed == added and self._differ_in_place() == removed:
            query = f"""
                SELECT was.id AS before, became.id AS after
                FROM (SELECT a.{PLACE} AS place, gone.id FROM gone JOIN a ON {_all_equal(self._columns, "gone", "a")}) AS was
                JOIN (SELECT b.{PLACE} AS place, new.id FROM new JOIN b ON {_all_equal(self._columns, "new", "b")}) AS became
                USING (place)
            """
        else:
            query = "SELECT 0 AS before, 0 AS after WHERE false"
        self._workspace.run(f"CREATE TABLE pairs AS {query}")
        return self._workspace.number("SELECT count(*) FROM pairs")

    def _differ_in_place(self) -> int | None:
        """In how many places two sorted results of one length differ; ``None`` where places mean nothing."""
        first, second = self._sizes
        if first != second or (self._order is None and first != 1):
            return None
        return self._places_that_differ(self._columns)

    def _places_that_differ(self, columns: Sequence[_Column]) -> int:
        equal = " AND ".join(self._close(column, "a.", "b.") for column in columns)
        return self._workspace.number(f"SELECT count(*) FROM a JOIN b USING ({PLACE}) WHERE NOT ({equal})")

    def _columns_of_differences(self) -> tuple[tuple[str, int], ...]:
        counts = ", ".join(f"count(*) FILTER (NOT {self._close(column, 'gone.', 'new.')})" for column in self._columns)
        found = self._workspace.row(
            f"SELECT {counts} FROM pairs JOIN gone ON gone.id = before JOIN new ON new.id = after"
        )
        return tuple((column.name, count) for column, count in zip(self._columns, found, strict=True) if count)

    def _samples_of_differences(self) -> tuple[RowChange, ...]:
        columns, limit = self._list("differences."), f"LIMIT {self._ways.samples:d}"
        before, after = (
            self._rows(f"SELECT {columns} FROM pairs JOIN differences ON id = {side} ORDER BY before, after {limit}")
            for side in ("before", "after")
        )
        columns = self._list()
        removed = self._rows(
            f"SELECT {columns} FROM gone WHERE id NOT IN (SELECT before FROM pairs) ORDER BY {PLACE}, id {limit}"
        )
        added = self._rows(
            f"SELECT {columns} FROM new WHERE id NOT IN (SELECT after FROM pairs) ORDER BY {PLACE}, id {limit}"
        )
        return (
            *map(self._changed, before, after),
            *(RowChange("removed", row, None) for row in removed),
            *(RowChange("added", None, row) for row in added),
        )

    # Values.

    def _changed(self, before: dict[str, Any], after: dict[str, Any]) -> RowChange:
        cells = [
            path
            for column in self._columns
            for path in self._cells(column.field, before[column.name], after[column.name], column.name)
        ]
        return RowChange("changed", before, after, tuple(cells))

    def _cells(self, field: Field, old: Any, new: Any, path: str) -> Iterator[str]:
        """The dotted names under which two values differ; elements of a repeated column have their place, from 0."""
        if self._alike(field, old, new):
            return
        single = replace(field, mode="NULLABLE")
        if field.mode == "REPEATED" and len(old) == len(new):
            for index, (one, other) in enumerate(zip(old, new, strict=True)):
                yield from self._cells(single, one, other, f"{path}[{index}]")
        elif field.mode != "REPEATED" and field.fields and old is not None and new is not None:
            for inner in field.fields:
                yield from self._cells(inner, old[inner.name], new[inner.name], f"{path}.{inner.name}")
        else:
            yield path

    def _alike(self, field: Field, old: Any, new: Any) -> bool:
        if old is None or new is None:
            return old is new
        if field.mode == "REPEATED":
            single = replace(field, mode="NULLABLE")
            return len(old) == len(new) and all(self._alike(single, a, b) for a, b in zip(old, new, strict=True))
        if field.fields:
            return all(self._alike(inner, old[inner.name], new[inner.name]) for inner in field.fields)
        if schemas.standard(field.type) == "FLOAT":
            return _close(old, new, self._ways.float_tolerance)
        return bool(old == new)

    def _close(self, column: _Column, one: str, other: str) -> str:
        """An expression: both have the same value, or nearly, where floats are tolerated."""
        left, right = column.expression.format(one), column.expression.format(other)
        if self._ways.float_tolerance and _has_float(column.field):
            return _close_sql(column.field, left, right, self._ways.float_tolerance, 0)
        return f"{left} IS NOT DISTINCT FROM {right}"

    def _list(self, table: str = "", columns: Sequence[_Column] | None = None) -> str:
        return ", ".join(column.expression.format(table) for column in (self._columns if columns is None else columns))

    def _rows(self, query: str) -> list[dict[str, Any]]:
        names = [column.name for column in self._columns]
        table = self._workspace.table(query)
        return [dict(zip(names, row.values(), strict=True)) for row in table.to_pylist()]


def _place_of(column: Field, landed: Landed) -> tuple[Field, str]:
    """The column as a result has it, and its name in the workspace."""
    for index, own in enumerate(landed.columns):
        if own.name.lower() == column.name.lower():
            return own, f"c{index}"
    raise LookupError(column.name)


def _projected(column: Field, place: tuple[Field, str]) -> str:
    own, value = place
    return _pruned(column, own, value, 0)


def _pruned(wanted: Field, own: Field, value: str, depth: int) -> str:
    """``value``, a record of which only the fields in ``wanted`` are kept, in their order."""
    if not wanted.fields or _same_names(wanted, own):
        return value
    if own.mode == "REPEATED":
        each = f"e{depth}"
        single = replace(own, mode="NULLABLE")
        inner = _pruned(replace(wanted, mode="NULLABLE"), single, each, depth + 1)
        return f"list_transform({value}, lambda {each}: {inner})"
    by_name = {field.name.lower(): field for field in own.fields}
    parts = ", ".join(
        f"{_quoted(field.name)} := "
        + _pruned(field, by_name[field.name.lower()], f"{value}.{_quoted(by_name[field.name.lower()].name)}", depth)
        for field in wanted.fields
    )
    return f"CASE WHEN {value} IS NULL THEN NULL ELSE struct_pack({parts}) END"


def _same_names(one: Field, other: Field) -> bool:
    return [field.name for field in one.fields] == [field.name for field in other.fields] and all(
        _same_names(a, b) for a, b in zip(one.fields, other.fields, strict=True)
    )


def _close_sql(field: Field, left: str, right: str, tolerance: float, depth: int) -> str:
    if not _has_float(field):
        return f"{left} IS NOT DISTINCT FROM {right}"
    if field.mode == "REPEATED":
        pair = f"z{depth}"
        inner = _close_sql(replace(field, mode="NULLABLE"), f"{pair}[1]", f"{pair}[2]", tolerance, depth + 1)
        return (
            f"(len({left}) = len({right}) AND "
            f"coalesce(list_bool_and(list_transform(list_zip({left}, {right}), lambda {pair}: {inner})), true))"
        )
    if field.fields:
        inner = " AND ".join(
            _close_sql(each, f"{left}.{_quoted(each.name)}", f"{right}.{_quoted(each.name)}", tolerance, depth)
            for each in field.fields
        )
        return f"((({left} IS NULL) = ({right} IS NULL)) AND ({left} IS NULL OR ({inner})))"
    return (
        f"coalesce({left} IS NOT DISTINCT FROM {right} OR (isfinite({left}) AND isfinite({right}) "
        f"AND abs({left} - {right}) <= {tolerance!r} * greatest(abs({left}), abs({right}))), false)"
    )


def _close(old: float, new: float, tolerance: float) -> bool:
    if old == new or (math.isnan(old) and math.isnan(new)):
        return True
    if not (math.isfinite(old) and math.isfinite(new)):
        return False
    return abs(old - new) <= tolerance * max(abs(old), abs(new))


def _below(value: float | None, other: float | None, tolerance: float) -> bool:
    """Whether ``value`` sorts before ``other`` and is not close to it; NaN comes after all numbers, NULL last of all."""
    one, two = _rank(value), _rank(other)
    if one != two or value is None or other is None or one[0]:
        return one < two
    return value < other and not _close(value, other, tolerance)


def _rank(value: float | None) -> tuple[int, ...]:
    return (2,) if value is None else (1,) if math.isnan(value) else (0,)


def _is_float(field: Field) -> bool:
    return schemas.standard(field.type) == "FLOAT" and field.mode != "REPEATED"


def _has_float(field: Field) -> bool:
    return schemas.standard(field.type) == "FLOAT" or any(_has_float(inner) for inner in field.fields)


def _grouped(rows: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    some: list[dict[str, Any]] = []
    for row in rows:
        if some and some[0]["group"] != row["group"]:
            yield some
            some = []
        some.append(row)
    if some:
        yield some


def _not_named_like_a_key(name: str) -> bool:
    lower = name.lower()
    return not (lower in ("id", "key", "uuid", "name") or lower.endswith(("_id", "_key", "_uuid", "id")))


def _all_equal(columns: Sequence[_Column], one: str, other: str) -> str:
    return " AND ".join(
        f"{column.expression.format(f'{one}.')} IS NOT DISTINCT FROM {column.expression.format(f'{other}.')}"
        for column in columns
    )


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
