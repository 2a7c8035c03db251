"""What a signed event commits to when values are taken out of an archive: the list of what went, and what was kept of it."""

import hashlib
from collections.abc import Iterable, Sequence

from hoop_mitm.evidence.canonical import canonical

_REMOVALS = b"hoop-mitm removals 1\0"
_OBSERVATIONS = b"hoop-mitm observations 1\0"


def removals_digest(rows: Iterable[tuple[str, str, int, int]]) -> str:
    """SHA-256 (hexadecimal) of what one event took: (part, target_chain, first_seq, last_seq), in the order of all four."""
    return _digest(_REMOVALS, rows)


def observations_digest(rows: Iterable[tuple[str, int, str]]) -> str:
    """SHA-256 (hexadecimal) of the whole table ``observations``: (chain, seq, data), in the order of chain and seq.

    Each event that changes the table commits to all of it, so the last one speaks for what is there.
    """
    return _digest(_OBSERVATIONS, rows)


def _digest(name: bytes, rows: Iterable[Sequence[str | int]]) -> str:
    found = hashlib.sha256(name)
    for row in rows:
        found.update(canonical(list(row)))
        found.update(b"\n")
    return found.hexdigest()
