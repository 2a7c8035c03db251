"""``hoop-mitm setup``: what an editor's servers are given is enough, nothing else changes, and all of it comes back."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from hoop_mitm.certs import ensure_ca
from hoop_mitm.devkit.world import World
from hoop_mitm.setup.jsonc import parse, value_of
from tests.clients import environments
from tests.clients.clients import DRIVERS
from tests.gateways import RunningGateway
from tests.laptops import Laptop
from tests.waiting import until

CUSTOMERS = "SELECT id, name FROM `acme.shop.customers` ORDER BY id LIMIT 2"

MCP = """\
{
  // Servers of mine. Keep this order!
  "mcpServers": {
    "files": {"command": "npx", "args": ["-y", "@modelcontextprotocol/server-filesystem", "/srv/bigquery"]},
    "warehouse": {
      "command": "uvx", // found on PATH
      "args": ["mcp-server-bigquery", "--project", "acme"],
      "env": {
        "LOG_LEVEL": "debug", /* noisy */
        "GOOGLE_APPLICATION_CREDENTIALS": "/home/me/old-key.json",
      },
    },
    "toolbox": {
      "command": "npx",
      "args": ["-y", "@toolbox-sdk/server", "--prebuilt", "bigquery", "--stdio"]
    },
    "remote": {"url": "https://bigquery.googleapis.com/mcp"},
    "boxed": {"command": "docker", "args": ["run", "-i", "mcp/bigquery-mcp-server"]},
  },
}
"""

SETTINGS = '\ufeff{\r\n\t// Mine.\r\n\t"editor.fontSize": 13, // big\r\n\t"terminal.integrated.env.linux": { "A": "1" }\r\n}\r\n'


@pytest.fixture
def laptop(tmp_path: Path, gateway: RunningGateway) -> Laptop:
    made = Laptop(tmp_path, gateway)
    made.sign_in()
    (tmp_path / ".cursor").mkdir()
    (tmp_path / ".cursor" / "mcp.json").write_text(MCP)
    return made


@pytest.fixture
def mcp(laptop: Laptop) -> Path:
    return laptop.home / ".cursor" / "mcp.json"


def servers(file: Path) -> dict[str, dict[str, object]]:
    return value_of(parse(file.read_text()))["mcpServers"]


def test_servers_that_talk_to_bigquery_get_variables_and_nothing_else_changes(laptop: Laptop, mcp: Path) -> None:
    done = laptop.hoop("setup", "cursor", "--yes")

    assert done.returncode == 0, done.stderr
    before, after = value_of(parse(MCP))["mcpServers"], servers(mcp)
    assert {name for name in after if after[name] != before[name]} == {"warehouse", "toolbox"}
    given = after["toolbox"]["env"]
    assert given["HTTPS_PROXY"] == given["https_proxy"] == laptop.gateway.url
    assert after["warehouse"]["env"] == {"LOG_LEVEL": "debug", **given}
    assert "HOOP_SESSION" not in given
    assert "remote is left as it is" in done.stderr
    assert "boxed is left as it is: it runs in a container" in done.stderr
    for comment in ("// Servers of mine. Keep this order!", '"uvx", // found on PATH', '"debug", /* noisy */'):
        assert comment in mcp.read_text()


def test_the_diff_is_shown_first_and_says_what_happens(laptop: Laptop, mcp: Path) -> None:
    done = laptop.hoop("setup", "cursor", "--yes")
    assert done.stdout.startswith(f"--- {mcp}\n+++ {mcp}\n@@")
    assert '-        "GOOGLE_APPLICATION_CREDENTIALS": "/home/me/old-key.json",\n' in done.stdout
    assert f'+        "HTTPS_PROXY": "{laptop.gateway.url}",' in done.stdout


def test_where_nobody_can_be_asked_nothing_is_written(laptop: Laptop, mcp: Path) -> None:
    done = laptop.hoop("setup", "cursor")
    assert done.returncode == 2
    assert "--yes" in done.stderr
    assert done.stdout.startswith("---")
    assert mcp.read_text() == MCP


@pytest.mark.parametrize(("answer", "status", "written"), [("y\n", 0, True), ("n\n", 1, False), ("\n", 1, False)])
def test_at_a_terminal_it_asks(laptop: Laptop, mcp: Path, answer: str, status: int, written: bool) -> None:
    import pty

    master, slave = pty.openpty()
    with subprocess.Popen(
        laptop.command("setup", "cursor"), env=laptop.environment, cwd=laptop.home, stdin=slave,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as run:  # fmt: skip
        os.write(master, answer.encode())
        output, errors = run.communicate(timeout=240)
    os.close(master)
    os.close(slave)
    assert run.returncode == status, errors
    assert "Write this?" in errors
    assert (mcp.read_text() != MCP) is written
    assert output.startswith("---")


def test_remove_brings_both_files_back_to_the_byte(laptop: Laptop, mcp: Path) -> None:
    settings = laptop.home / ".config" / "Cursor" / "User" / "settings.json"
    settings.parent.mkdir(parents=True)
    settings.write_bytes(SETTINGS.encode())
    mcp.chmod(0o600)

    assert laptop.hoop("setup", "cursor", "--terminal", "--yes").returncode == 0
    assert value_of(parse(settings.read_bytes().decode()))["terminal.integrated.env.linux"]["HTTPS_PROXY"]
    assert settings.read_bytes().count(b"\r\n") == settings.read_bytes().count(b"\n")
    done = laptop.hoop("setup", "cursor", "--remove", "--yes")

    assert done.returncode == 0, done.stderr
    assert mcp.read_bytes() == MCP.encode()
    assert mcp.stat().st_mode & 0o777 == 0o600
    assert settings.read_bytes() == SETTINGS.encode()
    assert laptop.hoop("setup", "cursor", "--remove", "--yes").stderr == "There is nothing to take back.\n"


def test_remove_takes_only_ours_where_somebody_edited_other_lines(laptop: Laptop, mcp: Path) -> None:
    def edited(text: str) -> str:
        return text.replace("Keep this order!", "No, that order.").replace(
            '"LOG_LEVEL": "debug", /* noisy */', '"LOG_LEVEL": "info",\n        "MINE": "1", // new'
        )

    laptop.hoop("setup", "cursor", "--yes")
    mcp.write_text(edited(mcp.read_text()))
    assert laptop.hoop("setup", "cursor", "--remove", "--yes").returncode == 0
    assert mcp.read_text() == edited(MCP)


def test_what_somebody_changed_of_ours_is_left_and_said(laptop: Laptop, mcp: Path) -> None:
    laptop.hoop("setup", "cursor", "--yes")
    mcp.write_text(mcp.read_text().replace('"GOOGLE_CLOUD_PROJECT": "acme"', '"GOOGLE_CLOUD_PROJECT": "other"'))
    done = laptop.hoop("setup", "cursor", "--remove", "--yes")
    assert "GOOGLE_CLOUD_PROJECT was changed by somebody since, and is left" in done.stderr
    assert servers(mcp)["toolbox"]["env"] == {"GOOGLE_CLOUD_PROJECT": "other"}


def test_twice_is_once_and_remove_still_brings_the_first_state_back(laptop: Laptop, mcp: Path) -> None:
    laptop.hoop("setup", "cursor", "--yes")
    first = mcp.read_bytes()
    again = laptop.hoop("setup", "cursor")  # Nothing is to be asked.
    assert again.returncode == 0, again.stderr
    assert (again.stdout, mcp.read_bytes()) == ("", first)
    laptop.hoop("setup", "cursor", "--remove", "--yes")
    assert mcp.read_text() == MCP


def test_a_settings_file_that_was_not_there_is_gone_again(laptop: Laptop) -> None:
    settings = laptop.home / ".config" / "Cursor" / "User" / "settings.json"
    laptop.hoop("setup", "cursor", "--terminal", "--yes")
    assert settings.exists()
    laptop.hoop("setup", "cursor", "--remove", "--yes")
    assert not settings.exists()


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('{"mcpServers": {"bigquery": {"command": "x"}}}', ("mcpServers", "bigquery")),
        ('{"servers": {"bq": {"type": "stdio", "command": "x"}}, "inputs": []}', ("servers", "bq")),
        ('{"mcp": {"servers": {"bigquery": {"command": "x"}}}}', ("mcp", "servers", "bigquery")),
    ],
)
def test_other_clients_files_are_served_by_the_same(laptop: Laptop, text: str, key: tuple[str, ...]) -> None:
    file = laptop.home / "other.json"
    file.write_text(text)
    assert laptop.hoop("setup", "mcp", "--file", file, "--yes").returncode == 0
    entry = value_of(parse(file.read_text()))
    for name in key:
        entry = entry[name]
    assert entry["env"]["HTTPS_PROXY"] == laptop.gateway.url
    assert laptop.hoop("setup", "mcp", "--file", file, "--remove", "--yes").returncode == 0
    assert file.read_text() == text


@pytest.mark.parametrize(
    ("arguments", "text", "status", "says"),
    [
        (["cursor"], '{"mcpServers": {"git": {"command": "x"}}}', 1, "Name one with --server"),
        (["cursor", "--server", "nope"], MCP, 2, "There is no server nope"),
        (["cursor"], '{"mcpServers": {', 2, "line 1, column 17"),
        (["cursor", "--connection", "nope"], MCP, 2, "there is no connection nope"),
        (["mcp"], MCP, 2, "--file PATH"),
        (["cursor", "--file", "missing.json"], MCP, 1, "There is no"),
    ],
)
def test_what_cannot_be_done_is_said_and_nothing_is_written(
    laptop: Laptop, mcp: Path, *, arguments: list[str], text: str, status: int, says: str
) -> None:
    mcp.write_text(text)
    done = laptop.hoop("setup", *arguments, "--yes")
    assert done.returncode == status, done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert mcp.read_text() == text


def test_a_server_can_be_named(laptop: Laptop, mcp: Path) -> None:
    laptop.hoop("setup", "cursor", "--server", "files", "--yes")
    assert servers(mcp)["files"]["env"]["HTTPS_PROXY"] == laptop.gateway.url


def test_a_key_of_its_own_is_warned_of(laptop: Laptop, mcp: Path) -> None:
    mcp.write_text(
        '{"mcpServers": {"bigquery": {"command": "mcp-server-bigquery", "args": ["--key-file", "/k.json"]}}}'
    )
    assert "has a Google key of its own (--key-file)" in laptop.hoop("setup", "cursor", "--yes").stderr


def as_an_editor_starts_it(laptop: Laptop, file: Path, name: str, call: list[str | Path]) -> dict[str, object]:
    """One tool call of a server, with the variables of its entry and the few that MCP's SDK passes on."""
    inherited = {key: laptop.environment[key] for key in ("HOME", "PATH")}
    environment = {**inherited, **servers(file)[name]["env"]}
    done = subprocess.run(
        list(map(str, call)), env=environment, cwd=laptop.home, stdin=subprocess.DEVNULL, capture_output=True,
        text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.strip().splitlines()[-1])


