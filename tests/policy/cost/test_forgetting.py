"""Charges of people who are forgotten: the amount counts on where it is not theirs alone."""

import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hoop_mitm.config import Cost
from hoop_mitm.policy.cost.charge import Charge
from hoop_mitm.policy.cost.forgetting import bare, nobodys
from hoop_mitm.policy.cost.ledger import FILE, Ledger
from tests.policy.cost.test_costs import ALICE, BOB, MIB, Clock, Room, budget, payer, runs


def charge(**changes: Any) -> Charge:
    known = {
        "id": "flow-1",
        "at": Clock().at,
        "payer": payer(),
        "reserved": 9,
        "billed": 7,
        "project": "p",
        "job_id": "j",
    }
    return Charge(**known | changes)


def budgets(*words: dict[str, Any]) -> Any:
    return Cost(budgets=words).budgets


@pytest.mark.parametrize(
    ("budget_", "groups"),
    [
        (budget(per="principal"), ()),
        (budget(per="connection"), ()),
        (budget(per="group"), ("analysts", "eu")),
        (budget(per="group", groups=["eu"]), ("eu",)),
        (budget(per="connection", groups=["analysts"]), ("analysts",)),
    ],
)
def test_of_an_erased_person_the_amount_stays_and_the_groups_that_budgets_count(
    budget_: Any, groups: tuple[str, ...]
) -> None:
    left = nobodys(charge(), budgets(budget_))

    assert (left.counted, left.at, left.payer.connection, left.payer.principal.groups) == (
        7,
        Clock().at,
        "acme",
        groups,
    )
    for gone in ("alice", "u1", "idp", "s1", "flow-1", "'j'", "'p'"):
        assert gone not in repr(left)


def test_a_bill_that_never_came_is_what_was_set_aside() -> None:
    assert nobodys(charge(billed=None), ()).billed == 9


@pytest.mark.parametrize(
    ("budget_", "email", "session"),
    [
        (budget(per="principal"), None, ""),
        (budget(per="session"), None, "s1"),
        (budget(per="principal", principals=[ALICE.email]), ALICE.email, ""),
        (budget(per="principal", principals=[ALICE.email.upper()]), ALICE.email, ""),
    ],
)
def test_what_is_too_old_keeps_only_what_budgets_count_by(budget_: Any, email: str | None, session: str) -> None:
    left = bare(charge(), budgets(budget_))

    assert left.payer.principal == replace(ALICE, email=email, groups=())
    assert (left.payer.session_id, left.project, left.job_id, left.counted) == (session, "", None, 7)
    assert bare(left, budgets(budget_)) == left


def test_nobody_may_spend_more_because_somebody_was_forgotten(tmp_path: Path) -> None:
    shared = budget(per="group", groups=["analysts"])

    async def story(room: Room) -> None:
        await room.spend(30)
        before = room.left(payer(BOB))
        await room.costs.stop()
        ledger = Ledger(tmp_path)
        assert ledger.revise(lambda each: nobodys(each, Cost(budgets=[shared]).budgets)) == 1
        ledger.close()
        room.costs = Room(tmp_path, budgets=[shared]).costs
        await room.costs.start()
        assert room.left(payer(BOB)) == before == [70]

    runs(Room(tmp_path, budgets=[shared]), story)


def test_what_a_version_before_has_deleted_leaves_the_file_too(tmp_path: Path) -> None:
    Ledger(tmp_path).close()
    with sqlite3.connect(tmp_path / FILE) as file:
        file.execute("PRAGMA secure_delete = OFF")
        row = ("f1", Clock().at.timestamp(), '{"email": "alice@acme.example"}', "s", "c", 1, 1, "p", None, None)
        file.execute("INSERT INTO charges VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
        file.commit()
        file.execute("DELETE FROM charges")
    running = Ledger(tmp_path)
    assert any(b"alice" in file.read_bytes() for file in tmp_path.iterdir())

    other = Ledger(tmp_path)
    other.revise(lambda each: each)

    assert not any(b"alice" in file.read_bytes() for file in tmp_path.iterdir())
    running.put([charge(id="f2", billed=MIB)])
    assert [each.id for each in other.everything()] == ["f2"]
