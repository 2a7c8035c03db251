"""Times, sizes and numbers as people type them."""

import math
import re
from datetime import UTC, datetime, time, timedelta
from typing import Any

import click

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_AGO = re.compile(r"(\d{1,6}) ?([smhdw])")
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?([kmgtp]?)(i?)b?", re.IGNORECASE)


# Of bytes; a number of DuckDB's still.
_LARGEST = 2.0**62

#: How many of something are asked for; more than anybody's recording holds, and no more than DuckDB counts to.
HOW_MANY = click.IntRange(min=0, max=10**9)


class Finite(click.FloatRange):
    """A number in a range, and one that can be counted with: ``nan`` and ``inf`` are none."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number: float = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is no number that can be counted with.", param, ctx)
        return number


class When(click.ParamType):  # type: ignore[type-arg] # older clicks have no argument
    """A time: ISO-8601 (in the reader's own zone where it names none), a day, ``today``, ``yesterday``, or so long ago
    (``90s``, ``30m``, ``12h``, ``7d``, ``2w``). Gives an aware time; of a day, its beginning, or its end where the day
    itself is meant to be in the range."""

    name = "time"

    def __init__(self, *, end: bool = False) -> None:
        self._end = end

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        if isinstance(value, datetime):
            return value
        text = str(value).strip()
        now = datetime.now(UTC).astimezone()
        days = {"today": now.date(), "yesterday": now.date() - timedelta(days=1)}
        try:
            if match := _AGO.fullmatch(text):
                return now - timedelta(**{_UNITS[match[2]]: int(match[1])})
            if text in days or _DAY.fullmatch(text):
                day = days.get(text) or datetime.fromisoformat(text).date()
                return datetime.combine(day + timedelta(days=self._end), time()).astimezone()
            return datetime.fromisoformat(text).astimezone()
        except (ValueError, OverflowError):
            self.fail(
                f"{text!r} is no time. Write 2026-11-22, 2026-11-22T14:00, today, yesterday, or 30m, 12h, 7d for so "
                "long ago.",
                param,
                ctx,
            )


class Size(click.ParamType):  # type: ignore[type-arg] # older clicks have no argument
    """Bytes: ``1500000``, ``500MB``, ``10GiB``; ``10G`` is ``10GiB``, as BigQuery bills."""

    name = "size"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        match = _SIZE.fullmatch(str(value).strip())
        if match is None:
            self.fail(f"{value!r} is no size. Write bytes, or a number with a unit: 500MB, 10GiB, 1TiB.", param, ctx)
        number, unit, binary = match.groups()
        decimal = not binary and str(value).strip().lower().endswith("b")
        base = 1000 if decimal else 1024
        size = float(number) * base ** " kmgtp".index(unit.lower() or " ")
        if size > _LARGEST:
            self.fail(f"{value!r} is larger than anything there is.", param, ctx)
        return int(size)


class Length(click.ParamType):  # type: ignore[type-arg] # older clicks have no argument
    """A length of time, ``90s``, ``30m``, ``12h`` or ``7d``, in seconds."""

    name = "duration"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        match = _AGO.fullmatch(str(value).strip())
        if match is None:
            self.fail(f"{value!r} is no length of time. Write 90s, 30m, 12h or 7d.", param, ctx)
        return timedelta(**{_UNITS[match[2]]: int(match[1])}).total_seconds()
