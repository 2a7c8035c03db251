import datetime as dt
import math
from collections import Counter
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hoop_mitm.archive import arrow
from hoop_mitm.archive.comparing import RowChange, RowDiff, Ways, values
from hoop_mitm.archive.comparing import rows as comparing
from hoop_mitm.archive.comparing.landing import Landed
from hoop_mitm.archive.comparing.workspace import Shelf, Workspace
from hoop_mitm.archive.statements import Ordering


def landed(workspace, name, table, columns=None):
    columns = columns or [arrow.described(field) for field in table.schema]
    shelf = Shelf(workspace, name, values.types(columns))
    arrays = [
        values.of_arrow(column, array.combine_chunks()) for column, array in zip(columns, table.columns, strict=True)
    ]
    shelf.lay(arrays, 0)
    shelf.close()
    return Landed(name, tuple(columns), table.num_rows, table.num_rows, complete=True, table=shelf.small)


def compare(before, after, order=None, samples=10, left_out=None, **ways) -> RowDiff:
    with Workspace() as workspace:
        sides = landed(workspace, "left_rest", before), landed(workspace, "right_rest", after)
        ways = Ways(samples=samples, **ways)
        return comparing.compare(workspace, *sides, ways, order=order, left_out=left_out or {}).rows


def table(**columns):
    return pa.table(columns)


def counts(found):
    return (found.same, found.added, found.removed, found.changed)


@pytest.mark.parametrize(
    ("before", "after", "expected", "key"),
    [
        pytest.param(table(a=[1, 2]), table(a=[2, 1]), (2, 0, 0, 0), (), id="order means nothing"),
        pytest.param(table(a=[]), table(a=[]), (0, 0, 0, 0), (), id="both empty"),
        pytest.param(table(a=[1, 1, 2]), table(a=[1, 2, 2]), (2, 1, 1, 0), (), id="copies count"),
        pytest.param(table(a=[1]), table(a=[1, 1, 1]), (1, 2, 0, 0), (), id="more copies"),
        pytest.param(table(a=[None, 1]), table(a=[None, 1]), (2, 0, 0, 0), (), id="NULL is NULL"),
        pytest.param(table(a=[math.nan]), table(a=[math.nan]), (1, 0, 0, 0), (), id="NaN is NaN"),
        pytest.param(table(a=[7]), table(a=[8]), (0, 0, 0, 1), (), id="one row each is one row that changed"),
        pytest.param(
            table(total=[5, 6, 7], id=[1, 2, 3]),
            table(total=[5, 60, 8], id=[1, 2, 4]),
            (1, 1, 1, 1),
            ("id",),
            id="a key pairs what changed",
        ),
        pytest.param(
            table(c=["a", "a", "b"], m=[1, 2, 1], v=[1.0, 2.0, 3.0]),
            table(c=["a", "a", "b"], m=[1, 2, 1], v=[1.0, 9.0, 3.0]),
            (2, 0, 0, 1),
            ("c", "m"),
            id="two columns can be a key",
        ),
        pytest.param(
            table(id=[1, 1, 2], v=[1.0, 2.0, 3.0]),
            table(id=[1, 1, 2], v=[1.0, 5.0, 3.0]),
            (2, 1, 1, 0),
            (),
            id="a column that repeats is no key",
        ),
        pytest.param(
            table(id=[1, None], v=["x", "y"]), table(id=[1, None], v=["x", "z"]), (1, 1, 1, 0), (), id="NULL is no key"
        ),
    ],
)
def test_rows_are_compared_as_a_multiset(before, after, expected, key):
    found = compare(before, after, None)
    assert (counts(found), found.key) == (expected, key)
    assert found.differ == (expected[1:] != (0, 0, 0))


@pytest.mark.parametrize(
    ("before", "after", "by", "reordered", "expected"),
    [
        pytest.param([1, 2], [2, 1], ("a",), True, (2, 0, 0, 0), id="another order"),
        pytest.param([1, 2], [1, 2], ("a",), False, (2, 0, 0, 0), id="the same"),
        pytest.param([1, 2, 3], [1, 9, 3], ("a",), False, (2, 0, 0, 1), id="a changed row keeps its place"),
        pytest.param([1, 2, 3], [1, 3], ("a",), False, (2, 0, 1, 0), id="a row less"),
    ],
)
def test_order_counts_where_the_statement_sorts(before, after, by, reordered, expected):
    found = compare(table(a=before), table(a=after), Ordering(by))
    assert (found.ordered, found.reordered, counts(found)) == (True, reordered, expected)


