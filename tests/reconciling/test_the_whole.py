"""Everything that can be wrong at once: each is named, and nothing else.

One gateway, real jobs through it and past it, a recording that somebody has edited, and `kill -9` in between.
"""

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
from ruamel.yaml import YAML

from hoop_mitm.devkit.world import World
from tests.attacks.raw import bigquery
from tests.faults.test_intents import ask_and_kill, ran
from tests.faults.test_killed import JOBS, QUERIES
from tests.gateways import RunningGateway
from tests.reconciling.asking import Somebody
from tests.waiting import until

pytestmark = pytest.mark.timeout(600)

HERS = "SELECT id FROM shop.orders WHERE id < 3"
LOST = "SELECT 'sent just before the end' AS lost"


@dataclass
class Scene:
    """What was done, and the ids of the jobs that came of it."""

    gateway: RunningGateway
    since: datetime
    ids: dict[str, str] = field(default_factory=dict)
    session: str = ""

    def reconcile(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "hoop_mitm.cli", "reconcile", "--config", str(self.gateway.config_file)]
        times = ["--since", self.since.isoformat(), "--until", datetime.now(UTC).isoformat()]
        return subprocess.run([*command, *times, *arguments], capture_output=True, text=True, check=False)

    def report(self, *arguments: str) -> dict[str, Any]:
        done = self.reconcile("--json", *arguments)
        assert done.stdout, done.stderr
        report: dict[str, Any] = json.loads(done.stdout)
        return report


def through(scene: Scene, token: str, target: str, body: dict[str, Any]) -> dict[str, Any]:
    bundle = scene.gateway.config.gateway.certs / "bundle.pem"
    with bigquery(scene.gateway.process.address, bundle) as raw:
        answer: dict[str, Any] = json.loads(raw.request("POST", target, token=token, body=body).body)
    return answer


def honest(scene: Scene, world: World) -> None:
    """All ways in which a job can go through the gateway."""
    alice, bob = world.issuer.token("alice"), world.issuer.token("bob")

    def asked(statement: str, **more: Any) -> dict[str, Any]:
        return through(scene, alice, QUERIES, {"query": statement, "useLegacySql": False, **more})

    def inserted(job_id: str, statement: str, token: str = alice) -> str:
        body = {
            "jobReference": {"projectId": "acme", "jobId": job_id},
            "configuration": {"query": {"query": statement, "useLegacySql": False}},
        }
        through(scene, token, JOBS, body)
        return job_id

    scene.ids["query"] = asked(HERS)["jobReference"]["jobId"]
    scene.ids["edited"] = asked("SELECT 'as it was' AS edited")["jobReference"]["jobId"]
    scene.ids["cheaper"] = asked("SELECT name FROM shop.customers")["jobReference"]["jobId"]
    scene.ids["insert"] = inserted("reconciled-insert", "SELECT 1 AS inserted")
    scene.ids["forgotten"] = inserted("reconciled-forgotten", "SELECT 1 AS forgotten")
    scene.ids["moved"] = inserted("reconciled-moved", "SELECT 1 AS moved", token=bob)
    scene.ids["script"] = inserted("reconciled-script", "DECLARE x INT64 DEFAULT 1; SELECT x AS a; SELECT x AS b;")
    assert "error" in asked("SELECT no_such_column FROM shop.orders")
    assert "error" in asked("SELEC 1")
    assert "queryId" in asked("SELECT 1 AS jobless", jobCreationMode="JOB_CREATION_OPTIONAL")
    assert "totalBytesProcessed" in asked("SELECT id FROM shop.orders", dryRun=True)
    assert "error" in through(scene, alice, f"{QUERIES}?access_token=x".replace("acme", "other"), {"query": "SELECT 1"})
    with scene.gateway.folded() as archive:
        scene.session = next(
            s.id for s in archive.sessions() if s.principal.email and s.principal.email.startswith("alice")
        )


