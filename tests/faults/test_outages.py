"""What others break: Google's token endpoint, the issuer, the disk, a reader of the archive."""

import contextlib
import json
import time
from datetime import timedelta
from pathlib import Path

import duckdb
import pytest

from hoop_mitm.devkit.world import World
from hoop_mitm.errors import SandboxError
from tests.attacks.raw import Got, Raw, bigquery
from tests.gateways import RunningGateway
from tests.waiting import until

pytestmark = pytest.mark.timeout(600)

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
            # That it had none is remembered for a moment.
            until(lambda: ask(gateway, world).status == 200)
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
        gateway.folded().close()
        reader = _open_patiently(gateway.archive)
        assert ask(gateway, world, "SELECT 'while it is held' AS word").status == 200
        # The fold tries, and tries again.
        time.sleep(2.5)
        reader.close()
        with gateway.folded() as archive:
            statements = {job.statement for one in archive.sessions() for job in archive.show(one).jobs}
        assert statements == {"SELECT 'before' AS word", "SELECT 'while it is held' AS word"}


def test_a_record_is_in_the_file_with_the_next_fold_and_that_is_every_second(world: World, tmp_path: Path) -> None:
    """Seen with DuckDB alone: nothing of ours helps it along."""
    with RunningGateway(world, tmp_path) as gateway:
        assert gateway.config.recording.fold_interval == timedelta(seconds=1)
        for word in ("first", "soon"):
            assert ask(gateway, world, f"SELECT '{word}' AS word").status == 200
            until(lambda word=word: gateway.archive.exists() and _has(gateway.archive, word))


def _has(archive: Path, word: str) -> bool:
    with _open_patiently(archive) as connection:
        return bool(connection.execute("FROM jobs WHERE contains(statement, ?)", [word]).fetchall())


def test_two_gateways_do_not_share_a_recording(world: World, tmp_path: Path) -> None:
    (tmp_path / "second").mkdir()
    with RunningGateway(world, tmp_path / "first") as first:
        second = RunningGateway(world, tmp_path / "second", recording={"directory": first.recordings})
        with contextlib.suppress(SandboxError):
            second.process.start()
        until(lambda: not second.process.alive())
        assert "Another gateway" in second.log.read_text()
        assert ask(first, world).status == 200


def test_a_journal_that_cannot_be_written_means_no_service_until_it_can(world: World, tmp_path: Path) -> None:
    with RunningGateway(world, tmp_path) as gateway:
        assert ask(gateway, world).status == 200
        journal = gateway.recordings / "journal"
        (tmp_path / "in the way").touch()
        journal.rename(tmp_path / "elsewhere")
        (tmp_path / "in the way").rename(journal)
        upstream = len(world.bigquery.requests())
        refusals = [ask(gateway, world) for _ in range(3)]
        assert [answer.status for answer in refusals] == [403] * 3, [json.loads(a.body) for a in refusals]
        assert len(world.bigquery.requests()) == upstream


def _open_patiently(archive: Path) -> duckdb.DuckDBPyConnection:
    deadline = time.monotonic() + 60
    while True:
        try:
            return duckdb.connect(archive, read_only=True)
        except duckdb.IOException:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
