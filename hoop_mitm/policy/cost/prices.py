"""Bytes as money."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from hoop_mitm.figures import size

_TIB: Final = 2**40
_CENT: Final = Decimal("0.01")
_SIGNS: Final = {"USD": "$", "EUR": "€", "GBP": "£", "JPY": "¥"}


@dataclass(frozen=True, slots=True)
class Prices:
    """What a TiB billed costs, and in which currency."""

    per_tib: Decimal
    currency: str = "USD"

    def of(self, count: int) -> Decimal:
        """The price of so many bytes billed."""
        return self.per_tib * count / _TIB

    def bytes_for(self, money: Decimal) -> int:
        """How many bytes can be had for ``money``."""
        return int(money / self.per_tib * _TIB)

    def words(self, count: int) -> str:
        """``120 GiB ($0.73)``."""
        return f"{size(count)} ({self.money(count)})"

    def money(self, count: int) -> str:
        """``$0.73``; ``CHF 0.73`` where the currency has no sign that everybody knows."""
        price, sign = self.of(count), _SIGNS.get(self.currency, f"{self.currency} ")
        if 0 < price < _CENT:
            return f"< {sign}0.01"
        return f"{sign}{price:,.2f}"
