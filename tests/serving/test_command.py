"""``hoop-mitm serve`` as somebody types it, and ``hoop_mitm.testing`` as a team uses it."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.serving.building import Recorded

SQL = "SELECT id, at FROM shop.orders"
ROWS = [(n, 1_700_000_000_000_000 + n) for n in range(3)]
CLI = [sys.executable, "-m", "hoop_mitm.cli"]

CLIENT = """
import sys
from google.cloud import bigquery
client = bigquery.Client()
print([row.id for row in client.query("select id, at from shop.orders").result()])
if len(sys.argv) > 1:
    try:
        client.query_and_wait("SELECT id FROM shop.orders")
    except Exception as error:
        print(error.errors[0]["message"])
sys.exit(7)
"""

TESTS = """
import sys
import pytest
from google.cloud import bigquery

def ask(sql):
    return [row.id for row in bigquery.Client().query_and_wait(sql)]

@pytest.mark.hoop_session("nightly")
def test_the_same(hoop_session):
    assert ask("SELECT id, at FROM shop.orders") == [0, 1, 2]
    hoop_session.assert_same()

@pytest.mark.hoop_session("nightly")
def test_another_program(hoop_session):
    script = "from google.cloud import bigquery as b; print(len(list(b.Client().query_and_wait('SELECT id, at FROM shop.orders'))))"
    assert hoop_session.run(sys.executable, "-c", script).stdout == "3\\n"
    assert [job.statement for job in hoop_session.asked().jobs] == ["SELECT id, at FROM shop.orders"]

@pytest.mark.hoop_session("nightly")
def test_more_than_was_recorded(hoop_session):
    ask("SELECT id, at FROM shop.orders")
    ask("SELECT id, at FROM shop.orders")
    hoop_session.assert_same()

@pytest.mark.hoop_session("nightly")
def test_something_else(hoop_session):
    with pytest.raises(Exception, match="Closest is"):
        ask("SELECT id FROM shop.orders")
"""


@pytest.fixture
def archive(recorded: Recorded) -> Path:
    recorded.asked(SQL, ROWS)
    recorded.builder.write()
    return recorded.builder.path


def test_a_command_runs_against_the_recording_and_its_run_compares_as_the_same(archive: Path, tmp_path: Path) -> None:
    (tmp_path / "client.py").write_text(CLIENT)
    served = ["serve", "nightly", "--db", archive, "--dir", tmp_path / "served"]

    done = subprocess.run(
        [*CLI, *served, "--", "python", tmp_path / "client.py"], capture_output=True, text=True, check=False
    )
    same = subprocess.run(
        [*CLI, "diff", "nightly", "@last", "--db-a", archive, "--db-b", tmp_path / "served/recordings"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert (done.returncode, done.stdout, done.stderr) == (7, "[0, 1, 2]\n", "")
    assert same.returncode == 0, same.stdout + same.stderr


def test_it_stays_until_ctrl_c_and_says_what_was_not_in_the_recording(archive: Path, tmp_path: Path) -> None:
    command = [*CLI, "serve", "nightly", "--db", str(archive), "--dir", str(tmp_path / "served")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as serving:
        lines = []
        while not (line := serving.stdout.readline()).startswith("export PATH"):
            assert line, serving.stderr.read()
            lines.append(line)
        (tmp_path / "client.py").write_text(CLIENT)
        script = "".join([*lines, line, f"python {tmp_path / 'client.py'} more"])
        client = subprocess.run(["sh", "-c", script], capture_output=True, text=True, timeout=100, check=False)
        serving.send_signal(signal.SIGINT)
        assert serving.wait(60) == 0
        told = serving.stderr.read()
    assert client.stdout.startswith("[0, 1, 2]\nhoop-mitm serve: The recording has no such job. Closest is #1"), (
        client.stderr
    )
    assert "1 question was not in the recording:\n  SELECT id FROM shop.orders\n" in told


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["serve"], 2, "Missing argument"),
        (["serve", "nobody"], 2, "'nobody'"),
        (["serve", "nightly", "--", "no-such-program"], 127, "there is no program no-such-program"),
        (["serve", "nightly", "--latency", "twice"], 2, "--latency"),
    ],
)
def test_a_mistake_is_said_before_anything_starts(archive: Path, tmp_path: Path, arguments, status, words) -> None:
    done = subprocess.run(
        [*CLI, *arguments[:1], "--db", archive, *arguments[1:]],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout) == (status, "")
    assert words in done.stderr
    assert not (tmp_path / "served").exists()


def test_a_team_tests_its_agent_with_the_fixture(archive: Path, tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (project / "conftest.py").write_text('pytest_plugins = ["hoop_mitm.testing"]\n')
    (project / "pytest.ini").write_text(f"[pytest]\nhoop_recording = {archive}\n")
    (project / "test_agent.py").write_text(TESTS)

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:bqemulator", "-p", "no:cacheprovider", "-rA", "-q"],
        cwd=project, capture_output=True, text=True, check=False,
    )  # fmt: skip

    words = done.stdout
    assert "PASSED test_agent.py::test_the_same" in words, words + done.stderr
    assert "PASSED test_agent.py::test_another_program" in words
    assert "FAILED test_agent.py::test_more_than_was_recorded" in words
    assert "added: SELECT id, at FROM shop.orders" in words
    assert "ERROR test_agent.py::test_something_else" in words
    assert (words.count("\nPASSED "), words.count("\nFAILED "), words.count("\nERROR ")) == (3, 1, 1)
