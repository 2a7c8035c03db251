"""A disk that is really full: nothing that was answered is lost, and it goes on by itself when there is space again."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPResponse, IncompleteRead
from pathlib import Path

import grpc
import pytest

from benchmarks import large
from benchmarks.surroundings import Surroundings
from benchmarks.variants import Gateway
from hoop_mitm.archive.verify import verify
from hoop_mitm.devkit.world import World
from hoop_mitm.evidence import RecordingKeys
from tests.attacks.raw import BIGQUERY, Got, Raw, bigquery
from tests.gateways import RunningGateway
from tests.recordings import ask
from tests.waiting import until

pytestmark = pytest.mark.timeout(600)

PROJECT = "/bigquery/v2/projects/acme"
QUERIES = f"{PROJECT}/queries"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 MB."""
    path = tmp_path / "disk"
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64m,mode=0700", "hoop-test", str(path)]
    try:
        done = subprocess.run(mount, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("a disk that can be filled needs the program mount")
    if done.returncode:
        who = "a disk that can be filled needs root" if os.geteuid() else "nothing may be mounted here"
        pytest.skip(f"{who}: {done.stderr.strip()}")
    yield path
    subprocess.run(["umount", "--lazy", str(path)], check=True)


@pytest.fixture
def gateway(world: World, tmp_path: Path, disk: Path) -> RunningGateway:
    """Its recording alone lies on the small disk."""
    (disk / "recordings").mkdir(mode=0o700)
    (tmp_path / "recordings").symlink_to(disk / "recordings")
    return RunningGateway(world, tmp_path)


@contextlib.contextmanager
def full(disk: Path, *, but: int = 0) -> Iterator[None]:
    """While something else takes all of the space, ``but`` for so many bytes."""
    ballast = disk / "ballast"
    usage = os.statvfs(disk)
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        left = usage.f_bavail * usage.f_frsize - but
        while left > 0:
            left -= file.write(bytes(min(left, 2**16)))
        while not but:
            file.write(bytes(512))
    try:
        yield
    finally:
        ballast.unlink()


def client(gateway: RunningGateway) -> Raw:
    return bigquery(gateway.process.address, gateway.config.gateway.certs / "bundle.pem")


def query(gateway: RunningGateway, world: World, sql: str) -> Got:
    with client(gateway) as raw:
        body = {"query": sql, "useLegacySql": False}
        return raw.request("POST", QUERIES, token=world.issuer.token("alice"), body=body)


def test_nothing_is_lost_and_it_recovers_by_itself(gateway: RunningGateway, world: World, disk: Path) -> None:
    answered: list[str] = []
    refused: list[Got] = []

    def asked() -> bool:
        sql = f"SELECT {len(answered) + len(refused)} AS asked_on_a_small_disk"
        answer = query(gateway, world, sql)
        if answer.status == 200:
            answered.append(sql)
        else:
            refused.append(answer)
        return answer.status == 200

    with gateway:
        for _ in range(2):
            assert [asked() for _ in range(5)] == [True] * 5
            # A fold that finds the disk full gives back what it had taken of it.
            gateway.folded().close()
            with full(disk):
                until(lambda: not asked())
                seen = len(world.bigquery.requests())
                for _ in range(3):
                    assert not asked()
                assert len(world.bigquery.requests()) == seen
            until(asked)
        assert {answer.status for answer in refused} == {403}
        assert "the disk is full" in gateway.log.read_text()
    statements = ask(gateway.archive, "SELECT statement, count(*) FROM jobs WHERE state = 'DONE' GROUP BY statement")
    assert sorted(statements) == sorted((sql, 1) for sql in answered)
    report = verify(gateway.archive, keys=[RecordingKeys.load(gateway.config.gateway.state).newest.fingerprint])
    assert report.findings == ()


@dataclass(frozen=True)
class Part:
    """What a client has of an answer."""

    status: int
    size: int
    is_whole: bool


def fetch(gateway: RunningGateway, world: World, page: str) -> Part:
    """As a client that takes what there is."""
    with client(gateway) as raw:
        head = [f"GET {page} HTTP/1.1", f"Host: {BIGQUERY}", f"Authorization: Bearer {world.issuer.token('alice')}"]
        raw.connection.sendall("\r\n".join([*head, "", ""]).encode())
        response = HTTPResponse(raw.connection, method="GET")
        response.begin()
        size = 0
        try:
            while piece := response.read(2**14):
                size += len(piece)
        except IncompleteRead as broken:
            return Part(response.status, size + len(broken.partial), is_whole=False)
        except OSError:
            return Part(response.status, size, is_whole=False)
        return Part(response.status, size, is_whole=True)


def test_a_stream_whose_record_finds_no_room_is_cut_off(gateway: RunningGateway, world: World, disk: Path) -> None:
    token = world.issuer.token("alice")
    wide = "SELECT n, REPEAT(TO_HEX(MD5(CAST(n AS STRING))), 400) AS filler FROM UNNEST(GENERATE_ARRAY(1, 1000)) AS n"
    job = {
        "jobReference": {"projectId": "acme", "jobId": "larger-than-the-disk"},
        "configuration": {"query": {"query": wide, "useLegacySql": False}},
    }
    page = f"{QUERIES}/larger-than-the-disk?maxResults=1000"
    with gateway:
        with client(gateway) as raw:
            assert raw.request("POST", f"{PROJECT}/jobs", token=token, body=job).status == 200
        whole = fetch(gateway, world, page)
        assert (whole.status, whole.is_whole, whole.size > 12 * 2**20) == (200, True, True)
        # What the fold would still write is in the archive: it takes none of what is left.
        gateway.folded().close()
        with full(disk, but=6 * 2**20):
            part = fetch(gateway, world, page)
        # The connection is closed in the middle: what is missing must not look whole.
        assert (part.status, part.is_whole, 0 < part.size < whole.size) == (200, False, True)
        until(lambda: query(gateway, world, "SELECT 1 AS again").status == 200)
        assert fetch(gateway, world, page) == whole
    with gateway:
        # What is left of it is taken up at the latest now.
        assert query(gateway, world, "SELECT 2 AS again").status == 200
    found = ask(
        gateway.archive, "SELECT state, response_size FROM flows WHERE door = 'jobs.getQueryResults' ORDER BY seq"
    )
    assert [state for state, _ in found] == ["complete", "truncated", "complete"]
    assert part.size <= found[1][1] < whole.size
    report = verify(gateway.archive, keys=[RecordingKeys.load(gateway.config.gateway.state).newest.fingerprint])
    assert report.findings == ()


def test_so_is_one_of_the_storage_api(tmp_path: Path, disk: Path) -> None:
    """``ReadRows`` over gRPC, in messages of a MiB; one that the client has not got whole is none to it."""
    with Surroundings(tmp_path, large=2**20, stream=16 * 2**20) as surroundings:
        gateway = Gateway(surroundings, tmp_path / "gateway")
        (disk / "recordings").mkdir(mode=0o700)
        gateway.recordings.symlink_to(disk / "recordings")
        with gateway:
            whole = large.storage(gateway).large
            assert whole > 12 * 2**20
            gateway.settle()
            with full(disk, but=6 * 2**20), large.reading(gateway) as (_, messages):
                got, code = _taken(messages)
            assert (0 < got < whole, code is not grpc.StatusCode.OK) == (True, True)
            until(lambda: _is_read(gateway, whole))
        with gateway:
            gateway.settle()
    found = ask(
        disk / "recordings" / "hoop.duckdb",
        "SELECT state, response_size FROM flows WHERE door = 'storage.ReadRows' AND state <> 'refused' ORDER BY seq",
    )
    assert [state for state, _ in found] == ["complete", "truncated", "complete"]
    assert got <= found[1][1] < whole
    keys = RecordingKeys.load(tmp_path / "gateway" / "state")
    assert verify(disk / "recordings" / "hoop.duckdb", keys=[keys.newest.fingerprint]).findings == ()


def _taken(messages: Iterator[bytes]) -> tuple[int, grpc.StatusCode]:
    """Bytes of the messages that came, and how the call ended."""
    got = 0
    try:
        for message in messages:
            got += len(message) + large.FRAME
    except grpc.RpcError as broken:
        return got, broken.code()
    return got, grpc.StatusCode.OK


def _is_read(gateway: Gateway, size: int) -> bool:
    try:
        return large.storage(gateway).large == size
    except grpc.RpcError:
        return False