@pytest.mark.parametrize(
    ("by", "reordered"),
    [(("v",), False), ((2,), False), (("n",), True), (("V", "n"), True), (None, True), (("gone",), True)],
)
def test_rows_that_sort_equal_may_swap(by, reordered):
    before, after = table(n=["x", "y"], v=[1, 1]), table(n=["y", "x"], v=[1, 1])
    by = by and tuple(name.lower() if isinstance(name, str) else name for name in by)
    assert compare(before, after, Ordering(by)).reordered is reordered


DAY = dt.date(2026, 1, 1)
NOON = dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC)
AT_FIVE = dt.datetime(2026, 1, 1, 5)  # noqa: DTZ001 - a DATETIME has no zone
NUMERIC = pa.decimal128(38, 9)


@pytest.mark.parametrize(
    ("old", "new", "cells"),
    [
        (1, 2, "v"),
        ("a", "b", "v"),
        (1.5, 1.25, "v"),
        (Decimal("1.000000001"), Decimal("1.000000002"), "v"),
        (b"\0", b"\1", "v"),
        (DAY, dt.date(2026, 1, 2), "v"),
        (dt.time(1, 2, 3, 4), dt.time(1, 2, 3, 5), "v"),
        (NOON, NOON + dt.timedelta(microseconds=1), "v"),
        (AT_FIVE, AT_FIVE + dt.timedelta(hours=1), "v"),
        ([1, 2], [1, 3], "v[1]"),
        ([1, 2], [1], "v"),
        ({"a": 1, "b": [{"c": "x"}]}, {"a": 1, "b": [{"c": "y"}]}, "v.b[0].c"),
        (None, 0, "v"),
    ],
)
def test_a_change_is_seen_in_every_type_and_shown_with_its_cells(old, new, cells):
    type_ = NUMERIC if isinstance(new, Decimal) else pa.array([new]).type
    before, after = (pa.table({"id": [1, 2], "v": pa.array([v, new], type_), "w": ["x", "x"]}) for v in (old, new))
    found = compare(before, after, None)
    assert found.samples == (
        RowChange("changed", {"id": 1, "v": old, "w": "x"}, {"id": 1, "v": new, "w": "x"}, (cells,)),
    )
    assert found.columns == (("v", 1),)
    assert not compare(before, before, None).differ


def test_a_bignumeric_compares_although_duckdb_has_none():
    before, after = (
        pa.table({"id": [1], "v": pa.array([Decimal(v)], pa.decimal256(76, 38))})
        for v in ("1e37", "10000000000000000000000000000000000000.5")
    )
    assert compare(before, after, None).changed == 1
    assert not compare(before, before, None).differ


def test_only_columns_that_both_have_are_compared():
    before, after = table(id=[1], gone=["x"], kind=["1"]), table(id=[1], new=["y"], kind=[1])
    assert counts(compare(before, after, None)) == (1, 0, 0, 0)


def test_without_a_common_column_only_the_number_of_rows_is_compared():
    assert counts(compare(table(a=[1, 2]), table(b=[1]), None)) == (1, 0, 1, 0)


def test_columns_may_have_any_name():
    odd = {'a"b': [1], "hoop n": [2], "id": [3], "n": [4], "select": [5]}
    found = compare(pa.table(odd), pa.table(odd | {"select": [6]}), None)
    assert found.samples[0].cells == ("select",)


def test_samples_are_as_many_as_asked_for_of_each_kind():
    before, after = table(id=list(range(20)), v=[0] * 20), table(id=list(range(10, 30)), v=[1] * 20)
    found = compare(before, after, None, samples=3)
    assert counts(found) == (0, 10, 10, 10)
    assert [change.change for change in found.samples] == ["changed"] * 3 + ["removed"] * 3 + ["added"] * 3
    assert found.samples[3].before == {"id": 0, "v": 0}


