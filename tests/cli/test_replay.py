import json
import time

import pytest

from tests.archive.building import NOON, columns, seconds
from tests.waiting import until


@pytest.fixture
def told(recording):
    builder = recording.builder
    session = builder.session("nightly", ended=0.5)
    builder.asked(session, "SELECT n FROM t", columns(n="INTEGER"), [(n,) for n in range(8)], took=0.1)
    builder.job(session, "SELEC 1", at=NOON + seconds(0.2), took=0.1, error="Syntax error")
    denied = {"state": "DENIED", "decision": "deny", "rule": "read_only", "message": "Analysts do not write."}
    builder.job(session, "DROP TABLE t", at=NOON + seconds(0.4), took=0, id=None, **denied)
    builder.flow(session, at=NOON + seconds(0.45), door="tables.list")
    return recording


def test_a_session_is_played_question_by_question(told):
    output = told.run("replay", "nightly", "--instant").stdout
    places = [
        output.index(words)
        for words in (
            "00:00.0  alice@acme.test comes in through acme, with python",
            "alice@acme.test asks",
            "SELECT n FROM t",
            "ok  8 rows",
            "… 3 more rows",
            "00:00.2  alice@acme.test asks",
            "Syntax error",
            "DROP TABLE t",
            "read_only: Analysts do not write.",
            "alice@acme.test calls tables.list  200",
            "the session ends",
        )
    ]
    assert places == sorted(places)


def test_json_is_one_moment_a_line(told):
    moments = [json.loads(line) for line in told.run("replay", "--instant", "--json").stdout.splitlines()]
    kinds = ["start", "ask", "answer", "ask", "error", "ask", "deny", "call", "end"]
    assert [moment["kind"] for moment in moments] == kinds
    assert moments[1]["job"]["statement"] == "SELECT n FROM t"
    assert moments[3]["offset_ms"] == 200
    assert moments[7]["flow"]["door"] == "tables.list"


@pytest.mark.parametrize(("arguments", "at_least"), [([], 0.5), (["--speed", "4"], 0.12)])
def test_it_plays_in_its_own_rhythm(told, arguments, at_least):
    begin = time.perf_counter()
    told.run("replay", *arguments)
    assert time.perf_counter() - begin >= at_least


@pytest.mark.parametrize("arguments", [["--speed", "100000", "--max-idle", "3600"], ["--max-idle", "0"], ["--instant"]])
def test_faster_or_at_once_an_hour_takes_no_hour(recording, arguments):
    session = recording.builder.session(ended=3600)
    recording.builder.job(session, "SELECT 1", at=NOON + seconds(3000))
    assert "SELECT 1" in recording.run("replay", *arguments).stdout


def test_what_was_cut_out_is_said(recording):
    session = recording.builder.session(ended=900)
    recording.builder.job(session, "SELECT 1", at=NOON + seconds(600))
    assert "10 min 00 s of nothing, left out" in recording.run("replay", "--max-idle", "0").stdout


def test_the_file_is_free_while_it_plays(told):
    import subprocess
    import sys

    import duckdb

    told.builder.write()

    def is_free():
        try:
            duckdb.connect(str(told.path)).close()
        except duckdb.IOException:
            return False
        return True

    # It plays for longer than this test may take.
    command = [sys.executable, "-m", "hoop_mitm.cli", "replay", "--db", str(told.path), "--speed", "0.001"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as player:
        try:
            player.stdout.readline()
            until(is_free)
            assert player.poll() is None
        finally:
            player.kill()


@pytest.mark.parametrize(
    "arguments",
    [
        *(["--speed", value] for value in ("0", "-1", "fast", "nan", "inf", "-inf", "1e-320")),
        *(["--max-idle", value] for value in ("-1", "nan", "inf", "1e15", "1e300")),
    ],
)
def test_a_wrong_rhythm_is_exit_2(told, arguments):
    told.run("replay", *arguments, expect=2)
