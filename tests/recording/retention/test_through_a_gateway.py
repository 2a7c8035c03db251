"""The promise, on what real clients did through a running gateway: what is deleted is in no byte of any file.

The gateway runs meanwhile, and goes on in the same chain.
"""

import json
import secrets
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from uuid_utils import uuid7

from hoop_mitm.archive.verify import Report, verify
from hoop_mitm.devkit.issuer import User
from hoop_mitm.devkit.world import World
from tests.clients.clients import run
from tests.gateways import RunningGateway
from tests.recording.retention.searching import finds

_ASKING = Path(__file__).with_name("asking.py")
_SESSION_IDLE = 2


@dataclass
class Told:
    """What somebody asked: the text in it, and what came back."""

    text: str
    answer: dict


@pytest.fixture
def gateway(world: World, tmp_path):
    keep = {"bodies": "0s", "statements": "0s"}
    with RunningGateway(
        world, tmp_path, recording={"keep": keep}, identity={"session_idle": f"{_SESSION_IDLE}s"}
    ) as running:
        yield running


def somebody(world: World) -> User:
    """A person whose e-mail and subject are nowhere else."""
    name = f"person-{secrets.token_hex(8)}"
    person = User(name, f"subject-{name}", f"{name}@acme.example", ("analysts",))
    world.issuer.users[name] = person
    return person


def asks(gateway: RunningGateway, user: str) -> Told:
    text = f"text-{secrets.token_hex(12)}"
    done = run(gateway.environment(user, session=str(uuid7())), sys.executable, _ASKING, text)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["rows"] == [[text]]
    assert text in answer["error"]
    assert "hoop-mitm" in answer["denied"]
    assert answer["many"] == 20_000
    return Told(text, answer)


def retention(gateway: RunningGateway, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-m",
        "hoop_mitm.cli",
        "retention",
        *arguments,
        "--config",
        gateway.config_file,
        "--json",
    ]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)


def wait_until_sessions_end(gateway: RunningGateway) -> None:
    deadline = time.monotonic() + 30
    while gateway.ask("SELECT count(*) FROM sessions WHERE ended_at IS NULL") != [(0,)]:
        assert time.monotonic() < deadline
        time.sleep(0.3)


def verified(gateway: RunningGateway) -> Report:
    report = verify(gateway.archive, wait=20)
    assert report.verified, report.findings
    return report


@pytest.mark.timeout(240)
def test_what_is_deleted_is_in_no_byte_of_any_file(world, gateway):
    person = somebody(world)
    told = asks(gateway, person.name)
    wait_until_sessions_end(gateway)
    for text in (told.text, person.email, person.subject):
        assert finds(gateway.recordings, text), "the search must be able to find what is there"

    # While it runs: bodies and statements.
    assert finds(gateway.recordings, told.text)
    applied = retention(gateway, "apply")
    assert applied.returncode == 0, applied.stderr
    assert finds(gateway.recordings, told.text) == set()
    assert finds(gateway.recordings, person.email)
    assert gateway.ask("SELECT count(*) FROM jobs WHERE state = 'DONE'")[0][0] >= 2
    verified(gateway)

    # It goes on, and somebody else's is there.
    other = somebody(world)
    asks(gateway, other.name)
    wait_until_sessions_end(gateway)

    # While it runs: a person.
    erased = retention(gateway, "erase", "--principal", person.email, "--reason", "ticket 1", "--yes")
    assert erased.returncode == 0, erased.stderr
    for text in (told.text, person.email, person.subject, person.name):
        assert finds(gateway.recordings, text) == set()
    assert finds(gateway.recordings, other.email)
    verified(gateway)

    # When it does not run: the other, and what is recorded goes on in the same chain afterwards.
    last = somebody(world)
    third = asks(gateway, last.name)
    gateway.process.stop()
    erased = retention(gateway, "erase", "--principal", other.email, "--yes")
    assert erased.returncode == 0, erased.stderr
    assert finds(gateway.recordings, other.name) == set()
    assert finds(gateway.recordings, third.text)
    gateway.process.start()
    asks(gateway, last.name)
    gateway.process.stop()
    applied = retention(gateway, "apply")
    assert applied.returncode == 0, applied.stderr
    assert finds(gateway.recordings, third.text) == set()
    report = verified(gateway)
    assert sorted(chain.origin for chain in report.chains) == ["archive", "gateway"]


@pytest.mark.timeout(240)
def test_nothing_that_a_client_got_meanwhile_is_lost(world, gateway):
    environment = gateway.environment("alice", session=str(uuid7()))
    texts = [f"text-{secrets.token_hex(12)}" for _ in range(8)]
    script = (
        "import sys; from google.cloud import bigquery; client = bigquery.Client();"
        "[print(list(client.query_and_wait(f\"SELECT '{text}'\"))[0][0], flush=True) for text in sys.argv[1:]]"
    )
    client = subprocess.Popen(
        [sys.executable, "-c", script, *texts],
        env=environment,
        cwd=environment["HOME"],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert client.stdout is not None
    first = client.stdout.readline().strip()
    assert retention(gateway, "erase", "--principal", "nobody@acme.example", "--yes").returncode == 2
    assert retention(gateway, "apply").returncode == 0
    got = [first, *(line.strip() for line in client.stdout)]
    assert client.wait() == 0
    assert got == texts

    gateway.folded().close()
    doors = gateway.ask("SELECT count(*) FROM flows WHERE door = 'jobs.query' AND state = 'complete'")
    assert doors == [(len(texts),)]
    verified(gateway)
