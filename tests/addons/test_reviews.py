"""Requests that wait for people: through the real gateway, from the first answer to the rows."""

import base64
import contextlib
import hashlib
import hmac
import json
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from uuid_utils import uuid7

from hoop_mitm.addons.holding import is_in_session
from hoop_mitm.archive.verify import verify
from hoop_mitm.devkit.gateway_process import free_port
from hoop_mitm.devkit.http import Request, Response, Servers
from hoop_mitm.devkit.pki import WorldCA
from hoop_mitm.devkit.world import World
from tests.attacks.raw import Got, Raw, bigquery
from tests.faults.test_killed import JOBS, QUERIES, kill
from tests.gateways import RunningGateway
from tests.waiting import until

pytestmark = pytest.mark.timeout(600)

REVIEWS = "/hoop/v1/reviews"
SECRET = b"a secret of more than sixteen bytes"

RULES = [
    {
        "name": "deletions",
        "verdict": "review",
        "kinds": ["DELETE", "COPY"],
        "review": {"groups": ["reviewers"], "expires": "1h"},
    },
    {
        "name": "two-people",
        "verdict": "review",
        "kinds": ["UPDATE"],
        "review": {"groups": ["reviewers"], "min_approvals": 2, "expires": "1h"},
    },
    {
        "name": "soon-over",
        "verdict": "review",
        "kinds": ["MERGE"],
        "review": {"groups": ["reviewers"], "expires": "1s"},
    },
    {"name": "people", "verdict": "review", "tables": ["shop.customers"], "review": {"groups": ["reviewers"]}},
    {"name": "the-rest", "verdict": "allow", "tables": ["*"]},
]


class Hook:
    """A webhook that does not answer well the first time."""

    def __init__(self, directory: Path) -> None:
        self.got: list[Request] = []
        self._servers, self._authority = Servers(), WorldCA(directory / "ca")
        self._servers.start()
        port = self._servers.listen(self._take, self._authority.issue("hook", ["127.0.0.1"]))
        secret = directory / "secret"
        secret.write_bytes(SECRET)
        self.config = {
            "url": f"https://127.0.0.1:{port}/reviews",
            "secret_file": str(secret),
            "ca": str(self._authority.certificate),
        }

    def _take(self, request: Request) -> Response:
        self.got.append(request)
        return Response(503 if len(self.got) == 1 else 204)

    def stop(self) -> None:
        self._servers.stop()


@pytest.fixture(scope="module")
def hook(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hook]:
    made = Hook(tmp_path_factory.mktemp("hook"))
    yield made
    made.stop()


