"""Two statements side by side, token by token: what stayed, what went, what came."""

from collections.abc import Iterable, Iterator, Sequence

from hoop_mitm.archive.comparing.found import Piece
from hoop_mitm.archive.statements import keyed
from hoop_mitm.bigquery.tokens import Token

# Cells of the bit matrix of a common sequence.
_MOST_BITS = 2**31


def pieces(before: str, after: str) -> tuple[Piece, ...]:
    """``after`` with its layout, and what of ``before`` is not in it. Comments and layout make no difference."""
    old, new = keyed(before), keyed(after)
    return tuple(_joined(_pieces(before, after, old, new)))


def _pieces(
    before: str, after: str, old: Sequence[tuple[str, Token]], new: Sequence[tuple[str, Token]]
) -> Iterator[Piece]:
    told = 0
    for tag, first, last, other_first, other_last in _operations([key for key, _ in old], [key for key, _ in new]):
        if other_last > other_first:
            lead = new[other_first][1].start
            if lead > told:
                yield Piece("same", after[told:lead])
            told = lead
        if tag == "equal":
            end = new[other_last - 1][1].end
            yield Piece("same", after[told:end])
            told = end
            continue
        if last > first:
            yield Piece("removed", before[old[first][1].start : old[last - 1][1].end])
        if other_last > other_first:
            end = new[other_last - 1][1].end
            yield Piece("added", after[told:end])
            told = end
    if told < len(after):
        yield Piece("same", after[told:])


def _operations(old: Sequence[str], new: Sequence[str]) -> Iterator[tuple[str, int, int, int, int]]:
    from rapidfuzz.distance import Indel

    if len(old) * len(new) > _MOST_BITS:
        yield "replace", 0, len(old), 0, len(new)
        return
    found: Iterable[tuple[str, int, int, int, int]] = Indel.opcodes(old, new)  # type: ignore[assignment]
    waiting: tuple[str, int, int, int, int] | None = None
    for tag, first, last, other_first, other_last in found:
        # What went and what came at one place belong together, in this order.
        if waiting and tag != "equal":
            waiting = "replace", waiting[1], last, waiting[3], other_last
        elif waiting:
            yield waiting
            waiting = None
        if tag == "equal":
            yield tag, first, last, other_first, other_last
        elif not waiting:
            waiting = tag, first, last, other_first, other_last
    if waiting:
        yield waiting


def _joined(found: Iterator[Piece]) -> Iterator[Piece]:
    last: Piece | None = None
    for piece in found:
        if last is not None and last.kind == piece.kind:
            last = Piece(last.kind, last.text + piece.text)
            continue
        if last is not None:
            yield last
        last = piece
    if last is not None:
        yield last
