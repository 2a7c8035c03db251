"""Who owns what at Google.

All principals share Google's credential, so Google cannot tell them apart: what one of them made, nobody else may
touch. A claim is committed together with the record of the answer that it was learnt from.
"""

import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

from hoop_mitm.bigquery.operation import Resource

#: How long a claim is remembered. Longer than anything lives at Google that it protects: anonymous result tables and
#: BigQuery sessions 24 h, uploads 7 days, read sessions 6 h. An older job id is refused to everyone.
LIFETIME = 7 * 86400
#: How many claims are remembered; the oldest are forgotten first. About 200 bytes each.
CAPACITY = 1_000_000


@dataclass(frozen=True, slots=True)
class Owner:
    """``principal`` is :attr:`Principal.key`; ``connection`` is the name in ``hoop.yaml``."""

    principal: str
    connection: str


def claimed(resource: Resource, owner: Owner) -> Resource:
    """What a claim is laid on. A result table may be several people's: for a cached result, Google gives each who asked
    the same statement the same table."""
    if resource.kind == "table":
        return Resource("table", f"{resource.id} of {owner.principal}")
    return resource


@dataclass(frozen=True, slots=True)
class Claim:
    """A resource, its owner, and when it was claimed (seconds since the epoch)."""

    resource: Resource
    owner: Owner
    at: float


class Owners:
    """The claims in memory. The first claim on a resource stands; a later one by somebody else changes nothing."""

    def __init__(self, claims: Iterable[Claim] = (), *, now: float) -> None:
        self._lock = threading.Lock()
        self._claims: dict[Resource, tuple[Owner, float]] = {}
        self._interned: dict[Owner, Owner] = {}
        # By age as well as by the newest claim, so that one step of the clock into the future forgets nothing.
        remembered = list(claims)
        newest = max((claim.at for claim in remembered), default=now)
        for claim in sorted(remembered, key=lambda each: each.at):
            if claim.at >= min(now, newest) - LIFETIME:
                self._add(claim.resource, claim.owner, claim.at)

    def get(self, resource: Resource) -> Owner | None:
        found = self._claims.get(resource)
        return found[0] if found else None

    def new(self, owns: Mapping[Resource, Owner], at: float) -> Iterator[Claim]:
        """Those of ``owns`` that nobody has claimed yet."""
        for resource, owner in owns.items():
            if resource not in self._claims:
                yield Claim(resource, owner, at)

    def add(self, claims: Iterable[Claim]) -> None:
        with self._lock:
            for claim in claims:
                self._add(claim.resource, claim.owner, claim.at)
            if len(self._claims) > CAPACITY:
                for resource in list(islice(self._claims, CAPACITY // 100)):
                    del self._claims[resource]

    def _add(self, resource: Resource, owner: Owner, at: float) -> None:
        self._claims.setdefault(resource, (self._interned.setdefault(owner, owner), at))