@pytest.fixture(scope="module")
def reviewed(world: World, hook: Hook, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    machine = f"{world.issuer.machine_url}#{world.issuer.machines['ci'].subject}"
    with RunningGateway(
        world,
        tmp_path_factory.mktemp("reviewed"),
        gateway={"endpoint": f"127.0.0.1:{free_port()}"},
        policy={"rules": RULES},
        reviews={"webhooks": [hook.config], "machines": {machine: ["reviewers"]}},
    ) as running:
        yield running


class Person:
    """Somebody with a connection of their own to the gateway."""

    def __init__(self, gateway: RunningGateway, name: str, **claims: Any) -> None:
        self.token = gateway.world.issuer.token(name, **claims)
        self._gateway = gateway
        self._raw: Raw | None = None

    def ask(self, method: str, target: str, body: dict[str, Any] | None = None) -> Got:
        if self._raw is None:
            self._raw = bigquery(self._gateway.process.address, self._gateway.config.gateway.certs / "bundle.pem")
        return self._raw.request(method, target, token=self.token, body=body or b"")

    def say(self, method: str, target: str, body: dict[str, Any] | None = None, status: int = 200) -> dict[str, Any]:
        got = self.ask(method, target, body)
        assert got.status == status, got.body
        said: dict[str, Any] = json.loads(got.body)
        return said

    def insert(self, statement: str, job_id: str = "", status: int = 200, **query: Any) -> dict[str, Any]:
        """Asks for a job; what BigQuery, or the gateway, says."""
        return self.say("POST", JOBS, job_of(statement, job_id, **query), status)

    def review_of(self, job_id: str) -> dict[str, Any]:
        (found,) = [each for each in self.say("GET", REVIEWS)["reviews"] if each["job"] == job_id]
        return self.say("GET", f"{REVIEWS}/{found['id']}")

    def approve(self, job_id: str, status: int = 200) -> dict[str, Any]:
        review = self.review_of(job_id)
        return self.say("POST", f"{REVIEWS}/{review['id']}/approve", {"digest": review["digest"]}, status)


def job_of(statement: str, job_id: str = "", **query: Any) -> dict[str, Any]:
    return {
        "jobReference": {"projectId": "acme", **({"jobId": job_id} if job_id else {})},
        "configuration": {"query": {"query": statement, "useLegacySql": False, **query}},
    }


def carol(gateway: RunningGateway) -> Person:
    """A second reviewer."""
    return Person(gateway, "bob", sub="00u3carol", email="carol@acme.example")


@pytest.fixture
def alice(reviewed: RunningGateway) -> Person:
    return Person(reviewed, "alice")


@pytest.fixture
def bob(reviewed: RunningGateway) -> Person:
    return Person(reviewed, "bob")


@pytest.fixture
def table(world: World) -> str:
    """A table of a test's own, with three rows."""
    name = f"shop.reviewed_{uuid7().hex}"
    world.bigquery.jobs.run(
        "acme",
        {"query": {"query": f"CREATE TABLE {name} AS SELECT n FROM UNNEST([1, 2, 3]) AS n", "useLegacySql": False}},
        "tests",
    )
    return name


def rows(alice: Person, table: str) -> int:
    said = alice.say("POST", QUERIES, {"query": f"SELECT COUNT(*) AS n FROM {table}", "useLegacySql": False})
    return int(said["rows"][0]["f"][0]["v"])


def name() -> str:
    return f"job-{uuid7()}"


def outcome(person: Person, job: str) -> Got:
    """What is said to who polls, once it is rows or a refusal."""
    said: list[Got] = []

    def is_over() -> bool:
        said.append(person.ask("GET", f"{QUERIES}/{job}?timeoutMs=20000"))
        return said[-1].status != 200 or json.loads(said[-1].body)["jobComplete"]

    until(is_over, 100)
    return said[-1]


def result(person: Person, job: str) -> dict[str, Any]:
    """What is said to who polls, once it is complete."""
    got = outcome(person, job)
    assert got.status == 200, got.body
    said: dict[str, Any] = json.loads(got.body)
    return said


def runs_of(world: World, job_id: str) -> int:
    """How often BigQuery was asked to run it."""
    return len([
        request
        for request in world.bigquery.requests()
        if request.method == "POST" and job_id in (request.body or b"").decode(errors="replace")
        and b'"dryRun":true' not in request.body
    ])  # fmt: skip


def test_a_held_job_is_pending_until_it_is_approved_and_then_has_rows(
    reviewed: RunningGateway, world: World, alice: Person, bob: Person, table: str
) -> None:
    job, statement = name(), f"DELETE FROM {table} WHERE n = 1 -- hoop.reason: the customer asked for it"

    made = alice.insert(statement, job)

    assert made["status"] == {"state": "PENDING"}
    assert made["jobReference"]["jobId"] == job
    assert made["configuration"]["query"]["query"] == statement
    assert alice.say("GET", f"{JOBS}/{job}")["status"] == {"state": "PENDING"}
    assert not alice.say("GET", f"{QUERIES}/{job}?timeoutMs=0")["jobComplete"]
    assert runs_of(world, job) == 0
    review = bob.review_of(job)
    assert review["requester"]["name"] == "alice@acme.example"
    assert review["statement"] == statement
    assert review["reason"] == "the customer asked for it"
    assert review["tables"] == [f"acme.{table}"]
    assert (review["kinds"], review["rule"], review["client"]) == (["DELETE"], "policy.deletions", "waiting")
    assert review["estimated_bytes"] is not None
    assert (float(review["estimated_cost"]) >= 0, review["currency"]) == (True, "USD")
    assert made["configuration"]["labels"]["hoop-review"] == review["id"]

    bob.approve(job)

    said = result(alice, job)
    assert (said["jobComplete"], said["numDmlAffectedRows"]) == (True, "1")
    assert rows(alice, table) == 2
    assert runs_of(world, job) == 1
    assert bob.review_of(job)["state"] == "EXECUTED"
    told = ["review.requested", "review.approved", "review.executing", "review.executed"]
    # Nobody's poll waits for the last one.
    until(lambda: events(reviewed, review["id"]) == told)
    # What reviewers ask is no request for a token.
    assert reviewed.ask("SELECT 1 FROM events WHERE type = 'token.refused'") == []
    ((state, decision, rule, recorded),) = reviewed.ask(
        f"SELECT state, decision, rule, statement FROM jobs WHERE id = '{job}'"
    )
    assert (state, decision, rule, recorded) == ("DONE", "allow", "review.approved", statement)


def events(gateway: RunningGateway, review: str) -> list[str]:
    told = gateway.ask(f"SELECT type FROM events WHERE details->>'review' = '{review}' ORDER BY seq")
    return [kind for (kind,) in told]


def test_a_held_query_is_a_job_that_is_not_complete(alice: Person, bob: Person, table: str) -> None:
    body = {
        "query": f"DELETE FROM {table} WHERE n = @n",
        "useLegacySql": False,
        "parameterMode": "NAMED",
        "queryParameters": [
            {"name": "n", "parameterType": {"type": "INT64"}, "parameterValue": {"value": "3"}},
        ],
        "requestId": str(uuid7()),
        "formatOptions": {"useInt64Timestamp": True},
    }

    said = alice.say("POST", QUERIES, body)

    job = said["jobReference"]["jobId"]
    assert said == {
        "kind": "bigquery#queryResponse",
        "jobReference": {"projectId": "acme", "jobId": job},
        "jobComplete": False,
    }
    assert alice.say("POST", QUERIES, body) == said, "the same request again is the same job"
    bob.approve(job)
    assert result(alice, job)["numDmlAffectedRows"] == "1"
    assert rows(alice, table) == 2


def test_a_rejected_one_says_so_in_the_reviewers_words(
    reviewed: RunningGateway, alice: Person, bob: Person, table: str
) -> None:
    job = name()
    alice.insert(f"DELETE FROM {table} WHERE true", job)
    with ThreadPoolExecutor(1) as waiting:
        poll = waiting.submit(outcome, Person(reviewed, "alice"), job)
        review = bob.review_of(job)
        bob.say("POST", f"{REVIEWS}/{review['id']}/reject", {"message": "Name the rows."})
        refused = poll.result()

    words = "bob@acme.example rejected this request: Name the rows. It was not run."
    assert refused.status == 403
    assert refused.message.startswith(words)
    assert json.loads(refused.body)["error"]["errors"][0]["reason"] == "accessDenied"
    status = alice.say("GET", f"{JOBS}/{job}")["status"]
    assert (status["state"], status["errorResult"]["reason"]) == ("DONE", "accessDenied")
    assert status["errorResult"]["message"].startswith(words)
    assert rows(alice, table) == 3
    ((state, error),) = reviewed.ask(f"SELECT state, error FROM jobs WHERE id = '{job}'")
    assert (state, error.startswith(words)) == ("DONE", True)


def test_a_cancelled_one_is_withdrawn(alice: Person, bob: Person, table: str) -> None:
    job = name()
    alice.insert(f"DELETE FROM {table} WHERE true", job)

    said = alice.say("POST", f"{JOBS}/{job}/cancel")

    assert said["job"]["status"]["errorResult"]["reason"] == "stopped"
    assert bob.review_of(job)["state"] == "WITHDRAWN"
    assert "WITHDRAWN" in bob.approve(job, status=409)["error"]["message"]
    assert alice.ask("GET", f"{QUERIES}/{job}").status == 400
    assert rows(alice, table) == 3


def test_nobody_else_can_poll_or_cancel_it_or_take_its_id(alice: Person, bob: Person, table: str, world: World) -> None:
    job = name()
    alice.insert(f"DELETE FROM {table} WHERE true", job)

    for method, target in (("GET", f"{JOBS}/{job}"), ("GET", f"{QUERIES}/{job}"), ("POST", f"{JOBS}/{job}/cancel")):
        assert bob.ask(method, target).status == 403
    assert "not yours" in bob.insert("SELECT 1", job, status=403)["error"]["message"]
    # A harmless statement under the id of the held one would be polled, or approved, in its place.
    assert "Already Exists" in alice.insert("SELECT 1", job, status=403)["error"]["message"]
    assert bob.review_of(job)["state"] == "PENDING"
    assert runs_of(world, job) == 0


def test_who_may_not_decide(reviewed: RunningGateway, alice: Person, bob: Person, table: str) -> None:
    job = name()
    bob.insert(f"DELETE FROM {table} WHERE true", job)
    review = bob.review_of(job)
    approve = f"{REVIEWS}/{review['id']}/approve"
    yes = {"digest": review["digest"]}

    assert "your own request" in bob.say("POST", approve, yes, 403)["error"]["message"]
    # Somebody who may not even see it hears no more than that there is none.
    assert alice.ask("POST", approve, yes).status == 404
    assert {each["requester"] for each in alice.say("GET", REVIEWS)["reviews"]} <= {"alice@acme.example"}
    session = exchanged(reviewed, "bob")
    agent = Person(reviewed, "bob")
    agent.token = session
    assert "sign in themselves" in agent.say("GET", REVIEWS, status=403)["error"]["message"]
    stale = {"digest": "0" * 64}
    assert "Look at it again" in carol(reviewed).say("POST", approve, stale, 409)["error"]["message"]
    assert bob.review_of(job)["state"] == "PENDING"


@pytest.mark.parametrize(
    "target",
    [
        REVIEWS,
        "/hoop/v1",
        "/hoop/v2/reviews",
        "//hoop/v1/reviews",
        "/bigquery/v2/../../hoop/v1/reviews",
        "/hoop/v1/../../bigquery/v2/projects/acme/jobs",
    ],
)
def test_without_a_login_there_is_nothing_to_see_and_nothing_leaves(
    reviewed: RunningGateway, world: World, target: str
) -> None:
    seen = len(world.bigquery.requests())
    nobody = Person(reviewed, "bob")
    nobody.token = ""
    late = Person(reviewed, "bob", lifetime=timedelta(hours=-1))

    for each in (nobody, late):
        assert each.ask("GET", target).status == 403
        assert each.ask("POST", f"{target}/1/approve", {"digest": ""}).status == 403
    assert len(world.bigquery.requests()) == seen


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        ("GET /hoop/v1/../../bigquery/v2/projects/acme/jobs", 404),
        ("GET /hoop/v1/reviews/../../../bigquery/v2/projects/acme/jobs", 404),
        ("GET /hoop/v1/secrets", 404),
        ("DELETE /hoop/v1/reviews/1", 404),
        ("GET /hoop/v1/reviews?wait=x", 400),
        (f"GET /hoop/v1/reviews?after={'9' * 40}", 400),
        ("POST /hoop/v1/reviews/ffffffff/approve", 404),
    ],
)
def test_what_is_asked_wrongly_is_answered_here(bob: Person, world: World, request_line: str, status: int) -> None:
    seen = len(world.bigquery.requests())

    assert bob.ask(*request_line.split()).status == status
    assert len(world.bigquery.requests()) == seen


