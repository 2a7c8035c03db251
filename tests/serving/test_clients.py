"""Each client, unmodified, first in front of BigQuery and then in front of the recording of that: it sees the same."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from uuid_utils import uuid7

from hoop_mitm.archive import SessionDiff, open_archive
from hoop_mitm.archive.comparing import diff
from hoop_mitm.archive.opening import open_settled
from hoop_mitm.client.outfit import SESSION
from hoop_mitm.devkit.world import World
from hoop_mitm.serving import Serving, load
from tests.clients.clients import DRIVERS, Bq, Client, Environment, Node, Outcome, Python, Toolbox, drive
from tests.clients.environments import NotHere
from tests.gateways import RunningGateway

LAST = 2_500


class Storage:
    """google-cloud-bigquery, which fetches results through the Storage API."""

    name = "python storage"
    agent = "python"

    def ready(self) -> None:
        pass

    def query(self, environment: Environment, sql: str) -> Outcome:
        return drive(environment, sys.executable, DRIVERS / "python_storage.py", "query", sql)

    def pages(self, environment: Environment, sql: str, size: int) -> Outcome:
        return self.query(environment, sql)


CLIENTS: Sequence[Client] = (Python("query"), Python("query_and_wait"), Storage(), Bq(), Node(), Toolbox())


def questions(client: Client) -> tuple[str, str, str]:
    """A few rows, many rows, and a mistake, in words that no other client asks with."""
    mine = len(client.name)
    first = f"SELECT id, name FROM `acme.shop.customers` WHERE id < {mine} ORDER BY id"
    many = f"SELECT n, TIMESTAMP_SECONDS(n) AS t, [n, 2] AS l FROM UNNEST(GENERATE_ARRAY(1, {LAST - mine})) AS n ORDER BY n"
    return first, many, f"SELECT no_such_column, {mine} FROM shop.customers"


def ask(client: Client, environment: Environment, page: int) -> list[object]:
    """What a client's user sees of its questions; each client is a process or more, so not all ask all of them."""
    first, many, mistake = questions(client)
    told: list[object] = [client.pages(environment, many, page).result]
    if isinstance(client, Python):
        told.append(client.query(environment, first).result)
    if client.name in ("python query", "bq"):
        told.append("no_such_column" in client.query(environment, mistake).complaint)
    return told


@dataclass
class Recording:
    """What the clients that this machine has were told, and the sessions that they were."""

    archive: Path
    told: dict[str, list[object]] = field(default_factory=dict)
    sessions: dict[str, str] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)


@pytest.fixture(scope="module")
def recording(world: World, tmp_path_factory: pytest.TempPathFactory) -> Recording:
    with RunningGateway(world, tmp_path_factory.mktemp("original")) as gateway:
        made = Recording(gateway.archive)
        for client in CLIENTS:
            try:
                client.ready()
            except NotHere as reason:
                made.missing[client.name] = str(reason)
                continue
            session = made.sessions[client.name] = str(uuid7())
            made.told[client.name] = ask(client, gateway.environment(session=session, name=client.name), 1_000)
        gateway.folded().close()
    return made


@pytest.fixture(scope="module")
def serving(recording: Recording, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    recorded = load(recording.archive, list(recording.sessions.values()))
    with Serving(tmp_path_factory.mktemp("served"), recorded) as running:
        yield running


def compared(recording: Recording, serving: Serving, original: str, served: str) -> SessionDiff:
    with open_archive(recording.archive) as one, open_settled(serving.archive) as two:
        return diff(one, one.find(original), two.find(served), other=two)


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)
def test_a_client_sees_offline_what_it_saw(
    client: Client, recording: Recording, serving: Serving, world: World, tmp_path: Path
) -> None:
    if client.name in recording.missing:
        pytest.skip(recording.missing[client.name])
    before = len(world.bigquery.requests())
    environment = serving.environment(client.name) | {"HOME": str(tmp_path)}

    told = ask(client, environment, 700)

    assert told == recording.told[client.name]
    assert serving.world.misses == ()
    assert len(world.bigquery.requests()) == before, "the original was asked"
    found = compared(recording, serving, recording.sessions[client.name], environment[SESSION])
    assert found.outcome == "same", found


@pytest.mark.parametrize(("recorded", "asks"), [(0, 2), (2, 0)], ids=["REST as Storage", "Storage as REST"])
def test_rows_that_came_one_way_are_served_the_other(
    recorded: int, asks: int, recording: Recording, serving: Serving, tmp_path: Path
) -> None:
    many = questions(CLIENTS[recorded])[1]

    told = CLIENTS[asks].query(serving.environment() | {"HOME": str(tmp_path)}, many)

    assert [(row["n"], row["l"]) for row in told.result] == [
        (row["n"], row["l"]) for row in recording.told[CLIENTS[recorded].name][0]
    ]
    assert serving.world.misses == ()
