"""Ceilings and budgets: who is let through, with which limit, and what it takes."""

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hoop_mitm.config import Cost
from hoop_mitm.errors import Denied, RecordingError
from hoop_mitm.identity import Principal
from hoop_mitm.policy import Estimate
from hoop_mitm.policy.cost import Admission, Costs, Payer
from hoop_mitm.policy.cost.ledger import FILE

MIB = 2**20
ALICE = Principal("https://idp", "u1", "alice@acme.example", ("analysts", "eu"))
BOB = Principal("https://idp", "u2", "bob@acme.example", ("analysts",))


def payer(principal: Principal = ALICE, session: str = "s1", connection: str = "acme") -> Payer:
    return Payer(principal, session, connection)


def of(mib: int, kind: str = "SELECT", accuracy: str = "PRECISE") -> Estimate:
    return Estimate(mib * MIB, kind, accuracy=accuracy)


class Clock:
    def __init__(self) -> None:
        self.at = datetime(2026, 11, 22, 12, 30, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.at


class Room:
    """Costs with a clock that a test turns, and names for charges."""

    def __init__(self, state: Path, **words: Any) -> None:
        self.state, self.words, self.clock, self._made = state, words, Clock(), 0
        self.costs = Costs(Cost(**words), state, self.clock)

    async def again(self) -> None:
        """As after a restart."""
        await self.costs.stop()
        self.costs = Costs(Cost(**self.words), self.state, self.clock)
        await self.costs.start()

    async def admit(
        self, mib: int, who: Payer | None = None, *, estimate: Estimate | None = None, **more: Any
    ) -> Admission:
        self._made += 1
        asked = {"project": "p"} | more
        return await self.costs.admit(f"f{self._made}", who or payer(), estimate or of(mib), **asked)

    async def spend(self, mib: int, who: Payer | None = None) -> None:
        admission = await self.admit(mib, who)
        assert admission.charge
        self.costs.settle(admission.charge, mib * MIB)

    def left(self, who: Payer | None = None) -> list[int]:
        return [budget.left // MIB for budget in self.costs.of(who or payer())]


def runs(room: Room, story: Callable[[Room], Coroutine[Any, Any, None]]) -> None:
    async def tell() -> None:
        await room.costs.start()
        try:
            await story(room)
        finally:
            await room.costs.stop()

    asyncio.run(tell())


def budget(per: str = "principal", every: str = "day", mib: int = 100, **more: Any) -> dict[str, Any]:
    return {"name": "b", "per": per, "every": every, "bytes": mib * MIB} | more


# Ceilings


@pytest.mark.parametrize(
    ("ceilings", "mib", "own", "limit"),
    [
        ([100], 100, None, 100 * MIB),
        ([100], 100, 40 * MIB, 40 * MIB),
        ([100], 50, 200 * MIB, 100 * MIB),
        ([100, 70], 70, None, 70 * MIB),
        ([100, 70], 71, None, "ceiling.c1"),
        ([100], 101, None, "ceiling.c0"),
        # That BigQuery would refuse it as well is no reason to send it.
        ([100], 101, 40 * MIB, "ceiling.c0"),
    ],
)
def test_the_smallest_ceiling_holds(
    tmp_path: Path, ceilings: list[int], mib: int, own: int | None, limit: int | str
) -> None:
    async def story(room: Room) -> None:
        try:
            found: int | str = (await room.admit(mib, own_limit=own)).limit
        except Denied as denied:
            found = denied.rule
        assert found == limit

    words = [{"name": f"c{n}", "bytes": most * MIB} for n, most in enumerate(ceilings)]
    runs(Room(tmp_path, ceilings=words), story)
    assert not (tmp_path / FILE).exists()


def test_a_ceiling_that_is_none_fits_into_what_bigquery_takes(tmp_path: Path) -> None:
    async def story(room: Room) -> None:
        assert (await room.admit(1)).limit == 2**63 - 1

    runs(Room(tmp_path, ceilings=[{"name": "c", "bytes": "999999999999PiB"}]), story)


def test_a_denial_says_what_it_would_cost_what_may_be_and_how_to_ask_for_less(tmp_path: Path) -> None:
    async def story(room: Room) -> None:
        with pytest.raises(Denied) as denied:
            await room.admit(4 * 2**20)
        said = str(denied.value)
        for part in ("4.0 TiB ($25.00)", "1.0 TiB ($6.25)", "ceiling big", "partitioned by", "Nothing was read"):
            assert part in said

    runs(Room(tmp_path, ceilings=[{"name": "big", "money": "6.25"}]), story)


# Budgets


@pytest.mark.parametrize(
    ("per", "other", "shared"),
    [
        ("principal", payer(ALICE, "s2", "lab"), True),
        ("principal", payer(BOB), False),
        ("session", payer(ALICE, "s1", "lab"), True),
        ("session", payer(ALICE, "s2"), False),
        ("connection", payer(BOB, "s9", "acme"), True),
        ("connection", payer(ALICE, "s1", "lab"), False),
        ("group", payer(BOB), True),
        ("group", payer(Principal("https://idp", "u3", None, ("sales",))), False),
    ],
)
def test_who_shares_a_budget_with_alice(tmp_path: Path, per: str, other: Payer, shared: bool) -> None:
    async def story(room: Room) -> None:
        await room.spend(60)
        assert room.left(other) == [40 if shared else 100]

    runs(Room(tmp_path, budgets=[budget(per, groups=["analysts", "sales"])]), story)


def test_a_member_of_two_groups_takes_from_both(tmp_path: Path) -> None:
    async def story(room: Room) -> None:
        await room.spend(60)
        assert [(left.of, left.left // MIB) for left in room.costs.of(payer())] == [("analysts", 40), ("eu", 40)]
        assert room.left(payer(BOB)) == [40]

    runs(Room(tmp_path, budgets=[budget("group")]), story)


@pytest.mark.parametrize(
    ("every", "passed", "left"),
    [
        ("hour", timedelta(minutes=29), 40),
        ("hour", timedelta(minutes=30), 100),
        ("day", timedelta(hours=11), 40),
        ("day", timedelta(hours=11, minutes=30), 100),
        ("month", timedelta(days=8), 40),
        ("month", timedelta(days=9), 100),
    ],
)
def test_a_budget_begins_anew(tmp_path: Path, every: str, passed: timedelta, left: int) -> None:
    async def story(room: Room) -> None:
        await room.spend(60)
        room.clock.at += passed
        assert room.left() == [left]
        await room.again()
        assert room.left() == [left]

    runs(Room(tmp_path, budgets=[budget(every=every)]), story)


def test_a_denial_says_what_is_left_and_until_when(tmp_path: Path) -> None:
    async def story(room: Room) -> None:
        await room.spend(60)
        await room.admit(10)
        with pytest.raises(Denied) as denied:
            await room.admit(50)
        assert denied.value.rule == "budget.b"
        said = str(denied.value)
        for part in ("50.0 MiB", "100 MiB", "20.0 MiB", "alice@acme.example", "2026-11-23 00:00 CET", "set aside"):
            assert part in said

    runs(Room(tmp_path, budgets=[budget()], timezone="Europe/Berlin"), story)


def test_the_limit_is_what_was_taken_so_nothing_can_run_over(tmp_path: Path) -> None:
    """However wrong the estimates were, what all statements may be billed adds up to no more than the budget."""

    async def story(room: Room) -> None:
        asked = await asyncio.gather(*(room.admit(10) for _ in range(20)), return_exceptions=True)
        limits = [each.limit for each in asked if isinstance(each, Admission)]
        assert sum(limits) <= 100 * MIB
        assert limits == [20 * MIB] * 5
        assert sum(isinstance(each, Denied) for each in asked) == 15

    runs(Room(tmp_path, budgets=[budget()]), story)


@pytest.mark.parametrize(
    ("mib", "own", "limit"),
    [
        (10, None, 20 * MIB),
        (10, 15 * MIB, 15 * MIB),
        (80, None, 90 * MIB),
        (95, None, 100 * MIB),
        (100, None, 100 * MIB),
        (0, None, 10 * MIB),
    ],
)
def test_a_statement_may_cost_a_little_more_than_was_estimated(
    tmp_path: Path, mib: int, own: int | None, limit: int
) -> None:
    async def story(room: Room) -> None:
        admission = await room.admit(mib, own_limit=own)
        assert admission.charge
        assert admission.limit == admission.charge.reserved == limit

    runs(Room(tmp_path, budgets=[budget()]), story)


def test_what_costs_nothing_runs_when_nothing_is_left(tmp_path: Path) -> None:
    async def story(room: Room) -> None:
        await room.spend(100)
        admission = await room.admit(0)
        assert admission.limit == 1
        with pytest.raises(Denied):
            await room.admit(1)

    runs(Room(tmp_path, budgets=[budget()]), story)


@pytest.mark.parametrize("inexact", ["refuse", "clamp"])
@pytest.mark.parametrize("estimate", [of(0, "SCRIPT"), of(1, accuracy="LOWER_BOUND"), of(0, accuracy="UNKNOWN")])
def test_what_cannot_be_told_is_refused_or_takes_all_that_is_left(
    tmp_path: Path, inexact: str, estimate: Estimate
) -> None:
    async def story(room: Room) -> None:
        await room.spend(60)
        if inexact == "refuse":
            with pytest.raises(Denied) as denied:
                await room.admit(0, estimate=estimate)
            assert denied.value.rule == "cost.inexact"
            return
        assert (await room.admit(0, estimate=estimate)).limit == 40 * MIB
        with pytest.raises(Denied) as denied:
            await room.admit(0, estimate=estimate)
        assert denied.value.rule == "budget.b"

    runs(Room(tmp_path, budgets=[budget()], inexact=inexact), story)


def test_whoever_no_limit_is_for_is_not_weighed(tmp_path: Path) -> None:
    async def story(room: Room) -> None:
        assert room.costs.weighs(payer())
        assert not room.costs.weighs(payer(Principal("https://idp", "u3")))

    runs(Room(tmp_path, budgets=[budget(groups=["analysts"])]), story)


def test_who_is_in_no_group_has_no_groups_budget(tmp_path: Path) -> None:
    async def story(room: Room) -> None:
        assert room.costs.weighs(payer())
        assert not room.costs.weighs(payer(Principal("https://idp", "u3")))

    runs(Room(tmp_path, budgets=[budget("group")]), story)


# Bills


def test_the_bill_takes_the_place_of_what_was_set_aside_once(tmp_path: Path) -> None:
    async def story(room: Room) -> None:
        admission = await room.admit(30)
        assert admission.charge
        assert room.left() == [60]
        room.costs.settle(admission.charge, 12 * MIB)
        room.costs.settle(admission.charge, 50 * MIB)
        assert room.left() == [88]

    runs(Room(tmp_path, budgets=[budget()]), story)


def test_what_never_ran_is_given_back(tmp_path: Path) -> None:
    async def story(room: Room) -> None:
        admission = await room.admit(30)
        assert admission.charge
        room.costs.drop(admission.charge)
        room.costs.drop(admission.charge)
        assert room.left() == [100]

    runs(Room(tmp_path, budgets=[budget()]), story)


def test_a_job_that_is_asked_for_twice_is_paid_for_once_and_never_too_little(tmp_path: Path) -> None:
    async def story(room: Room) -> None:
        first = await room.admit(30, job_id="j")
        # The same id again, with a statement that costs less: whichever BigQuery takes has been paid for.
        again = await room.admit(1, job_id="j")
        assert again.is_shared
        assert again.charge is first.charge
        assert room.left() == [60]
        assert first.charge
        room.costs.settle(first.charge, 30 * MIB)
        assert room.left() == [70]

    runs(Room(tmp_path, budgets=[budget()]), story)


@pytest.mark.parametrize("chosen", [True, False])
@pytest.mark.parametrize("settled", [True, False])
def test_one_job_id_in_two_locations_is_not_paid_for_once(tmp_path: Path, *, chosen: bool, settled: bool) -> None:
    """At BigQuery an id is unique within a location, and without one the statement's tables say where it runs."""

    async def story(room: Room) -> None:
        first = await room.admit(30, request="reads the US", **({"job_id": "j"} if chosen else {}))
        assert first.charge
        room.costs.name(first.charge, "p", "j", "US")
        if settled:
            room.costs.settle(first.charge, 30 * MIB)
        left = room.left()

        with pytest.raises(Denied, match="Already Exists"):
            await room.admit(30, job_id="j", request="reads the EU")

        assert room.left() == left
        if chosen:
            again = await room.admit(30, job_id="j", request="reads the US")
            assert again.is_shared is not settled
        await room.again()
        with pytest.raises(Denied, match="Already Exists"):
            await room.admit(30, job_id="j", request="reads the EU")

    runs(Room(tmp_path, budgets=[budget()]), story)


def test_two_requests_that_turn_out_to_be_one_job_are_paid_for_once(tmp_path: Path) -> None:
    """`requestId` of jobs.query: asked again, BigQuery answers with the job that there is."""

    async def story(room: Room) -> None:
        first, again, late = await room.admit(20), await room.admit(20), await room.admit(0)
        assert first.charge
        assert again.charge
        assert late.charge
        room.costs.name(first.charge, "p", "j", "US")
        room.costs.name(again.charge, "p", "j", "US")
        room.costs.settle(first.charge, 20 * MIB)
        room.costs.name(late.charge, "p", "j", "US")
        assert room.left() == [80]
        assert room.costs.open() == []

    runs(Room(tmp_path, budgets=[budget()]), story)


ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), st.integers(0, 60), st.sampled_from(["", "j", "k"])),
        st.tuples(st.just("bill"), st.integers(0, 9), st.floats(0, 1)),
        st.tuples(st.just("fail"), st.integers(0, 9), st.none()),
        st.tuples(st.just("restart"), st.none(), st.none()),
    ),
    max_size=25,
)


