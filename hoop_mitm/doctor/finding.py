"""One thing that is wrong."""

from dataclasses import dataclass
from typing import Literal

type Level = Literal["broken", "warning"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong, why it matters, and what to do.

    Attributes:
        id: a stable short name, for programs.
        level: ``broken``: something does not work, or is not protected that should be; ``warning``: it works, and yet.
        what, why, remedy: one or two sentences each.
    """

    id: str
    level: Level
    what: str
    why: str
    remedy: str


class NotChecked(Exception):
    """A check that cannot be made here; the text says why, in a clause."""
