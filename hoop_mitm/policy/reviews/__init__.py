"""Reviews: jobs that are held until people have said yes.

What a review is, what may become of it and who may say so, and where it is kept. Knows principals, rulings and the shape
of a job; of HTTP and of mitmproxy it knows nothing. The names are imported when they are first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hoop_mitm.policy.reviews.deciding import Change
    from hoop_mitm.policy.reviews.reason import reason_of
    from hoop_mitm.policy.reviews.review import Approval, Grounds, Held, Outcome, Review, digest_of
    from hoop_mitm.policy.reviews.store import Store

__all__ = ["Approval", "Change", "Grounds", "Held", "Outcome", "Review", "Store", "digest_of", "reason_of"]

_HOMES = {
    "Approval": "review",
    "Change": "deciding",
    "Grounds": "review",
    "Held": "review",
    "Outcome": "review",
    "Review": "review",
    "Store": "store",
    "digest_of": "review",
    "reason_of": "reason",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
