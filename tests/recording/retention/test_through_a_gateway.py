"""The promise, on what real clients did through a running gateway: what is deleted is in no byte of any file.

The gateway runs meanwhile, and goes on in the same chain.
"""

import contextlib
import json
import secrets
import sqlite3
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from uuid_utils import uuid7

from hoop_mitm.archive.verify import Report, verify
from hoop_mitm.devkit.issuer import User
from hoop_mitm.devkit.world import World
from tests.addons.test_reviews import REVIEWS, Person, result
from tests.clients.clients import run
from tests.faults.test_killed import QUERIES
from tests.gateways import RunningGateway
from tests.recording.retention.searching import finds
from tests.waiting import until

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


def somebody(world: World, *groups: str) -> User:
    """A person whose e-mail and subject are nowhere else."""
    name = f"person-{secrets.token_hex(8)}"
    person = User(name, f"subject-{name}", f"{name}@acme.example", ("analysts", *groups))
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
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


def wait_until_sessions_end(gateway: RunningGateway) -> None:
    # The gateway looks for them twice a minute.
    until(lambda: gateway.ask("SELECT count(*) FROM sessions WHERE ended_at IS NULL") == [(0,)], 120)


def verified(gateway: RunningGateway) -> Report:
    report = verify(gateway.archive, wait=60)
    assert report.verified, report.findings
    return report


@pytest.mark.timeout(900)
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


@pytest.mark.timeout(900)
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


@pytest.fixture
def reviewing(world: World, tmp_path):
    """A gateway that holds deletions for a review, and counts what is spent."""
    rules = [
        {"name": "deletions", "verdict": "review", "kinds": ["DELETE"], "review": {"groups": ["reviewers"]}},
        {"name": "the-rest", "verdict": "allow", "tables": ["*"]},
    ]
    budgets = [
        {"name": name, "per": name, "every": "month", "bytes": "1TiB"} for name in ("principal", "group", "connection")
    ]
    with RunningGateway(
        world,
        tmp_path,
        recording={"keep": {"bodies": "0s", "statements": "0s"}},
        identity={"session_idle": f"{_SESSION_IDLE}s"},
        policy={"rules": rules},
        cost={"budgets": budgets},
    ) as running:
        yield running


def everywhere(gateway: RunningGateway, text: str) -> set[str]:
    return finds(gateway.recordings, text) | finds(gateway.config.gateway.state, text)


def spent(gateway: RunningGateway) -> int:
    with contextlib.closing(sqlite3.connect(gateway.config.gateway.state / "spending.sqlite")) as file:
        until(lambda: file.execute("SELECT count(*) FROM charges WHERE billed IS NULL").fetchone() == (0,))
        return file.execute("SELECT sum(billed) FROM charges").fetchone()[0]


@pytest.mark.timeout(900)
def test_what_is_deleted_is_in_no_byte_of_reviews_and_of_what_was_spent(world, reviewing):  # noqa: PLR0915 - a story
    requester, reviewer = somebody(world), somebody(world, "reviewers")
    asking, deciding = Person(reviewing, requester.name), Person(reviewing, reviewer.name)
    text, words = (f"{what}-{secrets.token_hex(12)}" for what in ("text", "words"))
    table = f"shop.erased_{uuid7().hex}"
    made = f"CREATE TABLE {table} AS SELECT '{text}' AS n"
    world.bigquery.jobs.run("acme", {"query": {"query": made, "useLegacySql": False}}, "tests")
    yes, no, waiting = (f"job-{uuid7()}" for _ in range(3))
    for job in (yes, no, waiting):
        asking.insert(f"DELETE FROM {table} WHERE n = '{text}' -- hoop.reason: {text}", job)
    for job, verb in ((yes, "approve"), (no, "reject")):
        review = deciding.review_of(job)
        told = {"message": f"{words} {verb}", **({"digest": review["digest"]} if verb == "approve" else {})}
        deciding.say("POST", f"{REVIEWS}/{review['id']}/{verb}", told)
    assert result(asking, yes)["numDmlAffectedRows"] == "1"
    assert words in asking.ask("GET", f"{QUERIES}/{no}").message
    assert asking.say("POST", QUERIES, {"query": f"SELECT * FROM {table}", "useLegacySql": False})["jobComplete"]
    wait_until_sessions_end(reviewing)
    state = reviewing.config.gateway.state
    for marker in (text, words, requester.email, requester.subject, reviewer.email):
        assert finds(state, marker), "the search must be able to find what is there"
    assert any(place.startswith("spending") for place in finds(state, requester.email))
    amount = spent(reviewing)

    # While it runs: what is too old. What waits stays, as a whole.
    told = json.loads(retention(reviewing, "apply").stdout)
    assert told["state"] == {"reviews": 2, "charges": 0}
    assert everywhere(reviewing, words) == set()
    assert everywhere(reviewing, f"{words} approve") == set()
    assert {place.partition(" ")[0] for place in everywhere(reviewing, text)} == {"reviews.sqlite"}
    waits = deciding.review_of(waiting)
    assert text in waits["statement"]
    assert asking.ask("GET", f"{QUERIES}/{no}").status == 403

    # A person of whom something waits is not erased as a whole, and that is said.
    wait_until_sessions_end(reviewing)
    erased = retention(reviewing, "erase", "--principal", requester.email, "--yes")
    assert (erased.returncode, json.loads(erased.stdout)["under_way"]) == (1, 1), erased.stderr
    assert "reviews reject" in erased.stderr
    assert deciding.review_of(waiting)["state"] == "PENDING"
    deciding.say("POST", f"{REVIEWS}/{waits['id']}/reject", {"message": words})

    # While it runs: the requester, and when it does not: the reviewer.
    erased = retention(reviewing, "erase", "--principal", requester.email, "--reason", "ticket 1", "--yes")
    assert erased.returncode == 0, erased.stderr
    for marker in (requester.email, requester.subject, requester.name, text):
        assert everywhere(reviewing, marker) == set()
    assert spent(reviewing) == amount
    another = somebody(world)
    other, jobs = Person(reviewing, another.name), [f"job-{uuid7()}" for _ in range(2)]
    for job, verb in zip(jobs, ("approve", "reject"), strict=True):
        other.insert(f"DELETE FROM {table} WHERE n = 'of another'", job)
        review = deciding.review_of(job)
        digest = {"digest": review["digest"]} if verb == "approve" else {}
        deciding.say("POST", f"{REVIEWS}/{review['id']}/{verb}", {"message": words, **digest})
    assert result(other, jobs[0])["jobComplete"]
    wait_until_sessions_end(reviewing)
    reviewing.process.stop()
    assert finds(state, reviewer.email)
    assert retention(reviewing, "erase", "--principal", reviewer.email, "--yes").returncode == 0
    for marker in (reviewer.email, reviewer.subject, words):
        assert everywhere(reviewing, marker) == set()
    assert finds(state, another.email)

    # It goes on, and the requester still hears what became of it.
    reviewing.process.start()
    said = Person(reviewing, another.name).ask("GET", f"{QUERIES}/{jobs[1]}")
    assert (said.status, said.message.startswith("A reviewer rejected this request.")) == (403, True)
    verified(reviewing)
