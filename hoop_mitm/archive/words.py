"""How figures and other people's text are written for a reader, on a terminal and on a page.

Everything in a recording was written by somebody else, so nothing of it may steer what it is shown on: control and
direction characters are made visible.
"""

import re
from datetime import datetime, timedelta

from hoop_mitm import figures
from hoop_mitm.archive import money

UNKNOWN = "·"

#: C0 but for tab and newline, DEL, C1, and what reorders or hides text (bidirectional controls, zero width, tags).
STEERING = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\U000e0000-\U000e007f]"
)


def visible(text: str) -> str:
    """``text`` with everything that would steer a terminal, or hide from a reader, made visible."""
    return STEERING.sub(_picture, text)


def _picture(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x20:  # noqa: PLR2004 - C0 have pictures of their own
        return chr(0x2400 + code)
    return f"<U+{code:04X}>"


def size(count: int | None) -> str:
    """Bytes, in the binary units that BigQuery bills in."""
    if count is None:
        return UNKNOWN
    return figures.size(count)


def price(bytes_billed: int | None) -> str:
    """An estimate in dollars."""
    if not bytes_billed:
        return "$0"
    amount = money.dollars(bytes_billed)
    return "< $0.01" if amount < 0.01 else f"≈ ${amount:,.2f}"  # noqa: PLR2004


def took(length: timedelta | None) -> str:
    """A length of time."""
    if length is None:
        return UNKNOWN
    seconds = length.total_seconds()
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:  # noqa: PLR2004
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


def count(number: int, noun: str, plural: str | None = None) -> str:
    """``3 rows``."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def missing(at: datetime | None) -> str:
    """Why something that there was is not there: when retention took it, or that it never was recorded."""
    return "not recorded" if at is None else f"deleted by retention on {at:%Y-%m-%d}"
