"""Whole reconciliations of recordings that are written for the purpose, against a real job list."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from hoop_mitm.archive import RESOLVED
from hoop_mitm.config import Config, Connection, load
from hoop_mitm.credentials import own_token
from hoop_mitm.devkit.world import World
from hoop_mitm.outbound import session
from hoop_mitm.reconciling import BigQuery, Question, Report, reconcile
from tests.archive.building import Builder
from tests.devkit.google_clients import upstream
from tests.reconciling.asking import Somebody, client, unique

ALICE = "alice@acme.example"
DAY = timedelta(days=1)


class Scene:
    """A recording in the making, and BigQuery beside it."""

    def __init__(self, world: World, directory: Path) -> None:
        self.world = world
        self.builder = Builder(directory / "hoop.duckdb")
        self.began = datetime.now(UTC)
        self.session = self.builder.session(at=self.began)
        self.alice = Somebody.of(world, ALICE)
        self._directory = directory

    def ran(self, name: str, statement: str = "SELECT 1", **configuration: Any) -> str:
        """A job that ran as if the gateway had sent it."""
        return self.alice.run(statement, unique(name), labels={"hoop-session": self.session}, **configuration)

    def recorded(self, job_id: str | None, statement: str | None = "SELECT 1", **changes: Any) -> str:
        flow = {"door": "jobs.insert", "method": "POST", **changes.pop("flow", {})}
        facts = {"location": "US", "bytes_billed": None, "at": datetime.now(UTC), **changes}
        key = self.builder.job(self.session, statement, id=job_id, **facts)
        self.builder.flow(self.session, job_key=key, at=facts["at"], **flow)
        return key

    def config(self, **connection: Any) -> Config:
        own = {
            "name": "acme",
            "projects": ["acme"],
            "credential": self.world.credential("service_account"),
            **connection,
        }
        return load(self.world.write_config(self._directory / "hoop.yaml", connections=[own]))

    def report(
        self,
        *,
        config: Config | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        asking: Callable[[Connection], BigQuery] | None = None,
        **question: Any,
    ) -> Report:
        path = self.builder.write()
        wanted = Question(since or self.began, until or datetime.now(UTC) + timedelta(seconds=1), **question)
        return reconcile(config or self.config(), path, wanted, asking or (lambda _: client(self.world)))


@pytest.fixture
def scene(world: World, tmp_path: Path) -> Scene:
    return Scene(world, tmp_path)


def kinds(report: Report) -> list[str]:
    return [finding.kind for finding in report.findings]


def test_what_fits_is_no_finding(scene: Scene) -> None:
    scene.recorded(scene.ran("fits"))
    report = scene.report()

    assert (report.findings, report.not_checked, report.exit_code) == ((), (), 0)
    assert report.counts.matched == report.counts.recorded == 1
    assert report.asked == {"acme": ("US",)}


def test_a_long_time_is_asked_day_by_day_and_nothing_is_lost_between(scene: Scene, world: World) -> None:
    """The records and the jobs of two sides of a border: each finds its own, and only once."""
    # BigQuery never gave this one an id; it must not explain a job on each side of the border.
    statement = f"SELECT '{unique('nameless')}'"
    scene.recorded(None, statement, flow={"door": "jobs.query"})
    scene.ran("nameless", statement)
    border = datetime.now(UTC)
    second = scene.ran("nameless-again", statement)

    report = scene.report(since=border - 3 * DAY)

    mine = [(finding.kind, finding.job) for finding in report.findings if finding.ran == statement]
    assert mine == [("bypassed", f"acme:US.{second}")]
    asked = [
        seen for seen in world.bigquery.requests() if b"JOBS_BY_PROJECT" in seen.body and seen.at > border.timestamp()
    ]
    assert len(asked) == 4 * len(report.asked["acme"])


def test_a_job_that_the_api_knows_is_not_unknown(scene: Scene) -> None:
    """It was created just before the time in question, or the list is behind: the API has the last word."""
    job = scene.ran("before")
    began = datetime.now(UTC)
    scene.recorded(job, at=began)
    report = scene.report(since=began)

    assert (kinds(report), report.counts.confirmed) == ([], 1)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, ["not_at_bigquery"]),
        ({"state": "RUNNING"}, ["not_at_bigquery"]),
        ({"location": None}, ["not_at_bigquery"]),
        ({"state": "FAILED"}, []),
        ({"decision": "deny", "state": "DENIED"}, []),
        ({"dry_run": True}, []),
    ],
)
def test_a_record_of_which_bigquery_knows_nothing(scene: Scene, changes: dict[str, Any], expected: list[str]) -> None:
    scene.recorded(unique("made-up"), **changes)
    assert kinds(scene.report()) == expected


def test_a_job_that_was_deleted_through_the_gateway_is_no_finding(scene: Scene) -> None:
    job = scene.ran("deleted")
    scene.recorded(job)
    scene.alice.delete(job)
    scene.builder.flow(
        scene.session,
        door="jobs.delete",
        status=204,
        url=f"https://bigquery.googleapis.com/bigquery/v2/projects/acme/jobs/{job}/delete?location=US",
    )
    report = scene.report()
    assert (kinds(report), report.counts.deleted) == ([], 1)


def test_a_query_without_a_job_is_not_looked_for(scene: Scene) -> None:
    scene.recorded(None, flow={"door": "jobs.query"})
    report = scene.report()
    assert (kinds(report), report.counts.without_job) == ([], 1)


@pytest.mark.parametrize("edited", [False, True])
def test_a_text_that_the_list_cuts_is_read_in_full(scene: Scene, world: World, *, edited: bool) -> None:
    statement = f"SELECT '{'x' * 200}' AS long"
    job = scene.ran("long", statement)
    scene.recorded(job, statement.replace("long", "short") if edited else statement)
    world.bigquery.jobs.list.longest = 50
    try:
        report = scene.report()
    finally:
        world.bigquery.jobs.list.longest = None

    assert kinds(report) == (["text"] if edited else [])
    if edited:
        assert report.findings[0].ran == statement


DEAD = "The gateway ended before the answer came."


@pytest.mark.parametrize(
    ("flow", "happened", "expected"),
    [
        ({"state": "open", "error": DEAD}, True, [("unresolved", "ran")]),
        ({"state": "open", "error": DEAD}, False, [("unresolved", "never_ran")]),
        ({"state": "failed", "error": "timeout"}, True, [("unresolved", "ran")]),
        # The client was told that it failed, and it did.
        ({"state": "failed", "error": "timeout"}, False, []),
        # The gateway lives, and the answer may come.
        ({"state": "open", "error": None}, True, []),
        ({"state": "open", "error": None}, False, []),
    ],
)
@pytest.mark.parametrize("named", [True, False], ids=["with an id", "without one"])
def test_a_request_whose_answer_is_not_recorded(
    scene: Scene, flow: dict[str, Any], expected: list[tuple[str, str]], *, happened: bool, named: bool
) -> None:
    statement = f"SELECT '{unique('unanswered')}'"
    long_ago = datetime.now(UTC) - timedelta(minutes=4)
    job = scene.ran("unanswered", statement) if happened else unique("never")
    at = datetime.now(UTC) if happened else long_ago
    door = "jobs.insert" if named else "jobs.query"
    body = {"query": statement}
    scene.recorded(
        job if named else None, statement, state="UNKNOWN", at=at,
        flow={"door": door, "status": None, "request_body": body, **flow},
    )  # fmt: skip

    report = scene.report(since=long_ago - timedelta(minutes=1))

    mine = [f for f in report.findings if f.recorded == statement]
    assert [(finding.kind, finding.outcome) for finding in mine] == expected
    if expected and happened:
        assert mine[0].job == f"acme:US.{job}"


@pytest.mark.parametrize(("said", "expected"), [("ran", []), ("never_ran", ["unresolved"])])
def test_what_the_gateway_has_found_out_is_believed_while_bigquery_agrees(
    scene: Scene, said: str, expected: list[str]
) -> None:
    job = scene.ran("resolved")
    scene.recorded(job, state="UNKNOWN", flow={"state": "open", "error": DEAD, "status": None})
    flow = scene.builder.tables["flows"][-1]["id"]
    scene.builder.event(scene.session, RESOLVED, "…", flow_id=flow, details=f'{{"outcome": "{said}"}}')
    assert kinds(scene.report()) == expected


def test_exchanges_that_started_no_job_and_have_no_end_are_named(scene: Scene) -> None:
    at = datetime.now(UTC)
    lost = {"state": "open", "error": DEAD, "status": None, "at": at}
    scene.builder.flow(scene.session, door="tabledata.insertAll", kind="write", **lost)
    scene.builder.flow(scene.session, door="tabledata.list", kind="read", **lost)
    scene.builder.flow(scene.session, door="tables.delete", kind="admin", **lost | {"error": None})
    report = scene.report()

    assert [(finding.kind, finding.outcome) for finding in report.findings] == [("unresolved", "unknown")] * 2
    assert "tabledata.insertAll" in report.findings[0].message


# What cannot be looked at


def as_configured(world: World) -> Callable[[Connection], BigQuery]:
    http = session(upstream(world))
    return lambda connection: BigQuery(http, own_token(connection.reconcile.credential or connection.credential, http))


def not_checked(report: Report) -> list[str]:
    assert report.exit_code == 3
    assert not report.findings
    assert all(each.why and each.next_step for each in report.not_checked)
    return [each.what for each in report.not_checked]


def test_a_location_that_cannot_be_asked(scene: Scene) -> None:
    scene.recorded(unique("in-narnia"), location="narnia")
    [what] = not_checked(scene.report())
    assert what.startswith("acme in narnia from ")


def test_a_connection_that_records_nothing(scene: Scene) -> None:
    assert not_checked(scene.report(config=scene.config(recording="off"))) == ["Connection acme"]


def test_federation_needs_a_credential_for_this(scene: Scene, world: World) -> None:
    federation = {"credential": world.credential("federation")}
    scene.recorded(scene.ran("federated"))

    assert not_checked(scene.report(config=scene.config(**federation), asking=as_configured(world))) == [
        "Connection acme"
    ]

    named = {**federation, "reconcile": {"credential": world.credential("service_account")}}
    assert scene.report(config=scene.config(**named), asking=as_configured(world)).exit_code == 0


def test_a_credential_that_cannot_be_had(scene: Scene, world: World) -> None:
    world.google.outage = True
    try:
        report = scene.report(asking=as_configured(world))
    finally:
        world.google.outage = False
    assert not_checked(report) == ["Locations of acme that nobody named"]


def test_time_that_bigquery_no_longer_lists(scene: Scene) -> None:
    now = datetime.now(UTC)
    [what] = not_checked(scene.report(since=now - 200 * DAY, until=now - 179 * DAY))
    # A minute may have turned in between.
    assert what in {f"Before {at - 180 * DAY:%Y-%m-%d %H:%M} UTC" for at in (now, datetime.now(UTC))}


def test_time_whose_records_are_deleted(scene: Scene) -> None:
    keep = {"keep": {"bodies": "1d", "statements": "1d", "metadata": "2d"}}
    now = datetime.now(UTC)
    [what] = not_checked(scene.report(config=scene.config(**keep), since=now - 5 * DAY, until=now - DAY))
    assert what.startswith("Connection acme before ")


def test_notes_say_how_far_it_reaches(scene: Scene) -> None:
    scene.recorded(scene.ran("noted"))
    notes = " ".join(scene.report(since=scene.began - DAY).notes)

    assert "The recording begins at" in notes
    assert "may be some minutes behind" in notes


def test_only_the_connections_that_are_asked_for(scene: Scene) -> None:
    report = scene.report(connections=("another",))
    assert (report.asked, report.counts.jobs) == ({}, 0)