def test_the_endpoint_answers_reviewers_too(reviewed: RunningGateway, bob: Person) -> None:
    assert reviewed.config.gateway.endpoint
    connection = HTTPConnection(reviewed.config.gateway.endpoint, timeout=60)
    connection.request("GET", REVIEWS, headers={"Authorization": f"Bearer {bob.token}"})
    answer = connection.getresponse()

    # When it was polled last is told from memory first, and then from the file.
    listed = [each["id"] for each in json.loads(answer.read())["reviews"]]
    assert (answer.status, listed) == (200, [each["id"] for each in bob.say("GET", REVIEWS)["reviews"]])


def exchanged(gateway: RunningGateway, user: str) -> str:
    from tests.attacks.tokens import session_token

    return session_token(gateway, gateway.world.issuer.token(user))


def test_two_approvals_are_two_peoples(reviewed: RunningGateway, alice: Person, bob: Person, table: str) -> None:
    job = name()
    alice.insert(f"UPDATE {table} SET n = 9 WHERE n = 1", job)

    assert bob.approve(job)["state"] == "PENDING"
    assert "already" in bob.approve(job, status=409)["error"]["message"]
    assert carol(reviewed).approve(job)["state"] in ("APPROVED", "EXECUTING", "EXECUTED")

    assert result(alice, job)["numDmlAffectedRows"] == "1"
    assert [each["by"] for each in bob.review_of(job)["approvals"]] == ["bob@acme.example", "carol@acme.example"]


