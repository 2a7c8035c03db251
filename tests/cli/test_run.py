"""``hoop-mitm run``, as somebody types it, with a real gateway and real clients."""

import json
import re
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from hoop_mitm.devkit.gateway_process import free_port
from hoop_mitm.devkit.world import World
from tests.clients import environments
from tests.clients.clients import DRIVERS
from tests.gateways import RunningGateway
from tests.laptops import Laptop
from tests.terminals import Terminal
from tests.waiting import until

CUSTOMERS = "SELECT id, name FROM `acme.shop.customers` ORDER BY id LIMIT 2"
PYTHON = [sys.executable, DRIVERS / "python_rest.py", "query", CUSTOMERS]


@pytest.fixture
def laptop(tmp_path: Path, gateway: RunningGateway) -> Laptop:
    """Signed in, with the gateway running."""
    made = Laptop(tmp_path, gateway)
    made.sign_in()
    return made


@pytest.fixture
def lonely(tmp_path: Path, world: World) -> Iterator[Laptop]:
    """Signed in, and no gateway runs."""
    (tmp_path / "gateway").mkdir()
    made = Laptop(tmp_path, RunningGateway(world, tmp_path / "gateway"))
    made.sign_in()
    yield made
    made.stop_gateways()


def rows(done: subprocess.CompletedProcess[str]) -> list[dict[str, object]]:
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert "rows" in found, found
    return found["rows"]


def recorded(laptop: Laptop, done: subprocess.CompletedProcess[str]) -> dict[str, object]:
    """The session that the last line of a run names."""
    match = re.search(r"hoop-mitm (show .+)", done.stderr)
    assert match, done.stderr
    shown = laptop.hoop(*shlex.split(match[1]), "--json")
    assert shown.returncode == 0, shown.stderr
    return json.loads(shown.stdout)


def test_a_python_client_asks_through_the_gateway_in_a_session_of_its_own(laptop: Laptop) -> None:
    done = laptop.hoop("run", "--session", "monthly report", "--", *PYTHON)

    assert len(rows(done)) == 2
    assert re.fullmatch(r"hoop-mitm: 1 job, 0 denied, .* processed, .* billed; see: .*\n", done.stderr)
    session = recorded(laptop, done)
    assert session["name"] == "monthly report"
    assert session["principal"]["email"] == "alice@acme.example"


@pytest.mark.parametrize(
    "client",
    ["bq", "gcloud", "node", *(pytest.param(name, marks=pytest.mark.exhaustive) for name in ("toolbox", "grpc"))],
)
def test_each_family_of_clients_takes_the_token_from_the_program(laptop: Laptop, client: str) -> None:
    extra: dict[str, str] = {}
    try:
        match client:
            case "bq":
                command = [environments.bq(), "--quiet", "--format=json", "query", "--nouse_legacy_sql", CUSTOMERS]
            case "gcloud":
                command = [environments._program("gcloud", "no SDK"), "auth", "print-access-token", "--quiet"]
            case "node":
                extra["NODE_PATH"] = str(environments.node_modules())
                command = [environments.node(), DRIVERS / "node.cjs", "query", CUSTOMERS]
            case "toolbox":
                server = [environments.toolbox(), "--prebuilt", "bigquery", "--stdio", "--disable-version-check"]
                call = [DRIVERS / "mcp_stdio.py", "execute_sql", json.dumps({"sql": CUSTOMERS})]
                command = [sys.executable, *call, *server]
            case "grpc":
                command = [sys.executable, DRIVERS / "python_storage.py", "table", "acme.shop.customers", "ARROW"]
    except environments.NotHere as reason:
        pytest.skip(str(reason))

    done = laptop.hoop("run", "--", *command, **extra)

    assert done.returncode == 0, done.stdout + done.stderr
    if client == "gcloud":
        assert done.stdout.count(".") == 2, "a session token of ours"
    else:
        assert "Björn Ahmed" in done.stdout or "Bj\\u00f6rn Ahmed" in done.stdout, done.stdout
        assert "hoop-mitm show" in done.stderr


@pytest.mark.parametrize("status", [0, 3, 255])
def test_the_commands_status_is_ours(laptop: Laptop, status: int) -> None:
    done = laptop.hoop("run", "--", "sh", "-c", f"echo out; exit {status}")
    assert (done.returncode, done.stdout) == (status, "out\n")
    assert done.stderr == "hoop-mitm: nothing was asked of BigQuery.\n"


