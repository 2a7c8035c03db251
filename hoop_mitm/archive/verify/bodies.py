"""The stored bodies: is each what a record committed to, is every one there, and does none lie there that no record names?"""

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import zstandard

from hoop_mitm.archive.verify.file import File, UnreadableError
from hoop_mitm.archive.verify.removals import Removals
from hoop_mitm.archive.verify.report import MOST_TOLD, Findings, Place
from hoop_mitm.evidence import BodyCommitment

#: What a worker takes at a time, by the sizes that the file itself tells.
_ROWS, _BYTES = 2**14, 2**26
#: The fold cuts bodies into parts of this size.
_PART = 4 * 2**20
_READ = 64
_LONGEST_NAME = 64

_PLACES = f"""
    SELECT rowid // 256 AS block, min(rowid), max(rowid), count(*), sum(least(greatest(size, 0), {_PART}))
    FROM file.main.bodies GROUP BY block ORDER BY block
"""  # noqa: S608 - a number of ours
_PARTS = "SELECT DISTINCT hash FROM file.main.bodies WHERE part <> 0 AND hash IS NOT NULL ORDER BY hash"
_PARTS = "SELECT part, size, salt, data FROM file.main.bodies WHERE hash = ? ORDER BY part"
_TWICE = """
    SELECT hash, part, count(*) FROM file.main.bodies GROUP BY hash, part HAVING count(*) > 1 ORDER BY hash, part
"""
_BEFORE_THE_CHAIN = """
    SELECT request_body FROM file.main.flows WHERE chain IS NULL AND request_body IS NOT NULL
    UNION
    SELECT response_body FROM file.main.flows WHERE chain IS NULL AND response_body IS NOT NULL
"""
#: What is from before there was a chain has a name that cannot be checked.
_SINGLE = f"""
    SELECT hash, part, size, salt, data FROM file.main.bodies
    WHERE rowid BETWEEN ? AND ?
        AND hash NOT IN (SELECT hash FROM file.main.bodies WHERE part <> 0 AND hash IS NOT NULL)
        AND NOT (octet_length(salt) = 0 AND hash IN ({_BEFORE_THE_CHAIN}))
"""  # noqa: S608 - one of ours
_IN_PARTS = f"""
    SELECT DISTINCT hash FROM file.main.bodies
    WHERE part <> 0 AND hash IS NOT NULL AND NOT (octet_length(salt) = 0 AND hash IN ({_BEFORE_THE_CHAIN}))
    ORDER BY hash
"""  # noqa: S608 - one of ours
_ORPHANS = f"""
    SELECT DISTINCT hash FROM file.main.bodies
    WHERE hash IS NULL OR (hash NOT IN (SELECT hash FROM left_body) AND hash NOT IN ({_BEFORE_THE_CHAIN}))
    ORDER BY hash
"""  # noqa: S608 - one of ours
_OLD = f"""
    SELECT count(DISTINCT hash) FROM file.main.bodies
    WHERE hash NOT IN (SELECT hash FROM left_body) AND hash IN ({_BEFORE_THE_CHAIN})
"""  # noqa: S608 - one of ours
_GONE = """
    SELECT chain, seq, side FROM left_body
    WHERE hash NOT IN (SELECT hash FROM file.main.bodies WHERE hash IS NOT NULL)
    ORDER BY chain, seq, side
"""
_TOGETHER = 10_000


@dataclass(frozen=True, slots=True)
class Task:
    """Bodies that a worker looks at together: those in a range of places, or one that is cut into parts."""

    first: int = 0
    last: int = 0
    hash: bytes | None = None


@dataclass(slots=True)
class Looked:
    """What a worker saw."""

    number: int = 0
    size: int = 0
    findings: Findings = field(default_factory=Findings)


def tasks(file: File) -> Iterator[Task]:
    """What there is to look at.

    Raises:
        UnreadableError: the file is damaged.
    """
    waiting: list[tuple[int, int]] = []
    rows = size = 0
    for _, first, last, number, bytes_ in file.rows(_PLACES):
        if waiting and (rows + number > _ROWS or size + (bytes_ or 0) > _BYTES):
            yield Task(waiting[0][0], waiting[-1][1])
            waiting, rows, size = [], 0, 0
        waiting.append((first, last))
        rows, size = rows + number, size + (bytes_ or 0)
    if waiting:
        yield Task(waiting[0][0], waiting[-1][1])
    for (hash_,) in file.rows(_IN_PARTS):
        yield Task(hash=hash_)