@pytest.mark.parametrize("name", ["toolbox", "warehouse"])
def test_a_server_reaches_bigquery_with_what_stands_in_its_entry(laptop: Laptop, mcp: Path, name: str) -> None:
    try:
        if name == "toolbox":
            server = [environments.toolbox(), "--prebuilt", "bigquery", "--stdio", "--disable-version-check"]
            tool, arguments = "execute_sql", {"sql": CUSTOMERS}
        else:
            server = [environments.mcp_server_bigquery(), "--project", "acme", "--location", "US"]
            tool, arguments = "execute-query", {"query": CUSTOMERS}
    except environments.NotHere as reason:
        pytest.skip(str(reason))
    laptop.hoop("setup", "cursor", "--yes")

    said = as_an_editor_starts_it(
        laptop, mcp, name, [sys.executable, DRIVERS / "mcp_stdio.py", tool, json.dumps(arguments), *server]
    )

    assert "Ahmed" in str(said.get("texts")), said
    laptop.gateway.folded().close()
    newest = json.loads(laptop.hoop("sessions", "--json", "--limit", "1", HOOP_DB=str(laptop.gateway.archive)).stdout)
    assert newest[0]["principal"]["email"] == "alice@acme.example"


def test_the_gateways_own_bundle_is_named_since_it_is_renewed_with_it(laptop: Laptop, mcp: Path) -> None:
    laptop.hoop("setup", "cursor", "--yes")
    gateways = laptop.gateway.config.gateway.certs / "bundle.pem"
    assert servers(mcp)["toolbox"]["env"]["SSL_CERT_FILE"] == str(gateways)


