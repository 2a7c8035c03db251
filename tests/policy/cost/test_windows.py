"""When an hour, a day and a month begin and end."""

from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo

import pytest

from hoop_mitm.policy.cost import windows
from hoop_mitm.policy.cost.windows import Every

BERLIN = ZoneInfo("Europe/Berlin")
KOLKATA = ZoneInfo("Asia/Kolkata")


@pytest.mark.parametrize(
    ("every", "zone", "at", "begins", "ends"),
    [
        ("hour", UTC, "2026-11-22T22:59:59", "2026-11-22T22:00:00", "2026-11-22T23:00:00"),
        ("hour", UTC, "2026-11-22T23:00:00", "2026-11-22T23:00:00", "2026-11-23T00:00:00"),
        ("hour", KOLKATA, "2026-11-22T22:40:00", "2026-11-22T22:30:00", "2026-11-22T23:30:00"),
        # An hour that the clock shows twice is two hours.
        ("hour", BERLIN, "2026-10-25T00:30:00", "2026-10-25T00:00:00", "2026-10-25T01:00:00"),
        ("hour", BERLIN, "2026-10-25T01:30:00", "2026-10-25T01:00:00", "2026-10-25T02:00:00"),
        ("day", UTC, "2026-11-22T23:59:59", "2026-11-22T00:00:00", "2026-11-23T00:00:00"),
        ("day", BERLIN, "2026-11-22T23:30:00", "2026-11-22T23:00:00", "2026-11-23T23:00:00"),
        # Of 25 and of 23 hours.
        ("day", BERLIN, "2026-10-25T12:00:00", "2026-10-24T22:00:00", "2026-10-25T23:00:00"),
        ("day", BERLIN, "2026-03-29T12:00:00", "2026-03-28T23:00:00", "2026-03-29T22:00:00"),
        ("month", UTC, "2026-02-28T23:59:59", "2026-02-01T00:00:00", "2026-03-01T00:00:00"),
        ("month", UTC, "2026-12-31T12:00:00", "2026-12-01T00:00:00", "2027-01-01T00:00:00"),
        ("month", BERLIN, "2026-10-31T23:30:00", "2026-10-31T23:00:00", "2026-11-30T23:00:00"),
        ("month", BERLIN, "2026-10-15T00:00:00", "2026-09-30T22:00:00", "2026-10-31T23:00:00"),
    ],
)
def test_the_calendar_of_the_zone_says_when(every: Every, zone: tzinfo, at: str, begins: str, ends: str) -> None:
    moment = datetime.fromisoformat(at).replace(tzinfo=UTC)

    found = windows.begin(every, moment, zone), windows.end(every, moment, zone)

    assert [each.astimezone(UTC).isoformat()[:19] for each in found] == [begins, ends]
