from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from hoop_mitm.archive import Moment
from hoop_mitm.archive.reel import Reel

START = datetime(2026, 11, 22, tzinfo=UTC)


def reel(*moments: tuple[float, str, str | None]) -> Reel:
    """Of moments as (offset in seconds, kind, key of its job)."""
    return Reel([
        Moment(
            START + timedelta(seconds=at), timedelta(seconds=at), kind, job=SimpleNamespace(key=key) if key else None
        )
        for at, kind, key in moments
    ])  # fmt: skip


@pytest.fixture
def four() -> Reel:
    return reel((0, "start", None), (1, "ask", "a"), (3, "deny", "b"), (60, "answer", "a"))


def test_it_is_stepped_through_forwards_and_back(four: Reel) -> None:
    assert [four.next().kind for _ in range(4)] == ["start", "ask", "deny", "answer"]
    assert (four.next(), four.at_end, four.position) == (None, True, four.length)
    assert [moment and moment.kind for moment in (four.back(), four.back(), four.back(), four.back())] == [
        "deny", "ask", "start", None,
    ]  # fmt: skip


@pytest.mark.parametrize(("to", "kind"), [(0, "start"), (1, "ask"), (1.5, "deny"), (59, "answer"), (600, "answer")])
def test_it_goes_to_a_time(four: Reel, to: float, kind: str) -> None:
    four.seek(timedelta(seconds=to))
    assert four.next().kind == kind


def test_it_goes_to_the_next_denial_and_stays_where_there_is_none(four: Reel) -> None:
    assert four.to_trouble()
    assert four.next().kind == "deny"
    assert not four.to_trouble()
    assert four.next().kind == "answer"


def test_one_job_is_followed_and_the_rest_comes_back(four: Reel) -> None:
    four.next()
    four.next()
    four.follow("a")
    assert (four.followed, len(four), four.wait()) == (True, 2, timedelta(seconds=59))
    four.follow(None)
    assert (four.followed, four.next().kind) == (False, "deny")
