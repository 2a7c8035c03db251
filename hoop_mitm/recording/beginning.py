"""Where a journal goes on: behind the last record that is known, in the same chain, or in a new one that says why."""

import contextlib
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from hoop_mitm.evidence import Chain, Checkpoint, RecordingKey, first_link
from hoop_mitm.recording.layout import Layout
from hoop_mitm.recording.segment import End, end_of, is_broken

#: How far numbering jumps over an end that is lost: what was there must not share a number with what comes.
LEAP = 10**9

BEFORE_THE_CHAIN = "what came before was recorded without a chain"
LOST_END = "the end of the journal is lost"


@dataclass(frozen=True, slots=True)
class Beginning:
    """Where to go on.

    Attributes:
        chain: the chain, as it is before the first record.
        key: fingerprint of the key that signed so far; empty in a new chain.
        reuse: the newest segment is still empty, and is the one to write to.
        after: what a new chain comes after, and why there is a new one; ``None`` for a journal's first.
    """

    chain: Chain
    key: str = ""
    reuse: bool = False
    after: dict[str, Any] | None = None

    @property
    def first(self) -> int:
        return self.chain.seq + 1

    @property
    def is_new(self) -> bool:
        """The chain has no record yet."""
        return self.chain.head == first_link(self.chain.id)


def beginning(layout: Layout, known: Chain | None, key: str) -> Beginning:
    """Where the journal goes on. ``known`` is the chain's end as this process knows it, ``key`` what signs it.

    Raises:
        sqlite3.Error: the newest segment cannot be read just now.
        RecordingError: as for :meth:`Layout.identity`.
    """
    segments = layout.segments()
    end: End | None = None
    if segments:
        try:
            end = end_of(*segments[-1])
        except sqlite3.Error as error:
            if not is_broken(error):
                raise
            last = max(segments[-1][0], known.seq if known else 0)
            return _anew(
                layout, known or _last_known(layout, segments), last, f"its newest segment is damaged: {error}"
            )
    if known is not None:
        return _after_known(layout, known, key, end)
    head = noted_head(layout)
    noted = max(layout.folded_to()[0], head.seq if head else 0)
    if end is None:
        return _anew(layout, head, noted, LOST_END) if noted else Beginning(Chain.begin(layout.identity().id))
    if end.chain is None:
        after = {"chain": None, "seq": end.last, "head": None, "why": BEFORE_THE_CHAIN}
        return Beginning(Chain.begin(layout.identity().id, max(end.last, noted)), after=after if end.last else None)
    replaced = head and head.chain == end.chain.id and head.seq == end.last and head.head != end.chain.head
    if noted > end.last or replaced:
        return _anew(layout, head if head and head.seq >= end.last else end.chain, noted, LOST_END)
    return Beginning(end.chain, end.key, reuse=end.empty)


def anew(layout: Layout, chain: Chain, why: str) -> Beginning:
    """A new chain behind ``chain``, whose end is known."""
    new = Chain.begin(f"{layout.identity().id}.{chain.seq + 1}", chain.seq)
    return Beginning(new, after={"chain": chain.id, "seq": chain.seq, "head": chain.head.hex(), "why": why})


def genesis(chain: Chain, key: RecordingKey, after: dict[str, Any] | None, **more: Any) -> dict[str, Any]:
    """The note of a chain's first record."""
    return {
        "chain": chain.id,
        "program": f"hoop-mitm {metadata.version('hoop-mitm')}",
        "created_at": datetime.now(UTC),
        "encoding": 1,
        "key": key.fingerprint,
        "public": key.public.public_bytes_raw().hex(),
        "after": after,
        **more,
    }


def noted_head(layout: Layout) -> Checkpoint | None:
    """The last checkpoint, as it was noted beside the segments."""
    try:
        return Checkpoint.from_json(layout.head.read_bytes())
    except (OSError, ValueError):
        return None


def _after_known(layout: Layout, known: Chain, key: str, end: End | None) -> Beginning:
    if end is None or end.chain is None or (end.chain.id == known.id and end.last < known.seq):
        # Somebody has taken the newest segments away. What they held is missed in the chain.
        return Beginning(replace(known), key)
    if end.chain.id != known.id:
        return _anew(layout, known, max(known.seq, end.last), "another journal lies in its place")
    # At its end may be what could not be acknowledged, and was written all the same.
    return Beginning(end.chain, end.key, reuse=end.empty)


def _last_known(layout: Layout, segments: Sequence[tuple[int, Path]]) -> Chain | Checkpoint | None:
    """What is known of the chain without its newest segment."""
    found: list[Chain | Checkpoint | None] = [noted_head(layout)]
    for first, path in reversed(segments[:-1]):
        with contextlib.suppress(sqlite3.Error):
            found.append(end_of(first, path).chain)
            break
    return max((end for end in found if end), key=lambda end: end.seq, default=None)


def _anew(layout: Layout, last: Chain | Checkpoint | None, number: int, why: str) -> Beginning:
    after: dict[str, Any] = {"chain": None, "seq": None, "head": None, "why": why}
    if last is not None:
        chain = last.chain if isinstance(last, Checkpoint) else last.id
        after |= {"chain": chain, "seq": last.seq, "head": last.head.hex()}
    first = number + LEAP
    return Beginning(Chain.begin(f"{layout.identity().id}.{first + 1}", first), after=after)
