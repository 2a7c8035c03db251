"""Why something is asked for, in the client's own words."""

import re
from collections.abc import Mapping
from typing import Final

LABEL: Final = "hoop-reason"
"""The label of a job that says why; BigQuery allows 63 characters of ``a-z0-9_-`` in it."""

LONGEST: Final = 1_000
_COMMENT: Final = re.compile(
    r"(?:--|\#|/\*)[ \t]*hoop\.reason[ \t]*[:=][ \t]*(?P<reason>[^\r\n]*?)[ \t]*(?:\*/|[\r\n]|\Z)"
)


def reason_of(statement: str | None, labels: Mapping[str, str]) -> str:
    """The comment ``hoop.reason: …`` of a statement, else the label ``hoop-reason``; ``""`` without either.

    It is shown to people and decides nothing, so that a comment within a string counts too.
    """
    if statement and (found := _COMMENT.search(statement)):
        return found["reason"][:LONGEST]
    return labels.get(LABEL, "")[:LONGEST]
