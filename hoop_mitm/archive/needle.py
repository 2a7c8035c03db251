"""A text as it may stand in a recorded answer, so that most answers need not be understood to know that it does not."""

import re

# What a JSON writer leaves as it is.
_PLAIN = re.compile(rb"[a-z0-9_@.,:;?!#$%()*\[\]{}|~^` -]+")
# Numbers, times, booleans and such are shown otherwise than they are sent: 1.5 for 1.50, a date for a count of seconds.
_SHOWN_OTHERWISE = re.compile(r"[0-9.:+tze-]*")
_WORDS_SHOWN = ("true", "false", "nan", "infinity", "-infinity")
# The few letters beyond ASCII that are ASCII without regard to case: Kelvin sign, long s, I with a dot.
_ALMOST_ASCII = re.compile(rb"\xe2\x84\xaa|\xc5\xbf|\xc4\xb0")
# These escaped; or a letter or digit, without need.
_ESCAPED = re.compile(rb"\\u(?:00[2-7]|212a|017f|0130)", re.IGNORECASE)


class Needle:
    """``text`` as it is looked for in rows.

    Attributes:
        overlap: how many bytes of a part of a body must be looked at again together with the next one.
    """

    def __init__(self, text: str) -> None:
        lower = text.lower()
        runs = _PLAIN.findall(lower.encode("utf-8", "surrogatepass"))
        self._run: bytes = max(runs, key=len, default=b"")
        self._anywhere = _SHOWN_OTHERWISE.fullmatch(lower) is not None or any(lower in word for word in _WORDS_SHOWN)
        self.overlap = max(len(self._run), 6) - 1

    def may_stand_in(self, body: bytes) -> bool:
        """Whether a row that ``body``, or a part of it, holds as JSON can have the text. ``False`` is certain."""
        if self._anywhere:
            return True
        if not self._run:
            return not body.isascii() or b"\\" in body
        if self._run in body.lower():
            return True
        return (not body.isascii() and _ALMOST_ASCII.search(body) is not None) or (
            b"\\u" in body and _ESCAPED.search(body) is not None
        )
