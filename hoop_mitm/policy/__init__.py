"""What may be done. Knows operations, statements and principals; knows nothing of HTTP, mitmproxy or storage.

``Policy.decide`` takes a `Question` and gives a `Ruling`. Importing this is cheap; the rules are imported when they are
first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from hoop_mitm.policy.verdict import Decision, Verdict

if TYPE_CHECKING:
    from hoop_mitm.policy.estimate import Estimate
    from hoop_mitm.policy.policy import ALLOWED, Policy
    from hoop_mitm.policy.question import Question
    from hoop_mitm.policy.ruling import ReviewTerms, Ruling

__all__ = ["ALLOWED", "Decision", "Estimate", "Policy", "Question", "ReviewTerms", "Ruling", "Verdict"]

_HOMES = {
    "ALLOWED": "policy",
    "Estimate": "estimate",
    "Policy": "policy",
    "Question": "question",
    "ReviewTerms": "ruling",
    "Ruling": "ruling",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
