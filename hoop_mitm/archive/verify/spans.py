"""Which records there are, cut into spans that one worker looks through at a time."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from hoop_mitm.archive.verify.file import File
from hoop_mitm.archive.verify.report import Findings, Place

#: Records that a worker looks through at a time.
SPAN = 2**14

_BLOCKS = f"""
    SELECT chain, seq // {SPAN} AS block, count(*), count(DISTINCT seq), min(seq), max(seq)
    FROM file.main.records WHERE chain IS NOT NULL AND seq >= 1
    GROUP BY ALL ORDER BY chain, block
"""  # noqa: S608 - a number of ours
_NAMELESS = "SELECT count(*) FROM file.main.records WHERE chain IS NULL OR seq IS NULL OR seq < 1"


@dataclass(frozen=True, slots=True)
class Span:
    """Records of one chain, by their numbers.

    Attributes:
        before: number of the record before the first one; ``None`` where there is none.
        rows: how many rows there are; more than numbers where some stand twice.
    """

    chain: str
    first: int
    last: int
    rows: int
    numbers: int
    before: int | None


def spans(file: File, findings: Findings) -> Mapping[str, tuple[Span, ...]]:
    """The spans of each chain, in order. Rows without a chain or a number are a finding.

    Raises:
        UnreadableError: the file is damaged.
    """
    found: dict[str, list[Span]] = {}
    nameless = file.rows(_NAMELESS)[0][0]
    if nameless:
        words = f"{nameless:,} records have no number, or are of no chain."
        findings.add("record.form", words, Place(table="records"))
    for span in _joined(file):
        found.setdefault(span.chain, []).append(span)
    return {chain: tuple(some) for chain, some in found.items()}


def _joined(file: File) -> Iterator[Span]:
    current: Span | None = None
    for chain, _, rows, numbers, first, last in file.rows(_BLOCKS):
        if current is not None and current.chain == chain and current.rows + rows <= SPAN:
            current = Span(chain, current.first, last, current.rows + rows, current.numbers + numbers, current.before)
            continue
        if current is not None:
            yield current
        before = current.last if current is not None and current.chain == chain else None
        current = Span(chain, first, last, rows, numbers, before)
    if current is not None:
        yield current
