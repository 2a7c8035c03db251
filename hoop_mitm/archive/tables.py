"""What differs between two results, row by row. DuckDB does the comparing, so that a million rows are no matter."""

# ruff: noqa: S608 - columns can only be named in the text of a query; each name is quoted by _quoted

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any, Literal

from hoop_mitm.archive.statements import Ordering

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

SAMPLES = 10
_MAX_KEY_CANDIDATES = 8
# Names that no BigQuery column can have.
_PLACE, _SURPLUS, _ID = "hoop:place", "hoop:surplus", "hoop:id"


@dataclass(frozen=True, slots=True)
class RowChange:
    """One row that differs; ``cells`` names the columns of a ``changed`` one that do."""

    change: Literal["added", "removed", "changed"]
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    cells: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RowDiff:
    """Counts of rows, and samples of those that differ.

    Attributes:
        key: the columns that paired the changed rows; empty when no column was found to be unique.
        ordered: the statement sorts its result, so order counts.
        reordered: the rows are the same, but their order is not (rows that sort equal may swap).
    """

    same: int
    added: int = 0
    removed: int = 0
    changed: int = 0
    key: tuple[str, ...] = ()
    ordered: bool = False
    reordered: bool = False
    samples: tuple[RowChange, ...] = ()

    @property
    def differ(self) -> bool:
        return bool(self.added or self.removed or self.changed or self.reordered)


def compare(before: "pa.Table", after: "pa.Table", order: Ordering | None, samples: int = SAMPLES) -> RowDiff:
    """Compare the columns that both tables have with the same type.

    Rows are compared as a multiset; where the statement sorts (``order``), their order counts too. A row that is gone
    and one that is new are one changed row when a key pairs them: a column, or two, unique in both tables.
    """
    import duckdb

    names = [
        field.name
        for field in before.schema
        if field.name in after.schema.names and after.schema.field(field.name).type == field.type
    ]
    connection = duckdb.connect(":memory:", config={"enable_external_access": "false"})
    connection.execute("SET TimeZone = 'UTC'")
    try:
        return _Comparison(connection, before.select(names), after.select(names), order, samples).run()
    finally:
        connection.close()


