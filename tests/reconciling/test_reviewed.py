"""Jobs that waited for reviewers: what ran is told of as what ran, once, everywhere; what did not run, nowhere."""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
from click.testing import CliRunner

from hoop_mitm.archive import Query, open_archive
from hoop_mitm.archive.verify import verify
from hoop_mitm.cli import main
from hoop_mitm.devkit.world import World
from tests.addons.test_reviews import REVIEWS, RULES, Person, name, result
from tests.faults.test_killed import JOBS, QUERIES
from tests.gateways import RunningGateway
from tests.reconciling.test_the_whole import Scene
from tests.recording.building import intent
from tests.recording.folding import Gateway
from tests.recording.test_joining import APPROVED, INSERT, asked_and_held, insert
from tests.waiting import until


@dataclass
class Reviewed:
    """What was asked of a gateway that has ended since; ``ids`` of the jobs, by what became of them."""

    scene: Scene
    table: str
    ids: dict[str, str] = field(default_factory=dict)

    def ask(self, question: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(self.scene.gateway.archive, read_only=True) as connection:
            return connection.execute(question).fetchall()

    def run(self, *arguments: str) -> Any:
        done = CliRunner().invoke(main, [*arguments, "--db", str(self.scene.gateway.archive), "--json"])
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)


@pytest.fixture(scope="module")
def reviewed(world: World, tmp_path_factory: pytest.TempPathFactory) -> Reviewed:
    named = f"shop.looked_at_{datetime.now(UTC):%H%M%S%f}"
    made = f"CREATE TABLE {named} AS SELECT n FROM UNNEST([1, 2, 3]) AS n"
    world.bigquery.jobs.run("acme", {"query": {"query": made, "useLegacySql": False}}, "tests")
    gateway = RunningGateway(world, tmp_path_factory.mktemp("looked-at"), policy={"rules": RULES})
    told = Reviewed(Scene(gateway, datetime.now(UTC)), named)
    with gateway:
        alice, bob = Person(gateway, "alice"), Person(gateway, "bob")
        told.ids = {what: name() for what in ("approved", "copied", "rejected", "waits")}
        dataset, source = named.split(".")
        place = {"projectId": "acme", "datasetId": dataset}
        copy = {"sourceTable": {**place, "tableId": source}, "destinationTable": {**place, "tableId": f"{source}_copy"}}
        alice.insert(f"DELETE FROM {named} WHERE n = 1", told.ids["approved"])
        body = {"jobReference": {"projectId": "acme", "jobId": told.ids["copied"]}, "configuration": {"copy": copy}}
        alice.say("POST", JOBS, body)
        alice.insert(f"DELETE FROM {named} WHERE n = 2", told.ids["rejected"])
        alice.insert(f"DELETE FROM {named} WHERE n = 3", told.ids["waits"])
        bob.approve(told.ids["approved"])
        bob.approve(told.ids["copied"])
        review = bob.review_of(told.ids["rejected"])
        bob.say("POST", f"{REVIEWS}/{review['id']}/reject", {"message": "Name the rows."})
        assert result(alice, told.ids["approved"])["numDmlAffectedRows"] == "1"
        for what in ("approved", "copied"):
            until(lambda what=what: alice.say("GET", f"{JOBS}/{told.ids[what]}")["status"]["state"] == "DONE")
        for _ in range(3):
            assert alice.ask("GET", f"{QUERIES}/{told.ids['rejected']}").status == 403
    gateway.folded().close()
    return told


def test_reconcile_finds_nothing(reviewed: Reviewed) -> None:
    report = reviewed.scene.report()
    assert report["findings"] == []
    assert report["complete"], report["not_checked"]
    assert report["jobs"]["recorded"] == report["jobs"]["at_bigquery"] - report["jobs"]["reconciliation"]


