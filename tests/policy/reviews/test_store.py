"""What is kept of reviews: one of a job, changes in their order, and nothing twice."""

import sqlite3
import subprocess
import sys
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from hoop_mitm.errors import Denied, RecordingError
from hoop_mitm.policy.reviews import Change, Outcome, Review, Store, deciding
from hoop_mitm.policy.reviews.store import Most
from tests.policy.reviews.test_deciding import BOB, CAROL, review

NOW = datetime.now(UTC)
ASKED = Change("review.requested", "It waits.")


def waiting(number: int = 1, **changes: object) -> Review:
    plain = review()
    held = replace(plain.held, job_id=f"job{number}")
    more = {"fingerprint": "f", "requested_at": NOW + timedelta(seconds=number), "expires_at": NOW + timedelta(hours=1)}
    return replace(plain, id=f"r{number}", held=held, **more | changes)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path, ["hook"])


def test_nothing_is_made_before_something_is_held(store: Store, tmp_path: Path) -> None:
    assert store.of_job("acme", "job1") is None
    assert (store.all(), store.to_do(NOW), store.unrecorded(), store.due(NOW), store.last_change) == ([], [], [], [], 0)
    assert store.forget(NOW) == 0
    assert list(tmp_path.iterdir()) == []


def test_what_is_held_is_there_for_the_next_gateway(store: Store, tmp_path: Path) -> None:
    kept = store.add(waiting(), ASKED)

    other = Store(tmp_path)
    assert other.of_job("acme", "job1") == kept
    assert other.get("r1") == kept
    assert [each.id for each in other.to_do(kept.expires_at)] == [kept.id]
    assert (tmp_path / "reviews.sqlite").stat().st_mode & 0o077 == 0


def test_who_waits_is_told_of_changes_alone(store: Store) -> None:
    assert not store.has_changed(waiting())
    kept = store.add(waiting(), ASKED)
    store.add(waiting(2), ASKED)
    assert not store.has_changed(kept)
    store.update("r1", lambda each: deciding.withdraw(each, NOW))
    assert store.has_changed(kept)


def test_a_job_is_held_once(store: Store) -> None:
    store.add(waiting(), ASKED)

    with pytest.raises(KeyError):
        store.add(replace(waiting(), id="another"), ASKED)
    assert [each.change.type for each in store.unrecorded()] == ["review.requested"]


def test_what_may_not_be_changes_nothing(store: Store) -> None:
    kept = store.add(waiting(), ASKED)

    with pytest.raises(Denied):
        store.update("r1", lambda each: deciding.approve(each, BOB, digest="stale", machines={}, now=NOW))

    assert store.get("r1") == kept
    assert store.last_change == kept.change


def test_of_many_approvals_at_once_one_is_the_last(store: Store, tmp_path: Path) -> None:
    """Two gateways, two connections each: everybody says yes at the same moment."""
    two = review(min_approvals=2)
    store.add(replace(two, id="r1", held=replace(two.held, job_id="job1"), expires_at=NOW + timedelta(hours=1)), ASKED)
    states: list[str] = []

    def approve(to: Store, who: object) -> None:
        def decide(each: Review) -> deciding.Changed:
            return deciding.approve(each, who, digest=each.digest, machines={}, now=NOW)  # type: ignore[arg-type]

        try:
            made = to.update("r1", decide)
        except Denied as refused:
            states.append(refused.rule)
        else:
            assert made
            states.append(made.state)

    people = [threading.Thread(target=approve, args=(Store(tmp_path), who)) for who in (BOB, CAROL) * 4]
    for each in people:
        each.start()
    for each in people:
        each.join()

    assert (states.count("PENDING"), states.count("APPROVED"), len(states)) == (1, 1, 8)


def test_changes_are_told_in_their_order_until_they_are_recorded(store: Store) -> None:
    store.add(waiting(), ASKED)
    store.update("r1", lambda each: deciding.approve(each, BOB, digest=each.digest, machines={}, now=NOW))

    told = store.unrecorded()
    assert [each.change.type for each in told] == ["review.requested", "review.approved"]
    assert told[1].change.by == BOB
    store.recorded([told[0].number])
    assert [each.id for each in store.unrecorded()] == [told[1].id]


