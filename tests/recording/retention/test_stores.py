"""Reviews and charges beside a recording: reached, held, and never passed over in silence."""

import sqlite3
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from hoop_mitm.errors import HeldError, NotInArchive, RecordingError
from hoop_mitm.policy.cost import Payer
from hoop_mitm.policy.cost.charge import Charge
from hoop_mitm.policy.cost.ledger import Ledger
from hoop_mitm.policy.reviews import Change, Store, deciding
from hoop_mitm.recording.retention import Stores, apply, erase, look, place_hold, release_hold, trace
from tests.policy.reviews.test_deciding import review
from tests.recording.retention.recorded import ISSUER, NOW, Recorded, ago, cutoff, cutoffs, principal
from tests.recording.retention.searching import finds

ALICE, BOB = "alice@acme.example", "bob@acme.example"


class State:
    """A gateway's directory with a recording of Alice, and what lies beside it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory / "state"
        self.directory.mkdir()
        self.stores = Stores(self.directory)
        self.recorded = Recorded(directory / "recordings")
        self.recorded.job("alice", age=100)
        self.recorded.job("bob", age=100)
        self.recorded.fold()

    def review(self, name: str, by: str = "", *, age: float = 100) -> str:
        """A review of a request of somebody's, that somebody rejected so many days ago; its id."""
        session = self.recorded.sessions[f"{name}/acme"]
        plain = review()
        review_id = f"review-{len(Store(self.directory).all())}"
        statement = f"DELETE FROM t -- {name}"
        held = replace(plain.held, session=session, job_id=f"job-{review_id}", statement=statement, body=statement)
        store = Store(self.directory)
        made = replace(plain, id=review_id, held=held, requested_at=ago(age), expires_at=NOW + timedelta(days=1))
        store.add(made, Change("review.requested", "It waits.", session.principal))
        if by:
            who = replace(principal(by), groups=("reviewers",))
            store.update(
                review_id,
                lambda each: deciding.reject(each, who, machines={}, now=ago(age), message=f"words-of-{by}"),
            )
        store.recorded([each.number for each in store.unrecorded()])
        store.close()
        return review_id

    def charge(self, name: str, *, billed: int | None = 7, age: float = 1) -> None:
        ledger = Ledger(self.directory)
        payer = Payer(principal(name), "s", "acme")
        ledger.put([Charge(f"of-{name}", ago(age), payer, 9, billed, "acme", f"job-of-{name}")])
        ledger.close()

    def reviews(self) -> dict[str, str]:
        return {each.review.id: each.review.state for each in Store(self.directory).everything()}

    def erase(self, who: str, stores: Stores | None):
        recorded = self.recorded
        return erase(
            recorded.layout, recorded.keys, who, reason="", by="the test", progress=lambda _: None, stores=stores
        )

    def apply(self, **kept: float):
        recorded = self.recorded
        asked = cutoffs(acme=cutoff(**kept))
        return apply(recorded.layout, recorded.keys, asked, "the test", lambda _: None, stores=self.stores)


@pytest.fixture
def state(tmp_path) -> State:
    return State(tmp_path)


def test_who_is_known_only_there_is_erased_too(state):
    """Of a connection whose recording is off there is a charge, and nothing else."""
    state.charge("carol")

    assert trace(state.recorded.layout, "carol@acme.example", state.stores).charges == 1
    with pytest.raises(NotInArchive):
        state.erase("carol@acme.example", None)
    done = state.erase("Carol@acme.example", state.stores)

    assert (done.traces.charges, done.traces.keys) == (1, (f"{ISSUER}#subject-of-carol",))
    assert finds(state.directory, "carol") == set()
    [charge] = Ledger(state.directory).everything()
    assert charge.counted == 7
    state.recorded.verified()


def test_an_address_that_somebody_else_has_now_takes_nothing_of_theirs(state):
    of_carol, of_dave = (replace(principal(name), email="old@acme.example") for name in ("carol", "dave"))
    state.charge("carol")
    ledger = Ledger(state.directory)
    for who in (of_carol, of_dave):
        ledger.put([Charge(who.subject, ago(1), Payer(who, "s", "acme"), 9, 7)])

    state.erase("carol@acme.example", state.stores)

    assert [each.payer.principal for each in ledger.everything() if each.payer.principal.issuer] == [of_dave]


@pytest.mark.parametrize("who", ["alice", "acme.example", f"{ISSUER}#nobody", "%", "lice@acme.example"])
def test_nobody_is_erased_whom_nothing_names(state, who):
    state.review("alice", "bob")
    state.charge("alice")
    with pytest.raises(NotInArchive):
        state.erase(who, state.stores)
    assert finds(state.directory, ALICE)