def around(scene: Scene, world: World) -> None:
    """All ways around it that are known."""
    mallory = Somebody.of(world, "mallory@acme.example")
    label = {"hoop-session": scene.session}
    scene.ids["plain"] = mallory.run("SELECT email FROM shop.customers", "around-plain")
    # Everything that can be copied is copied: text, label, and the look of a reconciliation.
    scene.ids["copied label"] = mallory.run(HERS, "around-label", labels=label)
    scene.ids["dressed up"] = mallory.run("SELECT 1 AS dressed", "around-dressed", labels={"hoop-reconcile": "jobs"})
    scene.ids["own account"] = Somebody.of(world, world.google.gateway_account.email).run(
        "SELECT 1 AS with_a_stolen_key", "around-stolen", labels=label
    )
    scene.ids["abroad"] = mallory.run("SELECT 1 AS abroad", "around-abroad", location="EU")
    scene.ids["script around"] = mallory.run("DECLARE y INT64; SELECT y AS c;", "around-script")
    # An id that the gateway was told of and BigQuery refused, because the job is somebody else's already.
    scene.ids["taken"] = mallory.run("SELECT 1 AS taken", "around-taken", labels=label)
    refused = through(
        scene,
        world.issuer.token("alice"),
        JOBS,
        {
            "jobReference": {"projectId": "acme", "jobId": "around-taken"},
            "configuration": {"query": {"query": "SELECT 1 AS taken", "useLegacySql": False}},
        },
    )
    assert refused["error"]["code"] == 409
    mallory.delete(scene.ids["forgotten"])


def edit(scene: Scene) -> None:
    """What somebody who has the file can do to it."""
    scene.gateway.folded().close()
    deadline = time.monotonic() + 60
    while True:
        try:
            connection = duckdb.connect(scene.gateway.archive)
            break
        except duckdb.IOException:  # The dead gateway's fold has not ended yet.
            assert time.monotonic() < deadline
            time.sleep(0.1)
    with connection:
        connection.execute(
            "UPDATE jobs SET statement = 'SELECT ''as it never was'' AS edited' WHERE id = ?", [scene.ids["edited"]]
        )
        connection.execute("UPDATE jobs SET bytes_billed = 1 WHERE id = ?", [scene.ids["cheaper"]])
        connection.execute("UPDATE jobs SET session_id = ? WHERE id = ?", [scene.session, scene.ids["moved"]])