def test_where_the_machine_trusts_more_it_still_does(laptop: Laptop, mcp: Path, tmp_path: Path) -> None:
    company = ensure_ca(tmp_path / "company", ["intranet.example.com"])
    laptop.hoop("setup", "cursor", "--yes", REQUESTS_CA_BUNDLE=str(company.cert))
    bundle = Path(servers(mcp)["toolbox"]["env"]["SSL_CERT_FILE"]).read_text()
    assert company.cert.read_text() in bundle
    assert (laptop.gateway.config.gateway.certs / "mitmproxy-ca-cert.pem").read_text() in bundle


# A stand-in for systemd, which containers lack: it runs what the unit says, and keeps it running.
SYSTEMCTL = """\
import os, shlex, signal, subprocess, sys, time
state = os.path.join(os.environ["HOME"], "systemd.pid")
unit = os.path.join(os.environ["HOME"], ".config/systemd/user/hoop-mitm.service")
print(*sys.argv[1:], file=open(os.path.join(os.environ["HOME"], "systemctl.log"), "a"))
if "disable" in sys.argv or "restart" in sys.argv:
    try:
        os.kill(int(open(state).read()), signal.SIGTERM)
    except (OSError, ValueError):
        pass
if "restart" in sys.argv:
    line = next(line for line in open(unit) if line.startswith("ExecStart="))
    with open(os.path.join(os.environ["HOME"], "service.log"), "a") as log:
        process = subprocess.Popen(shlex.split(line[10:]), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    open(state, "w").write(str(process.pid))
"""