def test_a_machine_that_is_named_may_review(reviewed: RunningGateway, alice: Person, table: str) -> None:
    job = name()
    alice.insert(f"DELETE FROM {table} WHERE n = 2", job)

    Person(reviewed, "ci").approve(job)

    assert result(alice, job)["jobComplete"]


def test_it_expires(alice: Person, bob: Person, table: str) -> None:
    job = name()
    alice.insert(f"MERGE {table} t USING (SELECT 5 AS n) s ON t.n = s.n WHEN NOT MATCHED THEN INSERT ROW", job)

    got = outcome(alice, job)

    assert (got.status, "Nobody approved it in time" in got.message) == (403, True)
    assert bob.review_of(job)["state"] == "EXPIRED"


def test_dry_runs_pass(alice: Person, table: str) -> None:
    body = {"query": f"DELETE FROM {table} WHERE true", "useLegacySql": False, "dryRun": True}
    assert alice.say("POST", QUERIES, body)["jobComplete"]


def test_a_job_without_a_statement_waits_too(alice: Person, bob: Person, table: str) -> None:
    job, (dataset, source) = name(), table.split(".")
    there = {"projectId": "acme", "datasetId": dataset}
    copy = {"sourceTable": {**there, "tableId": source}, "destinationTable": {**there, "tableId": f"{source}_copy"}}
    body = {"jobReference": {"projectId": "acme", "jobId": job}, "configuration": {"copy": copy}}

    assert alice.say("POST", JOBS, body)["status"] == {"state": "PENDING"}
    review = bob.review_of(job)
    assert (review["kinds"], review["tables"]) == (["COPY"], [f"acme.{table}", f"acme.{table}_copy"])
    assert review["configuration"]["copy"] == copy
    bob.approve(job)

    until(lambda: alice.say("GET", f"{JOBS}/{job}")["status"]["state"] == "DONE")
    assert rows(alice, f"{table}_copy") == 3