@settings(max_examples=30, deadline=None)
@given(actions=ACTIONS)
def test_whatever_happens_in_whatever_order_no_more_is_billed_than_there_is(
    actions: list[tuple[str, Any, Any]],
) -> None:
    """BigQuery bills anything up to the limit that a job came with, whatever was estimated."""
    billed: list[int] = []
    limits: dict[str, int] = {}

    async def story(room: Room) -> None:
        for action, number, more in actions:
            running = room.costs.open()
            match action:
                case "ask":
                    with contextlib.suppress(Denied):
                        admission = await room.admit(number, job_id=more or None)
                        assert admission.charge
                        # Of two requests for one job BigQuery takes either.
                        known = limits.get(admission.charge.id, 0)
                        limits[admission.charge.id] = max(known, admission.limit if admission.limit > 1 else 0)
                case "bill" if number < len(running):
                    charge = running[number]
                    bill = int(limits[charge.id] * more)
                    room.costs.settle(charge, bill)
                    billed.append(bill)
                case "fail" if number < len(running):
                    room.costs.drop(running[number])
                case "restart":
                    before = room.costs.of(payer())
                    await room.again()
                    assert room.costs.of(payer()) == before
            [standing] = room.costs.of(payer())
            assert standing.used == sum(billed)
            assert standing.used + standing.reserved <= standing.limit
            assert standing.reserved == sum(limits[charge.id] for charge in room.costs.open())

    with TemporaryDirectory() as state:
        runs(Room(Path(state), budgets=[budget()]), story)