class _Comparison:
    def __init__(
        self,
        connection: "duckdb.DuckDBPyConnection",
        before: "pa.Table",
        after: "pa.Table",
        order: Ordering | None,
        samples: int,
    ) -> None:
        self._connection = connection
        self._names: list[str] = before.schema.names
        self._types = {field.name: field.type for field in before.schema}
        self._sizes = before.num_rows, after.num_rows
        self._order = order
        self._samples = samples
        connection.register("a", _placed(before))
        connection.register("b", _placed(after))

    def run(self) -> RowDiff:
        if not self._names:
            return self._without_columns()
        self._find_differences()
        removed = self._number(f'SELECT coalesce(sum(-"{_SURPLUS}"), 0) FROM gone')
        added = self._number(f'SELECT coalesce(sum("{_SURPLUS}"), 0) FROM new')
        if not removed and not added:
            reordered = self._order is not None and self._is_reordered()
            return RowDiff(self._sizes[0], ordered=self._order is not None, reordered=reordered)
        key = self._key() if removed and added else ()
        changed = self._pair(key, removed, added)
        return RowDiff(
            same=self._sizes[0] - removed,
            added=added - changed,
            removed=removed - changed,
            changed=changed,
            key=key,
            ordered=self._order is not None,
            samples=self._sample(),
        )

    def _without_columns(self) -> RowDiff:
        """No column is comparable: only the number of rows is."""
        first, second = self._sizes
        return RowDiff(
            min(first, second),
            added=max(second - first, 0),
            removed=max(first - second, 0),
            ordered=self._order is not None,
        )

    def _find_differences(self) -> None:
        """``gone`` and ``new``: each row that one table has more often than the other, and how much more often."""
        columns = self._list(self._names)
        self._connection.execute(f"""
            CREATE TEMP TABLE differences AS
            SELECT {columns}, sum("{_SURPLUS}")::BIGINT AS "{_SURPLUS}", row_number() OVER (ORDER BY {columns}) AS "{_ID}"
            FROM (
                SELECT {columns}, -1 AS "{_SURPLUS}" FROM a
                UNION ALL
                SELECT {columns}, 1 AS "{_SURPLUS}" FROM b
            )
            GROUP BY {columns}
            HAVING sum("{_SURPLUS}") <> 0
        """)
        self._connection.execute(f'CREATE TEMP VIEW gone AS FROM differences WHERE "{_SURPLUS}" < 0')
        self._connection.execute(f'CREATE TEMP VIEW new AS FROM differences WHERE "{_SURPLUS}" > 0')

    def _is_reordered(self) -> bool:
        columns = self._names
        if self._order is not None and self._order.columns is not None:
            columns = self._sorted_by(self._order.columns) or columns
        return bool(self._places_that_differ(columns))

    def _sorted_by(self, columns: Sequence[str | int]) -> list[str] | None:
        """The result's columns that it is sorted by, or ``None`` when one is not in the result."""
        by_name = {name.lower(): name for name in self._names}
        names: list[str] = []
        for column in columns:
            if isinstance(column, int):
                name = self._names[column - 1] if 0 < column <= len(self._names) else None
            else:
                name = by_name.get(column)
            if name is None:
                return None
            names.append(name)
        return names

    def _key(self) -> tuple[str, ...]:
        """The column, or pair of columns, that is unique in both tables and pairs the most rows that differ."""
        import pyarrow as pa

        def can_be_key(type_: pa.DataType) -> bool:
            return not (pa.types.is_nested(type_) or pa.types.is_floating(type_) or pa.types.is_boolean(type_))

        usable = [name for name in self._names if can_be_key(self._types[name])]
        usable.sort(key=_not_named_like_a_key)
        usable = usable[:_MAX_KEY_CANDIDATES]
        best: tuple[str, ...] = ()
        most = 0
        for size in (1, 2):
            for candidate in combinations(usable, size):
                # The rows that differ are few: what is not unique among them need not be looked for in all.
                if not self._is_unique(candidate, ("gone", "new")):
                    continue
                pairs = self._number(f"SELECT count(*) FROM gone JOIN new ON {_equal(candidate)}")
                if pairs > most and self._is_unique(candidate, ("a", "b")):
                    best, most = candidate, pairs
            if best:
                break
        return best

    def _is_unique(self, names: Sequence[str], tables: Sequence[str]) -> bool:
        columns = self._list(names)
        present = " AND ".join(f"{_quoted(name)} IS NOT NULL" for name in names)
        return not any(
            self._number(f"""
                SELECT count(*)
                FROM (SELECT 1 FROM {table} GROUP BY {columns} HAVING count(*) > 1 OR NOT bool_and({present}) LIMIT 1)
            """)
            for table in tables
        )

    def _pair(self, key: Sequence[str], removed: int, added: int) -> int:
        """``pairs``: which row that is gone became which new one. Returns how many."""
        if key:
            query = f'SELECT gone."{_ID}" AS before, new."{_ID}" AS after FROM gone JOIN new ON {_equal(key)}'
        elif removed == added and self._differ_in_place() == removed:
            query = f"""
                SELECT was.id AS before, became.id AS after
                FROM (SELECT a."{_PLACE}" AS place, gone."{_ID}" AS id FROM gone JOIN a ON {_same("gone", "a", self._names)}) AS was
                JOIN (SELECT b."{_PLACE}" AS place, new."{_ID}" AS id FROM new JOIN b ON {_same("new", "b", self._names)}) AS became
                USING (place)
            """
        else:
            query = "SELECT 0 AS before, 0 AS after WHERE false"
        self._connection.execute(f"CREATE TEMP TABLE pairs AS {query}")
        return self._number("SELECT count(*) FROM pairs")

    def _differ_in_place(self) -> int | None:
        """In how many places two sorted results of one length differ; ``None`` where places mean nothing."""
        first, second = self._sizes
        if first != second or (self._order is None and first != 1):
            return None
        return self._places_that_differ(self._names)

    def _places_that_differ(self, names: Sequence[str]) -> int:
        return self._number(f'SELECT count(*) FROM a JOIN b USING ("{_PLACE}") WHERE NOT ({_same("a", "b", names)})')

    def _sample(self) -> tuple[RowChange, ...]:
        columns = self._list(self._names)
        before, after = (
            self._rows(f'SELECT {columns} FROM pairs JOIN differences ON "{_ID}" = {side} ORDER BY before, after')
            for side in ("before", "after")
        )
        removed = self._rows(
            f'SELECT {columns} FROM gone WHERE "{_ID}" NOT IN (SELECT before FROM pairs) ORDER BY "{_ID}"'
        )
        added = self._rows(f'SELECT {columns} FROM new WHERE "{_ID}" NOT IN (SELECT after FROM pairs) ORDER BY "{_ID}"')
        return (
            *(_changed(old, new) for old, new in zip(before, after, strict=True)),
            *(RowChange("removed", row, None) for row in removed),
            *(RowChange("added", None, row) for row in added),
        )

    def _rows(self, query: str) -> list[dict[str, Any]]:
        table = self._connection.execute(f"{query} LIMIT {self._samples:d}").to_arrow_table()
        rows: list[dict[str, Any]] = table.to_pylist()
        return rows

    def _number(self, query: str) -> int:
        row = self._connection.execute(query).fetchone()
        assert row is not None
        return int(row[0])

    def _list(self, names: Sequence[str]) -> str:
        return ", ".join(_quoted(name) for name in names)


def _placed(table: "pa.Table") -> "pa.Table":
    """``table`` as DuckDB can read it, with each row's place."""
    import pyarrow as pa

    for index, field in enumerate(table.schema):
        # DuckDB has no 256-bit decimals; the text of a BIGNUMERIC compares as well.
        if pa.types.is_decimal256(field.type):
            texts = pa.array(
                [None if value is None else str(value) for value in table.column(index).to_pylist()], pa.string()
            )
            table = table.set_column(index, field.name, texts)
    return table.append_column(_PLACE, pa.array(range(table.num_rows), pa.int64()))


def _changed(before: dict[str, Any], after: dict[str, Any]) -> RowChange:
    cells = tuple(name for name in before if repr(before[name]) != repr(after[name]))
    return RowChange("changed", before, after, cells)


def _not_named_like_a_key(name: str) -> bool:
    lower = name.lower()
    return not (lower in ("id", "key", "uuid", "name") or lower.endswith(("_id", "_key", "_uuid", "id")))


def _equal(names: Sequence[str]) -> str:
    return " AND ".join(f"gone.{_quoted(name)} = new.{_quoted(name)}" for name in names)


def _same(left: str, right: str, names: Sequence[str]) -> str:
    return " AND ".join(f"{left}.{_quoted(name)} IS NOT DISTINCT FROM {right}.{_quoted(name)}" for name in names)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
