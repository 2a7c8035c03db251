"""One value has one spelling, whether it came as BigQuery's JSON or through the Storage API."""

import datetime as dt
from decimal import Decimal

import pyarrow as pa
import pytest

from hoop_mitm.archive.comparing import values
from hoop_mitm.bigquery.rows import Field

NOON = dt.datetime(2026, 1, 1, 12, 0, 0, 250000, tzinfo=dt.UTC)
MICROSECONDS = str(int(NOON.timestamp() * 1_000_000))
RECORD = Field("r", "RECORD", fields=(Field("a", "INTEGER"), Field("j", "JSON"), Field("l", "FLOAT", "REPEATED")))
BIG = Decimal("12345678901234567890123456789.5")


@pytest.mark.parametrize(
    ("column", "cell", "arrow"),
    [
        (Field("x", "INTEGER"), "-5", pa.array([-5])),
        (Field("x", "INT64"), "9223372036854775807", pa.array([2**63 - 1])),
        (Field("x", "FLOAT"), "1.5", pa.array([1.5])),
        (Field("x", "FLOAT"), "-Infinity", pa.array([float("-inf")])),
        (Field("x", "NUMERIC"), "1.50", pa.array([Decimal("1.5")], pa.decimal128(38, 9))),
        (Field("x", "BIGNUMERIC"), "12345678901234567890123456789.50", pa.array([BIG], pa.decimal256(76, 38))),
        (Field("x", "BOOLEAN"), "true", pa.array([True])),
        (Field("x", "STRING"), "é ", pa.array(["é "])),
        (Field("x", "BYTES"), "AAE=", pa.array([b"\0\1"])),
        (Field("x", "DATE"), "2026-01-02", pa.array([dt.date(2026, 1, 2)])),
        (Field("x", "TIME"), "01:02:03.5", pa.array([dt.time(1, 2, 3, 500000)], pa.time64("us"))),
        (Field("x", "DATETIME"), "2026-01-01T12:00:00.25", pa.array([NOON.replace(tzinfo=None)], pa.timestamp("us"))),
        (Field("x", "TIMESTAMP"), MICROSECONDS, pa.array([NOON], pa.timestamp("us", "UTC"))),
        (Field("x", "TIMESTAMP"), "1767268800.25", pa.array([NOON], pa.timestamp("us", "UTC"))),
        (Field("x", "TIMESTAMP"), "1.76726880025E9", pa.array([NOON], pa.timestamp("us", "UTC"))),
        (Field("x", "GEOGRAPHY"), "POINT(1 2)", pa.array(["POINT(1 2)"])),
        (Field("x", "JSON"), '{"b": 1.0, "a": [2]}', pa.array(['{"a":[2],"b":1}'])),
        (Field("x", "JSON"), '"text"', pa.array(['"text"'])),
        (
            Field("x", "RANGE", element="DATE"),
            "[2026-01-01, UNBOUNDED)",
            pa.array([{"start": dt.date(2026, 1, 1), "end": None}]),
        ),
        (Field("x", "INTERVAL"), "1-2 3 4:5:6.7", pa.array([(14, 3, 14706700000000)], pa.month_day_nano_interval())),
        (Field("x", "INTEGER", "REPEATED"), [{"v": "1"}, {"v": "2"}], pa.array([[1, 2]])),
        (Field("x", "INTEGER", "REPEATED"), [], pa.array([None], pa.list_(pa.int64()))),
        (
            RECORD,
            {"f": [{"v": "1"}, {"v": '{"z": 1, "y": 2.0}'}, {"v": [{"v": "1.5"}]}]},
            pa.array([{"a": 1, "j": '{"y":2,"z":1}', "l": [1.5]}]),
        ),
        (
            RECORD,
            None,
            pa.array([None], pa.struct([("a", pa.int64()), ("j", pa.string()), ("l", pa.list_(pa.float64()))])),
        ),
    ],
    ids=str,
)
def test_a_value_is_the_same_whichever_way_it_came(column, cell, arrow):
    by_rest, by_storage = values.of_cells(column, [cell]), values.of_arrow(column, arrow)
    assert by_rest.type == by_storage.type == values.types([column])[0]
    assert by_rest.to_pylist() == by_storage.to_pylist()
    assert values.of_cells(column, [cell, cell])[1].as_py() == by_rest[0].as_py()


@pytest.mark.parametrize(
    ("kind", "one", "other"),
    [
        ("JSON", '{"a": 1}', '{"a": "1"}'),
        ("JSON", "[1, 2]", "[2, 1]"),
        ("JSON", "12345678901234567890", "12345678901234567891"),
        ("BIGNUMERIC", "0.00000000000000000000000000000000000001", "0"),
        ("TIMESTAMP", "1767268800000001", "1767268800.0"),
        ("STRING", "a", "a "),
    ],
)
def test_what_differs_stays_different(kind, one, other):
    first, second = values.of_cells(Field("x", kind), [one, other]).to_pylist()
    assert first != second


@pytest.mark.parametrize(("kind", "cell"), [("INTEGER", "one"), ("NUMERIC", "1,5"), ("DATE", "yesterday")])
def test_what_fits_no_type_is_said(kind, cell):
    with pytest.raises((ValueError, ArithmeticError, pa.ArrowException)):
        values.of_cells(Field("x", kind), [cell])
