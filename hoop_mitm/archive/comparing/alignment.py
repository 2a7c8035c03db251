"""Which job of one session is which of the other.

First the longest common sequence of equal statements; of what is left, equal statements at another place were moved;
then, between those that are paired already, jobs are aligned by likeness: the same shape (only literals differ), or
mostly the same words. What stays alone was added or removed.
"""

from collections import deque
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from hoop_mitm.archive.comparing.generated import Generated
from hoop_mitm.archive.entries import JobEntry
from hoop_mitm.archive.statements import keyed, normal

type Pair = tuple[JobEntry | None, JobEntry | None, bool]
type Jobs = Sequence[JobEntry]

#: Of the tokens of two statements, the part that must be common for one to be an edit of the other.
ALIKE = 0.6
# Between equal and alike: the same statement with other literals is more its own edit than any other.
_SAME_SHAPE = 0.99
# Cells of a table of likenesses, and of the bit matrix of a common sequence: beyond, what is found is less exact.
_MOST_LIKENESSES = 10_000
_MOST_BITS = 2**31


@dataclass(frozen=True, slots=True)
class _Item:
    """What a job is compared by."""

    kind: tuple[str, bool]
    exact: Hashable
    shape: Hashable
    words: tuple[str, ...]


def align(
    before: Jobs, after: Jobs, names_before: Generated | None = None, names_after: Generated | None = None
) -> list[Pair]:
    """Pair the jobs of two sessions; the third of each is that it was moved. In the order of the second session, with
    what is gone where it stood among those that stayed. ``names_…``: generated ones in statements, which say nothing."""
    old = [_item(job, names_before or Generated()) for job in before]
    new = [_item(job, names_after or Generated()) for job in after]
    anchors = _common([item.exact for item in old], [item.exact for item in new])
    moved = _moved(old, new, anchors)
    partners: dict[int, tuple[int, bool]] = {there: (here, False) for here, there in anchors}
    partners |= {there: (here, True) for here, there in moved}
    taken_old, taken_new = {here for here, _ in partners.values()}, set(partners)
    for first, second in _gaps(anchors, len(old), len(new)):
        rest_old = [index for index in first if index not in taken_old]
        rest_new = [index for index in second if index not in taken_new]
        for here, there in _alike([old[index] for index in rest_old], [new[index] for index in rest_new]):
            partners[rest_new[there]] = (rest_old[here], False)
    _pair_by_shape(old, new, partners)
    return list(_in_order(before, after, partners))


def _item(job: JobEntry, names: Generated) -> _Item:
    kind = (job.job_type, job.dry_run)
    if job.statement is None:
        tables = tuple(names.without(str(table)) for table in (*job.referenced_tables, job.destination))
        return _Item(kind, (*kind, tables), (*kind, tables), ())
    text = names.without(job.statement)
    words = tuple(key for key, _ in keyed(text))
    exact = (*kind, normal(text))
    return _Item(kind, exact, (*kind, job.fingerprint) if job.fingerprint else exact, words)


