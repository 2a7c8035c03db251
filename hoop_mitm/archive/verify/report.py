"""What a verification found, and what it could not prove."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

#: Findings of one kind that are told one by one; the others are only counted.
MOST_TOLD = 200


@dataclass(frozen=True, slots=True)
class Place:
    """Where something is wrong, as exactly as is known.

    Attributes:
        chain: name of the chain.
        seq: number of the record in it; ``last`` where it is a range.
        kind: what kind of record, as the record says.
        at: when it was written, by the gateway's clock, as the record says (ISO-8601).
        session: id of the session that it belongs to.
        table: table of the archive.
        row: what tells the row from the others: an id, or several values.
        column: column of the table.
    """

    chain: str | None = None
    seq: int | None = None
    last: int | None = None
    kind: str | None = None
    at: str | None = None
    session: str | None = None
    table: str | None = None
    row: str | None = None
    column: str | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that cannot be as the gateway left it. ``what`` is a stable word, ``words`` a sentence."""

    what: str
    place: Place
    words: str


@dataclass(frozen=True, slots=True)
class Limit:
    """Something that was not proved, and what would. ``what`` is a stable word, ``words`` a sentence or two."""

    what: str
    words: str


type Origin = Literal["gateway", "archive", "import"]


@dataclass(frozen=True, slots=True)
class ChainReport:
    """One chain, and how much of it is covered by what.

    Attributes:
        origin: ``gateway`` recorded it; ``archive`` is the file's own work (retention and the like); ``import``
            came from another program's file and is no evidence of this gateway.
        records: how many it has here; ``withheld`` of them are left out of a bundle.
        removed: records, parts and bodies that a signed record says were taken out, by kind.
        first, last: numbers of its first and last record here.
        begins, ends: the earliest and the latest time that its records tell, by the gateway's clock.
        checkpoints: how many there are here.
        signed_to: the last record that a signature covers; 0 when none does.
        signed_at: when that was signed, by the gateway's clock.
        keys: fingerprints of the keys that signed it, the oldest first.
        proven_to: the last record that a given key, or one that descends from it, covers; ``None`` without given keys.
        heads: how many of the heads kept elsewhere were found in it.
    """

    id: str
    origin: Origin
    records: int
    withheld: int
    removed: Mapping[str, int]
    first: int
    last: int
    begins: str | None
    ends: str | None
    checkpoints: int
    signed_to: int
    signed_at: datetime | None
    keys: tuple[str, ...]
    proven_to: int | None
    heads: int


@dataclass(frozen=True, slots=True)
class Report:
    """The outcome.

    Attributes:
        path: the file.
        bundle: id of the session that the file holds alone; ``None`` for a whole archive.
        checked: what was checked, and how much of each.
        findings: at most :data:`MOST_TOLD` of each kind; ``found`` counts all.
        chains: the gateway's first.
        uncovered: rows from before the chain, by table: nothing is said about them.
        notes: what the recording itself says about its own gaps, and what is unusual but sound.
        limits: what was not proved.
        seconds: how long it took.
    """

    path: str
    bundle: str | None
    checked: Mapping[str, int]
    findings: tuple[Finding, ...]
    found: Mapping[str, int]
    chains: tuple[ChainReport, ...]
    uncovered: Mapping[str, int]
    notes: tuple[str, ...]
    limits: tuple[Limit, ...]
    seconds: float

    @property
    def verified(self) -> bool:
        return not self.found


@dataclass(slots=True)
class Findings:
    """Collects findings without keeping more than can be read."""

    told: list[Finding] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def add(self, what: str, words: str, place: Place | None = None) -> None:
        self.counts[what] += 1
        if self.counts[what] <= MOST_TOLD:
            self.told.append(Finding(what, place or Place(), words))

    def count(self, what: str, more: int) -> None:
        """Say of ``more`` others that are not told."""
        if more:
            self.counts[what] += more

    def extend(self, told: Iterable[Finding], counts: Mapping[str, int]) -> None:
        """Add what another collection found."""
        room = {what: MOST_TOLD - self.counts[what] for what in counts}
        for finding in told:
            if room[finding.what] > 0:
                self.told.append(finding)
                room[finding.what] -= 1
        self.counts.update(counts)


def shortened(value: object, most: int = 80) -> str:
    """A value as it can stand in a sentence."""
    text = value.hex() if isinstance(value, bytes) else value if isinstance(value, str) else repr(value)
    return text if len(text) <= most else f"{text[:most]}… ({len(text)} characters)"