def test_what_ran_is_counted_once_and_the_rest_nowhere(reviewed: Reviewed) -> None:
    ids = {job: what for what, job in reviewed.ids.items()}
    told = {ids[job]: tuple(rest) for job, *rest in reviewed.ask("SELECT id, decision, rule, state FROM jobs")}
    assert told == {
        "approved": ("allow", "review.approved", "DONE"),
        "copied": ("allow", "review.approved", "DONE"),
        "rejected": ("review", "review.rejected", "DONE"),
        "waits": ("review", "policy.deletions", "PENDING"),
    }
    # Sums, because a day may have ended meanwhile.
    cost = reviewed.ask("SELECT principal, sum(jobs), sum(failed) FROM cost_by_day GROUP BY principal")
    assert cost == [("alice@acme.example", 2, 0)]
    assert reviewed.ask("SELECT jobs, failed, denied FROM session_overview WHERE jobs > 0") == [(2, 0, 0)]
    dataset, source = reviewed.table.split(".")
    reads = reviewed.ask(
        f"SELECT sum(reads) FROM table_reads_by_day WHERE dataset = '{dataset}' AND \"table\" = '{source}'"
    )
    assert reads == [(2,)]


def test_what_was_rejected_was_refused_once_however_often_it_is_asked_for(reviewed: Reviewed) -> None:
    denials = reviewed.ask("SELECT principal, rule, message, statement FROM denials")
    words = "bob@acme.example rejected this request: Name the rows."
    statement = f"DELETE FROM {reviewed.table} WHERE n = 2"
    assert denials == [("alice@acme.example", "review.rejected", words, statement)]


def test_people_and_programs_are_told_that_it_ran_after_a_review(reviewed: Reviewed) -> None:
    [session] = [each for each in reviewed.run("sessions") if each["jobs"]]
    assert session["jobs"] == 2
    jobs = {job["id"]: job for job in reviewed.run("show", session["id"])["jobs"]}
    approved = jobs[reviewed.ids["approved"]]
    assert (approved["verdict"]["decision"], approved["verdict"]["rule"]) == ("allow", "review.approved")
    assert approved["labels"]["hoop-review"]
    shown = CliRunner().invoke(main, ["show", session["id"], "--db", str(reviewed.scene.gateway.archive)])
    assert shown.exit_code == 0
    assert [line.partition("#")[2].split()[2] for line in shown.stdout.splitlines() if "after a review" in line] == [
        "ok",
        "ok",
    ]
    assert "policy.deletions: Held for a review" in shown.stdout, "of the one that waits"
    assert "review.rejected: bob@acme.example rejected this request: Name the rows." in " ".join(shown.stdout.split())


def test_a_search_finds_it_by_its_review_and_not_each_poll(reviewed: Reviewed) -> None:
    ids = reviewed.ids
    ((review,),) = reviewed.ask(
        f"SELECT DISTINCT details->>'review' FROM events WHERE details->>'job' = '{ids['rejected']}'"
    )
    with open_archive(reviewed.scene.gateway.archive) as archive:
        hits = archive.search(Query(verdict="review")).hits
        assert {hit.job and hit.job.id for hit in hits} == set(ids.values())
        hits = archive.search(Query(verdict="deny")).hits
        assert [hit.event and hit.event.type for hit in hits] == ["review.rejected"]
        for text in (review, ids["rejected"]):
            found = {
                hit.event.type for hit in archive.search(Query(text)).hits if hit.event and "details" in hit.matched
            }
            assert found == {"review.requested", "review.rejected"}
        asked = [
            hit.event.details["job"] for hit in archive.search(Query("alice", type="review.rejected")).hits if hit.event
        ]
        assert asked == [ids["rejected"]]


def test_the_policy_that_asked_for_reviews_would_ask_for_them_again(reviewed: Reviewed) -> None:
    with open_archive(reviewed.scene.gateway.archive) as archive:
        decided = archive.ledger.decided(reviewed.scene.since, ())
    assert {job.decision for job in decided} == {"review"}


def test_it_verifies(reviewed: Reviewed) -> None:
    report = verify(reviewed.scene.gateway.archive)
    assert report.verified, report.findings
    assert report.checked["jobs"] == 4


def test_what_was_sent_and_not_answered_when_the_gateway_died_is_asked_about(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path)
    body = json.loads(insert().request.body or b"")
    sent = intent(INSERT, body, url=insert().url, statement=asked_and_held().operation.statement, verdict=APPROVED)
    gateway.fold(asked_and_held(), sent)
    gateway.die()
    Gateway(tmp_path).fold()
    with open_archive(tmp_path) as archive:
        [left] = archive.ledger.open_intents(["acme"])
    assert (left.flow_id, left.id, left.under_way) == (sent.id, "job1", False)
