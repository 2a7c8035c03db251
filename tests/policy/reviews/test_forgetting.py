"""What is left of a review of which something is too old, or somebody is forgotten."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from hoop_mitm.identity.person import Person
from hoop_mitm.identity.principal import Principal
from hoop_mitm.policy.reviews import Outcome, deciding
from hoop_mitm.policy.reviews.deciding import Change
from hoop_mitm.policy.reviews.forgetting import Kept, Until, aged, names, without
from tests.policy.reviews.test_deciding import ALICE, BOB, CAROL, NOW, review

WORDS, STATEMENT = "words-of-the-reviewer", "DELETE FROM t WHERE true"
OWNED = NOW - timedelta(days=1)


def ended(state: str) -> Kept:
    """A review of Alice's that ended now, in which Bob said something, and Carol."""
    waiting = review(min_approvals=3, tables=("acme.shop.t",), referenced_tables=("acme.shop.t",))
    changes = [Change("review.requested", "A request waits for a review.", ALICE)]
    for by in (BOB, CAROL):
        waiting, change = deciding.approve(
            waiting, by, digest=waiting.digest, machines={}, now=NOW, message=f"{WORDS}-{by}"
        )
        changes.append(change)
    if state == "REJECTED":
        waiting, change = deciding.reject(waiting, BOB, machines={}, now=NOW, message=WORDS)
    elif state == "WITHDRAWN":
        changed = deciding.withdraw(waiting, NOW)
        assert changed
        waiting, change = changed
    else:
        refused = Outcome(f"Syntax error in {STATEMENT}", "invalidQuery", 400) if state == "FAILED" else None
        changed = deciding.executed(replace(waiting, state="EXECUTING", execution="f"), NOW, "EU", refused)
        assert changed
        waiting, change = changed
    return Kept(replace(waiting, fingerprint="of-the-statement"), (*changes, change))


def person(who: Principal) -> Person:
    return Person(frozenset(), frozenset({str(who)}))


def until(**kept: Any) -> Until:
    later = NOW + timedelta(seconds=1)
    kinds = ("bodies", "statements", "metadata")
    times = {name: later if kept.get(name) else None for name in kinds}
    return Until(**times, owned=kept.get("owned", OWNED))


@pytest.mark.parametrize("state", ["REJECTED", "WITHDRAWN", "EXECUTED", "FAILED"])
def test_a_requesters_goes_and_a_reviewer_is_nobody(state: str) -> None:
    kept = ended(state)

    assert without(kept, person(ALICE)) is None
    left = without(kept, person(BOB))

    assert left
    assert "bob" not in str(left)
    assert f"{WORDS}-{CAROL}" in str(left), "who else decided is not touched"
    assert left.review.held == kept.review.held
    assert len(left.review.approvals) == 2
    assert not names(left, person(BOB))
    assert without(left, person(BOB)) == left
    assert without(kept, person(Principal("https://other.example", "bob", "bobby@acme.example"))) == kept


@pytest.mark.parametrize("state", ["REJECTED", "WITHDRAWN", "EXECUTED", "FAILED"])
def test_it_loses_what_the_recording_loses(state: str) -> None:
    kept = ended(state)
    assert aged(kept, until()) == kept

    without_body = aged(kept, until(bodies=True))
    assert without_body
    assert (without_body.review.held.body, without_body.review.held.configuration) == ("", "")
    assert without_body.review.held.statement == STATEMENT

    silent = aged(kept, until(bodies=True, statements=True))
    assert silent
    for gone in (WORDS, STATEMENT, "of-the-statement", kept.review.digest):
        assert gone not in str(silent)
    # Who asked, who decided, and which tables BigQuery says it reads.
    assert [each.name for each in silent.review.approvals] == [str(BOB), str(CAROL)]
    assert (silent.review.grounds.tables, silent.review.grounds.referenced_tables) == ((), ("acme.shop.t",))
    assert aged(silent, until(bodies=True, statements=True)) == silent


@pytest.mark.parametrize("state", ["REJECTED", "WITHDRAWN", "EXECUTED", "FAILED"])
@pytest.mark.parametrize("owned", [OWNED, NOW + timedelta(seconds=1)])
def test_of_what_never_ran_only_whose_job_it_was_stays_as_long_as_that_counts(state: str, owned: datetime) -> None:
    left = aged(ended(state), until(metadata=True, owned=owned))

    if state == "EXECUTED" or owned > NOW:
        assert left is None
        return
    assert left
    assert (left.review.held.job, left.review.held.session.principal.key) == ("acme:job1", ALICE.key)
    for gone in (WORDS, STATEMENT, "@acme.example", "127.0.0.1", "acme.shop.t"):
        assert gone not in str(left)


def test_what_is_open_is_as_it_was() -> None:
    waiting = Kept(review(), ())
    assert aged(waiting, until(bodies=True, statements=True, metadata=True)) == waiting
