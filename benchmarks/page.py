"""RESULTS.md: a part for each benchmark, under a title of its own; who writes one leaves the others as they are."""

import itertools
import re
from pathlib import Path

RESULTS = Path(__file__).with_name("RESULTS.md")

_PART = re.compile(r"^# (.+)\n", re.MULTILINE)


def write(part: str, page: Path = RESULTS) -> None:
    """Put ``part``, which begins with ``# Title``, in the place of the part with that title, or at the end."""
    title = _PART.match(part)
    if title is None:
        raise ValueError("a part begins with its title")
    parts = {_title(each): each for each in _parts(page.read_text() if page.exists() else "")}
    parts[title[1]] = part
    page.write_text("\n".join(f"{each.rstrip()}\n" for each in parts.values()))


def _parts(text: str) -> list[str]:
    starts = [match.start() for match in _PART.finditer(text)]
    return [text[start:end] for start, end in itertools.pairwise([*starts, len(text)])]


def _title(part: str) -> str:
    match = _PART.match(part)
    assert match is not None
    return match[1]