def test_an_id_that_bigquery_knows_already_is_taken(
    reviewed: RunningGateway, world: World, alice: Person, bob: Person, table: str
) -> None:
    """Made past the gateway, or before its memory: what was approved must not seem to have run."""
    job = name()
    alice.insert(f"DELETE FROM {table} WHERE true", job)
    world.bigquery.jobs.run("acme", {"query": {"query": "SELECT 1", "useLegacySql": False}}, "somebody", job)

    bob.approve(job)

    got = outcome(alice, job)
    assert (got.status, "Already Exists" in got.message) == (403, True)
    assert rows(alice, table) == 3
    until(lambda: "review.executed" in events(reviewed, bob.review_of(job)["id"]))


def test_what_cannot_wait_is_refused_in_words(alice: Person, table: str) -> None:
    large = {"name": "n", "parameterType": {"type": "STRING"}, "parameterValue": {"value": "x" * 2**20}}
    refused = alice.insert(f"DELETE FROM {table} WHERE @n = ''", name(), status=403, queryParameters=[large])
    assert "Send it in parts" in refused["error"]["message"]
    body = {"query": f"DELETE FROM {table} WHERE true", "useLegacySql": False, "jobTimeout": "1"}
    assert "jobTimeout" in alice.say("POST", QUERIES, body, 403)["error"]["message"]
    statement = f"DELETE FROM {table} WHERE true"
    for target, asked in (
        (JOBS, job_of(statement, name(), createSession=True)),
        (QUERIES, {"query": statement, "useLegacySql": False, "createSession": True}),
    ):
        assert "Send it without session_id" in alice.say("POST", target, asked, 403)["error"]["message"]
    # BigQuery's own words, at once, for what can never run.
    wrong = alice.ask("POST", JOBS, job_of("SELECT no_such_column FROM shop.customers", name()))
    assert (wrong.status, "no_such_column" in wrong.message) == (400, True)


