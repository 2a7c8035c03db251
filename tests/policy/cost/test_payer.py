"""Whom a ceiling or a budget is for."""

from datetime import UTC
from decimal import Decimal
from typing import Any

import pytest

from hoop_mitm.config import Budget, Ceiling
from hoop_mitm.identity import Principal
from hoop_mitm.policy.cost import Budgets, Charge, Payer, Prices
from hoop_mitm.policy.cost.budgets import now

ALICE = Payer(Principal("https://idp", "u1", "alice@acme.example", ("analysts", "eu")), "s1", "acme")
SHOUTED = Payer(Principal("https://idp", "u1", "Alice@ACME.example", ("analysts", "eu")), "s1", "acme")
"""As another token of hers says it."""
ROBOT = Payer(Principal("https://ci", "repo:acme", None, ()), "s2", "lab")


@pytest.mark.parametrize(
    ("words", "alice", "robot"),
    [
        ({}, True, True),
        ({"groups": ["analysts"]}, True, False),
        ({"groups": ["Analysts"]}, False, False),
        ({"groups": ["sales"]}, False, False),
        ({"groups": ["sales", "eu"]}, True, False),
        ({"principals": ["alice@acme.example"]}, True, False),
        ({"principals": ["https://idp#u1"]}, True, False),
        ({"principals": ["repo:acme"]}, False, True),
        ({"groups": ["sales"], "principals": ["u1"]}, True, False),
        ({"connections": ["acme"]}, True, False),
        ({"groups": ["analysts"], "connections": ["lab"]}, False, False),
        ({"principals": ["repo:acme"], "connections": ["lab"]}, False, True),
    ],
)
def test_a_limit_is_for_those_that_it_names(words: dict[str, Any], alice: bool, robot: bool) -> None:
    limit = Ceiling(name="c", bytes=1, **words)

    assert (ALICE.is_meant_by(limit), ROBOT.is_meant_by(limit)) == (alice, robot)


@pytest.mark.parametrize("payer", [ALICE, SHOUTED])
@pytest.mark.parametrize(
    "name", ["alice@acme.example", "Alice@ACME.example", "ALICE@ACME.EXAMPLE", "U1", "https://idp#U1", "HTTPS://IDP#u1"]
)
def test_nobody_escapes_a_limit_by_how_their_name_is_spelled(payer: Payer, name: str) -> None:
    assert payer.is_meant_by(Ceiling(name="c", bytes=1, principals=[name]))


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("jörg@acme.example", "JÖRG@acme.example"),
        ("JÖRG@acme.example", "jörg@acme.example"),
        # `lower` tells these two apart.
        ("strasse@acme.example", "STRAßE@acme.example"),
        ("ΝΊΚΟΣ@acme.example", "νίκος@acme.example"),
    ],
)
def test_nor_by_letters_that_are_not_ascii(written: str, told: str) -> None:
    limit = Ceiling(name="c", bytes=1, principals=[written])

    for principal in (Principal("https://idp", "u1", told), Principal("https://ci", told)):
        assert Payer(principal, "s1", "acme").is_meant_by(limit)
    assert Payer(Principal("https://ci", told), "s1", "acme").is_meant_by(
        Ceiling(name="c", bytes=1, principals=[f"https://CI#{written}"])
    )


@pytest.mark.parametrize("name", ["None", "NONE", "https://ci#", "#repo:acme", "repo", "*", "repo:*"])
def test_who_has_no_address_is_met_by_no_other_name(name: str) -> None:
    assert not ROBOT.is_meant_by(Ceiling(name="c", bytes=1, principals=[name]))


def test_who_is_spelled_in_two_ways_has_one_account() -> None:
    daily = Budget(name="daily", per="principal", every="day", bytes=100, principals=["alice@acme.example"])
    at = now()
    budgets = Budgets([daily], Prices(Decimal(5)), UTC, lambda: at)

    budgets.add(Charge("f1", at, SHOUTED, reserved=60))

    assert [[left.left for left in budgets.of(payer)] for payer in (ALICE, SHOUTED)] == [[40], [40]]
