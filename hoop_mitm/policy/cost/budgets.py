"""Budgets: what may be billed in a time, and what of it is left."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Any

from hoop_mitm.config.cost import Budget, Limit
from hoop_mitm.policy.cost import windows
from hoop_mitm.policy.cost.charge import Charge
from hoop_mitm.policy.cost.payer import Payer
from hoop_mitm.policy.cost.prices import Prices

type Clock = Callable[[], datetime]
type _Key = tuple[str, str, float]


def now() -> datetime:
    """The gateway's clock."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class BudgetLeft:
    """How one budget stands for one payer.

    Attributes:
        name: of the budget.
        per: who has one each: ``principal``, ``group``, ``session``, ``connection``.
        of: whose it is, as a person knows them: an e-mail address, a group, a connection; of a session its id.
        every: ``hour``, ``day``, ``month``.
        limit: bytes.
        used: bytes billed so far.
        reserved: bytes that statements whose bill is not known yet may be billed.
        begins_anew: when all of it is there again; aware, in the configured time zone.
    """

    name: str
    per: str
    of: str
    every: str
    limit: int
    used: int
    reserved: int
    begins_anew: datetime

    @property
    def left(self) -> int:
        """Bytes that new statements may be billed."""
        return max(0, self.limit - self.used - self.reserved)

    def as_json(self, prices: Prices) -> dict[str, Any]:
        """As ``whoami`` gives it."""
        return {
            "name": self.name,
            "per": self.per,
            "of": self.of,
            "every": self.every,
            "limit_bytes": self.limit,
            "used_bytes": self.used,
            "reserved_bytes": self.reserved,
            "left_bytes": self.left,
            "left": prices.words(self.left),
            "limit": prices.words(self.limit),
            "begins_anew": self.begins_anew.isoformat(timespec="seconds"),
        }


@dataclass(slots=True)
class _Count:
    used: int = 0
    reserved: int = 0


class Budgets:
    """Counts charges against the budgets that apply. In memory; for one thread."""

    def __init__(self, budgets: Sequence[Budget], prices: Prices, zone: tzinfo, clock: Clock = now) -> None:
        self._budgets = budgets
        self._prices = prices
        self._zone = zone
        self._clock = clock
        self._counts: defaultdict[_Key, _Count] = defaultdict(_Count)

    def __bool__(self) -> bool:
        return bool(self._budgets)

    @property
    def since(self) -> datetime:
        """Charges from before this moment count for nothing any more."""
        return windows.begin("month", self._clock(), self._zone)

    def of(self, payer: Payer) -> list[BudgetLeft]:
        """How every budget stands that applies to the payer, in the order of the file."""
        return [self._left(budget, key, shown) for budget, key, shown in self._keys(payer, self._clock())]

    def add(self, charge: Charge, times: int = 1) -> None:
        """Count a charge as it stands; with ``times=-1`` no longer. Change one only in between."""
        for _, key, _ in self._keys(charge.payer, charge.at):
            count = self._counts[key]
            if charge.billed is None:
                count.reserved += times * charge.reserved
            else:
                count.used += times * charge.billed

    def forget(self) -> None:
        """Let go of what counts for nothing any more."""
        since = self.since.timestamp()
        for key in [key for key in self._counts if key[2] < since]:
            del self._counts[key]

    def _left(self, budget: Budget, key: _Key, shown: str) -> BudgetLeft:
        count = self._counts.get(key, _Count())
        return BudgetLeft(
            name=budget.name,
            per=budget.per,
            of=shown,
            every=budget.every,
            limit=height(budget, self._prices),
            used=count.used,
            reserved=count.reserved,
            begins_anew=windows.end(budget.every, self._clock(), self._zone),
        )

    def _keys(self, payer: Payer, at: datetime) -> Iterator[tuple[Budget, _Key, str]]:
        for budget in self._budgets:
            if payer.is_meant_by(budget):
                began = windows.begin(budget.every, at, self._zone).timestamp()
                for whose, shown in _accounts(budget, payer):
                    yield budget, (budget.name, whose, began), shown


def height(limit: Limit, prices: Prices) -> int:
    """Bytes of a ceiling or a budget."""
    if limit.bytes is not None:
        return limit.bytes
    assert limit.money is not None
    return prices.bytes_for(limit.money)


def _accounts(budget: Budget, payer: Payer) -> list[tuple[str, str]]:
    """From whose account a budget is taken, and how that is shown. A member of several groups takes from each."""
    match budget.per:
        case "principal":
            return [(payer.principal.key, str(payer.principal))]
        case "session":
            return [(payer.session_id, payer.session_id)] if payer.session_id else []
        case "connection":
            return [(payer.connection, payer.connection)]
        case "group":
            mine = payer.principal.groups
            return [(group, group) for group in mine if not budget.groups or group in budget.groups]
