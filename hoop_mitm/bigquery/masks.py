"""``fields`` masks: an answer with fewer fields. What ownership, cost and the recording need must not be masked away."""

import re
from collections.abc import Mapping
from typing import Final

from hoop_mitm.bigquery.unreadable import Unreadable

_NEEDED: Final[Mapping[str, frozenset[str]]] = {
    "jobs.insert": frozenset({"jobReference"}),
    "jobs.upload": frozenset({"jobReference"}),
    # Without a job of its own, a query says only here what it cost.
    "jobs.query": frozenset({"jobReference", "totalBytesBilled"}),
}
"""What an answer must say, by the door that it comes through."""

_HEADER: Final = "x-goog-fieldmask"
_FIRST = re.compile(r"[(/]")
_PLAIN = re.compile(r"[A-Za-z0-9_*,/()]*")


def of(parameters: Mapping[str, str], headers: Mapping[str, str]) -> str | None:
    """The mask of a request; ``None`` where all fields are asked for.

    Raises:
        Unreadable: it is there twice, or has characters that no field has.
    """
    given = [mask for mask in (parameters.get("fields"), headers.get(_HEADER)) if mask]
    if len(given) > 1:
        raise Unreadable(f"it has a mask in fields and another in {_HEADER}.")
    if given and not _PLAIN.fullmatch(given[0]):
        raise Unreadable("its fields mask has characters that no field has.")
    return given[0] if given else None


def check(door: str, mask: str, *, dry_run: bool) -> None:
    """Lets a mask pass that leaves what is needed.

    Raises:
        Unreadable: it does not.
    """
    needed = _NEEDED.get(door, frozenset())
    if dry_run or not needed:
        return
    whole, narrowed = _top_level(mask)
    missing = (frozenset() if "*" in whole else needed - whole) | (needed & narrowed)
    if "*" in narrowed:
        # Readers could differ on what it leaves of a field that is named besides.
        missing = needed
    if missing:
        raise Unreadable(
            f"its fields mask leaves out {', '.join(sorted(missing))}, without which nobody knows whose job this is and what "
            "it cost. Add it to fields, or leave fields away."
        )


def _top_level(mask: str) -> tuple[frozenset[str], frozenset[str]]:
    """The fields of the answer itself that a mask keeps whole, and those of which it keeps parts: of ``a,b(c),d/e`` it is
    ``a``, and ``b`` and ``d``."""
    depth, names, name = 0, [], ""
    for letter in f"{mask},":
        depth += (letter == "(") - (letter == ")")
        if letter == "," and depth == 0:
            names.append(name)
            name = ""
        else:
            name += letter
    first = {name: _FIRST.split(name, maxsplit=1)[0] for name in names}
    whole = frozenset(name for name in names if first[name] == name)
    return whole, frozenset(first[name] for name in names if first[name] != name)
