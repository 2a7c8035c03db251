"""What statements may cost, through a real gateway: what leaves it, what is refused, what is counted."""

import json
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from uuid_utils import uuid7

from hoop_mitm.devkit.visitors import SeenRequest
from hoop_mitm.devkit.world import World
from tests.attacks.raw import Got, bigquery
from tests.attacks.tokens import STS, post
from tests.clients.clients import DRIVERS, Python, drive
from tests.faults.test_killed import kill
from tests.gateways import RunningGateway
from tests.laptops import Laptop
from tests.waiting import until

MIB = 2**20
QUERIES = "/bigquery/v2/projects/acme/queries"
JOBS = "/bigquery/v2/projects/acme/jobs"

CHEAP = "SELECT COUNT(id) AS n FROM shop.orders"
"""Billed 10 MiB, the least that BigQuery bills for a table."""

DEAR = "SELECT COUNT(*) AS n FROM shop.orders AS o JOIN shop.customers AS c ON o.customer_id = c.id"
"""Billed 20 MiB: two tables."""

POLICY = {
    "rules": [
        {
            "name": "little",
            "groups": ["pipelines"],
            "tables": ["shop.weighed"],
            "max_bytes": "25MiB",
            "verdict": "allow",
        },
        {"name": "all", "opaque": True, "verdict": "allow"},
    ]
}

# Where it is noon: no day ends, and no month, while these tests run.
NOON = f"Etc/GMT{datetime.now(UTC).hour - 12:+d}"

COST = {
    "timezone": NOON,
    # On a busy machine, too, an estimate is as good as new when a test asks again.
    "reuse_estimates": "1h",
    "ceilings": [{"name": "small", "principals": ["alice@acme.example"], "bytes": "15MiB"}],
    "budgets": [
        {"name": "daily", "principals": ["bob@acme.example"], "per": "principal", "every": "day", "bytes": "65MiB"}
    ],
}