# The ledger


def test_a_restart_gives_nobody_a_new_budget(tmp_path: Path) -> None:
    async def story(room: Room) -> None:
        await room.spend(30)
        running = await room.admit(20, job_id="j", location="US", subject_token="secret")
        named = await room.admit(1)
        gone = await room.admit(1)
        assert running.charge
        assert named.charge
        assert gone.charge
        room.costs.name(named.charge, "p", "k", "EU")
        room.costs.drop(gone.charge)
        before = room.left()
        await room.again()
        assert room.left() == before == [100 - 30 - 30 - 20]
        assert {(c.job_id, c.location) for c in room.costs.open()} == {("j", "US"), ("k", "EU")}
        found = room.costs.find("p", "j")
        assert found
        assert found.payer == payer()
        room.costs.settle(found, 0)
        await room.again()
        assert room.left() == [100 - 30 - 20]
        assert b"secret" not in (tmp_path / FILE).read_bytes()

    runs(Room(tmp_path, budgets=[budget()]), story)


def test_what_is_too_old_to_count_is_deleted(tmp_path: Path) -> None:
    async def story(room: Room) -> None:
        await room.spend(30)
        room.clock.at += timedelta(days=31)
        await room.spend(10)

    runs(Room(tmp_path, budgets=[budget(every="month")]), story)
    with sqlite3.connect(tmp_path / FILE) as file:
        assert file.execute("SELECT billed FROM charges").fetchall() == [(10 * MIB,)]


def test_the_ledger_is_for_the_gateway_alone(tmp_path: Path) -> None:
    async def story(room: Room) -> None:
        await room.spend(30)

    runs(Room(tmp_path / "state", budgets=[budget()]), story)
    assert (tmp_path / "state" / FILE).stat().st_mode & 0o077 == 0


def test_without_a_ledger_nothing_is_let_through(tmp_path: Path) -> None:
    async def story(room: Room) -> None:
        with sqlite3.connect(tmp_path / FILE) as file:
            file.execute("DROP TABLE charges")
        with pytest.raises(RecordingError):
            await room.admit(1)
        assert room.left() == [100]

    runs(Room(tmp_path, budgets=[budget()]), story)


def test_a_damaged_ledger_is_told_at_the_start(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"not a database, but long enough to be taken for a damaged one" * 20)

    with pytest.raises(RecordingError, match="move it away"):
        runs(Room(tmp_path, budgets=[budget()]), lambda _: asyncio.sleep(0))
