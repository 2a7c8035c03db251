"""Whether the text that was recorded is the text that ran."""

import re

# What the recorder wrote over a secret, at its own length in the bytes of JSON.
_REDACTED = re.compile(r"\[redacted\**\]|\*{8,9}")


def same(recorded: str, ran: str) -> bool:
    """Whether the two are one, but for white space at the ends and for what was redacted in the recording."""
    if recorded.strip() == ran.strip():
        return True
    gaps = list(_REDACTED.finditer(recorded))
    if not gaps:
        return False
    parts, end = [], 0
    for gap in gaps:
        # As long as what it stands for, or longer where JSON escapes that.
        parts += [re.escape(recorded[end : gap.start()]), f".{{1,{gap.end() - gap.start()}}}"]
        end = gap.end()
    pattern = "".join([*parts, re.escape(recorded[end:])]).strip()
    return re.fullmatch(pattern, ran.strip(), re.DOTALL) is not None