def test_the_service_takes_over_from_a_gateway_of_run_and_can_be_taken_away(tmp_path: Path, world: World) -> None:
    (tmp_path / "gateway").mkdir()
    laptop = Laptop(tmp_path / "home", RunningGateway(world, tmp_path / "gateway"))
    laptop.sign_in()
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "systemctl.py").write_text(SYSTEMCTL)
    (tmp_path / "bin" / "systemctl").write_text(f'#!/bin/sh\nexec {sys.executable} {tmp_path}/bin/systemctl.py "$@"\n')
    (tmp_path / "bin" / "systemctl").chmod(0o755)
    laptop.environment["PATH"] = f"{tmp_path}/bin:{laptop.environment['PATH']}"
    mcp = laptop.home / ".cursor" / "mcp.json"
    mcp.parent.mkdir()
    mcp.write_text(MCP)
    try:
        assert laptop.hoop("run", "-q", "--", "true").returncode == 0
        assert len(laptop.gateways()) == 1

        done = laptop.hoop("setup", "cursor", "--service", "--yes")

        assert done.returncode == 0, done.stderr
        assert "The gateway runs, and will at each log-in" in done.stderr
        assert laptop.gateways() == [], "one gateway, and it is the service"
        assert laptop.hoop("env").stderr == "", "it answers"
        told = (laptop.home / "systemctl.log").read_text().splitlines()
        assert told == ["--user daemon-reload", "--user enable hoop-mitm.service", "--user restart hoop-mitm.service"]
        removed = laptop.hoop("setup", "cursor", "--remove", "--service", "--yes")
        assert removed.returncode == 0, removed.stderr
        assert "The service is stopped and removed" in removed.stderr
        assert not (laptop.home / ".config/systemd/user/hoop-mitm.service").exists()
        assert mcp.read_text() == MCP
    finally:
        laptop.stop_gateways()
        subprocess.run([tmp_path / "bin" / "systemctl", "disable"], env=laptop.environment, check=False)


