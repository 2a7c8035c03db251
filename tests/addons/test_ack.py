"""When an answer is released: once its record is durable, or at once."""

import contextlib
import json
import resource
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from hoop_mitm.devkit.world import World
from hoop_mitm.recording.fold import fold_once
from tests.attacks.raw import Raw, bigquery
from tests.gateways import RunningGateway
from tests.waiting import until

DATASETS = "/bigquery/v2/projects/acme/datasets"
QUERIES = "/bigquery/v2/projects/acme/queries"
# How long nothing must come while the journal is held, and how long may be waited for what must.
HELD, PATIENCE = 3.0, 60.0


def connection(gateway: RunningGateway) -> Raw:
    return bigquery(gateway.process.address, gateway.config.gateway.certs / "bundle.pem")


def running(world: World, directory: Path, ack: str) -> RunningGateway:
    return RunningGateway(world, directory, recording={"ack": ack})


@contextlib.contextmanager
def journal_held(gateway: RunningGateway) -> Iterator[None]:
    """Nothing can be committed to the journal meanwhile: a disk that answers late."""
    held: list[sqlite3.Connection] = []
    for path in (gateway.recordings / "journal").glob("0*.sqlite"):
        segment = sqlite3.connect(path, isolation_level=None)
        held.append(segment)
        segment.execute("BEGIN IMMEDIATE")
    assert held
    try:
        yield
    finally:
        for segment in held:
            segment.rollback()
            segment.close()


@pytest.mark.parametrize(("ack", "waits"), [("before_response", True), ("async", False)])
def test_an_answer_waits_for_its_record_or_does_not(ack: str, waits: bool, world: World, tmp_path: Path) -> None:
    alice = world.issuer.token("alice")
    with running(world, tmp_path, ack) as gateway, connection(gateway) as raw:
        assert raw.request("GET", DATASETS, token=alice).status == 200
        with journal_held(gateway):
            raw.connection.settimeout(HELD if waits else PATIENCE)
            got = raw.request("GET", DATASETS, token=alice, headers=("User-Agent: while held",))
        assert got.status == (0 if waits else 200)
        if not waits:
            told = "SELECT state, status FROM flows WHERE user_agent = 'while held'"
            until(lambda: gateway.ask(told) == [("complete", 200)])


@pytest.mark.parametrize("ack", ["before_response", "async"])
def test_a_statement_is_journalled_before_it_leaves(ack: str, world: World, tmp_path: Path) -> None:
    alice = world.issuer.token("alice")
    sql = {"query": "SELECT 'never without a record' AS words", "useLegacySql": False}
    with running(world, tmp_path, ack) as gateway, connection(gateway) as raw:
        assert raw.request("GET", DATASETS, token=alice).status == 200
        before = len(world.bigquery.requests())
        with journal_held(gateway):
            raw.connection.settimeout(HELD)
            assert raw.request("POST", QUERIES, token=alice, body=sql).status == 0
            assert len(world.bigquery.requests()) == before


@pytest.mark.parametrize("ack", ["before_response", "async"])
def test_all_that_was_answered_is_in_the_recording_in_order_after_a_stop(
    ack: str, world: World, tmp_path: Path
) -> None:
    alice = world.issuer.token("alice")
    with running(world, tmp_path, ack) as gateway, connection(gateway) as raw:
        for number in range(60):
            assert raw.request("GET", DATASETS, token=alice, headers=(f"User-Agent: {number}",)).status == 200
    fold_once(gateway.recordings)
    asked = "SELECT user_agent FROM flows WHERE state = 'complete' ORDER BY seq"
    assert [int(agent) for (agent,) in gateway.ask(asked)] == list(range(60))


def test_who_made_a_job_may_ask_for_it_before_that_is_durable(world: World, tmp_path: Path) -> None:
    alice, bob = world.issuer.token("alice"), world.issuer.token("bob")
    sql = {"query": "SELECT 'mine' AS words", "useLegacySql": False}
    with running(world, tmp_path, "async") as gateway:
        for _ in range(20):
            with connection(gateway) as raw, connection(gateway) as other:
                job = json.loads(raw.request("POST", QUERIES, token=alice, body=sql).body)["jobReference"]["jobId"]
                assert raw.request("GET", f"{QUERIES}/{job}", token=alice).status == 200
                assert other.request("GET", f"{QUERIES}/{job}", token=bob).status == 403


def test_what_is_lost_is_told_and_until_then_nothing_is_served(world: World, tmp_path: Path) -> None:
    """The disk is full when an answer is given: what comes next is refused, and the first that is served again finds the
    loss in the recording."""
    alice = world.issuer.token("alice")
    with running(world, tmp_path, "async") as gateway:
        with connection(gateway) as raw:
            assert raw.request("GET", DATASETS, token=alice).status == 200
            # Its own record must not be the one that is lost.
            until(lambda: gateway.ask("SELECT count(*) FROM flows") == [(1,)])
            with disk_full(gateway):
                answered = raw.request("GET", DATASETS, token=alice, headers=("User-Agent: lost",))
                until(lambda: raw.request("GET", DATASETS, token=alice).status != 200)
                got = raw.request("GET", DATASETS, token=alice)
                assert (got.status, "journal" in got.message) == (403, True)
            assert answered.status == 200
            until(lambda: raw.request("GET", DATASETS, token=alice).status == 200)
        [(records, flows)] = gateway.ask(
            "SELECT CAST(details->>'records' AS INT), details->'flows' FROM events WHERE type = 'recording.lost'"
        )
        assert records >= 1
        assert gateway.ask("SELECT count(*) FROM flows WHERE user_agent = 'lost'") == [(0,)]
        assert gateway.ask(f"SELECT count(*) FROM flows WHERE id IN (SELECT unnest(CAST('{flows}' AS VARCHAR[])))") == [
            (0,)
        ]


@contextlib.contextmanager
def disk_full(gateway: RunningGateway) -> Iterator[None]:
    """The limit on file sizes stands in for a disk that is full: every write fails, for the operating system's reasons."""
    pid = gateway.process.pid
    assert pid
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, before)


def test_killed_it_has_lost_no_statement(world: World, tmp_path: Path) -> None:
    """`kill -9`: of what was answered a moment before, reads may be missing; a statement is there, at least as one whose
    outcome nobody knows."""
    alice = world.issuer.token("alice")
    with running(world, tmp_path, "async") as gateway, connection(gateway) as raw:
        for number in range(20):
            sql = {"query": f"SELECT {number} AS n", "useLegacySql": False}
            assert raw.request("POST", QUERIES, token=alice, body=sql).status == 200
        assert gateway.process.pid
        gateway.process._process.kill()  # type: ignore[union-attr]
        gateway.process._process.wait()  # type: ignore[union-attr]
    with running(world, tmp_path, "async") as gateway:
        with gateway.folded() as archive:
            statements = {job.statement for one in archive.sessions() for job in archive.show(one).jobs}
        assert statements == {f"SELECT {number} AS n" for number in range(20)}
