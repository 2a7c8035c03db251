"""Whether the text that was recorded is the text that ran."""

import re
from typing import Final

# What the recorder wrote over secrets, at their own length in the bytes of JSON.
_REDACTED: Final = re.compile(r"(?:\[redacted\**\]|\*{8,9})+")

_MOST_WORK: Final = 50_000_000
"""Characters that are compared at most, where texts are made to take long. Above it they count as different."""


def same(recorded: str, ran: str) -> bool:
    """Whether the two are one, but for white space at the ends and for what was redacted in the recording.

    What was redacted may have been anything, of one character up to its length.
    """
    recorded, ran = recorded.strip(), ran.strip()
    if recorded == ran:
        return True
    gaps = list(_REDACTED.finditer(recorded))
    if not gaps:
        return False
    # The places in `ran` up to which it can be what is recorded.
    places = {0}
    work = end = 0
    for gap in gaps:
        literal, longest = recorded[end : gap.start()], gap.end() - gap.start()
        work += len(places) * (len(literal) + longest)
        if work > _MOST_WORK:
            return False
        reached = [place + len(literal) for place in places if ran.startswith(literal, place)]
        places = {place + more for place in reached for more in range(1, longest + 1) if place + more <= len(ran)}
        end = gap.end()
    rest = recorded[end:]
    return len(ran) - len(rest) in places and ran.endswith(rest)