@pytest.mark.parametrize(
    ("job", "expected"),
    [
        ({}, False),
        ({"createSession": False}, False),
        ({"createSession": None, "connectionProperties": None}, False),
        ({"connectionProperties": [{"key": "time_zone", "value": "UTC"}]}, False),
        ({"createSession": True}, True),
        ({"createSession": "true"}, True),
        ({"connectionProperties": [{"key": "session_id", "value": "s"}]}, True),
        ({"connectionProperties": [{"key": "time_zone", "value": "UTC"}, {"key": "Session_ID", "value": "s"}]}, True),
        ({"connectionProperties": {"key": "session_id", "value": "s"}}, True),
    ],
)
def test_what_runs_in_a_session_is_told(job: dict[str, Any], *, expected: bool) -> None:
    """In a session, temporary functions and tables can become others between the yes and the job."""
    plain = {"query": "SELECT f(n) FROM t"} | job
    assert is_in_session("jobs.query", json.dumps(plain).encode()) is expected
    for kind in ("query", "load"):
        assert is_in_session("jobs.insert", json.dumps({"configuration": {kind: plain}}).encode()) is expected


def test_it_is_sent_once_however_many_poll(reviewed: RunningGateway, world: World, table: str) -> None:
    job = name()
    Person(reviewed, "alice").insert(f"DELETE FROM {table} WHERE n < 3", job)
    people = [Person(reviewed, "alice") for _ in range(20)]

    with ThreadPoolExecutor(20) as pool:
        polls = [pool.submit(outcome, each, job) for each in people]
        Person(reviewed, "bob").approve(job)
        answers = [poll.result() for poll in polls]

    assert {answer.status for answer in answers} == {200}
    assert {json.loads(answer.body)["numDmlAffectedRows"] for answer in answers} == {"2"}
    assert runs_of(world, job) == 1


def test_what_is_new_since_the_last_of_the_same_shape(alice: Person, bob: Person, table: str) -> None:
    first, second = name(), name()
    alice.insert(f"DELETE FROM {table} WHERE n = 1", first)
    bob.approve(first)
    assert result(alice, first)["jobComplete"]

    alice.insert(f"DELETE FROM {table} WHERE n = 200", second)

    previous = bob.review_of(second)["previous"]
    assert previous["approved_by"] == ["bob@acme.example"]
    assert f"-DELETE FROM {table} WHERE n = 1" in previous["difference"]
    assert f"+DELETE FROM {table} WHERE n = 200" in previous["difference"]