def test_what_was_not_reached_is_said(state):
    state.review("alice", "bob")
    state.charge("alice")

    done = state.erase(ALICE, None)

    assert any("reviews.sqlite and spending.sqlite" in each for each in done.unreached)
    assert finds(state.directory, ALICE)
    assert not any("sqlite" in each for each in state.erase(ALICE, state.stores).unreached)
    assert finds(state.directory, "alice") == set()


def test_a_bill_that_no_gateway_waits_for_is_no_reason_to_keep_a_name(state):
    state.charge("alice", billed=None)
    assert state.erase(ALICE, state.stores).traces.under_way == 0
    assert finds(state.directory, "alice") == set()


def test_what_waits_stays_and_is_counted(state):
    waiting = state.review("alice")
    assert state.erase(ALICE, state.stores).traces.under_way == 1
    assert state.reviews() == {waiting: "PENDING"}


@pytest.mark.parametrize("file", ["reviews.sqlite", "spending.sqlite"])
@pytest.mark.parametrize("what", ["erase", "apply"])
def test_a_file_that_cannot_be_worked_on_is_told_and_nothing_else_is_done(state, file, what):
    (state.directory / file).write_bytes(b"something else, and long enough to be taken for a database" * 40)
    before = state.recorded.archive.read_bytes()

    with pytest.raises(RecordingError, match=file):
        state.erase(ALICE, state.stores) if what == "erase" else state.apply(bodies=1, statements=1)

    assert state.recorded.archive.read_bytes() == before


@pytest.mark.parametrize("file", ["reviews.sqlite", "spending.sqlite"])
def test_who_reads_the_old_file_all_the_time_is_told(state, file):
    state.review("alice", "bob")
    state.charge("alice")
    reader = sqlite3.connect(state.directory / file, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    before = state.recorded.archive.read_bytes()

    with pytest.raises(RecordingError, match=file):
        state.erase(ALICE, state.stores)
    assert state.recorded.archive.read_bytes() == before

    reader.close()
    state.erase(ALICE, state.stores)
    assert finds(state.directory, "alice") == set()


def test_reviews_of_a_session_on_hold_are_deleted_by_nobody(state):
    recorded = state.recorded
    review_id = state.review("alice", "bob")
    of_bob = state.review("bob", "alice")
    session = recorded.sessions["alice/acme"].id
    place_hold(recorded.layout, recorded.keys, session, "case 7", "the test", stores=state.stores)

    # By age; by the gateway itself; because a reviewer is to be forgotten.
    assert look(recorded.layout, cutoffs(acme=cutoff(1, 1, 1)), state.stores).beside.reviews == 1
    state.apply(bodies=1, statements=1, metadata=1)
    assert Store(state.directory).forget(datetime.now(UTC) + timedelta(days=900)) <= 1
    assert trace(recorded.layout, BOB, state.stores).held == (session,)
    with pytest.raises(HeldError, match=session):
        state.erase(BOB, state.stores)
    [kept] = [each.review for each in Store(state.directory).everything() if each.review.id == review_id]
    assert (kept.held.statement, "words-of-bob" in kept.outcome.message) == ("DELETE FROM t -- alice", True)
    assert of_bob not in state.reviews()

    release_hold(recorded.layout, recorded.keys, session, "", "the test", stores=state.stores)
    state.apply(bodies=1, statements=1, metadata=1)
    assert state.reviews() == {}


@pytest.mark.parametrize(("age", "email", "subject"), [(1, True, True), (20, False, True), (40, False, False)])
def test_a_charge_names_nobody_longer_than_it_counts(state, age, email, subject):
    state.charge("carol", age=age)

    assert state.apply(metadata=10).plan.beside.charges == (not email)

    assert bool(finds(state.directory, "carol@acme.example")) is email
    assert bool(finds(state.directory, "subject-of-carol")) is subject
    assert bool(finds(state.directory, "job-of-carol")) is email


@pytest.mark.parametrize(
    ("age", "body", "statement", "there"),
    [(1, True, True, True), (31, False, True, True), (181, False, False, True), (401, False, False, False)],
)
def test_a_review_loses_what_its_connection_keeps_no_more(state, age, body, statement, there):
    review_id = state.review("alice", "bob", age=age)

    applied = state.apply(bodies=30, statements=180, metadata=400)

    left = {each.review.id: each.review for each in Store(state.directory).everything()}
    assert (review_id in left) is there
    if there:
        assert (left[review_id].held.body != "", left[review_id].held.statement is not None) == (body, statement)
    assert bool(finds(state.directory, "words-of-bob")) is statement
    assert applied.plan.beside.reviews == (not body)
    assert state.apply(bodies=30, statements=180, metadata=400).plan.beside.reviews == 0
