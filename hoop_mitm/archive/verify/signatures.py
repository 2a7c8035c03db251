"""The checkpoints of a chain: who signed what, and when."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pyarrow as pa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from hoop_mitm.archive.verify.file import File
from hoop_mitm.archive.verify.keys import Change
from hoop_mitm.archive.verify.report import Findings, Place, shortened
from hoop_mitm.evidence import Checkpoint

#: Checkpoints that a worker looks at together; a signature takes about 0.2 ms.
SOME = 2000

_COUNT = "SELECT chain, count(*), min(number) FROM file.main.checkpoints GROUP BY chain"
_CHECKPOINTS = """
    WITH chosen AS (
        FROM file.main.checkpoints WHERE chain = $chain ORDER BY number, seq LIMIT $most OFFSET $skipped
    ), links AS (
        SELECT seq, any_value(link) AS link FROM file.main.records
        WHERE chain = $chain AND seq IN (SELECT seq FROM chosen) GROUP BY seq
    )
    SELECT number, chosen.seq, head, previous, "at", reason, key, signature, links.link
    FROM chosen LEFT JOIN links ON links.seq = chosen.seq
    ORDER BY number, chosen.seq
"""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Signed:
    """One checkpoint whose signature holds, as far as the key's place in the chain is not looked at."""

    number: int
    seq: int
    at: datetime
    reason: str
    key: str


@dataclass(slots=True)
class Look:
    """What one worker saw of some checkpoints in a row."""

    signed: list[Signed] = field(default_factory=list)
    findings: Findings = field(default_factory=Findings)
    backwards: list[Signed] = field(default_factory=list)


@dataclass(slots=True)
class Signatures:
    """What a chain's checkpoints prove.

    Attributes:
        keys: the keys in the order in which the chain took them up.
        last: the last checkpoint that counts; ``None`` when none does.
        covered: the last record that each key covers.
        backwards: how often a checkpoint is older than the one before it.
    """

    keys: tuple[str, ...] = ()
    number: int = 0
    last: Signed | None = None
    covered: dict[str, int] = field(default_factory=dict)
    backwards: int = 0

    @property
    def signed_to(self) -> int:
        return self.last.seq if self.last else 0


def counts(file: File) -> Mapping[str, int]:
    """How many checkpoints each chain has."""
    return {chain: number for chain, number, _ in file.rows(_COUNT)}


def look(file: File, chain: str, offset: int, changes: Sequence[Change], bundle: bool) -> Look:  # noqa: FBT001 - a worker's task is a tuple
    """Check :data:`SOME` checkpoints, from the one at ``offset``: each by itself, and against the one before it."""
    publics = {change.key: Ed25519PublicKey.from_public_bytes(change.public) for change in changes}
    seen = Look()
    before: Checkpoint | None = None
    skipped = min(offset, 1)
    rows = file.table(_CHECKPOINTS, {"chain": chain, "most": SOME + skipped, "skipped": offset - skipped})
    for place, (checkpoint, linked) in enumerate(_checkpoints(chain, rows, seen.findings)):
        if checkpoint is not None and (place or not skipped):
            signed = _signed(checkpoint, linked, publics, seen.findings)
            _follows(before, checkpoint, seen, first=not offset, bundle=bundle)
            if signed:
                seen.signed.append(signed)
        before = checkpoint
    return seen


def weigh(chain: str, changes: Iterable[Change], signed: Iterable[Signed], findings: Findings) -> Signatures:
    """Which signatures count: those of the key that the chain had at that time.

    The first record names the first key. A record of kind ``key`` names the next one, which signs from then on if a
    checkpoint of the key before it covers just that record.
    """
    waiting = sorted(changes, key=lambda change: change.seq)
    first = waiting.pop(0) if waiting and not waiting[0].previous else None
    found = Signatures()
    if first is None:
        return found
    current, line = first.key, [first.key]
    for checkpoint in signed:
        if checkpoint.key != current:
            findings.add(
                "checkpoint.key",
                f"Checkpoint {checkpoint.number} is signed by the key {checkpoint.key[:16]}…, which this chain did not have then.",
                _place(chain, checkpoint.seq, checkpoint.number),
            )
            continue
        found.number += 1
        if found.last is None or checkpoint.seq >= found.last.seq:
            found.last = checkpoint
        found.covered[current] = max(found.covered.get(current, 0), checkpoint.seq)
        while waiting and waiting[0].seq < checkpoint.seq:
            _unused(chain, waiting.pop(0), findings)
        if waiting and waiting[0].seq == checkpoint.seq:
            change = waiting.pop(0)
            if change.previous == current and checkpoint.reason == "rotation":
                current = change.key
                line.append(current)
            else:
                _unused(chain, change, findings)
    for change in waiting:
        _unused(chain, change, findings)
    found.keys = tuple(line)
    return found


