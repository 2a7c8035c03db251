"""``hoop-mitm env``, evaluated by real shells, and used by real clients."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from uuid_utils import UUID

from hoop_mitm.devkit.gateway_process import free_port
from tests.gateways import RunningGateway
from tests.laptops import Laptop

ASK = "python -c \"from google.cloud import bigquery; print(list(bigquery.Client().query_and_wait('SELECT 1'))[0][0])\""


@pytest.fixture
def laptop(tmp_path: Path, gateway: RunningGateway) -> Laptop:
    made = Laptop(tmp_path / "a home", gateway)
    made.sign_in()
    return made


@pytest.mark.parametrize(
    ("shell", "script"),
    [
        (["sh", "-eu", "-c"], 'eval "$(hoop-mitm env --session mine)"\n'),
        (["bash", "-eu", "-c"], 'eval "$(hoop-mitm env --session mine)"\n'),
        (["fish", "--no-config", "-c"], "hoop-mitm env --session mine --shell fish | source\n"),
        (["pwsh", "-NoProfile", "-c"], "hoop-mitm env --session mine --shell powershell | Out-String | iex\n"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_shell_that_evaluates_it_asks_through_the_gateway(laptop: Laptop, shell: list[str], script: str) -> None:
    if not shutil.which(shell[0]):
        pytest.skip(f"{shell[0]} is not on this machine")
    done = subprocess.run(
        [*shell, script + ASK], env=laptop.environment, cwd=laptop.home, capture_output=True, text=True, timeout=240,
        check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "1\n", "")


def test_both_questions_of_a_shell_are_one_session(laptop: Laptop) -> None:
    script = f'eval "$(hoop-mitm env)"\n{ASK}\n{ASK}\necho $HOOP_SESSION'
    done = subprocess.run(
        ["sh", "-eu", "-c", script], env=laptop.environment, capture_output=True, text=True, timeout=240, check=True
    )
    session = done.stdout.split()[-1]
    recorded = laptop.gateway.recorded(str(UUID(session)))
    assert (recorded.session.jobs, recorded.session.name) == (2, "env")


def test_what_would_lead_past_is_unset(laptop: Laptop) -> None:
    past = {"BIGQUERY_EMULATOR_HOST": "http://127.0.0.1:1", "CLOUDSDK_AUTH_ACCESS_TOKEN": "x"}
    done = laptop.hoop("env", **past)
    assert done.stdout.startswith("unset BIGQUERY_EMULATOR_HOST\nunset CLOUDSDK_AUTH_ACCESS_TOKEN\nexport ")
    assert laptop.hoop("env", "--shell", "json", **past).stdout.startswith('{\n  "BIGQUERY_EMULATOR_HOST": null')


def test_in_a_shell_that_has_it_already_the_roots_and_exceptions_stay_as_they_were(laptop: Laptop) -> None:
    first = json.loads(laptop.hoop("env", "--shell", "json").stdout)
    inside = {name: value for name, value in first.items() if value is not None}
    second = json.loads(laptop.hoop("env", "--shell", "json", **inside).stdout)
    assert second["NO_PROXY"] == first["NO_PROXY"]
    assert Path(second["SSL_CERT_FILE"]).read_text() == Path(first["SSL_CERT_FILE"]).read_text()
    assert second["HOOP_SESSION"] != first["HOOP_SESSION"]


def test_where_no_gateway_runs_it_says_so_and_prints_all_the_same(tmp_path: Path, gateway: RunningGateway) -> None:
    port = free_port()
    ca = gateway.config.gateway.certs / "mitmproxy-ca-cert.pem"
    laptop = Laptop(tmp_path, gateway, {"gateway": {"url": f"http://127.0.0.1:{port}", "ca": str(ca)}})
    laptop.sign_in()
    done = laptop.hoop("env")
    assert done.returncode == 0
    assert f"export HTTPS_PROXY=http://127.0.0.1:{port}\n" in done.stdout
    assert done.stderr.startswith(f"hoop-mitm: there is no gateway at http://127.0.0.1:{port} now")


def test_for_a_stranger_nothing_is_printed(tmp_path: Path, gateway: RunningGateway) -> None:
    other = gateway.world.ca  # type: ignore[attr-defined] # the local world has one
    laptop = Laptop(tmp_path, gateway, {"gateway": {"url": gateway.url, "ca": str(other)}})
    laptop.sign_in()
    done = laptop.hoop("env")
    assert (done.returncode, done.stdout) == (3, "")
    assert "is not your gateway" in done.stderr


def test_there_is_no_secret_in_it(laptop: Laptop) -> None:
    printed = laptop.hoop("env", "--shell", "json")
    assert "eyJ" not in printed.stdout
    for name in ("GOOGLE_APPLICATION_CREDENTIALS", "BIGQUERYRC"):
        assert "eyJ" not in Path(json.loads(printed.stdout)[name]).read_text()
