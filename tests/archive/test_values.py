import datetime as dt
import json
import math
from decimal import Decimal

import pytest

from hoop_mitm.archive.values import instant, plain

CET = dt.timezone(dt.timedelta(hours=1))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (True, True),
        (2**63 - 1, 2**63 - 1),
        (1.5, 1.5),
        (math.nan, "NaN"),
        (-math.inf, "-Infinity"),
        (Decimal("1E+2"), "100"),
        (Decimal("15000.500000000"), "15000.5"),
        (Decimal("-0.000000000"), "-0"),
        (Decimal("10.000000000"), "10"),
        (Decimal("0.000000001"), "0.000000001"),
        ("ä", "ä"),
        (b"\xff\x00", "/wA="),
        (dt.date(2026, 1, 2), "2026-01-02"),
        (dt.time(1, 2, 3), "01:02:03"),
        (dt.datetime(2026, 1, 2, 3), "2026-01-02T03:00:00"),  # noqa: DTZ001 - a DATETIME has no zone
        (dt.datetime(2026, 1, 2, 3, tzinfo=CET), "2026-01-02T02:00:00.000000Z"),
        ({"a": [Decimal(1), None]}, {"a": ["1", None]}),
    ],
)
def test_values_become_json_without_losing_anything(value, expected):
    assert plain(value) == expected
    json.dumps(plain(value), allow_nan=False)


def test_instants_sort_as_texts():
    times = [dt.datetime(2026, 1, 1, tzinfo=dt.UTC) + dt.timedelta(microseconds=us) for us in (0, 1, 10, 999_999)]
    assert sorted(map(instant, times)) == [instant(at) for at in times]