def test_a_signal_that_ends_the_command_ends_us(laptop: Laptop) -> None:
    assert laptop.hoop("run", "--quiet", "--", "sh", "-c", "kill -TERM $$").returncode == -15


def test_a_program_that_is_not_there_or_cannot_be_run_is_said_at_once(laptop: Laptop) -> None:
    missing = laptop.hoop("run", "--", "no-such-program")
    assert (missing.returncode, missing.stderr) == (127, "hoop-mitm: there is no program no-such-program.\n")
    (laptop.home / "broken").write_text("#!/no/such/interpreter\n")
    (laptop.home / "broken").chmod(0o755)
    broken = laptop.hoop("run", "--", laptop.home / "broken")
    assert broken.returncode == 126
    assert "cannot be run" in broken.stderr


def test_what_was_set_before_stays_where_it_does_no_harm(laptop: Laptop) -> None:
    before = {
        "NO_PROXY": "intranet.example.com,googleapis.com",
        "BIGQUERY_EMULATOR_HOST": "http://127.0.0.1:1",
        "GOOGLE_APPLICATION_CREDENTIALS": "/home/me/key.json",
        "MINE": "kept",
    }
    done = laptop.hoop(
        "run", "-q", "--", sys.executable, "-c", "import json, os; print(json.dumps(dict(os.environ)))", **before
    )
    seen = json.loads(done.stdout)

    assert seen["NO_PROXY"].split(",")[-1] == "intranet.example.com"
    assert "googleapis.com" not in seen["NO_PROXY"]
    assert "BIGQUERY_EMULATOR_HOST" not in seen
    assert seen["GOOGLE_APPLICATION_CREDENTIALS"].startswith(str(laptop.state))
    assert (seen["MINE"], seen["HTTPS_PROXY"], seen["https_proxy"]) == ("kept", laptop.gateway.url, laptop.gateway.url)
    credentials = Path(seen["GOOGLE_APPLICATION_CREDENTIALS"]).read_text()
    assert seen["HOOP_SESSION"] in credentials
    assert "eyJ" not in credentials, "no token in the file"


def test_bq_keeps_its_users_settings_but_for_what_leads_past(laptop: Laptop) -> None:
    (laptop.home / ".bigqueryrc").write_text(
        "format = csv\napi = https://127.0.0.1:1\n--credential_file=/x\n[query]\n--use_legacy_sql=false\n"
    )
    done = laptop.hoop("run", "-q", "--", "sh", "-c", 'cat "$BIGQUERYRC"')
    assert done.stdout == "format = csv\n[query]\n--use_legacy_sql=false\n"


def test_two_runs_are_two_sessions_and_the_first_ones_token_is_not_the_seconds(laptop: Laptop) -> None:
    script = "import google.auth, google.auth.transport.requests as r; c, _ = google.auth.default(); c.refresh(r.Request()); print(c.token)"
    first, second = (laptop.hoop("run", "-q", "--", sys.executable, "-c", script).stdout for _ in range(2))
    assert first.count(".") == second.count(".") == 2
    assert first != second


@pytest.mark.parametrize(
    ("lifetime", "says"), [(None, "You are not signed in"), (timedelta(hours=-1), "Your login at .* has ended")]
)
def test_without_a_login_nothing_is_started_and_it_is_said_how_to_sign_in(
    tmp_path: Path, gateway: RunningGateway, lifetime: timedelta | None, says: str
) -> None:
    laptop = Laptop(tmp_path, gateway)
    if lifetime:
        laptop.sign_in(lifetime=lifetime)
    done = laptop.hoop("run", "--", "touch", tmp_path / "started")
    assert done.returncode == 1
    assert re.match(f"hoop-mitm: {says}.*hoop-mitm login", done.stderr)
    assert not (tmp_path / "started").exists()


def test_a_machine_brings_a_token_in_a_file(tmp_path: Path, gateway: RunningGateway, world: World) -> None:
    laptop = Laptop(tmp_path, gateway)
    (tmp_path / "token").write_text(world.issuer.token("ci"))
    done = laptop.hoop("run", "--identity", "token", "--", *PYTHON)
    assert len(rows(done)) == 2
    assert recorded(laptop, done)["principal"]["kind"] == "machine"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--connection", "nope"], "there is no connection nope; there are: acme"),
        (["--project", "nope"], "connection acme covers acme, and not nope"),
        (["--identity", "nope"], "there is no file with a token at nope"),
        (["--identity", "github"], "permissions: id-token: write"),
        (["--linger", "soon"], "'soon' is no length of time"),
        (["--session", "bell\a"], "printable"),
    ],
)
def test_a_mistake_is_named_before_anything_starts(laptop: Laptop, arguments: list[str], says: str) -> None:
    done = laptop.hoop("run", *arguments, "--", "touch", laptop.home / "started")
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert not (laptop.home / "started").exists()


