"""`kill -9` of the gateway at random moments, again and again, under real clients that never stop asking.

What a client has got is recorded exactly once, what was forwarded is recorded, and the chain verifies.
"""

import os
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import duckdb
import pytest
import zstandard

from hoop_mitm.archive.verify import verify
from hoop_mitm.devkit.world import World
from hoop_mitm.evidence import RecordingKeys
from tests.attacks.raw import bigquery
from tests.clients import environments
from tests.clients.environments import NotHere
from tests.gateways import RunningGateway

DRIVERS = Path(__file__).parent / "drivers"
KILLS = 50
PYTHONS = 2
#: A gateway is killed once it has given so many answers at most, at any moment before the next one.
MOST_ANSWERS = 6
#: Seconds; on a machine that stands still, fewer answers must do.
LONGEST_LIFE = 60.0
MARKER = re.compile(r"\b(?:python\d|node)-\d{5}\b")


@contextmanager
def asking(gateway: RunningGateway, log: Path) -> Iterator[None]:
    """Clients of several kinds, each writing what it has got into a file of its own."""
    commands: list[tuple[str, list[str | Path]]] = [
        (f"python{n}", [sys.executable, DRIVERS / "asking.py"]) for n in range(PYTHONS)
    ]
    more: dict[str, str] = {}
    try:
        more = {"NODE_PATH": str(environments.node_modules())}
        commands.append(("node", [environments.node(), DRIVERS / "asking.cjs"]))
    except NotHere as reason:
        print(f"without Node: {reason}")
    with ExitStack() as stack:
        for number, (name, command) in enumerate(commands):
            environment = {**gateway.environment(("alice", "bob")[number % 2]), **more}
            output = stack.enter_context((log / f"{name}.log").open("wb"))
            process = subprocess.Popen([*command, name], env=environment, stdout=output, stderr=subprocess.DEVNULL)
            stack.callback(process.wait)
            stack.callback(process.kill)
        yield


def told(log: Path, word: str) -> list[str]:
    """What the clients say of their statements; a last line may be half."""
    lines = [line for path in log.glob("*.log") for line in path.read_text().split("\n")[:-1]]
    return [line.split()[1] for line in lines if line.startswith(f"{word} ")]


def forwarded(world: World) -> Counter[str]:
    """The statements that reached BigQuery, by its own account, with how often: a client asks again when it has no answer."""
    asked = [seen for seen in world.bigquery.requests() if seen.method == "POST" and seen.protocol == "rest"]
    return Counter(found[0] for seen in asked if (found := MARKER.search(seen.body.decode(errors="replace"))))


def recorded(archive: Path) -> tuple[Counter[str], set[str], set[str]]:
    """Statements that were answered by BigQuery, with how often; all statements; all values that came back."""
    statement = "SELECT state, records.statement FROM flows JOIN records USING (chain, seq) WHERE door IN (?, ?)"
    bodies = "SELECT data, size FROM bodies WHERE hash IN (SELECT response_body FROM flows WHERE state = 'complete')"
    with duckdb.connect(archive, read_only=True) as connection:
        flows = connection.execute(statement, ["jobs.insert", "jobs.query"]).fetchall()
        answers = connection.execute(bodies).fetchall()
    answered: Counter[str] = Counter()
    every = set()
    for state, said in flows:
        if found := MARKER.search(said or ""):
            every.add(found[0])
            answered[found[0]] += state == "complete"
    values = [zstandard.decompress(data, max_output_size=size).decode(errors="replace") for data, size in answers]
    return answered, every, {marker for value in values for marker in MARKER.findall(value)}


def make_table(gateway: RunningGateway, world: World) -> None:
    sql = "CREATE OR REPLACE TABLE shop.killed_often (marker STRING)"
    with bigquery(gateway.process.address, gateway.config.gateway.certs / "bundle.pem") as raw:
        path, body = "/bigquery/v2/projects/acme/queries", {"query": sql, "useLegacySql": False}
        assert raw.request("POST", path, token=world.issuer.token("alice"), body=body).status == 200


def kill(gateway: RunningGateway) -> None:
    assert gateway.process.pid
    os.kill(gateway.process.pid, signal.SIGKILL)
    gateway.process.stop()


def missing(wanted: Sequence[str] | set[str], there: set[str]) -> list[str]:
    return sorted(set(wanted) - there)


@pytest.mark.long
@pytest.mark.timeout(3000)
def test_whatever_moment_it_is_killed_at_nothing_is_lost_and_nothing_twice(world: World, tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(10**9)
    print(f"seed {seed}")
    chance = random.Random(seed)
    heads = tmp_path / "heads.jsonl"
    sinks = [{"type": "file", "path": str(heads)}]
    gateway = RunningGateway(world, tmp_path, recording={"heads": sinks, "checkpoint_every": 50})
    log = tmp_path / "told"
    log.mkdir()
    with gateway:
        make_table(gateway, world)
        with asking(gateway, log):
            for _ in range(KILLS):
                enough = len(told(log, "got")) + chance.randint(0, MOST_ANSWERS)
                until = time.monotonic() + LONGEST_LIFE
                while len(told(log, "got")) < enough and time.monotonic() < until:
                    time.sleep(0.01)
                time.sleep(chance.random() * 0.1)
                kill(gateway)
                gateway.process.start()
    got = told(log, "got")
    reached = forwarded(world)
    # The folds of the killed ones may still wait for their turns.
    with gateway.folded() as archive:
        assert archive.pending == 0
    answered, every, values = recorded(gateway.archive)
    print(f"{len(got)} answers, {len(told(log, 'failed'))} failures, {len(reached)} statements forwarded")

    assert missing(got, set(answered)) == []
    # More than once only where BigQuery was asked more than once: the answer before was recorded, and never arrived.
    times = {marker: (answered[marker], reached[marker]) for marker in got}
    assert {marker: both for marker, both in times.items() if not 1 <= both[0] <= both[1]} == {}
    assert missing(set(reached), every) == []
    # Not only that there was an answer, but what was in it.
    assert missing([marker for marker in got if int(marker[-5:]) % 3 != 2], values) == []
    assert len(got) > KILLS

    key = RecordingKeys.load(gateway.config.gateway.state).newest.fingerprint
    report = verify(gateway.archive, keys=[key], heads=[heads])
    assert report.findings == ()
    assert report.verified
    [chain] = report.chains
    assert (chain.first, chain.last) == (1, chain.signed_to)
    # Each is sent at least once: again where the gateway was killed before it could note that.
    assert chain.heads >= len(set(heads.read_text().splitlines())) == chain.checkpoints >= KILLS // 2
