"""Whose yes counts, for what, and how long: the truth table."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from hoop_mitm.errors import Denied
from hoop_mitm.identity import Principal, Session
from hoop_mitm.policy.reviews import Grounds, Held, Review, deciding, digest_of

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
ISSUER, MACHINES = "https://issuer.example", "https://machines.example"


def person(name: str, *groups: str, issuer: str = ISSUER, **more: Any) -> Principal:
    return Principal(issuer, name, f"{name}@acme.example", groups or ("reviewers",), **more)


ALICE, BOB, CAROL = person("alice", "analysts", "reviewers"), person("bob"), person("carol", "reviewers", "others")
CI = Principal(MACHINES, "ci", None, ("reviewers",), "machine")


def review(**grounds: Any) -> Review:
    session = Session("s", "alice-python", "acme", ALICE, "python", "127.0.0.1", NOW)
    held = Held(
        session, 1.0, None, None, None, None, "jobs.insert", "/bigquery/v2/projects/acme/jobs",
        '{"configuration":{"query":{"query":"DELETE FROM t WHERE true"}}}', "{}", "acme", "job1",
        statement="DELETE FROM t WHERE true",
    )  # fmt: skip
    basis = Grounds(
        **{"rule": "policy.deletions", "policy": "v1", "groups": ("reviewers",), "min_approvals": 1, **grounds}
    )
    return Review("r", "PENDING", held, basis, digest_of(held, basis), NOW, NOW + timedelta(hours=1))


def approved(what: Review, *people: Principal, at: datetime = NOW, digest: str | None = None) -> Review:
    for by in people:
        what, _ = deciding.approve(what, by, digest=digest or what.digest, machines={}, now=at)
    return what


@pytest.mark.parametrize(
    ("by", "rule"),
    [
        (BOB, None),
        (CAROL, None),
        (ALICE, "review.own"),
        # A second account is no second person: by subject, or by address, however that is written.
        (Principal(ISSUER, "alice", "other@acme.example", ("reviewers",)), "review.own"),
        (Principal("https://other.example", "a1", "Alice@ACME.example", ("reviewers",)), "review.own"),
        # The same subject at another issuer is somebody else.
        (Principal("https://other.example", "alice", "alice@partner.example", ("reviewers",)), None),
        (person("dan", "analysts"), "review.group"),
        (Principal(ISSUER, "eve", "eve@acme.example", ()), "review.group"),
        (CI, "review.machine"),
    ],
)
def test_who_may_approve(by: Principal, rule: str | None) -> None:
    if rule is None:
        assert approved(review(), by).state == "APPROVED"
        return
    for decide in (
        lambda: deciding.approve(review(), by, digest=review().digest, machines={}, now=NOW),
        lambda: deciding.reject(review(), by, machines={}, now=NOW),
    ):
        with pytest.raises(Denied) as refused:
            decide()
        assert refused.value.rule == rule


@pytest.mark.parametrize(
    ("machines", "rule"),
    [
        ({CI.key: ("reviewers",)}, None),
        ({CI.key: ("others",)}, "review.group"),
        ({"ci": ("reviewers",)}, "review.machine"),
    ],
)
def test_a_machine_counts_for_the_groups_that_it_was_given(machines: Any, rule: str | None) -> None:
    refusal = deciding.objection(review(), CI, machines)

    assert (refusal.rule if refusal else None) == rule


def test_several_approvals_are_several_peoples() -> None:
    two = review(min_approvals=2)

    once = approved(two, BOB)
    assert once.state == "PENDING"
    for again in (
        BOB,
        Principal("https://other.example", "b", "BOB@acme.example", ("reviewers",)),
        replace(BOB, email=None),
    ):
        with pytest.raises(Denied, match="already"):
            approved(once, again)
    assert approved(once, CAROL).state == "APPROVED"


@pytest.mark.parametrize("state", ["APPROVED", "EXECUTING", "EXECUTED", "REJECTED", "EXPIRED", "WITHDRAWN"])
def test_what_is_decided_is_decided(state: Any) -> None:
    over = replace(review(), state=state)

    for decide in (lambda: approved(over, BOB), lambda: deciding.reject(over, BOB, machines={}, now=NOW)):
        with pytest.raises(Denied) as refused:
            decide()
        assert refused.value.rule == "review.over"


def test_time_is_up_at_the_last_moment() -> None:
    waiting = review()

    assert approved(waiting, BOB, at=waiting.expires_at - timedelta(microseconds=1)).state == "APPROVED"
    with pytest.raises(Denied, match="expired"):
        approved(waiting, BOB, at=waiting.expires_at)
    assert deciding.expire(waiting, waiting.expires_at - timedelta(microseconds=1)) is None
    for state in ("PENDING", "APPROVED"):
        ended = deciding.expire(replace(waiting, state=state), waiting.expires_at)
        assert ended is not None
        assert ended[0].state == "EXPIRED"
    assert deciding.expire(replace(waiting, state="EXECUTING"), waiting.expires_at) is None


@pytest.mark.parametrize(
    "other",
    [
        {"policy": "v2"},
        {"rule": "policy.others"},
        {"groups": ("reviewers", "anyone")},
        {"min_approvals": 0},
        {"tables": ("acme.shop.other",)},
        {"referenced_tables": ("acme.shop.behind",)},
        {"processed_bytes": 10},
    ],
)
def test_a_yes_is_for_what_was_looked_at(other: dict[str, Any]) -> None:
    seen = review(**other)
    with pytest.raises(Denied) as refused:
        approved(review(), BOB, digest=seen.digest)

    assert refused.value.rule == "review.changed"


@pytest.mark.parametrize("name", ["body", "job_id", "project", "location", "door"])
def test_the_digest_holds_the_request(name: str) -> None:
    plain = review()
    other = replace(plain.held, **{name: "another"})

    assert digest_of(other, plain.grounds) != plain.digest


@pytest.mark.parametrize(
    ("now", "differs"),
    [
        ({}, False),
        ({"processed_bytes": 1_100}, False),
        ({"processed_bytes": 1_101}, True),
        ({"processed_bytes": 10}, False),
        ({"processed_bytes": None}, True),
        ({"policy": "v2"}, True),
        ({"groups": ("others",)}, True),
        ({"min_approvals": 2}, True),
        ({"statement_type": "SCRIPT"}, True),
        ({"referenced_tables": ("acme.shop.more",)}, True),
        ({"price": Decimal(9)}, False),
    ],
)
def test_what_voids_an_approval_before_it_runs(now: dict[str, Any], differs: bool) -> None:
    then = {"processed_bytes": 1_000, "statement_type": "DELETE", "referenced_tables": ("acme.shop.t",)}
    before, after = review(**then), review(**then | now)

    why = deciding.difference(before.grounds, after.grounds)

    assert bool(why) is differs
    if differs:
        reopened = deciding.reopen(approved(before, BOB), after.grounds, why)
        assert reopened is not None
        assert (reopened[0].state, reopened[0].approvals) == ("PENDING", ())
        assert reopened[0].digest == after.digest


def test_the_requester_can_take_back_what_was_not_sent() -> None:
    states = {
        state: deciding.withdraw(replace(review(), state=state), NOW)  # type: ignore[arg-type]
        for state in ("PENDING", "APPROVED", "EXECUTING", "EXECUTED", "REJECTED")
    }

    assert {state for state, changed in states.items() if changed} == {"PENDING", "APPROVED"}


def test_a_rejection_says_who_and_why_to_an_agent() -> None:
    ended, change = deciding.reject(review(), BOB, machines={}, now=NOW, message="Too much.  ")

    assert ended.outcome is not None
    assert ended.outcome.message == (
        "bob@acme.example rejected this request: Too much. It was not run. Do not send it again as it is."
    )
    assert (change.type, change.by) == ("review.rejected", BOB)


@pytest.mark.parametrize(
    ("level", "statement", "body"),
    [("full", True, True), ("statements", True, False), ("metadata", False, False), ("off", False, False)],
)
def test_when_it_is_over_no_more_is_left_than_its_connection_records(level: Any, statement: bool, body: bool) -> None:
    waiting = review()
    waiting = replace(waiting, held=replace(waiting.held, level=level, reason="because"))

    ended, change = deciding.reject(waiting, BOB, machines={}, now=NOW)

    assert (ended.held.statement is not None, ended.held.reason != "") == (statement, statement)
    assert (ended.held.body != "", ended.held.configuration != "") == (body, body)
    assert "DELETE" not in str(change)


def test_who_knows_all_of_a_request_but_its_statement_cannot_find_that_by_the_digest() -> None:
    """The recording has the digest in its events, also where it has no statement, or has it no more."""
    held, grounds = review().held, review().grounds
    salted = [replace(held, salt=salt) for salt in ("", "one", "another")]
    assert len({digest_of(each, grounds) for each in salted}) == 3


@pytest.mark.parametrize("level", ["full", "statements", "metadata", "off"])
def test_the_same_request_is_known_again_when_it_is_over(level: Any) -> None:
    waiting = review()
    waiting = replace(waiting, held=replace(waiting.held, level=level))
    ended, _ = deciding.reject(waiting, BOB, machines={}, now=NOW)

    assert ended.is_of(waiting.held.body, None)
    assert not ended.is_of(waiting.held.body.replace("true", "false"), None)
