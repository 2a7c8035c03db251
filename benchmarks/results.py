"""What a run has measured."""

import statistics
from collections.abc import Callable
from dataclasses import dataclass, field

from benchmarks.large import Passage

type Figure = Callable[["Sample"], float]


@dataclass(frozen=True, slots=True)
class Case:
    """What is asked: ``kind`` (``statement`` or ``page``), how large an answer it gets, over how many connections."""

    kind: str
    size: str
    connections: int


@dataclass(frozen=True, slots=True)
class Sample:
    """One variant in one case and one round. ``rate`` is answers a second; all else is seconds, of CPU for one answer."""

    rate: float
    p50: float
    p99: float
    cpu: float
    fold_cpu: float


@dataclass(slots=True)
class Results:
    """All of a run, by the variants' names.

    Attributes:
        direct, bare: what the others are compared with.
        samples: one a round.
        passages: how one large answer went, by what was asked.
        answers, size: what came through the gateway, and bytes of its bodies; all of it was found in its archive.
    """

    direct: str
    bare: str
    samples: dict[tuple[str, Case], list[Sample]] = field(default_factory=dict)
    passages: dict[tuple[str, str], Passage] = field(default_factory=dict)
    answers: int = 0
    size: int = 0

    @property
    def cases(self) -> list[Case]:
        return list(dict.fromkeys(case for _, case in self.samples))

    @property
    def variants(self) -> list[str]:
        return list(dict.fromkeys(variant for variant, _ in self.samples))

    def median(self, variant: str, case: Case, figure: Figure) -> float:
        return statistics.median(figure(sample) for sample in self.samples[variant, case])

    def ratio(self, variant: str, case: Case, figure: Figure) -> float:
        """To bare mitmdump in the same round."""
        return statistics.median(figure(a) / figure(b) for a, b in self._pairs(variant, self.bare, case))

    def added(self, variant: str, case: Case, figure: Figure) -> float:
        """To no proxy in the same round."""
        return statistics.median(figure(a) - figure(b) for a, b in self._pairs(variant, self.direct, case))

    def _pairs(self, variant: str, other: str, case: Case) -> list[tuple[Sample, Sample]]:
        return list(zip(self.samples[variant, case], self.samples[other, case], strict=True))