def test_where_the_service_manager_does_not_answer_the_settings_are_written_and_it_is_said(
    laptop: Laptop, mcp: Path
) -> None:
    if not shutil.which("systemctl"):
        pytest.skip("systemctl is not on this machine")
    done = laptop.hoop("setup", "cursor", "--service", "--yes", XDG_RUNTIME_DIR=str(laptop.home))
    assert done.returncode == 3
    assert "The service was not started" in done.stderr
    assert servers(mcp)["toolbox"]["env"]


# A gateway that stops, sleeps, or is rebooted.


@pytest.fixture
def sleepy(tmp_path: Path, world: World) -> RunningGateway:
    """A gateway of the test's own, to be stopped."""
    (tmp_path / "gateway").mkdir()
    return RunningGateway(world, tmp_path / "gateway")


def test_a_stopped_gateway_stops_only_bigquery_and_a_new_one_takes_the_clients_up_again(
    tmp_path: Path, sleepy: RunningGateway
) -> None:
    """The service is killed, and started again by the very command of its unit; a client lives through it."""
    from hoop_mitm.setup.service import Systemd

    laptop = Laptop(tmp_path / "home", sleepy)
    laptop.sign_in()
    mcp = laptop.home / ".cursor" / "mcp.json"
    mcp.parent.mkdir()
    mcp.write_text(MCP)
    command = Systemd(sleepy.config_file).command
    with sleepy.log.open("ab") as log:
        service = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            wait_for(sleepy)
            assert laptop.hoop("setup", "cursor", "--yes").returncode == 0
            entry = {**{key: laptop.environment[key] for key in ("HOME", "PATH")}, **servers(mcp)["toolbox"]["env"]}
            (tmp_path / "client.py").write_text(LONG_CLIENT)
            with subprocess.Popen(
                [sys.executable, tmp_path / "client.py"], env=entry, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            ) as client:  # fmt: skip
                assert asks(client) == "2"
                service.send_signal(signal.SIGKILL)
                service.wait()
                assert asks(client).startswith("failed"), "BigQuery is asked through the gateway, or not at all"
                # Nothing else on the machine, and no other server, knows of the gateway.
                others = {**value_of(parse(mcp.read_text()))["mcpServers"]}
                assert "env" not in others["files"]
                assert other_host_is_reached(laptop)
                service = subprocess.Popen(command, stdout=log, stderr=log)
                wait_for(sleepy)
                assert asks(client) == "2", "the token that it had is good still"
                client.stdin.close()
        finally:
            service.terminate()
            service.wait(120)
    with sleepy.folded() as archive:
        assert len({session.id for session in archive.sessions()}) == len(archive.sessions())


LONG_CLIENT = """
import sys
from google.cloud import bigquery
client = bigquery.Client()
for line in sys.stdin:
    try:
        print(len(list(client.query_and_wait("SELECT id FROM shop.customers LIMIT 2", retry=None, job_retry=None))), flush=True)
    except Exception as error:
        print("failed", type(error).__name__, flush=True)
"""


def asks(client: subprocess.Popen[str]) -> str:
    assert client.stdin
    assert client.stdout
    client.stdin.write("\n")
    client.stdin.flush()
    return client.stdout.readline().strip()


def wait_for(gateway: RunningGateway) -> None:
    until(gateway.process._listens, 180)


def other_host_is_reached(laptop: Laptop) -> bool:
    """A program without the server's variables, as all others are, reaches the host that it asks."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        curl = shutil.which("curl", path=laptop.environment["PATH"])
        code = f"import socket; socket.create_connection(('127.0.0.1', {port}), 60).close()"
        command = [curl, "-s", "-m", "60", f"http://127.0.0.1:{port}/"] if curl else [sys.executable, "-c", code]
        with subprocess.Popen(command, env=laptop.environment, stdout=subprocess.DEVNULL):
            server.settimeout(60)
            server.accept()[0].close()
    return True
