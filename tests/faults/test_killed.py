"""`kill -9` of the gateway, at the two moments that matter."""

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from hoop_mitm.devkit.world import World
from tests.attacks.raw import Raw, bigquery
from tests.gateways import RunningGateway
from tests.waiting import until

pytestmark = pytest.mark.timeout(600)

QUERIES = "/bigquery/v2/projects/acme/queries"
JOBS = "/bigquery/v2/projects/acme/jobs"


@pytest.fixture
def mortal(world: World, tmp_path: Path) -> Iterator[RunningGateway]:
    yield RunningGateway(world, tmp_path)
    world.bigquery.hold(0)


def client(gateway: RunningGateway) -> Raw:
    return bigquery(gateway.process.address, gateway.config.gateway.certs / "bundle.pem")


def kill(gateway: RunningGateway) -> None:
    assert gateway.process.pid
    os.kill(gateway.process.pid, signal.SIGKILL)
    gateway.process.stop()


def test_an_answer_that_a_client_has_is_in_the_recording(mortal: RunningGateway, world: World) -> None:
    token = world.issuer.token("alice")
    with mortal, client(mortal) as raw:
        for number in range(5):
            sql = f"SELECT {number} AS answered_before_the_kill"
            assert raw.request("POST", QUERIES, token=token, body={"query": sql, "useLegacySql": False}).status == 200
        kill(mortal)
    with mortal.folded() as archive:
        (session,) = archive.sessions()
        jobs = archive.show(session).jobs
    assert [job.statement for job in jobs] == [f"SELECT {n} AS answered_before_the_kill" for n in range(5)]
    assert {job.state for job in jobs} == {"DONE"}


def test_a_dml_that_was_forwarded_is_in_the_recording_without_its_answer(mortal: RunningGateway, world: World) -> None:
    token = world.issuer.token("alice")
    dml = "INSERT INTO shop.killed_between (id) VALUES (1)"
    seen = len(world.bigquery.requests())
    world.bigquery.hold(600)
    with mortal:
        raw = client(mortal)
        ask = threading.Thread(
            target=lambda: raw.request("POST", QUERIES, token=token, body={"query": dml, "useLegacySql": False})
        )
        ask.start()
        until(lambda: len(world.bigquery.requests()) > seen)
        kill(mortal)
        ask.join()
    with mortal.folded() as archive:
        (session,) = archive.sessions()
        shown = archive.show(session)
    (flow,) = [flow for flow in shown.flows if flow.door == "jobs.query"]
    assert flow.state == "open"
    assert [job.statement for job in shown.jobs] == [dml]


def test_after_a_kill_whose_is_whose_is_still_known(mortal: RunningGateway, world: World) -> None:
    job = {
        "jobReference": {"projectId": "acme", "jobId": "made-before-the-kill"},
        "configuration": {"query": {"query": "SELECT 1 AS one", "useLegacySql": False}},
    }
    with mortal, client(mortal) as raw:
        assert raw.request("POST", JOBS, token=world.issuer.token("bob"), body=job).status == 200
        kill(mortal)
    with mortal, client(mortal) as raw:
        target = "/bigquery/v2/projects/acme/queries/made-before-the-kill"
        assert raw.request("GET", target, token=world.issuer.token("bob")).status == 200
        assert raw.request("GET", target, token=world.issuer.token("alice")).status == 403
