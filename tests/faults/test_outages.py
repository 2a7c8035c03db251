"""What others break: Google's token endpoint, the issuer, the disk, a reader of the archive."""

import contextlib
import json
import shutil
import time
from pathlib import Path

import duckdb
import pytest

from hoop_mitm.archive import open_archive
from hoop_mitm.devkit.world import World
from hoop_mitm.errors import SandboxError
from tests.attacks.raw import Got, Raw, bigquery
from tests.gateways import RunningGateway

QUERIES = "/bigquery/v2/projects/acme/queries"


def client(gateway: RunningGateway) -> Raw:
    return bigquery(gateway.process.address, gateway.config.gateway.certs / "bundle.pem")


def ask(gateway: RunningGateway, world: World, sql: str = "SELECT 1 AS one") -> Got:
    with client(gateway) as raw:
        body = {"query": sql, "useLegacySql": False}
        return raw.request("POST", QUERIES, token=world.issuer.token("alice"), body=body)


def test_google_gives_no_token(world: World, tmp_path: Path) -> None:
    upstream = len(world.bigquery.requests())
    world.google.outage = True
    try:
        with RunningGateway(world, tmp_path) as gateway:
            answer = ask(gateway, world)
            assert (answer.status, "Google" in answer.message) == (403, True)
            assert len(world.bigquery.requests()) == upstream
            world.google.outage = False
            time.sleep(2.5)
            assert ask(gateway, world).status == 200
    finally:
        world.google.outage = False


@pytest.mark.parametrize("credential", ["service_account", "impersonation", "federation"])
def test_each_way_to_google_works(credential: str, world: World, tmp_path: Path) -> None:
    with RunningGateway(world, tmp_path, credential=credential) as gateway:
        assert ask(gateway, world).status == 200
    who = world.bigquery.requests()[-1].who
    assert who == {
        "service_account": world.google.gateway_account.email,
        "impersonation": world.google.analytics_account.email,
    }.get(credential, who)
    if credential == "federation":
        assert "alice" in str(who)


def test_a_reader_that_holds_the_archive_delays_the_fold_and_loses_nothing(world: World, tmp_path: Path) -> None:
    with RunningGateway(world, tmp_path) as gateway:
        assert ask(gateway, world, "SELECT 'before' AS word").status == 200
        while not gateway.archive.exists():
            time.sleep(0.1)
        reader = _open_patiently(gateway.archive)
        assert ask(gateway, world, "SELECT 'while it is held' AS word").status == 200
        time.sleep(2.5)
        reader.close()
        deadline = time.monotonic() + 5
        statements: set[str | None] = set()
        while "SELECT 'while it is held' AS word" not in statements:
            assert time.monotonic() < deadline
            with open_archive(gateway.archive) as archive:
                statements = {job.statement for one in archive.sessions() for job in archive.show(one).jobs}
            time.sleep(0.2)


def test_a_record_is_in_the_file_within_two_seconds(world: World, tmp_path: Path) -> None:
    """Seen with DuckDB alone: nothing of ours helps it along."""
    with RunningGateway(world, tmp_path) as gateway:
        ask(gateway, world, "SELECT 'warm' AS word")
        time.sleep(2)
        asked = time.monotonic()
        assert ask(gateway, world, "SELECT 'soon' AS word").status == 200
        answered = time.monotonic()
        found = False
        while not found and time.monotonic() < asked + 10:
            with _open_patiently(gateway.archive) as connection:
                found = bool(connection.sql("FROM jobs WHERE statement LIKE '%soon%'").fetchall())
            if not found:
                time.sleep(0.05)
        assert found
        assert time.monotonic() - answered < 2


def test_two_gateways_do_not_share_a_recording(world: World, tmp_path: Path) -> None:
    (tmp_path / "second").mkdir()
    with RunningGateway(world, tmp_path / "first") as first:
        second = RunningGateway(world, tmp_path / "second", recording={"directory": first.recordings})
        with contextlib.suppress(SandboxError):
            second.process.start()
        deadline = time.monotonic() + 20
        while second.process.alive():
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert "Another gateway" in second.log.read_text()
        assert ask(first, world).status == 200


def test_a_journal_that_cannot_be_written_means_no_service_until_it_can(world: World, tmp_path: Path) -> None:
    with RunningGateway(world, tmp_path) as gateway:
        assert ask(gateway, world).status == 200
        journal = gateway.recordings / "journal"
        shutil.move(journal, tmp_path / "elsewhere")
        journal.touch()
        upstream = len(world.bigquery.requests())
        refusals = [ask(gateway, world) for _ in range(3)]
        assert [answer.status for answer in refusals] == [403] * 3, [json.loads(a.body) for a in refusals]
        assert len(world.bigquery.requests()) == upstream


def _open_patiently(archive: Path) -> duckdb.DuckDBPyConnection:
    deadline = time.monotonic() + 5
    while True:
        try:
            return duckdb.connect(archive, read_only=True)
        except duckdb.IOException:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
