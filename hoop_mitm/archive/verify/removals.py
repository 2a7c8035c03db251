"""What is gone, and whether a signed event says so: retention is told from tampering here."""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from hoop_mitm.archive.verify.file import File, UnreadableError
from hoop_mitm.archive.verify.records import Absent
from hoop_mitm.archive.verify.report import Findings, Place, shortened
from hoop_mitm.evidence import observations_digest, removals_digest

type _Event = tuple[str, int]

_ROWS = """
    SELECT chain, event_seq, part, target_chain, first_seq, last_seq FROM file.main.removals ORDER BY ALL
"""
_OBSERVATIONS = "SELECT chain, seq, data FROM file.main.observations ORDER BY chain, seq"
_TOGETHER = 10_000
#: Whoever takes all of a record takes these too.
_OF_A_RECORD = ("request_body", "response_body")


@dataclass(frozen=True, slots=True)
class Taking:
    """An event that says what was taken: digests of the rows of ``removals``, and of the table ``observations``."""

    chain: str
    seq: int
    type: str
    removals: str | None
    observations: str | None


@dataclass(slots=True)
class Removals:
    """What signed events say is gone."""

    _first: dict[tuple[str, str], list[int]] = field(default_factory=dict)
    _last: dict[tuple[str, str], list[int]] = field(default_factory=dict)

    def add(self, chain: str, part: str, first: int, last: int) -> None:
        """To be called in the order of ``first``."""
        firsts, lasts = self._first.setdefault((chain, part), []), self._last.setdefault((chain, part), [])
        if lasts and first <= lasts[-1] + 1:
            lasts[-1] = max(lasts[-1], last)
        else:
            firsts.append(first)
            lasts.append(last)

    def covers(self, chain: str, part: str, first: int, last: int) -> bool:
        """Whether ``part`` of all these records is said to be gone."""
        return not list(self.uncovered(chain, part, first, last))

    def uncovered(self, chain: str, part: str, first: int, last: int) -> Iterator[tuple[int, int]]:
        """Those of the records ``first`` to ``last`` of which nothing says that ``part`` is gone."""
        firsts, lasts = self._first.get((chain, part), []), self._last.get((chain, part), [])
        place = max(0, bisect_right(firsts, first) - 1)
        while first <= last:
            while place < len(firsts) and lasts[place] < first:
                place += 1
            if place == len(firsts) or firsts[place] > last:
                yield first, last
                return
            if firsts[place] > first:
                yield first, firsts[place] - 1
            first = lasts[place] + 1


def read(
    file: File, takings: Iterable[Taking], counts_for: Callable[[Taking, str], str | None], findings: Findings
) -> Removals:
    """The rows of ``removals`` that count.

    Args:
        takings: the events of all chains that say what they took.
        counts_for: why an event says nothing of a chain, in words; ``None`` when it does.
    """
    events = {(each.chain, each.seq): each for each in takings if each.removals is not None}
    good: list[tuple[str, str, int, int]] = []
    for event, rows in _by_event(file.rows(_ROWS)):
        place = Place(event[0], event[1], table="removals")
        taking = events.pop(event, None)
        if taking is None:
            words = f"{len(rows)} removals are ascribed to a record that is no event about removals."
            findings.add("removal.unsigned", words, place)
        elif not all(_is_plain(row) for row in rows) or removals_digest(rows) != taking.removals:
            findings.add(
                "removal.changed", f"The removals of {taking.type} are not those that the event was signed with.", place
            )
        else:
            for chain in {row[1] for row in rows}:
                if reason := counts_for(taking, chain):
                    words = f"What {taking.type} says was taken from chain {shortened(chain)} does not count: {reason}."
                    findings.add("removal.unsigned", words, place)
                else:
                    good += [row for row in rows if row[1] == chain]
    for taking in events.values():
        if taking.removals != removals_digest([]):
            place = Place(taking.chain, taking.seq, table="removals")
            findings.add("removal.changed", f"The removals that {taking.type} was signed with are missing.", place)
    found = Removals()
    for part, chain, first, last in sorted(good, key=lambda row: row[2]):
        found.add(chain, part, first, last)
    return found


def check_absent(
    absent: Iterable[Absent], removals: Removals, findings: Findings, *, bundle: bool
) -> Mapping[str, Mapping[str, int]]:
    """Say of what is gone and should not be; how much went on purpose, by chain and part.

    In a bundle whole records may be withheld.
    """
    taken: dict[str, dict[str, int]] = {}
    for each in absent:
        number = each.number
        for first, last in removals.uncovered(each.chain, each.part, each.first, each.last):
            number -= last - first + 1
            if bundle and each.part == "record":
                continue
            what = "" if each.part == "record" else f"The part {each.part} of "
            which = f"record {first}" if first == last else f"the records {first} to {last}"
            verb = "is" if each.part != "record" or first == last else "are"
            words = f"{what}{which} {verb} gone, and no signed event says that it was taken."
            findings.add(
                "removal.missing", words[:1].upper() + words[1:], Place(each.chain, first, last=last, table="records")
            )
        if number > 0:
            of_chain = taken.setdefault(each.chain, {})
            of_chain[each.part] = of_chain.get(each.part, 0) + number
    return taken


def check_observations(file: File, takings: Iterable[Taking], findings: Findings) -> None:
    """Compare the table ``observations`` with what the last event of each kept chain says about it."""
    saying = [each for each in takings if each.observations is not None]
    digest = observations_digest(_observations(file))
    if digest not in {each.observations for each in saying[-1:]} and (saying or digest != observations_digest([])):
        words = "The table observations is not the one that the last event about it was signed with."
        findings.add("observations.changed", words, Place(table="observations"))


def _observations(file: File) -> Iterator[tuple[str, int, str]]:
    for batch in file.batches(_OBSERVATIONS, rows=_TOGETHER):
        yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)


def _by_event(rows: list[tuple[object, ...]]) -> Iterator[tuple[_Event, list[tuple[str, str, int, int]]]]:
    current: _Event | None = None
    some: list[tuple[str, str, int, int]] = []
    for chain, event_seq, *row in rows:
        event = (chain, event_seq)
        if event != current and current is not None:
            yield current, some
            some = []
        current = event  # type: ignore[assignment] # as the table's columns are
        some.append(tuple(row))  # type: ignore[arg-type]
    if current is not None:
        yield current, some


def _is_plain(row: tuple[object, ...]) -> bool:
    part, chain, first, last = row
    return isinstance(part, str) and isinstance(chain, str) and isinstance(first, int) and isinstance(last, int)


__all__ = ["Removals", "Taking", "UnreadableError", "check_absent", "check_observations", "read"]
