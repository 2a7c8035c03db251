"""``hoop-mitm rerun`` through a real gateway: it asks again what read, never what wrote, and no more than it may."""

import json
import sys
from pathlib import Path

import pytest
from uuid_utils import uuid7

from hoop_mitm.devkit.world import World
from tests.clients.clients import DRIVERS, run
from tests.gateways import RunningGateway
from tests.laptops import Laptop

READ = "SELECT id, name FROM `acme.shop.customers` ORDER BY id LIMIT 5"


@pytest.fixture
def laptop(tmp_path: Path, gateway: RunningGateway) -> Laptop:
    made = Laptop(tmp_path, gateway)
    made.sign_in()
    return made


def recorded(gateway: RunningGateway, *statements: str) -> str:
    session = str(uuid7())
    environment = gateway.environment(session=session)
    for statement in statements:
        run(environment, sys.executable, DRIVERS / "python_rest.py", "query_and_wait", statement)
    gateway.folded().close()
    return session


def statements(world: World, since: int) -> list[tuple[bool, str]]:
    """What reached BigQuery: whether it was a dry run, and the statement."""
    bodies = [json.loads(each.body) for each in world.bigquery.requests()[since:] if each.method == "POST"]
    return [
        (bool(body["configuration"].get("dryRun")), body["configuration"]["query"]["query"])
        for body in bodies
        if "configuration" in body
    ]


def test_what_read_is_asked_again_and_what_wrote_is_not(laptop: Laptop, gateway: RunningGateway, world: World) -> None:
    table = f"shop.rerun_{uuid7().hex}"
    write = f"CREATE TABLE {table} AS SELECT 1 AS a"
    session = recorded(gateway, READ, write)
    before = len(world.bigquery.requests())

    done = laptop.hoop("rerun", session, "--db", gateway.archive, "--yes", "--json")

    assert statements(world, before) == [(True, READ), (False, READ)]
    assert "Left out: #2, it writes: CREATE_TABLE_AS_SELECT (--allow-writes)." in done.stderr
    said = json.loads(done.stdout)
    assert [job["change"] for job in said["jobs"]] == ["same", "removed"], said
    assert done.returncode == 1
    with gateway.folded() as archive:
        again = archive.show(archive.find(said["b"]["id"]))
    assert [job.labels["rerun-of"] for job in again.jobs] == [session]
    assert again.session.principal.email == "alice@acme.example"


def test_a_session_that_only_read_is_the_same_again(laptop: Laptop, gateway: RunningGateway) -> None:
    session = recorded(gateway, READ)

    done = laptop.hoop("rerun", session, "--db", gateway.archive, "--yes", "--serial")

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--max-bytes", "1", "--yes"], (1, "Nothing was run")),
        ([], (2, "Say --yes")),
    ],
)
def test_nothing_runs_beyond_its_bytes_or_unasked(
    laptop: Laptop, gateway: RunningGateway, world: World, arguments, said
) -> None:
    session = recorded(gateway, READ)
    before = len(world.bigquery.requests())

    done = laptop.hoop("rerun", session, "--db", gateway.archive, *arguments)

    assert (done.returncode, done.stdout) == (said[0], "")
    assert said[1] in done.stderr
    assert statements(world, before) == [(True, READ)]
