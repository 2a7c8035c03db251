"""``hoop-mitm sandbox``, as somebody types it."""

import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress

import duckdb
import psutil
import pytest

from tests.waiting import until

SANDBOX = [sys.executable, "-m", "hoop_mitm.cli", "sandbox"]

CLIENT = """
import sys
from google.cloud import bigquery
(row,) = bigquery.Client().query_and_wait("SELECT COUNT(*) AS n FROM shop.orders")
print(row.n)
sys.exit(7)
"""

WAITING = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(9))
print("ready", flush=True)
time.sleep(600)
"""


def family_of(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """The whole family below a process."""
    return psutil.Process(process.pid).children(recursive=True)


def child_with(process: subprocess.Popen[str], words: str) -> psutil.Process:
    """The child whose command line has these words. (What a child starts looks like the child for a moment.)"""
    found = []
    for child in psutil.Process(process.pid).children():
        with suppress(psutil.Error):
            found += [child] if words in " ".join(child.cmdline()) else []
    [only] = found
    return only


def until_gone(family: Sequence[psutil.Process]) -> None:
    # Not by number: another process may have it by then.
    until(lambda: not any(process.is_running() for process in family))


def test_the_client_runs_its_status_is_ours_and_it_was_recorded(tmp_path):
    (tmp_path / "client.py").write_text(CLIENT)
    run = subprocess.run(
        [*SANDBOX, "--dir", tmp_path / "d", "--", "python", tmp_path / "client.py"],
        capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert (run.returncode, run.stdout, run.stderr) == (7, "900\n", "")
    shown = subprocess.run(
        [sys.executable, "-m", "hoop_mitm.cli", "sessions", "--json", "--db", tmp_path / "d/recordings/hoop.duckdb"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    (session,) = json.loads(shown.stdout)
    assert session["principal"]["email"] == "alice@acme.example"
    assert session["jobs"] == 1
    assert session["name"] == "alice python"


def test_a_program_that_is_not_there_is_said_at_once(tmp_path):
    run = subprocess.run(
        [*SANDBOX, "--dir", tmp_path / "d", "no-such-program"], capture_output=True, text=True, timeout=240, check=False
    )
    assert (run.returncode, run.stdout) == (127, "")
    assert run.stderr == "hoop-mitm: there is no program no-such-program.\n"
    assert not (tmp_path / "d").exists()


def test_a_mistake_in_somebodys_own_hoop_yaml_is_named(tmp_path):
    (tmp_path / "own.yaml").write_text("version: 1\nconections: []\n")
    run = subprocess.run(
        [*SANDBOX, "--dir", tmp_path / "d", "--config", tmp_path / "own.yaml", "--", "true"],
        capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert run.returncode == 2
    assert "line 2: unknown key `conections`" in run.stderr


def test_a_signal_reaches_the_command_and_everything_stops(tmp_path):
    with subprocess.Popen(
        [*SANDBOX, "--dir", tmp_path, "--", sys.executable, "-c", WAITING], stdout=subprocess.PIPE, text=True
    ) as run:
        assert run.stdout.readline() == "ready\n"
        family = family_of(run)
        assert len(family) >= 3  # the command, the gateway, BigQuery
        run.send_signal(signal.SIGTERM)
        assert run.wait(240) == 9
    until_gone(family)


def test_when_the_gateway_dies_the_command_is_ended_and_the_log_named(tmp_path):
    with subprocess.Popen(
        [*SANDBOX, "--dir", tmp_path, "--", sys.executable, "-c", WAITING],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as run:  # fmt: skip
        assert run.stdout.readline() == "ready\n"
        family = family_of(run)
        child_with(run, "hoop_mitm.devkit.leash").kill()
        assert run.wait(240) == 3
        assert str(tmp_path / "logs" / "gateway.log") in run.stderr.read()
    until_gone(family)


def test_after_a_kill_nothing_but_the_command_is_left(tmp_path):
    with subprocess.Popen(
        [*SANDBOX, "--dir", tmp_path, "--", sys.executable, "-c", WAITING], stdout=subprocess.PIPE, text=True
    ) as run:
        assert run.stdout.readline() == "ready\n"
        family = family_of(run)
        command = child_with(run, "signal.SIGTERM")
        run.kill()
        run.wait()
        command.kill()
    until_gone([process for process in family if process != command])


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.exhaustive)])
def test_without_a_command_it_prints_the_environment_and_stays(tmp_path, number):
    with subprocess.Popen(
        [*SANDBOX, "--dir", tmp_path], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as run:
        lines = []
        while not (line := run.stdout.readline()).startswith("export PATH"):
            assert line, run.stderr.read()
            lines.append(line)
        environment = "".join([*lines, line])
        client = subprocess.run(
            ["sh", "-c", f"{environment}\npython -c '{CLIENT}'"],
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        run.send_signal(number)
        assert run.wait(240) == 0
    assert (client.returncode, client.stdout) == (7, "900\n"), client.stderr


WRITING = """
import sys
from google.cloud import bigquery
client = bigquery.Client()
try:
    client.query("DELETE FROM shop.orders WHERE true").result()
except Exception as error:
    print(type(error).__name__, error)
(row,) = client.query_and_wait("SELECT COUNT(*) AS n FROM shop.orders")
print(row.n)
"""


def test_analysts_read_and_do_not_write(tmp_path):
    (tmp_path / "client.py").write_text(WRITING)
    run = subprocess.run(
        [*SANDBOX, "--as", "alice", "--dir", tmp_path / "d", "--", "python", tmp_path / "client.py"],
        capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    refused, *_, rows = run.stdout.splitlines()
    assert refused.startswith("Forbidden 403")
    assert "Analysts read here, and change nothing. (hoop-mitm, policy.analysts-do-not-write: DELETE" in refused
    assert rows == "900", "the rows are still there"
    with duckdb.connect(tmp_path / "d/recordings/hoop.duckdb", read_only=True) as archive:
        flows = archive.sql("SELECT door, rule FROM flows WHERE decision = 'deny'").fetchall()
    assert flows == [("jobs.insert", "policy.analysts-do-not-write")], "one request, no retries"
