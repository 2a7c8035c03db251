"""What was decided about an operation."""

from dataclasses import dataclass
from typing import Literal

type Decision = Literal["allow", "deny", "review"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """``decision``, the ``rule`` that gave it, and for anything but ``allow`` the ``message`` the client reads."""

    decision: Decision
    rule: str
    message: str = ""