def test_a_webhook_is_told_until_it_has_heard(store: Store) -> None:
    store.add(waiting(), ASKED)
    soon = datetime.now(UTC) + timedelta(seconds=1)
    (delivery,) = store.due(soon)
    assert (delivery.webhook, delivery.attempts, delivery.happened.change) == ("hook", 0, ASKED)

    store.postpone(delivery, soon + timedelta(hours=1))
    assert store.due(soon) == []
    (again,) = store.due(soon + timedelta(hours=2))
    assert (again.attempts, again.happened.id) == (1, delivery.happened.id)
    store.delivered(again)
    assert store.next_due() is None


def test_the_last_of_the_same_shape_that_ran(store: Store) -> None:
    for number, state, shape in [
        (1, "EXECUTED", "f"),
        (2, "EXECUTED", "f"),
        (3, "REJECTED", "f"),
        (4, "EXECUTED", "g"),
    ]:
        store.add(waiting(number, state=state, fingerprint=shape), ASKED)
    latest = store.add(waiting(5), ASKED)

    found = store.last_that_ran(latest)

    assert found
    assert found.id == "r2"


def test_what_is_over_for_long_is_gone_from_the_file(store: Store, tmp_path: Path) -> None:
    store.add(waiting(1), ASKED)
    store.add(waiting(2), ASKED)
    store.update("r1", lambda each: deciding.reject(each, BOB, machines={}, now=NOW, message="because-of-me"))

    assert store.forget(NOW + timedelta(days=1)) == 1

    assert [each.id for each in store.all()] == ["r2"]
    store.close()
    assert not any(b"because-of-me" in file.read_bytes() for file in tmp_path.iterdir())


@pytest.mark.parametrize(
    ("level", "kept"), [("full", True), ("statements", False), ("metadata", False), ("off", False)]
)
def test_what_its_connection_does_not_record_leaves_the_files_when_it_is_over(
    store: Store, tmp_path: Path, level: Any, kept: bool
) -> None:
    plain = waiting()
    body = '{"query": "SELECT @n", "queryParameters": [{"parameterValue": {"value": "of-the-body"}}]}'
    store.add(replace(plain, held=replace(plain.held, body=body, configuration=body, level=level)), ASKED)
    assert any(b"of-the-body" in file.read_bytes() for file in tmp_path.iterdir())

    store.update("r1", lambda each: deciding.withdraw(each, NOW))

    assert any(b"of-the-body" in file.read_bytes() for file in tmp_path.iterdir()) is kept


def test_another_program_that_ends_takes_nothing_away(store: Store, tmp_path: Path) -> None:
    """As `hoop-mitm retention` does, or another gateway: what is written here afterwards must be in the file."""
    store.add(waiting(), ASKED)
    store.all()
    store.get("r1")
    other = "import sys, pathlib; from hoop_mitm.policy.reviews import Store; s = Store(pathlib.Path(sys.argv[1])); "
    subprocess.run([sys.executable, "-c", f"{other} s.polled({{}}); s.close()", tmp_path], check=True)

    store.add(waiting(2), ASKED)

    said = subprocess.run(
        [sys.executable, "-c", f"{other} print(sorted(s.open_ids()))", tmp_path],
        check=True,
        capture_output=True,
        text=True,
    )
    assert said.stdout.strip() == "['r1', 'r2']"


def test_polls_are_noted(store: Store) -> None:
    store.add(waiting(), ASKED)
    store.polled({"r1": NOW, "gone": NOW})

    found = store.get("r1")

    assert found
    assert found.polled_at == NOW


def test_a_file_that_is_none_of_ours_holds_nothing_and_lets_nothing_pass(store: Store, tmp_path: Path) -> None:
    (tmp_path / "reviews.sqlite").write_bytes(
        b"something else entirely, and long enough to be looked at as a database" * 20
    )

    with pytest.raises(RecordingError):
        store.of_job("acme", "job1")


def test_it_is_a_database_that_forgets_and_waits_for_the_disk(store: Store, tmp_path: Path) -> None:
    store.add(waiting(), ASKED)

    with sqlite3.connect(tmp_path / "reviews.sqlite") as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_job_that_never_ran_is_known_for_as_long_as_somebody_owns_its_id(store: Store) -> None:
    taken = Outcome("Already Exists", "duplicate")
    for number, state, outcome in [(1, "WITHDRAWN", None), (2, "EXECUTED", taken), (3, "EXECUTED", None)]:
        store.add(held(number), ASKED)
        done = replace(held(number), state=state, ended_at=NOW, outcome=outcome)  # type: ignore[arg-type]
        store.update(f"r{number}", lambda _, done=done: (done, ASKED))  # type: ignore[misc]

    soon, owned_until = NOW + timedelta(seconds=1), NOW + timedelta(seconds=2)
    assert store.forget(soon, NOW - timedelta(days=6)) == 1

    for job in ("job1", "job2"):
        kept = store.of_job("acme", job)
        assert kept
        assert (kept.held.statement, kept.held.body) == (None, "")
    assert store.of_job("acme", "job3") is None
    assert store.forget(owned_until, owned_until) == 2


