"""What a killed gateway left open, its successor finds out: a statement that ran is known to have run."""

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from hoop_mitm.archive import SessionDetail
from hoop_mitm.cli import main
from hoop_mitm.devkit.world import World
from hoop_mitm.reconciling.left_open import left_open
from tests.attacks.raw import Raw, bigquery
from tests.faults.test_killed import JOBS, QUERIES, kill
from tests.gateways import RunningGateway
from tests.waiting import until

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def mortal(world: World, tmp_path: Path) -> Iterator[RunningGateway]:
    yield RunningGateway(world, tmp_path)
    world.bigquery.hold(0)


def client(gateway: RunningGateway) -> Raw:
    return bigquery(gateway.process.address, gateway.config.gateway.certs / "bundle.pem")


def ask_and_kill(
    gateway: RunningGateway, world: World, target: str, body: dict[str, Any], done: Callable[[], bool]
) -> None:
    """Sends a request whose answer BigQuery withholds, and kills the gateway once ``done``."""
    token = world.issuer.token("alice")
    raw = client(gateway)
    ask = threading.Thread(target=lambda: raw.request("POST", target, token=token, body=body))
    ask.start()
    until(done)
    kill(gateway)
    world.bigquery.hold(0)
    ask.join()


def ran(world: World, statement: str) -> Callable[[], bool]:
    return lambda: any(
        job.resource["configuration"].get("query", {}).get("query") == statement for job in world.bigquery.jobs.all()
    )


def resolved(gateway: RunningGateway) -> tuple[SessionDetail, dict[str, Any]]:
    """The only session, and what the one event says that tells of a resolved intent, once it is there."""

    def told() -> list[dict[str, Any]]:
        rows = gateway.ask("SELECT flow_id, details FROM events WHERE type = 'intent.resolved'")
        return [{"flow": flow_id, **json.loads(details)} for flow_id, details in rows]

    # The process that asks BigQuery is nice to all others.
    until(lambda: bool(told()), 240)
    with gateway.folded() as archive:
        (session,) = archive.sessions()
        detail = archive.show(session)
    [outcome] = told()
    assert outcome["flow"] in {event.flow_id for event in detail.events if event.type == "intent.resolved"}
    return detail, outcome


def test_dml_whose_answer_was_lost_is_known_to_have_run(mortal: RunningGateway, world: World) -> None:
    dml = "INSERT INTO shop.intents_ran (id) VALUES (1), (2)"
    with mortal:
        with client(mortal) as raw:
            made = raw.request(
                "POST",
                QUERIES,
                token=world.issuer.token("alice"),
                body={"query": "CREATE OR REPLACE TABLE shop.intents_ran (id INT64)", "useLegacySql": False},
            )
            assert made.status == 200
        world.bigquery.hold(600, answered=True)
        ask_and_kill(mortal, world, QUERIES, {"query": dml, "useLegacySql": False}, ran(world, dml))

    with mortal:
        detail, outcome = resolved(mortal)

    (flow,) = [flow for flow in detail.flows if flow.state == "open"]
    assert outcome["flow"] == flow.id
    assert outcome["outcome"] == "ran"
    assert outcome["rows_changed"] == 2
    shown = CliRunner().invoke(main, ["show", "--db", str(mortal.archive)]).output
    assert "outcome unknown" not in shown
    assert "its answer was lost. It ran: job acme:US." in shown
    assert outcome["job"] in {job.resource["jobReference"]["jobId"] for job in world.bigquery.jobs.all()}


def test_a_job_that_failed_unseen_is_known_to_have_failed(mortal: RunningGateway, world: World) -> None:
    statement = "SELECT no_such_column FROM shop.orders"
    body = {
        "jobReference": {"projectId": "acme", "jobId": "failed-unseen"},
        "configuration": {"query": {"query": statement, "useLegacySql": False}},
    }
    with mortal:
        world.bigquery.hold(600, answered=True)
        ask_and_kill(mortal, world, JOBS, body, ran(world, statement))

    with mortal:
        _, outcome = resolved(mortal)

    assert (outcome["outcome"], outcome["job"]) == ("failed", "failed-unseen")
    assert "no_such_column" in outcome["error"]


def test_what_begins_after_the_restart_is_waited_for(mortal: RunningGateway, world: World) -> None:
    """BigQuery has the request and has not begun with it: that there is no job yet does not mean that there was none."""
    statement = "SELECT 1 AS slow_to_begin"
    seen = len(world.bigquery.requests())
    token = world.issuer.token("alice")
    world.bigquery.hold(600)
    with mortal:
        raw = client(mortal)
        body = {"query": statement, "useLegacySql": False}
        ask = threading.Thread(target=lambda: raw.request("POST", QUERIES, token=token, body=body))
        ask.start()
        until(lambda: len(world.bigquery.requests()) > seen)
        kill(mortal)
        ask.join()
    with mortal:
        asked = len(world.bigquery.requests())
        until(lambda: len(world.bigquery.requests()) > asked, 240)
        world.bigquery.hold(0)
        _, outcome = resolved(mortal)

    assert outcome["outcome"] == "ran"


def test_what_is_resolved_is_not_asked_about_again(mortal: RunningGateway, world: World) -> None:
    statement = "SELECT 1 AS resolved_once"
    with mortal:
        world.bigquery.hold(600, answered=True)
        ask_and_kill(mortal, world, QUERIES, {"query": statement, "useLegacySql": False}, ran(world, statement))
    with mortal:
        resolved(mortal)
    [(started,)] = mortal.ask("SELECT max_by(id, seq) FROM events WHERE type = 'gateway.started'")

    assert left_open(mortal.recordings, started, ["acme"], wait=60) == []
    assert mortal.ask("SELECT count(*) FROM flows WHERE state = 'open'") == [(1,)]
