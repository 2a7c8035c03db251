from datetime import UTC, datetime, timedelta

import pytest

from hoop_mitm.archive import Moment, play

START = datetime(2026, 11, 22, tzinfo=UTC)


def at(*offsets):
    return [Moment(START + timedelta(seconds=o), timedelta(seconds=o), "call") for o in offsets]


@pytest.mark.parametrize(
    ("options", "slept", "skipped"),
    [
        pytest.param({}, [1, 99], [0, 0, 0, 0], id="own rhythm"),
        pytest.param({"speed": 2}, [0.5, 49.5], [0, 0, 0, 0], id="twice as fast"),
        pytest.param({"max_idle": timedelta(seconds=5)}, [1, 5], [0, 0, 0, 94], id="long pauses are cut"),
        pytest.param({"max_idle": timedelta(seconds=4), "speed": 2}, [0.5, 2], [0, 0, 0, 95], id="cut, then faster"),
        pytest.param({"max_idle": timedelta()}, [], [0, 1, 0, 99], id="no pauses"),
        pytest.param({"instant": True}, [], [0, 0, 0, 0], id="at once"),
    ],
)
def test_a_session_plays_in_its_own_rhythm(options, slept, skipped):
    sleeps = []
    beats = list(play(at(0, 1, 1, 100), sleep=sleeps.append, **options))
    assert sleeps == slept
    assert [beat.skipped.total_seconds() for beat in beats] == skipped


def test_a_moment_is_handed_out_before_the_next_is_waited_for():
    sleeps = []
    beats = play(at(0, 5), sleep=sleeps.append)
    next(beats)
    assert sleeps == []
