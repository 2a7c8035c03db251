"""Bytes as money."""

from decimal import Decimal

import pytest

from hoop_mitm.policy.cost import Prices

GIB = 2**30


@pytest.mark.parametrize(
    ("per_tib", "currency", "count", "words"),
    [
        ("6.25", "USD", 0, "0 B ($0.00)"),
        ("6.25", "USD", 1, "1 B (< $0.01)"),
        ("6.25", "USD", 100 * GIB, "100 GiB ($0.61)"),
        ("6.25", "USD", 4096 * GIB, "4.0 TiB ($25.00)"),
        ("5", "EUR", 1024**5, "1024 TiB (€5,120.00)"),
        ("8.1", "CHF", 1024 * GIB, "1.0 TiB (CHF 8.10)"),
    ],
)
def test_a_price_is_readable(per_tib: str, currency: str, count: int, words: str) -> None:
    assert Prices(Decimal(per_tib), currency).words(count) == words


def test_money_buys_bytes() -> None:
    assert Prices(Decimal("6.25")).bytes_for(Decimal("12.5")) == 2 * 2**40