def test_the_webhook_hears_of_it_and_can_tell_that_it_is_us(hook: Hook, alice: Person, table: str) -> None:
    job = name()
    alice.insert(f"DELETE FROM {table} WHERE true", job)

    def about() -> list[Request]:
        return [each for each in list(hook.got) if json.loads(each.body)["data"]["job"] == job]

    until(lambda: bool(about()))
    told = about()[0]
    said = json.loads(told.body)
    assert (said["type"], said["data"]["requester"]) == ("review.requested", "alice@acme.example")
    assert "statement" not in said["data"]
    signed = f"{told.headers['webhook-id']}.{told.headers['webhook-timestamp']}.".encode() + told.body
    expected = base64.b64encode(hmac.new(SECRET, signed, hashlib.sha256).digest()).decode()
    assert told.headers["webhook-signature"] == f"v1,{expected}"
    # The very first message was answered with an error, and came again under the same id.
    ids = [each.headers["webhook-id"] for each in hook.got]
    until(lambda: [each.headers["webhook-id"] for each in hook.got].count(ids[0]) >= 2)


def test_it_survives_a_gateway_that_is_killed_and_runs_once(world: World, tmp_path: Path, table: str) -> None:
    budget = {"name": "daily", "per": "principal", "every": "day", "bytes": "1TiB"}
    cost = {"budgets": [budget], "reuse_estimates": "1h"}
    mortal = RunningGateway(world, tmp_path, policy={"rules": RULES}, cost=cost)
    job = name()
    with mortal:
        Person(mortal, "alice").insert(f"DELETE FROM {table} WHERE n = 1", job)
        kill(mortal)
    with mortal:
        alice = Person(mortal, "alice")
        assert alice.say("GET", f"{JOBS}/{job}")["status"] == {"state": "PENDING"}
        # And between the yes and BigQuery's answer. (What it would read is known from the like of it.)
        alice.insert(f"DELETE FROM {table} WHERE n = 1", name())
        world.bigquery.hold(600, answered=True)
        try:
            Person(mortal, "bob").approve(job)
            until(lambda: any(each.resource["jobReference"]["jobId"] == job for each in world.bigquery.jobs.all()))
            kill(mortal)
        finally:
            world.bigquery.hold(0)
    with mortal:
        alice = Person(mortal, "alice")
        assert result(alice, job)["numDmlAffectedRows"] == "1"
        assert Person(mortal, "bob").review_of(job)["state"] == "EXECUTED"
        # What it was sent with is what was set aside for it.
        sent = alice.say("GET", f"{JOBS}/{job}")["configuration"]
        assert int(sent["query"]["maximumBytesBilled"]) > 0
        assert sent["labels"].keys() == {"hoop-session", "hoop-review"}
    assert runs_of(world, job) == 1
    report = verify(mortal.archive)
    assert report.verified, report.findings


def test_a_ceiling_lets_no_approved_statement_cost_more_than_its_reviewers_were_shown(
    world: World, tmp_path: Path, table: str
) -> None:
    ceiling = {"name": "roomy", "bytes": "2TiB"}
    with RunningGateway(world, tmp_path, policy={"rules": RULES}, cost={"ceilings": [ceiling]}) as gateway:
        alice, job = Person(gateway, "alice"), name()
        alice.insert(f"DELETE FROM {table} WHERE n = 1", job)
        Person(gateway, "bob").approve(job)
        assert result(alice, job)["numDmlAffectedRows"] == "1"
        sent = alice.say("GET", f"{JOBS}/{job}")["configuration"]["query"]
    # It reads next to nothing, and that is what was shown.
    assert 0 < int(sent["maximumBytesBilled"]) < 2**30