def look(file: File, task: Task) -> Looked:
    """Decompress bodies and compare them with their names."""
    looked = Looked()
    try:
        if task.hash is not None:
            _whole(file, task.hash, looked)
        else:
            for batch in file.batches(_SINGLE, [task.first, task.last], rows=_READ):
                for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                    _single(*row, looked=looked)
    except UnreadableError as error:
        words = f"Bodies cannot be read here, the file is damaged: {error}"
        looked.findings.add("file.damaged", words, Place(table="bodies", row=f"rows {task.first} to {task.last}"))
    return looked


def compare(file: File, removals: Removals, findings: Findings) -> Mapping[str, Mapping[str, int]]:
    """Each body that a record names must be there, or be taken by a signed event; and none else may be there.

    Gives how many are gone on purpose, by chain and side.

    Raises:
        UnreadableError: the file is damaged.
    """
    for hash_, part, number in _some(file, "body.twice", _TWICE, findings):
        words = f"Part {part} of this body is there {number} times."
        findings.add("body.twice", words, _place(hash_))
    for (hash_,) in _some(file, "body.extra", _ORPHANS, findings):
        findings.add("body.extra", "No record names this body.", _place(hash_))
    taken: dict[str, dict[str, int]] = {}
    for batch in file.batches(_GONE, rows=_TOGETHER):
        for chain, seq, side in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            part = f"{side}_body"
            if removals.covers(chain, part, seq, seq):
                of_chain = taken.setdefault(chain, {})
                of_chain[part] = of_chain.get(part, 0) + 1
            else:
                words = f"The body of the {side} is gone, and no signed event says that it was taken."
                findings.add("removal.missing", words, Place(chain, seq, kind="flow", table="bodies"))
    return taken


def before_the_chain(file: File) -> int:
    """Bodies of flows from before there was a chain."""
    return int(file.rows(_OLD)[0][0])


def _single(
    hash_: bytes | None, part: int, size: int, salt: bytes | None, data: bytes | None, *, looked: Looked
) -> None:
    if part != 0 or hash_ is None:
        # Looked at with its other parts; a finding anyway.
        return
    plain = plain_part(data, size)
    looked.number += 1
    looked.size += size if plain is not None else 0
    if plain is None:
        looked.findings.add(
            "body.changed", "This body is damaged: it cannot be decompressed to the size it must have.", _place(hash_)
        )
    elif _commitment(salt, plain) != hash_:
        looked.findings.add(
            "body.changed", "This body is not what was recorded: it does not match its commitment.", _place(hash_)
        )


def _whole(file: File, hash_: bytes, looked: Looked) -> None:
    commitment: BodyCommitment | None = None
    for expected, (part, size, salt, data) in enumerate(file.rows(_PARTS, [hash_])):
        commitment = commitment or BodyCommitment(salt or b"")
        plain = plain_part(data, size)
        if plain is None or part != expected or salt != commitment.salt:
            words = f"Part {part} of this body is damaged, or not in its place."
            looked.findings.add("body.changed", words, _place(hash_))
            return
        commitment.update(plain)
    looked.number += 1
    if commitment is None or commitment.digest() != hash_:
        looked.findings.add(
            "body.changed", "This body is not what was recorded: it does not match its commitment.", _place(hash_)
        )


@functools.cache
def _decompressor() -> zstandard.ZstdDecompressor:
    """One for all: to make it takes longer than to use it. A process looks at one body at a time."""
    return zstandard.ZstdDecompressor()


def plain_part(data: bytes | None, size: int | None) -> bytes | None:
    """A part decompressed; ``None`` when it is not one zstd frame of ``size`` bytes. Never more than a part can have."""
    if data is None or size is None or not 0 < size <= _PART:
        return None
    try:
        # A frame says itself how long it is, and would be believed.
        if zstandard.frame_content_size(data) not in (size, -1):
            return None
        plain = _decompressor().decompress(data, max_output_size=size, allow_extra_data=False)
    except (zstandard.ZstdError, MemoryError):
        return None
    return plain if len(plain) == size else None


def _commitment(salt: bytes | None, plain: bytes) -> bytes:
    commitment = BodyCommitment(salt or b"")
    commitment.update(plain)
    return commitment.digest()


def _some(file: File, what: str, question: str, findings: Findings) -> list[tuple[Any, ...]]:
    """The first rows of the answer; the others are counted as ``what``."""
    rows = file.rows(f"SELECT *, count(*) OVER () FROM ({question}) LIMIT {MOST_TOLD}")  # noqa: S608 - one of ours
    findings.count(what, rows[0][-1] - len(rows) if rows else 0)
    return [row[:-1] for row in rows]


def _place(hash_: bytes | None) -> Place:
    return Place(table="bodies", row=hash_.hex() if hash_ is not None and len(hash_) <= _LONGEST_NAME else None)
