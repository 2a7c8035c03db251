import json

import pytest

from tests.archive.building import NOON, seconds


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