def test_a_row_that_cannot_be_read_for_a_while_ends_nobodys_work(
    reviewed: RunningGateway, alice: Person, bob: Person, table: str
) -> None:
    job = name()
    alice.insert(f"DELETE FROM {table} WHERE n = 1", job)
    review = bob.review_of(job)
    store = reviewed.config.gateway.state / "reviews.sqlite"

    def write(*values: object) -> list[Any]:
        with contextlib.closing(sqlite3.connect(store, timeout=60, isolation_level=None)) as connection:
            was = connection.execute("SELECT brief, expires_at FROM briefs WHERE id = ?", [review["id"]]).fetchone()
            connection.execute("UPDATE briefs SET brief = ?, expires_at = ? WHERE id = ?", [*values, review["id"]])
        return list(was)

    was = write("{}", 0.0)
    until(lambda: "cannot be looked after" in reviewed.log.read_text())
    write(*was)

    bob.approve(job)
    said = result(alice, job)
    assert (said["jobComplete"], said["numDmlAffectedRows"]) == (True, "1")


def test_a_changed_policy_needs_a_new_yes(world: World, tmp_path: Path, table: str) -> None:
    policy = tmp_path / "policy.json"
    policy.write_text(json.dumps({"rules": RULES}))
    changing = RunningGateway(world, tmp_path, policy={"file": str(policy)})
    job = name()
    with changing:
        bob, alice = Person(changing, "bob"), Person(changing, "alice")
        alice.insert(f"UPDATE {table} SET n = 0 WHERE n = 1", job)
        before = bob.review_of(job)
        bob.approve(job)
        stricter = [{**rule, "message": "More of it."} if rule["name"] == "two-people" else rule for rule in RULES]
        # At once: half of a file is another policy, for a gateway that looks just then.
        policy.with_suffix(".new").write_text(json.dumps({"rules": stricter}))
        policy.with_suffix(".new").replace(policy)
        loaded = "SELECT 1 FROM events WHERE type = 'policy.loaded' AND (details->>'before') <> ''"
        until(lambda: bool(changing.ask(loaded)))

        carol(changing).approve(job)

        until(lambda: bob.review_of(job)["digest"] != before["digest"])
        after = bob.review_of(job)
        assert (after["state"], after["approvals"]) == ("PENDING", [])
        assert rows(alice, table) == 3
        bob.approve(job)
        carol(changing).approve(job)
        assert result(alice, job)["numDmlAffectedRows"] == "1"


def test_a_requester_who_was_revoked_meanwhile_gets_nothing_run(
    reviewed: RunningGateway, world: World, bob: Person, table: str
) -> None:
    from hoop_mitm.identity import Revocations
    from hoop_mitm.identity.revocations import of_principal

    dave = Person(reviewed, "alice", sub="00u4dave", email="dave@acme.example")
    job = name()
    dave.insert(f"DELETE FROM {table} WHERE true", job)
    Revocations(reviewed.config.gateway.state).add(of_principal(f"{world.issuer.url}#00u4dave", "a test"))
    # A gateway heeds it within a second.
    until(lambda: dave.ask("GET", f"{JOBS}/{job}").status == 403)

    bob.approve(job)

    until(lambda: bob.review_of(job)["state"] == "REJECTED")
    assert runs_of(world, job) == 0


def test_with_federation_it_runs_as_the_requester(world: World, tmp_path: Path, table: str) -> None:
    federated = RunningGateway(world, tmp_path, credential="federation", policy={"rules": RULES})
    job = name()
    with federated:
        alice = Person(federated, "alice")
        alice.insert(f"DELETE FROM {table} WHERE n = 1", job)
        kill(federated)
    with federated:
        # Nobody has a token of hers now.
        Person(federated, "bob").approve(job)
        assert Person(federated, "bob").review_of(job)["state"] == "APPROVED"

        assert result(Person(federated, "alice"), job)["numDmlAffectedRows"] == "1"

    (ran,) = [each for each in world.bigquery.jobs.all() if each.resource["jobReference"]["jobId"] == job]
    assert "00u1alice" in ran.who or "alice" in ran.who
