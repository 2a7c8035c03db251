import datetime as dt
import math
from decimal import Decimal

import pyarrow as pa
import pytest

from hoop_mitm.archive.statements import Ordering
from hoop_mitm.archive.tables import RowChange, compare


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


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (1, 2),
        ("a", "b"),
        (1.5, 1.25),
        (Decimal("1.000000001"), Decimal("1.000000002")),
        (b"\0", b"\1"),
        (dt.date(2026, 1, 1), dt.date(2026, 1, 2)),
        (dt.time(1, 2, 3, 4), dt.time(1, 2, 3, 5)),
        (dt.datetime(2026, 1, 1, tzinfo=dt.UTC), dt.datetime(2026, 1, 1, 0, 0, 0, 1, tzinfo=dt.UTC)),
        ([1, 2], [2, 1]),
        ({"a": 1, "b": [{"c": "x"}]}, {"a": 1, "b": [{"c": "y"}]}),
        (None, 0),
    ],
)
def test_a_change_is_seen_in_every_type_and_shown_with_its_cells(old, new):
    type_ = pa.array([new]).type
    before, after = (pa.table({"id": [1, 2], "v": pa.array([v, new], type_), "w": ["x", "x"]}) for v in (old, new))
    found = compare(before, after, None)
    assert found.samples == (
        RowChange("changed", {"id": 1, "v": old, "w": "x"}, {"id": 1, "v": new, "w": "x"}, ("v",)),
    )
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