def _common(before: Sequence[Hashable], after: Sequence[Hashable]) -> list[tuple[int, int]]:
    """The places of a longest common sequence, in both."""
    from rapidfuzz.distance import LCSseq

    numbers: dict[Hashable, int] = {}
    old = [numbers.setdefault(key, len(numbers)) for key in before]
    new = [numbers.setdefault(key, len(numbers)) for key in after]
    start = next((place for place, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
    exact = (len(old) - start) * (len(new) - start) <= _MOST_BITS
    found: Iterable[tuple[str, int, int, int, int]] = (
        LCSseq.opcodes(old, new) if exact else SequenceMatcher(None, old, new).get_opcodes()  # type: ignore[assignment]
    )
    return [
        (place, other)
        for tag, first, last, other_first, other_last in found
        if tag == "equal"
        for place, other in zip(range(first, last), range(other_first, other_last), strict=True)
    ]


def _moved(old: Sequence[_Item], new: Sequence[_Item], anchors: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    kept_old, kept_new = {here for here, _ in anchors}, {there for _, there in anchors}
    gone: dict[Hashable, deque[int]] = {}
    for index, item in enumerate(old):
        if index not in kept_old:
            gone.setdefault(item.exact, deque()).append(index)
    return [
        (candidates.popleft(), index)
        for index, item in enumerate(new)
        if index not in kept_new and (candidates := gone.get(item.exact))
    ]


def _gaps(anchors: Sequence[tuple[int, int]], old: int, new: int) -> Iterator[tuple[range, range]]:
    here = there = 0
    for next_here, next_there in (*anchors, (old, new)):
        if next_here > here and next_there > there:
            yield range(here, next_here), range(there, next_there)
        here, there = next_here + 1, next_there + 1


def _alike(old: Sequence[_Item], new: Sequence[_Item]) -> list[tuple[int, int]]:
    """The alignment of two gaps that keeps the most likeness."""
    if not old or not new:
        return []
    if len(old) * len(new) > _MOST_LIKENESSES:
        return _alike_by_parts(old, new)
    likeness = [[_likeness(one, other) for other in new] for one in old]
    best = [[0.0] * (len(new) + 1) for _ in range(len(old) + 1)]
    for i in range(len(old) - 1, -1, -1):
        for j in range(len(new) - 1, -1, -1):
            paired = likeness[i][j] + best[i + 1][j + 1] if likeness[i][j] else 0.0
            best[i][j] = max(paired, best[i + 1][j], best[i][j + 1])
    found: list[tuple[int, int]] = []
    i = j = 0
    while i < len(old) and j < len(new):
        if likeness[i][j] and best[i][j] == likeness[i][j] + best[i + 1][j + 1]:
            found.append((i, j))
            i, j = i + 1, j + 1
        elif best[i][j] == best[i + 1][j]:
            i += 1
        else:
            j += 1
    return found


def _alike_by_parts(old: Sequence[_Item], new: Sequence[_Item]) -> list[tuple[int, int]]:
    """Where a gap is large: its equal shapes first, then what lies between those, as far as that is small."""
    shapes = _common([item.shape for item in old], [item.shape for item in new])
    found = list(shapes)
    for first, second in _gaps(shapes, len(old), len(new)):
        if len(first) * len(second) <= _MOST_LIKENESSES:
            inner = _alike([old[index] for index in first], [new[index] for index in second])
            found += [(first[here], second[there]) for here, there in inner]
    return found


def _likeness(one: _Item, other: _Item) -> float:
    from rapidfuzz.distance import Indel

    if one.shape == other.shape:
        return _SAME_SHAPE
    if one.kind != other.kind or not one.words or not other.words:
        return 0.0
    return Indel.normalized_similarity(one.words, other.words, score_cutoff=ALIKE) * _SAME_SHAPE


def _pair_by_shape(old: Sequence[_Item], new: Sequence[_Item], partners: dict[int, tuple[int, bool]]) -> None:
    """What is still alone, and has a statement of the same shape elsewhere: moved, with other literals."""
    taken = {here for here, _ in partners.values()}
    gone: dict[Hashable, deque[int]] = {}
    for index, item in enumerate(old):
        if index not in taken:
            gone.setdefault(item.shape, deque()).append(index)
    for index, item in enumerate(new):
        if index not in partners and (candidates := gone.get(item.shape)):
            partners[index] = (candidates.popleft(), True)


def _in_order(before: Jobs, after: Jobs, partners: dict[int, tuple[int, bool]]) -> Iterator[Pair]:
    fixed = {there: here for there, (here, moved) in partners.items() if not moved}
    taken = {here for here, _ in partners.values()}
    gone = deque(here for here in range(len(before)) if here not in taken)
    ends = _ends(fixed, len(before), len(after))
    for index, job in enumerate(after):
        while gone and gone[0] < ends[index]:
            yield before[gone.popleft()], None, False
        here, moved = partners.get(index, (None, False))
        yield (None if here is None else before[here]), job, moved
    yield from ((before[here], None, False) for here in gone)


def _ends(fixed: dict[int, int], old: int, new: int) -> list[int]:
    """For each job of the second session the place of the next in the first that kept its place."""
    ends = [old] * new
    end = old
    for index in range(new - 1, -1, -1):
        end = ends[index] = fixed.get(index, end)
    return ends
