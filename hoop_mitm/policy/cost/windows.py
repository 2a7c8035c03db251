"""Hours, days and months, by a calendar."""

from datetime import UTC, datetime, timedelta, tzinfo
from typing import Literal

type Every = Literal["hour", "day", "month"]


def begin(every: Every, at: datetime, zone: tzinfo) -> datetime:
    """When the hour, day or month that ``at`` is in began, in ``zone``. ``at`` is aware."""
    if every == "hour":
        # By real time: an hour that the clock shows twice is two hours.
        local = at.astimezone(zone)
        passed = timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond)
        return (at.astimezone(UTC) - passed).astimezone(zone)
    midnight = at.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    return midnight.replace(day=1) if every == "month" else midnight


def end(every: Every, at: datetime, zone: tzinfo) -> datetime:
    """When the next one begins."""
    first = begin(every, at, zone)
    match every:
        case "hour":
            return (first.astimezone(UTC) + timedelta(hours=1)).astimezone(zone)
        case "day":
            # To the next day by the calendar, which may be 23 or 25 hours away.
            return first + timedelta(days=1)
        case "month":
            return (first + timedelta(days=32)).replace(day=1)
