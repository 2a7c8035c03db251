"""Timestamps as the REST API writes them when nobody asks for integers."""

from typing import Any

import pytest

from hoop_mitm.devkit.cells import float_timestamps

AT = {"name": "at", "type": "TIMESTAMP", "mode": "NULLABLE"}


@pytest.mark.parametrize(
    ("microseconds", "seconds"),
    [
        ("1767261600000000", "1.7672616E9"),
        ("1408452095221000", "1.408452095221E9"),
        ("1000000000", "1000.0"),
        ("10000000000000", "1.0E7"),
        ("1", "1.0E-6"),
        ("0", "0.0"),
        ("-1500000", "-1.5"),
        (None, None),
    ],
)
def test_microseconds_become_seconds(microseconds: str | None, seconds: str | None) -> None:
    rows: list[dict[str, Any]] = [{"f": [{"v": microseconds}]}]
    float_timestamps(rows, [AT])
    assert rows == [{"f": [{"v": seconds}]}]


def test_nested_and_repeated_ones_are_found_and_others_left() -> None:
    fields = [
        {"name": "id", "type": "INTEGER"},
        {"name": "many", "type": "TIMESTAMP", "mode": "REPEATED"},
        {"name": "visit", "type": "RECORD", "mode": "REPEATED", "fields": [AT, {"name": "n", "type": "INTEGER"}]},
    ]
    rows = [
        {
            "f": [
                {"v": "1000000000"},
                {"v": [{"v": "1000000"}, {"v": None}]},
                {"v": [{"v": {"f": [{"v": "2000000"}, {"v": "2000000"}]}}]},
            ]
        }
    ]
    float_timestamps(rows, fields)
    assert rows[0]["f"] == [
        {"v": "1000000000"},
        {"v": [{"v": "1.0"}, {"v": None}]},
        {"v": [{"v": {"f": [{"v": "2.0"}, {"v": "2000000"}]}}]},
    ]
