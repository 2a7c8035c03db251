"""Rows as Python values, held against Google's own client."""

import json
from datetime import UTC, date, datetime, time
from decimal import Decimal

import pytest
from google.cloud.bigquery import SchemaField
from google.cloud.bigquery._helpers import _rows_from_json

from hoop_mitm.bigquery.rows import decode_rows, schema_fields

AT = datetime(2026, 11, 22, 14, 22, 36, 837123, tzinfo=UTC)


def one(value, kind, mode="NULLABLE", **more):
    return decode_rows([{"name": "x", "type": kind, "mode": mode} | more], [{"f": [{"v": value}]}])[0][0]


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("INTEGER", "9223372036854775807", 9223372036854775807),
        ("INT64", "-1", -1),
        ("FLOAT", "1.5", 1.5),
        ("FLOAT64", "-Infinity", float("-inf")),
        ("NUMERIC", "4263.000000000", Decimal("4263.000000000")),
        ("BIGNUMERIC", "1E-38", Decimal("1E-38")),
        ("BOOLEAN", "true", True),
        ("BOOL", "false", False),
        ("STRING", "é", "é"),
        ("BYTES", "AP8=", b"\0\xff"),
        ("DATE", "2026-11-22", date(2026, 11, 22)),
        ("TIME", "14:22:36.837123", time(14, 22, 36, 837123)),
        ("DATETIME", "2026-11-22T14:22:36.837123", datetime.fromisoformat("2026-11-22T14:22:36.837123")),
        ("TIMESTAMP", "1795357356837123", AT),
        ("TIMESTAMP", "1.795357356837123E9", AT),
        ("TIMESTAMP", "1795357356.837123", AT),
        ("TIMESTAMP", "2026-11-22T14:22:36.837123Z", AT),
        ("TIMESTAMP", "0.0", datetime(1970, 1, 1, tzinfo=UTC)),
        ("TIMESTAMP", "-62135596800000000", datetime(1, 1, 1, tzinfo=UTC)),
        ("TIMESTAMP", "253402300799999999", datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)),
        ("JSON", '{"a": [1, null]}', {"a": [1, None]}),
        ("JSON", '"text"', "text"),
        ("GEOGRAPHY", "POINT(1 2)", "POINT(1 2)"),
        ("INTERVAL", "1-2 3 4:5:6", "1-2 3 4:5:6"),
        ("SOMETHING_NEW", "x", "x"),
        *((kind, None, None) for kind in ("INTEGER", "TIMESTAMP", "JSON", "BYTES")),
    ],
)
def test_a_value_has_its_type(kind, value, expected):
    assert one(value, kind) == expected
    assert one([{"v": value}, {"v": value}], kind, "REPEATED") == [expected, expected]


def test_not_a_number_is_not_a_number():
    assert str(one("NaN", "FLOAT")) == "nan"


@pytest.mark.parametrize("empty", [None, []])
def test_an_empty_list_is_a_list(empty):
    assert one(empty, "INTEGER", "REPEATED") == []


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("[2026-01-01, 2026-02-01)", {"start": date(2026, 1, 1), "end": date(2026, 2, 1)}),
        ("[UNBOUNDED, 2026-02-01)", {"start": None, "end": date(2026, 2, 1)}),
        ("[NULL, UNBOUNDED)", {"start": None, "end": None}),
        ("strange", "strange"),
    ],
)
def test_a_range_has_two_ends(value, expected):
    assert one(value, "RANGE", rangeElementType={"type": "DATE"}) == expected


def test_records_nest():
    fields = [{"name": "sku"}, {"name": "n", "type": "INTEGER"}]
    lines = [{"v": {"f": [{"v": "a"}, {"v": "1"}]}}, {"v": {"f": [{"v": None}, {"v": "2"}]}}]
    assert one(lines, "RECORD", "REPEATED", fields=fields) == [{"sku": "a", "n": 1}, {"sku": None, "n": 2}]
    assert one(None, "STRUCT", fields=fields) is None


def test_missing_cells_are_none():
    assert decode_rows([{"name": "a"}, {"name": "b"}], [{"f": [{"v": "x"}]}, {}]) == [("x", None), (None, None)]


@pytest.mark.parametrize(
    "shape",
    [lambda s: s, lambda s: s["fields"], json.dumps, lambda s: json.dumps(s).encode(), schema_fields],
)
def test_a_schema_comes_in_any_of_its_shapes(shape):
    schema = {"fields": [{"name": "a", "type": "INTEGER"}, {"name": "b", "type": "string", "mode": None}]}
    assert decode_rows(shape(schema), [{"f": [{"v": "1"}, {"v": "x"}]}]) == [(1, "x")]


def test_no_schema_has_no_fields():
    assert schema_fields(None) == schema_fields({}) == ()


def test_googles_client_reads_the_same_values():
    schema = [
        {"name": "i", "type": "INTEGER", "mode": "NULLABLE"},
        {"name": "n", "type": "NUMERIC", "mode": "NULLABLE"},
        {"name": "t", "type": "TIMESTAMP", "mode": "NULLABLE"},
        {"name": "d", "type": "DATE", "mode": "REPEATED"},
        {"name": "b", "type": "BYTES", "mode": "NULLABLE"},
        {"name": "o", "type": "BOOLEAN", "mode": "NULLABLE"},
        {"name": "j", "type": "JSON", "mode": "NULLABLE"},
        {"name": "m", "type": "TIME", "mode": "NULLABLE"},
        {
            "name": "r",
            "type": "RECORD",
            "mode": "REPEATED",
            "fields": [{"name": "x", "type": "FLOAT", "mode": "NULLABLE"}],
        },
    ]
    cells = [
        "7", "1.10", "1795357356837123", [{"v": "2026-01-01"}], "AP8=", "true", "[1]", "12:00:00", [{"v": {"f": [{"v": "0.5"}]}}]
    ]  # fmt: skip
    rows = [{"f": [{"v": cell} for cell in cells]}]
    theirs = _rows_from_json(rows, [SchemaField.from_api_repr(field) for field in schema])
    assert decode_rows(schema, rows) == [row.values() for row in theirs]