def held(number: int, **more: object) -> Review:
    """A review with a large request."""
    plain = waiting(number, **more)
    text = f"SELECT '{'secret ' * 10_000}'"
    return replace(plain, held=replace(plain.held, body=text, configuration=text, statement=text))


def test_however_many_ask_at_once_no_more_are_held_than_may_be(store: Store, tmp_path: Path) -> None:
    said: list[str] = []
    ready = threading.Barrier(12)

    def ask(number: int) -> None:
        to = Store(tmp_path)
        ready.wait()
        try:
            to.add(waiting(number), ASKED, Most(open=3, unrun=9))
        except Denied as refused:
            said.append(refused.rule)

    people = [threading.Thread(target=ask, args=(number,)) for number in range(12)]
    for each in people:
        each.start()
    for each in people:
        each.join()

    assert said == ["review.too_many"] * 9
    assert len(store.open_ids()) == 3


def test_who_takes_back_much_is_held_no_more_until_tomorrow(store: Store) -> None:
    most = Most(open=9, unrun=2)
    for number in (1, 2):
        store.add(waiting(number), ASKED, most)
        store.update(f"r{number}", lambda each: deciding.withdraw(each, NOW))

    with pytest.raises(Denied, match="within a day"):
        store.add(waiting(3), ASKED, most)
    with pytest.raises(Denied, match="within a day"):
        store.check(waiting(3).held.session.principal.key, most)
    assert store.add(waiting(3, requested_at=NOW + timedelta(days=1, seconds=1)), ASKED, most)


def test_a_list_reads_no_texts_and_few_tables(store: Store) -> None:
    long = replace(waiting().grounds, tables=tuple(f"acme.shop.t{number:05}" for number in range(5_000)))
    full = store.add(held(1, grounds=long), ASKED)

    lists = [store.all(), store.beginning_with("r"), store.to_do(full.expires_at), [store.unrecorded()[0].review]]

    for (brief,) in lists:
        assert (brief.held.body, brief.held.configuration, brief.held.statement) == ("", "", None)
        assert len(brief.grounds.tables) == 101
        assert (brief.id, brief.digest, brief.held.session) == (full.id, full.digest, full.held.session)
    assert store.get("r1") == full


def test_what_ended_takes_no_place_from_what_waits(store: Store) -> None:
    store.add(waiting(1), ASKED)
    for number in range(2, 8):
        store.add(waiting(number), ASKED)
        store.update(f"r{number}", lambda each: deciding.withdraw(each, NOW))

    assert [each.id for each in store.all(limit=2)] == ["r1", "r7", "r6"]
    assert [each.id for each in store.beginning_with("r", limit=1)] == ["r1", "r7"]
    assert [each.id for each in store.all(["WITHDRAWN"], limit=1)] == ["r7"]
    assert store.all(["PENDING"], after=store.last_change) == []


def test_only_what_is_due_is_to_do(store: Store) -> None:
    store.add(waiting(1), ASKED)
    store.add(waiting(2, state="APPROVED"), ASKED)
    late = store.add(waiting(3, expires_at=NOW - timedelta(seconds=1)), ASKED)

    assert [each.id for each in store.to_do(NOW)] == ["r2", late.id]
    assert store.open_ids() == {"r1", "r2", "r3"}


def test_a_poll_does_not_wait_for_who_lists(store: Store) -> None:
    kept = store.add(waiting(), ASKED)
    with store._reading(store._lister):
        found: list[Review | None] = []
        poll = threading.Thread(target=lambda: found.append(store.of_job("acme", "job1")), daemon=True)
        poll.start()
        poll.join(60)
        assert found == [kept]


def test_what_a_gateway_without_briefs_has_left_is_listed(store: Store, tmp_path: Path) -> None:
    store.add(held(1), ASKED)
    store.close()
    with sqlite3.connect(tmp_path / "reviews.sqlite") as file:
        file.execute("DROP TABLE briefs")

    assert [each.id for each in Store(tmp_path).all()] == ["r1"]