@pytest.fixture(scope="module")
def limited(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """A ceiling for alice, a budget for bob, for ci only a rule that wants to know what some statements read."""
    with RunningGateway(world, tmp_path_factory.mktemp("limited"), cost=COST, policy=POLICY) as running:
        yield running


def ask(gateway: RunningGateway, user: str, sql: str, **more: Any) -> Got:
    body = {"query": sql, "useLegacySql": False, **more}
    return send(gateway, user, QUERIES, body)


def insert(gateway: RunningGateway, user: str, sql: str, *, job_id: str | None = None, **query: Any) -> Got:
    configuration: dict[str, Any] = {"query": {"query": sql, "useLegacySql": False, **query}}
    reference = {"projectId": "acme", "jobId": job_id or f"job_{uuid7()}"}
    return send(gateway, user, JOBS, {"jobReference": reference, "configuration": configuration})


def send(gateway: RunningGateway, user: str, target: str, body: dict[str, Any]) -> Got:
    with bigquery(gateway.process.address, gateway.config.gateway.certs / "bundle.pem") as raw:
        return raw.request("POST", target, token=gateway.world.issuer.token(user), body=body)


class Front:
    """What has reached BigQuery since."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._since = len(world.bigquery.requests())

    def bodies(self) -> list[dict[str, Any]]:
        return [json.loads(each.body) for each in self.posts()]

    def posts(self) -> list[SeenRequest]:
        return [r for r in self._world.bigquery.requests()[self._since :] if r.method == "POST"]

    def tried(self) -> list[dict[str, Any]]:
        return [body for body in self.bodies() if body.get("configuration", {}).get("dryRun")]

    def ran(self) -> list[dict[str, Any]]:
        return [body for body in self.bodies() if not body.get("configuration", {}).get("dryRun")]


@pytest.fixture
def front(world: World) -> Front:
    return Front(world)


def budgets(gateway: RunningGateway, user: str) -> list[dict[str, Any]]:
    said = json.loads(post(gateway, STS, "/v1/introspect", {"token": gateway.world.issuer.token(user)}).body)
    found: list[dict[str, Any]] = said["budgets"]
    return found


def left(gateway: RunningGateway, user: str) -> tuple[int, int]:
    """MiB that are left, and that are set aside."""
    [budget] = budgets(gateway, user)
    return budget["left_bytes"] // MIB, budget["reserved_bytes"] // MIB


# Ceilings


@pytest.mark.parametrize("method", ["query", "query_and_wait"])
def test_a_client_is_told_once_why_its_statement_does_not_run(
    limited: RunningGateway, front: Front, method: str
) -> None:
    outcome = Python(method).query(limited.environment("alice"), DEAR)

    for part in ("20.0 MiB (< $0.01)", "15.0 MiB", "ceiling small", "Nothing was read or changed", "partitioned by"):
        assert part in outcome.complaint
    # The second asks for the same, and the estimate is still good.
    assert len(front.tried()) <= 1
    assert front.ran() == []


def test_a_statement_below_the_ceiling_runs_and_is_capped(limited: RunningGateway, front: Front) -> None:
    outcome = Python("query_and_wait").query(limited.environment("alice"), CHEAP)

    assert outcome.result[0]["n"] == "900"
    assert [body["maximumBytesBilled"] for body in front.ran()] == [str(15 * MIB)]


@pytest.mark.parametrize(("own", "sent"), [(str(12 * MIB), 12), (12 * MIB, 12), (str(99 * MIB), 15), ("0", 15)])
@pytest.mark.parametrize("way", [ask, insert])
def test_the_smaller_limit_is_sent(
    limited: RunningGateway, front: Front, way: Callable[..., Got], own: object, sent: int
) -> None:
    got = way(limited, "alice", CHEAP, maximumBytesBilled=own)

    assert got.status == 200, got.message
    [body] = front.ran()
    query = body["configuration"]["query"] if "configuration" in body else body
    assert query["maximumBytesBilled"] == str(sent * MIB)
    assert query["query"] == CHEAP


def test_a_table_that_grows_after_the_estimate_is_not_read(limited: RunningGateway) -> None:
    grow = "INSERT INTO shop.raced SELECT REPEAT('x', 16000000)"
    assert ask(limited, "ci", "CREATE OR REPLACE TABLE shop.raced (x STRING)").status == 200
    statement = "SELECT MAX(LENGTH(x)) AS n FROM shop.raced"
    assert ask(limited, "alice", statement).status == 200

    assert ask(limited, "ci", grow).status == 200
    got = ask(limited, "alice", statement)

    assert (got.status, "exceeded limit for bytes billed" in got.message) == (400, True)


def test_whoever_has_no_limit_is_not_kept_waiting(limited: RunningGateway, front: Front) -> None:
    assert ask(limited, "ci", DEAR).status == 200

    assert front.tried() == []
    assert "maximumBytesBilled" not in front.ran()[0]


def test_what_a_rule_allowed_because_of_its_estimate_is_held_to_it(limited: RunningGateway, front: Front) -> None:
    """Whoever can make a table grow while the estimate is remembered gets no more past the rule."""
    assert ask(limited, "bob", "CREATE OR REPLACE TABLE shop.weighed (x STRING)", dryRun=False).status == 200
    statement = "SELECT MAX(LENGTH(x)) AS n FROM shop.weighed"
    assert ask(limited, "ci", statement).status == 200
    assert front.ran()[-1]["maximumBytesBilled"] == str(10 * MIB)

    assert ask(limited, "bob", "INSERT INTO shop.weighed SELECT REPEAT('x', 26000000)").status == 200
    got = ask(limited, "ci", statement)

    assert (got.status, "exceeded limit for bytes billed" in got.message) == (400, True)


def test_a_dry_run_of_the_clients_own_is_free(limited: RunningGateway, front: Front) -> None:
    assert ask(limited, "alice", DEAR, dryRun=True).status == 200

    assert len(front.posts()) == 1


@pytest.mark.parametrize("way", [ask, insert])
def test_what_is_wrong_with_a_statement_bigquery_says_itself(
    limited: RunningGateway, front: Front, way: Callable[..., Got]
) -> None:
    got = way(limited, "alice", "SELECT FROM WHERE")
    direct = way(limited, "ci", "SELECT FROM WHERE")

    assert got.status == 400
    assert "hoop-mitm" not in got.message
    assert len(front.ran()) == 1  # ci's
    if way is ask:
        assert json.loads(got.body)["error"]["errors"][0]["message"] == direct.message


def test_without_an_estimate_nothing_is_sent(limited: RunningGateway, world: World, front: Front) -> None:
    world.bigquery.fail_next(times=2)
    got = ask(limited, "alice", "SELECT COUNT(id) AS without_an_estimate FROM shop.orders")

    assert got.status == 403
    assert "what it would cost" in got.message
    assert "Try again in a moment" in got.message
    assert front.ran() == []
    assert ask(limited, "alice", "SELECT COUNT(id) AS without_an_estimate FROM shop.orders").status == 200


@pytest.mark.parametrize(
    "script",
    [
        "DECLARE x INT64 DEFAULT 1; SELECT x",
        f"SELECT 1; {CHEAP}",
        f"EXECUTE IMMEDIATE '{CHEAP}'",
    ],
)
def test_of_a_script_nobody_can_tell_what_it_costs(limited: RunningGateway, front: Front, script: str) -> None:
    got = ask(limited, "alice", script)

    assert got.status == 403
    assert "one by one" in got.message
    assert front.ran() == []


def test_googles_mcp_server_takes_no_limit_so_it_gets_no_statement(limited: RunningGateway, front: Front) -> None:
    call = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": {"name": "execute_sql", "arguments": {"projectId": "acme", "query": CHEAP}},
    }

    got = send(limited, "alice", "/mcp", call)

    assert b"no way to tell BigQuery" in got.body
    assert front.ran() == []


def test_a_table_is_not_read_past_every_limit(limited: RunningGateway) -> None:
    """The Storage API bills what is read, and takes no limit; what it reads of a query's result was paid for."""
    driver = DRIVERS / "python_storage.py"

    alice = drive(limited.environment("alice"), sys.executable, driver, "table", "acme.shop.orders", "ARROW")
    ci = drive(limited.environment("ci"), sys.executable, driver, "table", "acme.shop.orders", "ARROW")
    result = drive(limited.environment("alice"), sys.executable, driver, "query", "SELECT id FROM shop.orders")

    assert "Select what you need from it in a query" in alice.complaint
    assert (len(ci.result), len(result.result)) == (900, 900)


def test_an_auditor_sees_what_was_estimated(limited: RunningGateway) -> None:
    session = str(uuid7())
    Python("query_and_wait").query(limited.environment("alice", session=session), CHEAP)
    Python("query_and_wait").query(limited.environment("alice", session=session), DEAR)

    detail = limited.recorded(session)

    told = [event for event in detail.events if event.type == "cost.estimated"]
    assert [event.details["billed_bytes"] for event in told] == [10 * MIB, 20 * MIB]
    assert told[0].details["referenced_tables"] == ["acme.shop.orders"]
    assert told[0].details["maximum_bytes_billed"] == 15 * MIB
    assert "maximum_bytes_billed" not in told[1].details
    refused = next(event for event in detail.events if event.type == "request.refused")
    assert refused.details["rule"] == "ceiling.small"
    assert refused.flow_id == told[1].flow_id


# Budgets


def test_statements_at_once_cannot_spend_more_than_there_is(limited: RunningGateway, world: World) -> None:
    # What it costs is known then: none waits for an estimate.
    got = [ask(limited, "bob", CHEAP)]
    sent = Front(world)
    world.bigquery.hold(600)
    try:
        threads = [threading.Thread(target=lambda: got.append(ask(limited, "bob", CHEAP))) for _ in range(20)]
        for thread in threads:
            thread.start()
        # Each is refused, or its bill is not known while all others are weighed.
        until(lambda: len(got) - 1 + len(sent.ran()) == 20)
    finally:
        world.bigquery.hold(0)
    for thread in threads:
        thread.join()
    assert sent.tried() == []

    billed = sum(int(json.loads(each.body)["totalBytesBilled"]) for each in got if each.status == 200)
    assert 0 < billed <= 65 * MIB
    refused = [each for each in got if each.status != 200]
    assert refused
    assert {each.status for each in refused} == {403}
    assert all("budget daily" in each.message for each in refused)
    assert left(limited, "bob") == (65 - billed // MIB, 0)
    # The bill is known, and what was set aside for more than that is there again.
    assert ask(limited, "bob", CHEAP).status == 200


def test_whoami_shows_what_is_left(limited: RunningGateway, tmp_path: Path) -> None:
    laptop = Laptop(tmp_path, limited)
    laptop.sign_in("bob")

    said = laptop.hoop("whoami").stdout
    exactly = json.loads(laptop.hoop("whoami", "--json").stdout)["gateway"]["budgets"]

    assert "budget daily (principal bob@acme.example):" in said
    assert "of 65.0 MiB (< $0.01) a day is left; it begins anew at" in said
    assert [(each["name"], each["limit_bytes"]) for each in exactly] == [("daily", 65 * MIB)]
    assert budgets(limited, "alice") == []


# What was billed


ROOMY = {
    "timezone": NOON,
    # BigQuery answers nothing for a while: what is estimated before that must do.
    "reuse_estimates": "1h",
    "budgets": [{"name": "roomy", "per": "principal", "every": "month", "bytes": "1GiB"}],
}


@pytest.fixture(scope="module")
def roomy(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """1 GiB for everybody."""
    with RunningGateway(world, tmp_path_factory.mktemp("roomy"), cost=ROOMY) as running:
        yield running
    world.bigquery.hold(0)


@pytest.fixture
def mortal(world: World, tmp_path: Path) -> Iterator[RunningGateway]:
    yield RunningGateway(world, tmp_path, cost=ROOMY)
    world.bigquery.hold(0)


@pytest.mark.timeout(600)
def test_a_bill_that_no_answer_tells_is_asked_for(roomy: RunningGateway) -> None:
    """getQueryResults does not say what a job was billed, and nobody asks after this one at all."""
    outcome = Python("query").query(roomy.environment("alice"), DEAR)
    assert outcome.rows
    until(lambda: left(roomy, "alice") == (1024 - 20, 0))

    # A job that fails is billed nothing.
    failed = insert(roomy, "alice", CHEAP, maximumBytesBilled="1")
    assert json.loads(failed.body)["status"]["errorResult"]["reason"] == "bytesBilledLimitExceeded"
    until(lambda: left(roomy, "alice") == (1024 - 20, 0))


def leave(gateway: RunningGateway, user: str, sql: str, front: Front) -> None:
    """Asks, and goes away as soon as BigQuery has heard of it."""
    body = json.dumps({"query": sql, "useLegacySql": False})
    with bigquery(gateway.process.address, gateway.config.gateway.certs / "bundle.pem") as raw:
        lines = (
            f"POST {QUERIES} HTTP/1.1",
            "Host: bigquery.googleapis.com",
            "Content-Type: application/json",
            f"Authorization: Bearer {gateway.world.issuer.token(user)}",
            f"Content-Length: {len(body)}",
            "",
            body,
        )
        raw.connection.sendall("\r\n".join(lines).encode())
        until(lambda: bool(front.posts()))
        left_before = departures(gateway)
    # Only then may BigQuery answer: else it is answered for somebody who seems to be there still.
    until(lambda: departures(gateway) > left_before)


def departures(gateway: RunningGateway) -> int:
    return gateway.log.read_text().count("client disconnect")


@pytest.mark.timeout(600)
def test_a_client_that_goes_away_leaves_nothing_set_aside(roomy: RunningGateway, world: World) -> None:
    asked = f"{DEAR} WHERE o.id < 9"
    tried = Front(world)
    world.bigquery.hold(600)
    leave(roomy, "bob", asked, tried)
    world.bigquery.hold(0)
    # It waits for the same dry run.
    assert ask(roomy, "bob", asked).status == 200
    assert (len(tried.tried()), len(tried.ran())) == (1, 1)
    until(lambda: left(roomy, "bob") == (1024 - 20, 0))

    ran = Front(world)
    world.bigquery.hold(600, answered=True)
    leave(roomy, "bob", asked, ran)
    world.bigquery.hold(0)
    assert (len(ran.tried()), len(ran.ran())) == (0, 1)
    # Its job has no name that the gateway was told, and is found by its looks.
    until(lambda: left(roomy, "bob") == (1024 - 40, 0))


def queries(world: World) -> list[str]:
    """The statements that BigQuery ran."""
    configurations = [job.resource["configuration"] for job in world.bigquery.jobs.all()]
    return [configuration["query"]["query"] for configuration in configurations if "query" in configuration]


@pytest.mark.timeout(600)
def test_a_restart_gives_nobody_a_new_budget(mortal: RunningGateway, world: World) -> None:
    named, unnamed = f"{DEAR} WHERE o.id < 7", f"{CHEAP} WHERE id < 8"
    with mortal:
        assert ask(mortal, "alice", named).status == 200
        assert ask(mortal, "alice", unnamed).status == 200
        assert left(mortal, "alice") == (1024 - 30, 0)
        world.bigquery.hold(600, answered=True)
        lost = [
            threading.Thread(target=way, args=(mortal, "alice", sql)) for way, sql in ((insert, named), (ask, unnamed))
        ]
        for thread in lost:
            thread.start()
        until(lambda: (queries(world).count(named), queries(world).count(unnamed)) == (2, 2))
        assert left(mortal, "alice") == (1024 - 30 - 50, 50)
        kill(mortal)
        world.bigquery.hold(0)
        for thread in lost:
            thread.join()

    with mortal:
        # The bills of what the gateway before never saw an answer to, by its id or by its looks.
        until(lambda: left(mortal, "alice") == (1024 - 30 - 30, 0), 120)