def test_a_gateway_is_started_shared_by_all_who_ask_and_ends_when_nobody_uses_it(lonely: Laptop) -> None:
    hold = "import sys, time; print('up', flush=True); sys.stdin.read()"
    command = lonely.command("run", "-q", "--linger", "2s", "--", sys.executable, "-c", hold)
    runs = [
        subprocess.Popen(command, env=lonely.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    for each in runs:
        assert each.stdout.readline() == "up\n"
    assert len(lonely.gateways()) == 1
    done = lonely.hoop("run", "--", *PYTHON)
    assert len(rows(done)) == 2
    runs[0].communicate("")
    time.sleep(4)  # Longer than it lingers: the other one still holds it.
    assert len(lonely.gateways()) == 1
    runs[1].communicate("")
    until(lambda: not lonely.gateways())  # Nobody uses it any more.


def test_a_stranger_in_the_gateways_place_is_told_nothing(lonely: Laptop) -> None:
    address = lonely.gateway.process.address
    with socket.create_server(address) as stranger:
        stranger.settimeout(60)
        with subprocess.Popen(
            lonely.command("run", "--", "touch", lonely.home / "started"),
            env=lonely.environment, stderr=subprocess.PIPE, text=True,
        ) as run:  # fmt: skip
            connection, _ = stranger.accept()
            heard = connection.recv(4096)
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            heard += connection.recv(4096)
            connection.close()
            _, errors = run.communicate(timeout=60)
    assert run.returncode == 3
    assert "is not your gateway" in errors
    assert "Nothing was sent to it" in errors
    assert b"authorization" not in heard.lower()
    assert b"eyJ" not in heard
    assert not (lonely.home / "started").exists()


def test_another_gateway_in_its_place_is_a_stranger_too(lonely: Laptop, gateway: RunningGateway) -> None:
    laptop = Laptop(lonely.home, lonely.gateway, {"gateway": {"url": gateway.url, "ca": str(lonely.gateway.world.ca)}})
    done = laptop.hoop("run", "--", "true")
    assert done.returncode == 3
    assert "no certificate of this gateway's authority" in done.stderr


def test_where_it_cannot_be_started_a_missing_gateway_is_said(tmp_path: Path, gateway: RunningGateway) -> None:
    port = free_port()
    ca = gateway.config.gateway.certs / "mitmproxy-ca-cert.pem"
    laptop = Laptop(tmp_path, gateway, {"gateway": {"url": f"http://127.0.0.1:{port}", "ca": str(ca)}})
    laptop.sign_in()
    done = laptop.hoop("run", "--", "true")
    assert done.returncode == 3
    assert f"There is no gateway at http://127.0.0.1:{port}" in done.stderr
    assert "ask its owner" in done.stderr


def test_a_gateway_that_cannot_start_shows_the_end_of_its_log(lonely: Laptop) -> None:
    text = lonely.gateway.config_file.read_text()
    lonely.gateway.config_file.write_text(text.replace("service-account.json", "no-such-key.json"))
    (lonely.gateway.directory / "state").write_text("a file where a directory should be")
    done = lonely.hoop("run", "--", "true")
    assert done.returncode == 3, done.stderr
    assert "did not start" in done.stderr


def test_the_terminals_keys_are_the_commands(laptop: Laptop) -> None:
    """Ctrl-C at an interactive program is that program's, and what it prints to a terminal it prints to ours."""
    code = "import sys\ntry:\n print(sys.stdin.isatty(), sys.stdout.isatty(), flush=True)\n input()\nexcept KeyboardInterrupt:\n print('interrupted', flush=True)\n sys.exit(4)"
    command = laptop.command("run", "-q", "--", sys.executable, "-c", code)
    with Terminal(command, cwd=laptop.home, environment=laptop.environment) as terminal:
        terminal.until("True True")
        terminal.type("\x03")
        assert "interrupted" in terminal.finish()
        assert terminal.status == 4
