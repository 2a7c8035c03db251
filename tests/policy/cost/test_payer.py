"""Whom a ceiling or a budget is for."""

from typing import Any

import pytest

from hoop_mitm.config import Ceiling
from hoop_mitm.identity import Principal
from hoop_mitm.policy.cost import Payer

ALICE = Payer(Principal("https://idp", "u1", "alice@acme.example", ("analysts", "eu")), "s1", "acme")
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