@pytest.fixture(scope="module")
def scene(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    gateway = RunningGateway(world, tmp_path_factory.mktemp("reconciled"))
    made = Scene(gateway, datetime.now(UTC))
    try:
        with gateway:
            honest(made, world)
            around(made, world)
            world.bigquery.hold(600, answered=True)
            ask_and_kill(gateway, world, QUERIES, {"query": LOST, "useLegacySql": False}, ran(world, LOST))
        edit(made)
        yield made
    finally:
        world.bigquery.hold(0)


def test_each_is_named_and_nothing_else(scene: Scene) -> None:
    report = scene.report()

    found = {(finding["kind"], finding["job"]) for finding in report["findings"]}
    lost = next(f["job"] for f in report["findings"] if f["kind"] == "unresolved")
    assert found == {
        *(
            ("bypassed", f"acme:{'EU' if what == 'abroad' else 'US'}.{scene.ids[what]}")
            for what in ("plain", "copied label", "dressed up", "own account", "abroad", "script around", "taken")
        ),
        ("text", f"acme:US.{scene.ids['edited']}"),
        ("bytes_billed", f"acme:US.{scene.ids['cheaper']}"),
        ("session", f"acme:US.{scene.ids['moved']}"),
        ("not_at_bigquery", f"acme:US.{scene.ids['forgotten']}"),
        ("unresolved", lost),
    }
    assert len(report["findings"]) == len(found)
    assert report["complete"], report["not_checked"]
    assert report["asked"] == {"acme": ["EU", "US"]}


def test_each_finding_says_what_is_the_case(scene: Scene) -> None:
    by_job = {finding["job"]: finding for finding in scene.report()["findings"]}

    def of(what: str, location: str = "US") -> dict[str, Any]:
        return by_job[f"acme:{location}.{scene.ids[what]}"]

    assert of("plain")["user"] == "mallory@acme.example"
    assert "mallory@acme.example" in of("plain")["next_step"]
    assert scene.session in of("copied label")["message"]
    assert "the gateway's own account" in of("own account")["message"]
    assert "Rotate" in of("own account")["next_step"]
    assert of("script around")["children"] == 2
    assert of("edited")["statement_recorded"] == "SELECT 'as it never was' AS edited"
    assert of("edited")["statement_at_bigquery"] == "SELECT 'as it was' AS edited"
    assert "10,485,760" in of("cheaper")["message"]
    assert scene.session in of("moved")["message"]
    assert of("forgotten")["statement_recorded"] == "SELECT 1 AS forgotten"
    [unresolved] = [finding for finding in by_job.values() if finding["kind"] == "unresolved"]
    assert (unresolved["outcome"], unresolved["statement_recorded"]) == ("ran", LOST)
    assert unresolved["flow"]


def test_every_job_of_bigquerys_is_accounted_for(scene: Scene) -> None:
    report = scene.report()

    jobs = report["jobs"]
    past = [finding for finding in report["findings"] if finding["kind"] == "bypassed"]
    assert jobs["at_bigquery"] == (
        jobs["recorded"] + jobs["statements_of_scripts"] + jobs["reconciliation"]
        + len(past) + sum(finding["children"] for finding in past)
    )  # fmt: skip
    assert jobs["statements_of_scripts"] == 3


def test_the_status_and_the_first_lines_say_it(scene: Scene) -> None:
    done = scene.reconcile()

    assert done.returncode == 1
    assert done.stdout.splitlines()[:2] == [
        "The recording and BigQuery do not agree.",
        "  found    7 jobs that ran without passing the gateway",
    ]
    assert done.stdout.count("Next: ") == 12
    assert done.stderr == ""


def test_accounts_that_may_go_directly_are_counted_and_not_named(scene: Scene, world: World) -> None:
    own = world.google.gateway_account.email
    document = YAML(typ="safe").load(scene.gateway.config_file)
    document["connections"][0]["reconcile"] = {"direct_accounts": ["mallory@acme.example", own]}
    changed = scene.gateway.config_file.with_name("direct.yaml")
    YAML().dump(document, changed)

    report = scene.report("--config", str(changed))

    # The gateway's own account is never let off, whatever the configuration says.
    assert [f["job"] for f in report["findings"] if f["kind"] == "bypassed"] == [f"acme:US.{scene.ids['own account']}"]
    assert report["jobs"]["direct_accounts"] == {"mallory@acme.example": 8}


def test_after_a_restart_the_lost_one_is_no_finding_any_more(scene: Scene) -> None:
    with scene.gateway:
        # The process that asks BigQuery is nice to all others.
        until(lambda: scene.gateway.ask("SELECT 1 FROM events WHERE type = 'intent.resolved'"), 240)
    report = scene.report()

    assert Counter(finding["kind"] for finding in report["findings"])["unresolved"] == 0
    assert report["records"]["intents_resolved"] == 1


@pytest.fixture
def clean(world: World, tmp_path: Path) -> Iterator[Scene]:
    with RunningGateway(world, tmp_path) as gateway:
        yield Scene(gateway, datetime.now(UTC))


def test_where_everything_fits_the_status_is_0(clean: Scene, world: World) -> None:
    for number in range(3):
        through(clean, world.issuer.token("alice"), QUERIES, {"query": f"SELECT {number}", "useLegacySql": False})

    done = clean.reconcile()

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[0] == "The recording and BigQuery agree."


def test_what_cannot_be_asked_is_said_and_the_status_is_3(clean: Scene, world: World) -> None:
    through(clean, world.issuer.token("alice"), QUERIES, {"query": "SELECT 1", "useLegacySql": False})
    unprivileged = world.bigquery.jobs.list.unprivileged
    unprivileged.add(world.google.gateway_account.email)
    try:
        done = clean.reconcile()
    finally:
        unprivileged.clear()

    assert done.returncode == 3
    assert "Not checked\n  acme in US" in done.stdout
    assert "roles/bigquery.resourceViewer" in done.stdout


def test_a_finding_weighs_more_than_what_cannot_be_asked(clean: Scene, world: World) -> None:
    through(clean, world.issuer.token("alice"), QUERIES, {"query": "SELECT 1", "useLegacySql": False})
    Somebody.of(world, "mallory@acme.example").run("SELECT 1", f"weighs-more-{time.time_ns()}")

    assert clean.reconcile("--location", "narnia").returncode == 1
    assert clean.report("--location", "narnia")["complete"] is False
