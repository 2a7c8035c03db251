"""A whole installation on loopback, and real clients in it."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hoop_mitm.archive import open_archive
from hoop_mitm.archive.opening import open_settled
from hoop_mitm.devkit.sandbox import Sandbox, search_path
from hoop_mitm.errors import SandboxError
from tests.waiting import until

QUERY = """
from google.cloud import bigquery
(row,) = bigquery.Client().query_and_wait("SELECT COUNT(*) AS n FROM shop.customers")
print(row.n)
"""
ARROW = """
from google.cloud import bigquery
print(bigquery.Client().list_rows("acme.shop.customers").to_arrow(create_bqstorage_client=True).num_rows)
"""

OWN = """
identity: {issuers: [{issuer: "https://login.acme.example", audiences: [bigquery]}]}
connections:
  - {name: reports, projects: [prod-reports], credential: {type: adc}, groups: [analysts]}
"""


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with Sandbox(tmp_path_factory.mktemp("sandbox")) as started:
        yield started


def ask(sandbox: Sandbox, *command: str, name: str | None = None) -> str:
    run = subprocess.run(
        command, env=sandbox.environment(name), capture_output=True, text=True, timeout=100, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


@pytest.mark.parametrize("program", [QUERY, ARROW], ids=["rest", "storage"])
def test_an_unmodified_python_client_gets_its_rows(sandbox, program):
    assert ask(sandbox, sys.executable, "-c", program) == "120\n"


@pytest.mark.skipif(shutil.which("bq") is None, reason="bq is not installed")
def test_bq_gets_its_rows_and_leaves_nothing_in_its_users_home(sandbox, tmp_path):
    environment = {**sandbox.environment(), "HOME": str(tmp_path)}
    sql = "SELECT COUNT(*) AS n FROM shop.customers"
    run = subprocess.run(
        ["bq", "--quiet", "--format=csv", "query", "--nouse_legacy_sql", sql],
        env=environment, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert run.stdout == "n\n120\n", run.stderr
    assert list(tmp_path.iterdir()) == []


def test_each_client_is_a_session_of_its_own_by_the_name_that_was_given(sandbox):
    ask(sandbox, sys.executable, "-c", QUERY, name="first")
    ask(sandbox, sys.executable, "-c", QUERY, name="second")
    with open_settled(sandbox.archive) as archive:
        sessions = {session.name: session for session in archive.sessions()}
    assert sessions["first"].id != sessions["second"].id
    assert sessions["first"].principal.email == "alice@acme.example"


def test_only_the_owner_can_read_what_is_secret(sandbox):
    for file in ("client/token.jwt", "hoop.yaml"):
        assert (sandbox.directory / file).stat().st_mode & 0o077 == 0
    assert sandbox.directory.stat().st_mode & 0o077 == 0 or "pytest" in str(sandbox.directory)


def test_the_gateways_log_says_what_it_is_for_and_holds_no_token(sandbox):
    ask(sandbox, sys.executable, "-c", QUERY)
    log = sandbox.gateway.log.read_text()
    assert "A recorder, not a boundary" in log
    assert "ya29." not in log
    assert (sandbox.directory / "client/token.jwt").read_text() not in log


def test_a_second_sandbox_in_the_same_place_is_refused(sandbox):
    with pytest.raises(SandboxError, match="Another sandbox is running"):
        Sandbox(sandbox.directory).start()


def test_an_unknown_user_is_named_with_those_there_are(tmp_path):
    with pytest.raises(SandboxError, match="no user mallory in the sandbox, but alice, bob, ci"):
        Sandbox(tmp_path, user="mallory").start()


def test_it_says_when_the_gateway_has_died_and_leaves_nothing_running(tmp_path):
    sandbox = Sandbox(tmp_path, user="bob")
    with sandbox:
        assert sandbox.broken() is None
        os.kill(sandbox.gateway.pid, signal.SIGKILL)
        until(sandbox.broken)
        assert str(sandbox.gateway.log) in sandbox.broken()
        emulator = sandbox.world.emulator.pid
    assert not alive(emulator)


def test_under_mitmdump_it_is_the_same_gateway(tmp_path):
    with Sandbox(tmp_path, entry_point="mitmdump") as sandbox:
        assert ask(sandbox, sys.executable, "-c", QUERY, name="through mitmdump") == "120\n"
    with open_archive(sandbox.archive) as archive:
        (session,) = archive.sessions()
    assert session.name == "through mitmdump"
    assert session.jobs == 1


def test_somebodys_own_hoop_yaml_is_what_the_gateway_goes_by(tmp_path):
    (tmp_path / "own.yaml").write_text(OWN)
    with Sandbox(tmp_path / "d", own_config=tmp_path / "own.yaml") as sandbox:
        assert ask(sandbox, sys.executable, "-c", QUERY) == "120\n"
    with open_archive(sandbox.archive) as archive:
        (session,) = archive.sessions()
    assert session.connection == "reports"


@pytest.mark.parametrize(
    ("existing", "first"),
    [
        ({"PATH": "/bin"}, str(Path(sys.executable).parent)),
        ({"PATH": "/bin", "VIRTUAL_ENV": "/my/venv"}, "/bin"),
        ({"PATH": "/bin", "CONDA_PREFIX": "/my/conda"}, "/bin"),
    ],
)
def test_somebody_without_an_environment_gets_the_sandboxs_python(existing, first):
    assert search_path(existing).split(os.pathsep)[0] == first


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
