"""``hoop-mitm retention``, as it is typed."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives import serialization
from ruamel.yaml import YAML

from hoop_mitm.archive.verify import verify
from hoop_mitm.cli import main
from tests.recording.building import ask
from tests.recording.folding import keys
from tests.recording.retention import recorded as recordings
from tests.recording.retention.recorded import Recorded
from tests.recording.retention.searching import finds


def write_key(state: Path) -> None:
    """The key that signed the recording is the gateway's."""
    state.mkdir(mode=0o700)
    path = state / "recording-20260101T000000000000Z-0000.pem"
    path.write_bytes(
        keys().newest._private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    path.chmod(0o600)


class CommandLine:
    """A hoop.yaml beside a recording in which something was done 1, 50 and 100 days ago."""

    def __init__(self, directory: Path) -> None:
        self.recorded = Recorded(directory / "recordings")
        self.jobs = {age: self.recorded.job(name, age=age) for name, age in (("alice", 100), ("bob", 50), ("bob", 1))}
        self.recorded.fold()
        self.config = directory / "hoop.yaml"
        write_key(directory / "state")
        self.keep({"bodies": "30d", "statements": "70d"})

    def keep(self, keep: object) -> None:
        document = {
            "gateway": {"state": "state"},
            "recording": {"heads": [{"type": "file", "path": "heads.jsonl"}]},
            "identity": {"issuers": [{"issuer": recordings.ISSUER, "audiences": ["hoop"]}]},
            "connections": [{"name": "acme", "projects": ["acme"], "credential": {"type": "adc"}, "keep": keep}],
        }
        with self.config.open("w") as file:
            YAML().dump(document, file)

    def run(self, *arguments: str, expect: int = 0, **more) -> Result:
        # The recording was made in its own time; ages are reckoned as of then.
        command = ["retention", *arguments, "--config", str(self.config)]
        done = CliRunner(env={"TZ": "UTC", "COLUMNS": "200"}).invoke(main, command, **more)
        assert done.exit_code == expect, done.output
        return done


@pytest.fixture
def here(tmp_path, monkeypatch) -> CommandLine:
    # As if it had been recorded up to today.
    monkeypatch.setattr(recordings, "NOW", datetime.now(UTC))
    monkeypatch.setattr("hoop_mitm.recording.heads._PATIENCE_AT_STOP", 60.0)
    return CommandLine(tmp_path)


def test_show_tells_periods_what_is_due_and_holds(here):
    shown = here.run("show").stdout
    assert "30d" in shown
    assert "70d" in shown
    assert "for ever" in shown
    assert "No session is on hold." in shown
    told = json.loads(here.run("show", "--json").stdout)
    assert told["keep"]["acme"] == {"bodies": "30d", "statements": "70d", "metadata": None}
    assert {share["what"]: share["flows"] for share in told["due"]["shares"]} == {"bodies": 6, "statements": 3}
    assert told["holds"] == []


def test_a_dry_run_leaves_everything(here):
    before = here.recorded.archive.read_bytes()
    shown = here.run("apply", "--dry-run").stdout
    assert "WOULD GO" in shown
    assert here.recorded.archive.read_bytes() == before
    later = json.loads(here.run("apply", "--dry-run", "--json", "--now", "2100-01-01").stdout)
    assert {share["what"]: share["flows"] for share in later["shares"]} == {"bodies": 9, "statements": 9}


def test_apply_says_what_is_gone_and_is_done(here):
    told = json.loads(here.run("apply", "--json").stdout)
    assert {share["what"]: share["flows"] for share in told["shares"]} == {"bodies": 6, "statements": 3}
    assert told["archive"]["checkpoint"]["reason"] == "kept"
    heads = [json.loads(line) for line in (here.config.parent / "heads.jsonl").read_text().splitlines()]
    assert told["archive"]["checkpoint"] in heads
    assert told["copies"] == []
    assert finds(here.recorded.directory, here.jobs[50].body) == set()
    assert finds(here.recorded.directory, here.jobs[50].statement)
    assert "Nothing is gone" in here.run("apply").stdout
    here.recorded.verified()


def test_nothing_is_deleted_as_of_a_time_to_come(here):
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    assert "--dry-run" in here.run("apply", "--now", tomorrow, expect=2).output


def test_what_may_still_be_in_an_older_copy_is_not_called_gone(here):
    backup = here.recorded.directory / "hoop.duckdb.v1-backup"
    backup.write_bytes(here.recorded.archive.read_bytes())
    assert str(backup) in here.run("apply", expect=1).stderr
    here.run("apply", "--remove-copies")
    assert not backup.exists()


def test_a_session_is_held_and_released(here):
    session = here.recorded.sessions["alice/acme"]
    assert here.run("hold", session.name, "--reason", "case 7").stdout.strip() == session.id
    assert "already" in here.run("hold", session.id, "--reason", "case 8").stderr
    [hold] = json.loads(here.run("holds", "--json").stdout)
    assert (hold["session_id"], hold["reason"]) == (session.id, "case 7")
    assert "case 7" in here.run("holds").stdout
    assert "1 session on hold" in here.run("show").stdout

    here.run("apply")
    assert finds(here.recorded.directory, here.jobs[100].body)
    assert session.id in here.run("erase", "--principal", "alice@acme.example", "--yes", expect=1).output

    here.run("release", session.id[:13], "--reason", "closed")
    here.run("release", session.id, expect=1)
    assert "No session is on hold" in here.run("holds").stderr
    here.run("apply")
    assert finds(here.recorded.directory, here.jobs[100].body) == set()


def test_holds_go_on_when_the_archive_is_made_again(here):
    session = here.recorded.sessions["alice/acme"].id
    here.run("hold", session, "--reason", "case 7")
    [hold] = json.loads(here.run("holds", "--json").stdout)
    assert hold["recorded"] is True
    here.recorded.archive.unlink()
    assert "1 session on hold. Of 1 of them the recording was made again since" in here.run("show").stdout
    [hold] = json.loads(here.run("holds", "--json").stdout)
    assert (hold["session_id"], hold["reason"], hold["recorded"]) == (session, "case 7", False)
    assert json.loads(here.run("show", "--json").stdout)["holds"] == [hold]
    assert "case 7 (the recording was made again since, and does not say so)" in here.run("holds").stdout
    here.run("apply")
    assert finds(here.recorded.directory, here.jobs[100].body)

    here.recorded.layout.holds.write_text("nonsense")
    assert "Put it back from a backup" in here.run("holds", expect=3).stderr
    here.run("apply", expect=3)


@pytest.mark.parametrize("journal", [True, False])
def test_what_only_the_note_holds_is_released(here, journal):
    session = here.recorded.sessions["alice/acme"].id
    here.run("hold", session, "--reason", "case 7")
    here.recorded.archive.unlink()
    if not journal:
        for _, segment in here.recorded.layout.segments():
            segment.unlink()
    here.run("show")
    released = here.run("release", session)
    assert released.stdout.strip() == session
    assert ("no event says this" in released.stderr) is not journal
    assert "No session is on hold" in here.run("holds").stderr
    here.run("release", session, expect=1 if journal else 2)
    here.run("release", "nothing", expect=2)


def test_a_session_that_there_is_not_cannot_be_held(here):
    assert "hoop-mitm sessions" in here.run("hold", "nothing", "--reason", "case 7", expect=2).output


def test_a_person_is_erased_only_when_it_is_confirmed(here):
    who = ("erase", "--principal", "alice@acme.example")
    told = json.loads(here.run(*who, "--dry-run", "--json").stdout)
    assert (told["sessions"], told["flows"], told["jobs"]) == (1, 3, 1)
    assert "Aborted" in here.run(*who, expect=1, input="n\n").output
    here.run(*who, expect=1)
    assert finds(here.recorded.directory, "alice@acme.example")

    shown = here.run(*who, "--reason", "ticket 1", input="y\n")
    assert "commitment" in shown.stdout
    assert "Not reached" in shown.stdout
    assert finds(here.recorded.directory, "alice") == set()
    here.recorded.verified()
    assert "Nothing is recorded" in here.run(*who, "--yes", expect=2).output


def test_the_receipt_comes_as_json_too(here):
    told = json.loads(here.run("erase", "--principal", "BOB@acme.example", "--yes", "--json").stdout)
    assert told["receipt"]["principal"] == "BOB@acme.example"
    assert told["unreached"]
    [(details,)] = ask(here.recorded.directory, "SELECT details FROM events WHERE type = 'erasure.applied'")
    assert told["receipt"]["commitment"] in details
    assert told["receipt"]["salt"] not in details


def test_a_reason_that_names_them_is_refused(here):
    reason = ("--reason", "alice@acme.example asked for it")
    assert "names them" in here.run("erase", "--principal", "alice@acme.example", "--yes", *reason, expect=2).output
    assert finds(here.recorded.directory, "alice@acme.example")


def test_without_a_recording_it_says_so(tmp_path, here):
    here.recorded.directory.rename(tmp_path / "away")
    assert "There is no recording" in here.run("show", expect=3).output


@pytest.mark.parametrize(
    "arguments",
    [
        ["show"],
        ["holds"],
        ["apply", "--despite-findings"],
        ["apply", "--dry-run"],
        ["erase", "--principal", "alice@acme.example", "--yes", "--despite-findings"],
        ["erase", "--principal", "alice@acme.example", "--dry-run"],
    ],
)
@pytest.mark.parametrize(
    "table",
    [
        "events",
        pytest.param("records", marks=pytest.mark.exhaustive),
        pytest.param("journals", marks=pytest.mark.exhaustive),
        "archive SET version = NULL",
        pytest.param("archive SET version = 'four'", marks=pytest.mark.exhaustive),
    ],
)
def test_a_file_that_lacks_what_every_archive_has_is_none(here, table, arguments):
    with duckdb.connect(here.recorded.archive) as connection:
        if "SET" in table:
            connection.execute("ALTER TABLE archive ALTER version TYPE VARCHAR")
            connection.execute("ALTER TABLE archive ALTER version DROP NOT NULL")
            connection.execute(f"UPDATE {table}")
        else:
            connection.execute(f"DROP TABLE {table} CASCADE")
    if arguments == ["holds"] and table in ("records", "journals"):
        # They are told by events alone.
        here.run(*arguments)
        return
    refused = here.run(*arguments, expect=3)
    assert refused.stdout == ""
    assert "is a DuckDB file, but no" in refused.stderr


def behind_its_back(here, statement: str) -> None:
    with duckdb.connect(here.recorded.archive) as connection:
        connection.execute(statement)


HIDDEN = "DELETE FROM events WHERE type = 'hold.placed'"
RELEASED = """
    INSERT INTO events BY NAME
    SELECT 'zz' AS id, 0 AS seq, now() AS occurred_at, 'hold.released' AS type, '' AS message, '' AS client_address,
        '{}' AS details, session_id
    FROM events WHERE type = 'hold.placed'
"""
OLDER = """
    UPDATE records SET data = regexp_replace(data, '_at":"[0-9]{4}-[0-9]{2}-[0-9]{2}', '_at":"2020-01-01', 'g')
    WHERE kind = 'flow'
"""
ELSEWHERE = "UPDATE sessions SET subject = 'subject-of-alice', email = 'alice@acme.example'"


@pytest.mark.parametrize("changed", [HIDDEN, RELEASED, OLDER], ids=["a hold", "a release", "ages"])
def test_who_can_write_to_the_recording_does_not_choose_what_is_deleted(here, changed):
    """They would have it signed by the gateway's key, and then put back what they had changed."""
    [session] = ask(here.recorded.directory, "SELECT id FROM sessions WHERE email = 'alice@acme.example'")
    here.run("hold", *session, "--reason", "case 1")
    behind_its_back(here, changed)
    before = here.recorded.archive.read_bytes()

    refused = here.run("apply", expect=3)

    assert "is not what its gateway wrote" in refused.stderr
    assert "hoop-mitm verify" in refused.stderr
    assert here.recorded.archive.read_bytes() == before
    for job in here.jobs.values():
        assert finds(here.recorded.directory, job.body)


def test_nor_who_is_erased(here):
    behind_its_back(here, ELSEWHERE)
    before = here.recorded.archive.read_bytes()
    asked = ("erase", "--principal", "alice@acme.example", "--yes")

    assert "is not what its gateway wrote" in here.run(*asked, expect=3).stderr

    assert here.recorded.archive.read_bytes() == before
    assert finds(here.recorded.directory, here.jobs[1].body)


def test_who_knows_better_has_it_deleted_and_the_event_says_what_was_wrong(here):
    behind_its_back(here, "UPDATE flows SET method = 'PUT' WHERE seq = (SELECT max(seq) FROM flows)")

    here.run("apply", "--despite-findings")

    assert finds(here.recorded.directory, here.jobs[50].body) == set()
    [(details,)] = ask(here.recorded.directory, "SELECT details FROM events WHERE type = 'retention.applied'")
    assert json.loads(details)["findings"] == {"row.changed": 1}
    assert verify(here.recorded.archive).found == {"row.changed": 1}


def test_the_event_of_a_sound_recording_has_no_findings(here):
    here.run("apply")
    [(details,)] = ask(here.recorded.directory, "SELECT details FROM events WHERE type = 'retention.applied'")
    assert "findings" not in json.loads(details)
