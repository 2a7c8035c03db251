"""``hoop-mitm sandbox``, as somebody types it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import pytest

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
time.sleep(60)
"""


def children(pid: int) -> list[int]:
    """The whole family below a process."""
    listing = subprocess.run(["ps", "-e", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    parents = [tuple(map(int, line.split())) for line in listing.splitlines()]
    direct = [child for child, parent in parents if parent == pid]
    return direct + [descendant for child in direct for descendant in children(child)]


def gone(pids: list[int]) -> bool:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if not any(Path(f"/proc/{pid}").exists() for pid in pids):
            return True
        time.sleep(0.1)
    return False


def test_the_client_runs_its_status_is_ours_and_it_was_recorded(tmp_path):
    (tmp_path / "client.py").write_text(CLIENT)
    run = subprocess.run(
        [*SANDBOX, "--dir", tmp_path / "d", "--", "python", tmp_path / "client.py"],
        capture_output=True, text=True, timeout=90, check=False,
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
        [*SANDBOX, "--dir", tmp_path / "d", "no-such-program"], capture_output=True, text=True, timeout=10, check=False
    )
    assert (run.returncode, run.stdout) == (127, "")
    assert run.stderr == "hoop-mitm: there is no program no-such-program.\n"
    assert not (tmp_path / "d").exists()


def test_a_mistake_in_somebodys_own_hoop_yaml_is_named(tmp_path):
    (tmp_path / "own.yaml").write_text("version: 1\nconections: []\n")
    run = subprocess.run(
        [*SANDBOX, "--dir", tmp_path / "d", "--config", tmp_path / "own.yaml", "--", "true"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert run.returncode == 2
    assert "line 2: unknown key `conections`" in run.stderr


def test_a_signal_reaches_the_command_and_everything_stops(tmp_path):
    with subprocess.Popen(
        [*SANDBOX, "--dir", tmp_path, "--", sys.executable, "-c", WAITING], stdout=subprocess.PIPE, text=True
    ) as run:
        assert run.stdout.readline() == "ready\n"
        family = children(run.pid)
        assert len(family) >= 3  # the command, the gateway, BigQuery
        run.send_signal(signal.SIGTERM)
        assert run.wait(60) == 9
    assert gone(family)


def test_when_the_gateway_dies_the_command_is_ended_and_the_log_named(tmp_path):
    with subprocess.Popen(
        [*SANDBOX, "--dir", tmp_path, "--", sys.executable, "-c", WAITING],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as run:  # fmt: skip
        assert run.stdout.readline() == "ready\n"
        family = children(run.pid)
        (gateway,) = [pid for pid in family if "hoop_mitm.devkit.leash" in Path(f"/proc/{pid}/cmdline").read_text()]
        os.kill(gateway, signal.SIGKILL)
        assert run.wait(60) == 3
        assert str(tmp_path / "logs" / "gateway.log") in run.stderr.read()
    assert gone(family)


def test_after_a_kill_nothing_but_the_command_is_left(tmp_path):
    with subprocess.Popen(
        [*SANDBOX, "--dir", tmp_path, "--", sys.executable, "-c", WAITING], stdout=subprocess.PIPE, text=True
    ) as run:
        assert run.stdout.readline() == "ready\n"
        family = children(run.pid)
        run.kill()
        run.wait()
        command = next(pid for pid in family if "signal.SIGTERM" in Path(f"/proc/{pid}/cmdline").read_text())
        os.kill(command, signal.SIGKILL)
    assert gone([pid for pid in family if pid != command])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
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
            timeout=60,
            check=False,
        )
        run.send_signal(number)
        assert run.wait(60) == 0
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
        capture_output=True, text=True, timeout=90, check=False,
    )  # fmt: skip
    refused, *_, rows = run.stdout.splitlines()
    assert refused.startswith("Forbidden 403")
    assert "Analysts read here, and change nothing. (hoop-mitm, policy.analysts-do-not-write: DELETE" in refused
    assert rows == "900", "the rows are still there"
    with duckdb.connect(tmp_path / "d/recordings/hoop.duckdb", read_only=True) as archive:
        flows = archive.sql("SELECT door, rule FROM flows WHERE decision = 'deny'").fetchall()
    assert flows == [("jobs.insert", "policy.analysts-do-not-write")], "one request, no retries"
