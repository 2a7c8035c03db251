"""Names with ``*`` in them: patterns of rules, and tables of which not everything is known."""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from hoop_mitm.bigquery.operation import TableRef

UNKNOWN = "*"
"""Stands in a name for what nobody knows: the rest of a wildcard table's name, a dataset that the statement leaves out."""


def named(table: TableRef) -> str:
    """A table's full name. Parts that are not known are ``*``: so a pattern covers it only if it covers whatever may
    stand there."""
    return ".".join(part or UNKNOWN for part in (table.project, table.dataset, table.table))


class Patterns:
    """Patterns in which ``*`` stands for any characters, points included; nothing else is special."""

    def __init__(self, patterns: Iterable[str], *, parts: int = 1) -> None:
        """``parts``: of how many parts a full name has. A pattern with fewer means any that ends so."""
        self.written = tuple(patterns)
        full = tuple(completed(pattern, parts) for pattern in self.written)
        self._lowered = tuple(pattern.casefold() for pattern in full)
        self._covers = re.compile("|".join(map(_regex, full)) or r"(?!)", re.DOTALL)

    def __bool__(self) -> bool:
        return bool(self.written)

    def __str__(self) -> str:
        return ", ".join(self.written)

    def covers(self, name: str) -> bool:
        """Whether everything that ``name`` may stand for matches one of them, letter by letter."""
        # A star of the name can only be met by a star of the pattern, which then meets all that it may stand for.
        return self._covers.fullmatch(name) is not None

    def meets(self, name: str) -> bool:
        """Whether anything that ``name`` may stand for matches one of them; capitals and small letters are the same,
        since datasets may be told not to tell them apart."""
        lowered = name.casefold()
        return any(_meet(pattern, lowered) for pattern in self._lowered)


def completed(pattern: str, parts: int) -> str:
    """A pattern with all its parts: one with fewer means any that ends so."""
    missing = parts - 1 - pattern.count(".")
    # What has a colon names a project (acme.com:crm.shop.orders); a lone star stands for all of it.
    if pattern == UNKNOWN or missing <= 0 or ":" in pattern:
        return pattern
    return f"{UNKNOWN}.{pattern}"


_POINTS: Final = 2


def _meet(pattern: str, name: str) -> bool:
    if pattern.count(".") == _POINTS == name.count("."):
        # Part by part: what a wildcard table may stand for has no point in it.
        return all(overlap(*parts) for parts in zip(pattern.split("."), name.split("."), strict=True))
    return overlap(pattern, name)


def _regex(pattern: str) -> str:
    return ".*".join(re.escape(part) for part in pattern.split(UNKNOWN))


@lru_cache(maxsize=4096)
def overlap(one: str, other: str) -> bool:
    """Whether there is a text that both match; either may have stars."""
    if UNKNOWN not in other:
        return re.fullmatch(_regex(one), other, re.DOTALL) is not None
    # reached[j]: a text that fits what was read of `one` also fits `other[:j]`.
    reached = [True] + [False] * len(other)
    for j, letter in enumerate(other, 1):
        reached[j] = letter == UNKNOWN and reached[j - 1]
    for letter in one:
        following = [letter == UNKNOWN and reached[0]]
        for j, theirs in enumerate(other, 1):
            if letter == UNKNOWN:
                fits = reached[j] or following[j - 1]
            elif theirs == UNKNOWN:
                fits = following[j - 1] or reached[j]
            else:
                fits = letter == theirs and reached[j - 1]
            following.append(fits)
        reached = following
    return reached[-1]
