import json
from pathlib import Path

import pytest

from tests.archive.building import NOON, seconds
from tests.gateways import RunningGateway
from tests.laptops import Laptop


@pytest.fixture
def three(recording):
    session = recording.builder.session("nightly")
    recording.builder.job(session, "SELECT 1", bytes_processed=5 * 2**30, bytes_billed=2**40)
    recording.builder.flow(session, decision="deny", rule="read_only", state="refused", status=403)
    recording.builder.session("ci", at=NOON + seconds(60), email=None, subject="repo:acme/etl", kind="machine")
    recording.builder.session("evil \x1b[2J\u202e", at=NOON + seconds(120))
    return recording


def test_people_see_who_came_when_and_what_it_cost(three):
    lines = three.run("sessions").stdout.splitlines()
    assert lines[0].split()[:3] == ["ID", "NAME", "WHO"]
    assert [line.split()[1] for line in lines[1:]] == ["evil", "ci", "nightly"]
    assert "repo:acme/etl" in lines[2]
    assert "2026-11-22 12:00:00" in lines[3]
    assert lines[3].split()[-6:] == ["1", "5.0", "GiB", "≈", "$6.25"] or lines[3].endswith(
        "1       1  5.0 GiB  ≈ $6.25"
    )


@pytest.mark.parametrize(
    ("columns", "titles"),
    [
        (80, "ID NAME WHO CLIENT STARTED JOBS DENIED"),
        (100, "ID NAME WHO CLIENT STARTED JOBS DENIED READ COST"),
        (140, "ID NAME WHO CONNECTION CLIENT STARTED STATUS JOBS DENIED READ COST"),
    ],
)
def test_a_narrow_terminal_is_shown_less_and_each_session_in_one_line(recording, columns, titles):
    recording.builder.session("nightly", email="alice.b@acme.example")
    recording.environment = {"COLUMNS": str(columns)}
    head, line = recording.run("sessions").stdout.splitlines()
    assert head.split() == titles.split()
    assert "alice.b@acme.example" in line
    assert len(line) <= columns


def test_programs_get_every_field_with_times_in_utc_and_bytes_as_numbers(three):
    found = json.loads(three.run("sessions", "--json").stdout)
    assert [session["name"] for session in found] == ["evil \x1b[2J\u202e", "ci", "nightly"]
    session = found[2]
    expected = {
        "name": "nightly",
        "connection": "acme",
        "principal": {
            "issuer": "https://login.acme.test",
            "subject": "u-alice",
            "email": "alice@acme.test",
            "groups": ["analysts"],
            "kind": "user",
        },
        "agent": "python",
        "started_at": "2026-11-22T12:00:00.000000Z",
        "ended_at": "2026-11-22T12:01:00.000000Z",
        "status": "ended",
        "flows": 1,
        "jobs": 1,
        "denied": 1,
        "bytes_processed": 5 * 2**30,
    }
    assert {name: session[name] for name in expected} == expected
    assert found[1]["principal"]["email"] is None


@pytest.mark.parametrize("arguments", [["sessions"], ["sessions", "--json"]])
def test_nothing_recorded_steers_the_terminal(three, arguments):
    output = three.run(*arguments).stdout
    assert "\x1b" not in output
    assert "\u202e" not in output


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (["--limit", "1"], ["s59"]),
        ([], [f"s{number}" for number in range(59, 9, -1)]),
        (["--limit", "0"], [f"s{number}" for number in range(59, -1, -1)]),
    ],
)
def test_people_see_the_newest_fifty_and_programs_all(recording, arguments, names):
    for number in range(60):
        recording.builder.session(f"s{number}", at=NOON + seconds(number))
    lines = recording.run("sessions", *arguments).stdout.splitlines()
    assert [line.split()[1] for line in lines[1:]] == names
    assert len(json.loads(recording.run("sessions", "--json").stdout)) == 60


@pytest.mark.parametrize(
    "arguments",
    [
        ["sessions"],
        ["sessions", "--json"],
        ["search", "SELECT"],
        ["show", "nightly", "--job", "1", "--rows"],
    ],
)
@pytest.mark.parametrize("limit", ["9223372036854775807", "9223372036854775808", "99999999999999999999", "-1"])
def test_more_than_anybody_has_is_no_number_to_ask_for(three, arguments, limit):
    assert "is not in the range" in three.run(*arguments, "--limit", limit, expect=2).stderr
    three.run("sessions", "--limit", "1000000000")


def test_an_empty_archive_is_an_empty_list(recording):
    assert recording.run("sessions").stdout == ""
    assert json.loads(recording.run("sessions", "--json").stdout) == []


def test_times_are_shown_in_the_readers_own_zone(three, monkeypatch):
    import time

    monkeypatch.setenv("TZ", "Asia/Kolkata")
    time.tzset()
    try:
        three.environment = {"TZ": "Asia/Kolkata"}
        assert "17:30:00" in three.run("sessions").stdout
        assert "12:00:00.000000Z" in three.run("sessions", "--json").stdout
    finally:
        monkeypatch.undo()
        time.tzset()


def test_no_file_is_exit_3_with_the_next_step(recording, tmp_path):
    result = recording.run("sessions", "--db", str(tmp_path / "none.duckdb"), expect=3)
    assert result.stdout == ""
    assert "There is no recording" in result.stderr
    assert "hoop-mitm sandbox" in result.stderr


def test_from_elsewhere_the_recording_is_that_of_ones_own_gateway(gateway: RunningGateway, tmp_path: Path) -> None:
    laptop = Laptop(tmp_path, gateway)
    gateway.folded().close()
    done = laptop.hoop("sessions", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    (tmp_path / "recordings").mkdir()
    nearer = laptop.hoop("sessions", "--json")
    assert nearer.returncode == 3
    assert "There is no recording at recordings/hoop.duckdb" in nearer.stderr, "a gateway of this directory comes first"
    assert "hoop-mitm run" in nearer.stderr