def test_a_key_that_is_given_pairs_rows_and_one_that_is_not_unique_does_not():
    before, after = (table(a=["x", "y"], b=[1, 2], v=v, n=[0, 0]) for v in ([1, 2], [1, 3]))
    assert compare(before, after, key=("b",)).key == ("b",)
    assert compare(before, after, key=("b",)).key_given
    found = compare(before, after, key=("n",))
    assert (found.key, found.key_given) == (("a",), False)


def test_a_key_may_lie_in_a_record():
    before, after = (
        pa.table({"who": [{"id": 1, "n": "x"}, {"id": 2, "n": "x"}], "v": v}) for v in (["a", "a"], ["a", "b"])
    )
    found = compare(before, after, key=("who.id",))
    assert (found.key, found.samples[0].cells) == (("who.id",), ("v",))


@pytest.mark.parametrize(
    ("ignore", "differ"), [(("v",), True), (("R.A",), True), (("v", "r.a"), False), (("v", "r"), False)]
)
def test_what_is_ignored_is_no_difference_and_is_said(ignore, differ):
    rows = [{"a": 1, "b": 2}], [{"a": 9, "b": 2}]
    before, after = (pa.table({"id": [1], "v": v, "r": r}) for v, r in zip(([1], [2]), rows, strict=True))
    found = compare(before, after, ignore=ignore)
    assert found.differ is differ
    assert [name.lower() for name, _ in found.left_out] == [name.lower() for name in ignore]


def test_fields_that_only_one_side_has_are_not_compared_and_those_beside_them_are():
    one, other = ({"id": [1, 2], "r": [{"a": 1, extra: 5}, {"a": a, extra: 6}]} for extra, a in (("x", 1), ("y", 2)))
    found = compare(pa.table(one), pa.table(other))
    assert [change.cells for change in found.samples] == [("r.a",)]


@pytest.mark.parametrize(
    ("old", "new", "tolerance", "differ"),
    [
        (1.0, 1.0 + 1e-12, 0.0, True),
        (1.0, 1.0 + 1e-12, 1e-9, False),
        (1e300, 1.1e300, 0.2, False),
        (1.0, 1.1, 1e-9, True),
        (0.0, -0.0, 0.0, False),
        (math.nan, math.nan, 0.0, False),
        (math.nan, 1.0, 0.5, True),
        (math.inf, math.inf, 0.5, False),
        (math.inf, -math.inf, 1.0, True),
        (math.inf, 1e308, 1.0, True),
        (None, 0.0, 1.0, True),
        ([1.0, 2.0], [1.0, 2.0 + 1e-12], 1e-9, False),
        ([1.0], [1.0, 2.0], 1e-9, True),
        ({"f": 1.0}, {"f": 1.0 + 1e-12}, 1e-9, False),
        ({"f": 1.0}, {"f": 2.0}, 1e-9, True),
    ],
)
@pytest.mark.parametrize("key", [True, False])
def test_floats_are_equal_within_the_tolerance(old, new, tolerance, differ, key):
    beside = {"id": ["x", "y"]} if key else {"id": ["x", "x"]}
    type_ = pa.array([value for value in (old, new) if value is not None]).type
    before, after = (pa.table(beside | {"v": pa.array([value, value], type_)}) for value in (old, new))
    assert compare(before, after, float_tolerance=tolerance).differ is differ


def test_what_is_sorted_and_has_a_key_may_be_reordered_beside_a_change():
    before = table(id=[1, 2, 3, 4], v=[1, 2, 3, 4])
    moved, kept = (table(id=ids, v=vs) for ids, vs in (([2, 1, 3, 4], [2, 1, 3, 9]), ([1, 2, 3, 4], [1, 2, 3, 9])))
    assert compare(before, moved, Ordering(("v",))).reordered
    assert not compare(before, kept, Ordering(("v",))).reordered


def test_many_rows_go_through_tables_and_give_the_same():
    numbers = list(range(60_000))
    before = table(id=numbers, v=[n % 7 for n in numbers])
    after = table(
        id=[*reversed(numbers[1:]), 60_000], v=[*reversed([n % 7 if n % 1000 else 9 for n in numbers[1:]]), 1]
    )
    found = compare(before, after)
    assert (counts(found), found.key) == ((59_940, 1, 1, 59), ("id",))


