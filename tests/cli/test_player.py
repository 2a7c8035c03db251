"""``replay`` at a terminal, with keys."""

import os
import sys
from datetime import timedelta

import pytest

from hoop_mitm.cli.player import offset_of
from tests.archive.building import NOON, columns, seconds
from tests.terminals import Terminal


@pytest.fixture
def told(recording):
    builder = recording.builder
    session = builder.session("nightly", ended=3600)
    builder.asked(session, "SELECT n FROM t", columns(n="INTEGER"), [(n,) for n in range(45)], took=0.1)
    builder.job(session, "SELECT later", at=NOON + seconds(1800), took=0.1)
    denied = {"state": "DENIED", "decision": "deny", "rule": "read_only", "message": "Analysts do not write."}
    builder.job(session, "DROP TABLE t", at=NOON + seconds(3000), took=0, id=None, **denied)
    builder.write()
    return recording


def test_keys_pause_seek_jump_and_turn_pages(told, tmp_path) -> None:
    command = [sys.executable, "-m", "hoop_mitm.cli", "replay", "--db", str(told.path)]
    with Terminal(command, cwd=tmp_path, environment={**os.environ, "TERM": "xterm", "TZ": "UTC"}) as terminal:
        terminal.until(r"… 40 more rows")
        terminal.type("r")
        terminal.until(r"\n *19\s*\n")
        terminal.type("r")
        terminal.until(r"\n *39\s*\n")
        terminal.type("g30:00\r")
        terminal.until("SELECT later")
        terminal.until(r"30:00 / 1:00:00 · \d+ of \d+ · paused")
        terminal.type("e")
        terminal.until("DROP TABLE t|Analysts do not write")
        terminal.type("q")
        assert "2 jobs, " in terminal.finish()
    assert terminal.status == 0


def test_in_a_pipe_it_plays_from_a_time_on_and_one_job_alone(told) -> None:
    later = told.run("replay", "--from", "25:00", "--instant").stdout
    one = told.run("replay", "--job", "1", "--instant").stdout

    assert ("SELECT later" in later, "SELECT n" in later) == (True, False)
    assert ("SELECT later" in one, "SELECT n" in one) == (False, True)
    told.run("replay", "--from", "noon", expect=2)


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("90", 90),
        ("1:30", 90),
        ("1:02:03", 3723),
        ("0:05", 5),
        ("", None),
        ("a", None),
        ("1:2:3:4", None),
        ("-1", None),
    ],
)
def test_times_as_people_type_them(text: str, length: float | None) -> None:
    assert offset_of(text) == (None if length is None else timedelta(seconds=length))