def _unused(chain: str, change: Change, findings: Findings) -> None:
    words = f"The key {change.key[:16]}… is named, but the key before it did not sign that."
    findings.add("key.unsigned", words, Place(chain, change.seq, kind="key", table="records"))


def _checkpoints(chain: str, rows: pa.Table, findings: Findings) -> Iterator[tuple[Checkpoint | None, bytes | None]]:
    at = rows.column("at").cast(pa.timestamp("us")).cast(pa.int64()).to_pylist()
    plain = [column.to_pylist() for column in rows.columns]
    for (number, seq, head, previous, _, reason, key, signature, linked), microseconds in zip(
        zip(*plain, strict=True), at, strict=True
    ):
        try:
            moment = _EPOCH + timedelta(microseconds=microseconds)
            checkpoint = Checkpoint(chain, number, seq, head, previous, moment, reason, key, signature)
            checkpoint.as_json()
        except (TypeError, ValueError, OverflowError, AttributeError):
            findings.add("checkpoint.changed", "This is no checkpoint.", _place(chain, seq, number))
            yield None, None
        else:
            yield checkpoint, linked


def _signed(
    checkpoint: Checkpoint, linked: bytes | None, publics: Mapping[str, Ed25519PublicKey], findings: Findings
) -> Signed | None:
    place = _place(checkpoint.chain, checkpoint.seq, checkpoint.number)
    public = publics.get(checkpoint.key)
    name = f"Checkpoint {checkpoint.number}"
    if public is None:
        words = f"{name} is signed by the key {shortened(checkpoint.key, 16)}, which no record of this chain names."
        findings.add("checkpoint.key", words, place)
        return None
    if not checkpoint.is_signed_by(public):
        findings.add("checkpoint.changed", f"{name} is not what was signed: its signature does not fit it.", place)
        return None
    if linked is None:
        findings.add("checkpoint.record", f"{name} signs record {checkpoint.seq}, which is missing.", place)
        return None
    if linked != checkpoint.head:
        words = f"{name} signs another history: up to record {checkpoint.seq} the chain is not the one that was signed."
        findings.add("checkpoint.head", words, place)
        return None
    return Signed(checkpoint.number, checkpoint.seq, checkpoint.at, checkpoint.reason, checkpoint.key)


def _follows(before: Checkpoint | None, checkpoint: Checkpoint, seen: Look, *, first: bool, bundle: bool) -> None:
    place = _place(checkpoint.chain, checkpoint.seq, checkpoint.number)
    if before is None:
        if first and not bundle and (checkpoint.number != 1 or checkpoint.previous):
            seen.findings.add(
                "checkpoint.missing", f"Checkpoints before number {checkpoint.number} are missing.", place
            )
        return
    if checkpoint.number == before.number:
        seen.findings.add("checkpoint.twice", f"There are several checkpoints with number {checkpoint.number}.", place)
    elif checkpoint.number != before.number + 1:
        if not bundle:
            words = f"Checkpoints {before.number + 1} to {checkpoint.number - 1} are missing."
            seen.findings.add("checkpoint.missing", words, place)
    elif checkpoint.previous != before.digest:
        words = (
            f"Checkpoint {checkpoint.number} does not follow number {before.number}: it names another one before it."
        )
        seen.findings.add("checkpoint.order", words, place)
    if checkpoint.seq < before.seq:
        words = f"Checkpoint {checkpoint.number} covers less than number {before.number} did."
        seen.findings.add("checkpoint.order", words, place)
    if checkpoint.at < before.at:
        seen.backwards.append(
            Signed(checkpoint.number, checkpoint.seq, checkpoint.at, checkpoint.reason, checkpoint.key)
        )


def _place(chain: str, seq: object, number: object) -> Place:
    return Place(chain, seq if isinstance(seq, int) else None, table="checkpoints", row=f"number {number}")
