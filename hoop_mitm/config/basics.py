"""What every part of the configuration is made of."""

import re
from datetime import timedelta
from decimal import Decimal
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def _duration(value: object) -> object:
    if isinstance(value, str) and (match := re.fullmatch(r"([0-9]{1,6})\s*([smhd])", value.strip())):
        value = timedelta(seconds=int(match[1]) * _UNITS[match[2]])
    if isinstance(value, timedelta) and value >= timedelta(0):
        return value
    raise ValueError("write a duration such as 90s, 15m, 8h or 30d")


def written(value: timedelta) -> str:
    """A duration as :data:`Duration` reads it, in the largest unit that says it without a rest."""
    seconds = int(value.total_seconds())
    unit = next(name for name in "dhms" if seconds % _UNITS[name] == 0)
    return f"{seconds // _UNITS[unit]}{unit}"


Duration = Annotated[
    timedelta,
    BeforeValidator(_duration),
    # As it is read: a configuration that was written out can be loaded again.
    PlainSerializer(written, when_used="json"),
]


_BYTES = {"": 1, "B": 1} | {
    f"{prefix}{suffix}": base**power
    for power, prefix in enumerate("KMGTP", 1)
    for suffix, base in (("B", 1000), ("iB", 1024))
}


def _bytes(value: object) -> object:
    if isinstance(value, bool):
        value = None
    if isinstance(value, int):
        value = str(value)
    if isinstance(value, str):
        match = re.fullmatch(r"([0-9]{1,15}(?:\.[0-9]{1,6})?) ?([A-Za-z]{0,3})", value.strip())
        if match and match[2] in _BYTES:
            return int(Decimal(match[1]) * _BYTES[match[2]])
    raise ValueError("write a number of bytes such as 500MB, 10GB or 1.5TiB (GB is 10⁹ bytes, GiB is 2³⁰)")


Bytes = Annotated[int, BeforeValidator(_bytes)]
"""A number of bytes, written with a unit: ``10GB`` is 10⁹ of them, ``10GiB`` 2³⁰."""

Text = Annotated[str, Field(min_length=1)]


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
