"""Two texts of one statement, one of which the recorder may have redacted."""

import time

import pytest

from hoop_mitm.reconciling.texts import same


@pytest.mark.parametrize(
    ("recorded", "ran", "expected"),
    [
        ("SELECT 1", "SELECT 1", True),
        ("SELECT 1\n", "  SELECT 1", True),
        ("SELECT 1", "SELECT  1", False),
        ("SELECT 1", "select 1", False),
        ("SELECT 1", "SELECT 1; DROP TABLE t", False),
        ("SELECT '[redacted***]'", "SELECT 'hunter2hunter'", True),
        ("SELECT '[redacted]'", "SELECT 'tenletters'", True),
        ("SELECT '[redacted]'", "SELECT ''", False),
        ("SELECT '[redacted]'", "SELECT 'tenletters' FROM t", False),
        ("SELECT '[redacted]'", "SELECT 'longer than it can have been'", False),
        ("SELECT '********'", "SELECT 'password'", True),
        ("SELECT 3 ** 2", "SELECT 3 ** 4", False),
        ("a [redacted] b [redacted] c", "a 1234567890 b 0987654321 c", True),
        ("a [redacted] b [redacted] c", "a 1234567890 x 0987654321 c", False),
        ("[redacted][redacted****]!", "as long as both together!", True),
        ("[redacted][redacted****]!", "longer than both together are!", False),
        ("", "", True),
    ],
)
def test_same(recorded: str, ran: str, *, expected: bool) -> None:
    assert same(recorded, ran) is expected


@pytest.mark.parametrize(
    ("recorded", "ran"),
    [
        ("[redacted]" * 20, "x" * 400),
        ("[redacted]x" * 200, "x" * 5000 + "y"),
        ("[redacted" + "*" * 60_000 + "]" + "x" * 200_000, "x" * 300_000),
    ],
    ids=["gaps", "many gaps", "a large gap"],
)
def test_texts_that_are_made_to_take_long_do_not(recorded: str, ran: str) -> None:
    started = time.thread_time()
    assert not same(recorded, ran)
    assert time.thread_time() - started < 2
