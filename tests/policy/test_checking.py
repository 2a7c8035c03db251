"""What `policy check` warns of, and what it must not."""

import pytest

from hoop_mitm.config import RuleSet
from hoop_mitm.policy.checking import warnings
from tests.policy.asking import CI, policy, query

ALLOW, DENY = {"verdict": "allow"}, {"verdict": "deny"}
NEVER_DECIDES = [
    (ALLOW, {**ALLOW, "read_only": True}),
    (DENY, {**ALLOW, "tables": ["shop.*"]}),
    ({**ALLOW, "tables": ["shop.*"]}, {**ALLOW, "tables": ["shop.orders", "acme.shop.x*"]}),
    ({**DENY, "tables": ["shop.*"]}, {**DENY, "tables": ["shop.orders"], "groups": ["a"]}),
    ({**ALLOW, "groups": ["a", "b"]}, {**ALLOW, "groups": ["a"], "when": "dry_run"}),
    ({**ALLOW, "verbs": ["read", "metadata", "write"]}, {**ALLOW, "read_only": True}),
    ({**ALLOW, "max_bytes": "10GB"}, {**ALLOW, "max_bytes": "1GB"}),
    ({**ALLOW, "opaque": True}, {**DENY, "tables": ["shop.*"]}),
    ({**DENY, "when": "dry_run"}, {**ALLOW, "when": "dry_run"}),
    ({**DENY, "principals": ["*@acme.example"]}, {**ALLOW, "principals": ["bob@acme.example"]}),
]
STILL_DECIDES = [
    (ALLOW, {**ALLOW, "opaque": True}),
    (ALLOW, {**DENY, "tables": ["shop.*"]}),  # The opaque is met by the denial alone.
    ({**ALLOW, "tables": ["shop.*"]}, {**DENY, "tables": ["shop.*"]}),  # All of them, and any of them.
    ({**DENY, "tables": ["shop.*"]}, {**ALLOW, "tables": ["shop.orders"]}),  # It may touch no table.
    ({**DENY, "tables": ["shop.*"], "behind_views": False}, {**DENY, "tables": ["shop.*"]}),
    ({**ALLOW, "groups": ["a"]}, ALLOW),
    ({**ALLOW, "groups": ["a"]}, {**ALLOW, "principals": ["a"]}),
    ({**ALLOW, "kinds": ["SELECT"]}, {**ALLOW, "kinds": ["SELECT", "SCRIPT"]}),
    ({**ALLOW, "max_bytes": "1GB"}, {**ALLOW, "max_bytes": "10GB"}),
    ({**ALLOW, "mode": "observe"}, ALLOW),
    ({**ALLOW, "when": "dry_run"}, {**ALLOW, "when": "!dry_run"}),
    ({**ALLOW, "doors": ["tables.get"]}, {**ALLOW, "doors": ["tables.*"]}),
    ({**ALLOW, "opaque": True, "read_only": True}, {**DENY, "read_only": True}),
]


def rules(*words):
    return RuleSet.model_validate({"rules": [{"name": f"r{place}", **each} for place, each in enumerate(words, 1)]})


@pytest.mark.parametrize(("earlier", "later"), NEVER_DECIDES)
def test_a_rule_that_never_decides_is_named(earlier, later):
    found = [warning for warning in warnings(rules(earlier, later, {**ALLOW, "groups": ["z"]})) if "r2" in warning]
    assert found == ["r2 never decides: r1 stands above it and matches whenever it would."]


@pytest.mark.parametrize(("earlier", "later"), STILL_DECIDES)
def test_one_that_may_decide_is_not(earlier, later):
    assert [warning for warning in warnings(rules(earlier, later)) if "never decides" in warning] == []


@pytest.mark.parametrize(
    "words",
    [
        {**ALLOW, "doors": ["jobs.get"]},
        {**ALLOW, "kinds": ["SELECT"], "doors": ["tables.*"]},
        {**ALLOW, "kinds": ["SELECT"], "verbs": ["metadata"]},
        {**ALLOW, "max_bytes": "1GB", "over_bytes": "1GB"},
    ],
)
def test_a_rule_that_can_never_match_is_named(words):
    (found,) = warnings(rules(words))
    assert found.startswith("r1 can never match: ")


def test_a_policy_that_allows_nothing_is_said_to():
    assert warnings(rules(DENY)) == ("No rule allows anything: everything but one's own jobs is denied.",)


QUESTIONS = [
    query(sql, who, size=size, dry_run=dry)
    for sql in ("SELECT 1", "SELECT * FROM shop.orders", "DELETE FROM shop.orders WHERE true", "CALL shop.p()")
    for who in (CI, query("SELECT 1").principal)
    for size in (5, 5 * 10**9)
    for dry in (True, False)
]


@pytest.mark.parametrize(("earlier", "later"), NEVER_DECIDES)
def test_what_is_said_never_to_decide_never_does(earlier, later):
    held = policy(earlier, later)
    assert all(held.decide(question).verdict.rule != "policy.r2" for question in QUESTIONS)