# The oracle.

scalars = {
    "i": st.sampled_from([None, 0, 1, 2]),
    "s": st.sampled_from([None, "", "a", "b"]),
    "f": st.sampled_from([None, 0.0, -0.0, 1.0, 1.0 + 1e-12, math.nan, math.inf]),
    "l": st.sampled_from([[], [1], [1, 2]]),
    "r": st.sampled_from([None, {"a": 1, "b": None}, {"a": 1, "b": 1.0}, {"a": 2, "b": math.nan}]),
}
KINDS = {
    "i": pa.int64(),
    "s": pa.string(),
    "f": pa.float64(),
    "l": pa.list_(pa.int64()),
    "r": pa.struct([("a", pa.int64()), ("b", pa.float64())]),
}
some_rows = st.lists(st.fixed_dictionaries(scalars), max_size=8)


def spelled(value):
    """A value that is equal to another exactly where BigQuery's is."""
    match value:
        case float():
            return "NaN" if math.isnan(value) else value + 0.0
        case dict():
            return tuple((name, spelled(value[name])) for name in sorted(value))
        case list():
            return tuple(map(spelled, value))
    return value


def as_table(rows, key=None):
    data = {name: pa.array([row[name] for row in rows], kind) for name, kind in KINDS.items()}
    return pa.table(({"k": pa.array(key, pa.int64())} if key is not None else {}) | data)


@pytest.mark.timeout(600)
@settings(max_examples=60, deadline=None)
@given(some_rows, some_rows)
@pytest.mark.exhaustive
def test_rows_without_a_key_are_counted_as_python_counts_them(before, after):
    one, other = (Counter(spelled(row) for row in rows) for rows in (before, after))
    found = compare(as_table(before), as_table(after), samples=0)
    assert found.same == (one & other).total()
    assert found.removed + found.changed == (one - other).total()
    assert found.added + found.changed == (other - one).total()


@pytest.mark.timeout(600)
@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(st.integers(0, 9), st.fixed_dictionaries(scalars)),
    st.dictionaries(st.integers(0, 9), st.fixed_dictionaries(scalars)),
)
def test_rows_with_a_key_are_told_apart_as_python_does_it(before, after):
    found = compare(as_table(before.values(), list(before)), as_table(after.values(), list(after)), key=("k",))
    both = before.keys() & after.keys()
    changed = {key for key in both if spelled(before[key]) != spelled(after[key])}
    assert counts(found) == (len(both - changed), len(after.keys() - both), len(before.keys() - both), len(changed))
    told = {sample.before["k"]: set(sample.cells) for sample in found.samples if sample.change == "changed"}
    assert set(told) == changed
    for key, cells in told.items():
        assert {cell.partition(".")[0].partition("[")[0] for cell in cells} == {
            name for name in KINDS if spelled(before[key][name]) != spelled(after[key][name])
        }


@pytest.mark.timeout(600)
@settings(max_examples=60, deadline=None)
@given(*[st.lists(st.floats(0, 4).map(lambda value: round(value, 1)), max_size=6)] * 2)
@pytest.mark.exhaustive
def test_with_a_tolerance_as_many_floats_are_paired_as_can_be(before, after):
    tolerance = 0.1
    found = compare(
        table(f=pa.array(before, pa.float64()), g=["x"] * len(before)),
        table(f=pa.array(after, pa.float64()), g=["x"] * len(after)),
        float_tolerance=tolerance,
    )
    exact = Counter(before) & Counter(after)
    one, other = (sorted((Counter(values) - exact).elements()) for values in (before, after))
    assert found.same == exact.total() + most_pairs(one, other, tolerance)


def most_pairs(one, other, tolerance):
    if not one:
        return 0
    first, *rest = one
    best = most_pairs(rest, other, tolerance)
    for index, value in enumerate(other):
        if abs(first - value) <= tolerance * max(abs(first), abs(value)):
            best = max(best, 1 + most_pairs(rest, other[:index] + other[index + 1 :], tolerance))
    return best
