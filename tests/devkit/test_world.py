"""The world comes up, listens where it should, and leaves nothing behind."""

import os
import signal
import socket
import ssl
import subprocess
import sys
from pathlib import Path

import pytest

from hoop_mitm.config import load
from hoop_mitm.config.model import Federation, Impersonation, ServiceAccountKey
from hoop_mitm.devkit.world import Credential, World
from tests.waiting import until


@pytest.mark.parametrize("credential", ["service_account", "adc", "impersonation", "federation"])
def test_its_configuration_is_one_that_a_gateway_takes(world: World, tmp_path: Path, credential: Credential) -> None:
    config = load(world.write_config(tmp_path / "hoop.yaml", credential=credential))
    [connection] = config.connections

    assert connection.name == "acme"
    assert connection.projects == ("acme",)
    assert connection.credential.type == credential
    assert {issuer.kind for issuer in config.identity.issuers} == {"user", "machine"}
    assert config.gateway.upstream.hosts["bigquery.googleapis.com"] == world.rest_address
    assert config.gateway.upstream.hosts["bigquerystorage.googleapis.com"] == world.grpc_address
    assert config.gateway.upstream.ca == world.ca
    match connection.credential:
        case ServiceAccountKey(key_file=file) | Impersonation(source=ServiceAccountKey(key_file=file)):
            assert file == world.service_account_key
        case Federation(user_project=project):
            assert project == "acme"


def test_its_configuration_can_be_overridden_in_part(world: World, tmp_path: Path) -> None:
    path = world.write_config(
        tmp_path / "hoop.yaml",
        gateway={"others": "refuse", "certs": tmp_path / "elsewhere"},
        recording={"directory": tmp_path / "r"},
    )
    config = load(path)

    assert config.gateway.others == "refuse"
    assert config.gateway.certs == tmp_path / "elsewhere"
    assert config.gateway.upstream.ca == world.ca
    assert config.recording.directory == tmp_path / "r"


def test_everything_listens_on_loopback_only(world: World) -> None:
    ports = {int(address.rpartition(":")[2]) for address in world.hosts.values()}
    ports |= {int(world.issuer.url.rpartition(":")[2]), world.emulator.rest_port, world.emulator.grpc_port}
    for port in ports:
        socket.create_connection(("127.0.0.1", port), timeout=60).close()
        # Who listens everywhere listens here too.
        with pytest.raises(OSError):  # noqa: PT011 - refused, or no such address, by system.
            socket.create_connection(("127.0.0.2", port), timeout=60)


@pytest.mark.parametrize(
    "host",
    ["bigquery.googleapis.com", "bigquerystorage.googleapis.com", "oauth2.googleapis.com", "sts.googleapis.com"],
)
def test_googles_names_are_proved_by_the_worlds_authority(world: World, host: str) -> None:
    context = ssl.create_default_context(cafile=str(world.ca))
    # The strictest that OpenSSL has, and the default from Python 3.13 on.
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    context.set_alpn_protocols(["h2", "http/1.1"])
    address, _, port = world.hosts[host].partition(":")
    with (
        socket.create_connection((address, int(port))) as plain,
        context.wrap_socket(plain, server_hostname=host) as tls,
    ):
        assert tls.selected_alpn_protocol() == "h2"


def test_a_world_that_runs_is_not_broken(world: World) -> None:
    assert world.broken() is None
    assert world.users == ("alice", "bob", "ci")


def test_a_world_says_when_its_bigquery_died_and_stops_all_the_same(tmp_path: Path) -> None:
    world = World(tmp_path).start()
    assert world.emulator.pid is not None
    os.kill(world.emulator.pid, signal.SIGKILL)
    until(world.broken)
    told = world.broken()
    world.stop()
    world.stop()

    assert told is not None
    assert "BigQuery" in told


_KEEPS_A_WORLD = """
import sys, time
from pathlib import Path
from hoop_mitm.devkit.world import World
world = World(Path(sys.argv[1])).start()
print(world.emulator.pid, flush=True)
time.sleep(600)
"""


def test_nothing_outlives_a_world_that_was_killed(tmp_path: Path) -> None:
    keeper = subprocess.Popen(
        [sys.executable, "-c", _KEEPS_A_WORLD, str(tmp_path)], stdout=subprocess.PIPE, text=True, env=dict(os.environ)
    )
    assert keeper.stdout is not None
    emulator = int(keeper.stdout.readline())
    keeper.kill()
    keeper.wait()
    keeper.stdout.close()

    until(lambda: has_ended(emulator))


def has_ended(pid: int) -> bool:
    """Whether a process is gone, or waits only for somebody to notice (in a container, nobody may)."""
    status = Path(f"/proc/{pid}/stat")
    try:
        os.kill(pid, 0)
        return status.exists() and status.read_text().rpartition(")")[2].split()[0] == "Z"
    except (ProcessLookupError, FileNotFoundError):
        return True
