"""Every recipe is done as it is written: its files are made, its commands are run, and what was asked is recorded.

A page's files are the blocks behind a line that names one (`report.py`:), its commands the blocks in `sh`. Blocks in
`console` are for people (they install, or stay up) and are not run.
"""

import json
import os
import re
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from hoop_mitm.config import load
from hoop_mitm.devkit.world import World
from hoop_mitm.login import load_profile
from hoop_mitm.setup.jsonc import parse, value_of
from tests.clients import environments
from tests.clients.clients import Bq, Client, Node, Python, Toolbox
from tests.clients.environments import NotHere
from tests.examples import blocks_of
from tests.gateways import RunningGateway
from tests.laptops import Laptop

# Several clients one after the other, each of which takes seconds to start.
pytestmark = pytest.mark.timeout(900)

RECIPES = Path(__file__).parents[2] / "docs" / "recipes"
_SECONDS = 300
_FOLDED_SECONDS = 60


class Kitchen:
    """A signed-in engineer's machine, in a folder where a page's files are."""

    def __init__(self, laptop: Laptop, page: str) -> None:
        self.laptop = laptop
        self.page = RECIPES / page
        self.folder = laptop.home / "project"
        self.folder.mkdir()
        self.environment = laptop.environment | {
            "HOOP_DB": str(laptop.gateway.archive),
            # What programs would tell their makers, and ask them for.
            "DO_NOT_TRACK": "1",
            "CLOUDSDK_CORE_DISABLE_PROMPTS": "1",
        }
        for name, text in files_of(self.page):
            file = self.folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)

    def add_programs(self, *folders: Path) -> None:
        self.environment["PATH"] = os.pathsep.join([*map(str, folders), self.environment["PATH"]])

    def cook(self) -> list[str]:
        """Runs all of the page's commands, in order; what each block printed."""
        return ["".join(map(self.run, parts_of(block))) for block in blocks_of(self.page, "sh")]

    def run(self, block: str) -> str:
        looks = block.startswith("hoop-mitm show")
        if looks:
            # A recording is folded within seconds: people are slower than this.
            self.laptop.gateway.folded().close()
        deadline = time.monotonic() + _FOLDED_SECONDS
        while True:
            done = subprocess.run(
                ["sh", "-eu", "-c", block], env=self.environment, cwd=self.folder, stdin=subprocess.DEVNULL,
                capture_output=True, text=True, timeout=_SECONDS, check=False,
            )  # fmt: skip
            if done.returncode == 0:
                return done.stdout
            assert looks, f"{block}\n{done.stdout}{done.stderr}"
            assert time.monotonic() < deadline, done.stdout + done.stderr
            time.sleep(0.2)

    def sessions(self, name: str) -> list[dict[str, object]]:
        self.laptop.gateway.folded().close()
        listed = self.laptop.hoop("sessions", "--json", HOOP_DB=self.environment["HOOP_DB"])
        return [session for session in json.loads(listed.stdout) if session["name"] == name]


def parts_of(block: str) -> list[str]:
    """A block's commands, cut before each that looks at the recording, and after it."""
    return [part for part in re.split(r"^(hoop-mitm show.*\n?)", block, flags=re.MULTILINE) if part]


def files_of(page: Path) -> Iterator[tuple[str, str]]:
    for name, language, text in re.findall(
        r"^`([^`\s]+\.\w+)`[^\n]*:\n\n```(\w+)\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL
    ):
        yield name, json.dumps(notebook(text)) if name.endswith(".ipynb") else text
        assert language != "sh"


def notebook(cell: str) -> dict[str, object]:
    cells = [{"cell_type": "code", "id": "one", "execution_count": None, "metadata": {}, "outputs": [], "source": cell}]
    return {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}


@pytest.fixture
def laptop(tmp_path: Path, gateway: RunningGateway) -> Laptop:
    made = Laptop(tmp_path, gateway)
    made.sign_in()
    return made


def test_every_recipe_is_run_by_a_test() -> None:
    tested = set(re.findall(r'"([a-z-]+\.md)"', Path(__file__).read_text()))
    assert tested == {page.name for page in RECIPES.glob("*.md")}


def test_bq(laptop: Laptop) -> None:
    kitchen = Kitchen(laptop, "bq.md")
    try:
        environments.bq()
    except NotHere as reason:
        pytest.skip(str(reason))
    queried, explored, shown = kitchen.cook()
    assert "orders" in queried
    assert '"tableId": "orders"' in queried
    assert "customers" in explored
    assert "SELECT COUNT(*) FROM shop.orders" in shown
    [session] = kitchen.sessions("exploring")
    assert session["agent"] == "bq"
    assert session["principal"]["email"] == "alice@acme.example"


@pytest.mark.exhaustive
def test_python(laptop: Laptop) -> None:
    kitchen = Kitchen(laptop, "python.md")
    reported, tabled = kitchen.cook()
    assert re.search(r"^\w+ \d+$", reported, re.MULTILINE)
    assert "GROUP BY status" in reported, "show tells the statement"
    assert re.fullmatch(r"\d+ customers\n", tabled)


@pytest.mark.exhaustive
def test_node(laptop: Laptop) -> None:
    try:
        modules = environments.node_modules()
    except NotHere as reason:
        pytest.skip(str(reason))
    kitchen = Kitchen(laptop, "node.md")
    (kitchen.folder / "node_modules").symlink_to(modules)
    [reported] = kitchen.cook()
    assert re.search(r"^\w+ \d+$", reported, re.MULTILINE)
    assert kitchen.sessions("node report")[0]["agent"] == "node"


def test_jupyter(laptop: Laptop) -> None:
    try:
        programs = environments.jupyter().parent
    except NotHere as reason:
        pytest.skip(str(reason))
    kitchen = Kitchen(laptop, "jupyter.md")
    kitchen.add_programs(programs)
    [printed] = kitchen.cook()
    assert "SELECT COUNT(*) AS orders FROM shop.orders" in printed
    assert kitchen.sessions("nightly notebook")[0]["jobs"] == 1


def test_dbt(laptop: Laptop) -> None:
    try:
        programs = environments.dbt().parent
    except NotHere as reason:
        pytest.skip(str(reason))
    kitchen = Kitchen(laptop, "dbt.md")
    kitchen.add_programs(programs)
    [printed] = kitchen.cook()
    assert "PASS=2" in printed
    assert "orders_by_status" in printed
    assert kitchen.sessions("dbt build")[0]["denied"] == 0


def test_mcp(laptop: Laptop) -> None:
    kitchen = Kitchen(laptop, "mcp.md")
    file = kitchen.folder / "claude_desktop_config.json"
    before = file.read_bytes()
    put, remove = blocks_of(kitchen.page, "sh")

    kitchen.run(put)

    servers = value_of(parse(file.read_text()))["mcpServers"]
    assert "env" not in servers["files"]
    try:
        program = environments.toolbox()
    except NotHere as reason:
        pytest.skip(str(reason))
    # As the MCP client starts it: the entry's command and variables, and the few that the SDK passes on.
    environment = {name: kitchen.environment[name] for name in ("HOME", "PATH")} | servers["bigquery"]["env"]
    driver = environments.HERE / "drivers" / "mcp_stdio.py"
    call = ["python", driver, "execute_sql", json.dumps({"sql": "SELECT COUNT(*) AS n FROM shop.orders"})]
    entry = [program, *servers["bigquery"]["args"], "--disable-version-check"]
    done = subprocess.run(
        [*map(str, call), *map(str, entry)], env=environment, capture_output=True, text=True, timeout=240, check=True
    )
    assert json.loads(json.loads(done.stdout.splitlines()[-1])["texts"][0]) == {"n": 900}
    kitchen.run(remove)
    assert file.read_bytes() == before


def test_cursor(laptop: Laptop) -> None:
    kitchen = Kitchen(laptop, "cursor.md")
    settings = laptop.home / ".config" / "Cursor" / "User" / "settings.json"
    settings.parent.mkdir(parents=True)
    settings.write_text('{\n    "editor.tabSize": 2, // mine\n}\n')
    before = settings.read_bytes()
    put, remove = blocks_of(kitchen.page, "sh")

    kitchen.run(put)

    assert Python("query").query(terminal_of(settings, kitchen), "SELECT 1 AS one").result == [{"one": "1"}]
    kitchen.run(remove)
    assert settings.read_bytes() == before


@pytest.mark.parametrize(
    "client",
    [Bq(), *(pytest.param(client, marks=pytest.mark.exhaustive) for client in (Node(), Toolbox()))],
    ids=lambda client: client.name,
)
def test_in_cursors_terminal(laptop: Laptop, client: Client) -> None:
    try:
        client.ready()
    except NotHere as reason:
        pytest.skip(str(reason))
    kitchen = Kitchen(laptop, "cursor.md")
    settings = laptop.home / ".config" / "Cursor" / "User" / "settings.json"
    settings.parent.mkdir(parents=True)

    kitchen.run(blocks_of(kitchen.page, "sh")[0])

    assert client.query(terminal_of(settings, kitchen), "SELECT 1 AS one").result == [{"one": "1"}]


def terminal_of(settings: Path, kitchen: Kitchen) -> dict[str, str]:
    """A terminal has what Cursor has, with its settings laid over; null takes away."""
    given = value_of(parse(settings.read_text()))["terminal.integrated.env.linux"]
    laid_over = {**kitchen.environment, **given}
    return {name: value for name, value in laid_over.items() if value is not None}


@pytest.mark.skipif(os.uname().sysname != "Linux", reason="the page shows Linux's paths")
def test_cursors_sandbox_settings_name_what_clients_write_to(laptop: Laptop) -> None:
    [block] = blocks_of(RECIPES / "cursor.md", "json")
    shown = json.loads(block)
    printed = json.loads(laptop.hoop("env", "--shell", "json").stdout)
    state = str(laptop.state)
    assert [path.replace("/home/you", str(laptop.home)) for path in shown["additionalReadwritePaths"]] == [state]
    assert printed["CLOUDSDK_CONFIG"].startswith(state)
    assert urlsplit(printed["HTTPS_PROXY"]).hostname in shown["networkPolicy"]["allow"]


class GitHub:
    """What GitHub gives a job: an address and a secret, for which there is a token of the audience that is asked for."""

    def __init__(self, world: World) -> None:
        self.asked: list[tuple[str | None, list[str]]] = []
        asked = self.asked

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                query = parse_qs(urlsplit(self.path).query)
                asked.append((self.headers["Authorization"], query.get("audience", [])))
                good = self.headers["Authorization"] == "bearer the-jobs-secret"
                self.send_response(200 if good else 401)
                self.send_header("content-type", "application/json")
                self.end_headers()
                self.wfile.write(json.dumps({"value": world.issuer.token("ci") if good else None}).encode())

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def variables(self) -> dict[str, str]:
        url = f"http://127.0.0.1:{self.server.server_port}/token?api-version=2.0"
        return {"ACTIONS_ID_TOKEN_REQUEST_URL": url, "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "the-jobs-secret"}


@pytest.fixture
def github(world: World) -> Iterator[GitHub]:
    made = GitHub(world)
    yield made
    made.server.shutdown()
    made.server.server_close()


def test_github_actions(tmp_path: Path, gateway: RunningGateway, github: GitHub) -> None:
    kitchen = Kitchen(Laptop(tmp_path, gateway), "github-actions.md")  # Nobody is signed in.
    kitchen.environment |= github.variables

    [printed] = kitchen.cook()

    assert printed == "900\n"
    assert github.asked == [("bearer the-jobs-secret", ["hoop-mitm"])]
    [session] = kitchen.sessions("nightly report")
    assert (session["principal"]["kind"], session["jobs"]) == ("machine", 1)


def test_the_github_pages_files_are_right(tmp_path: Path) -> None:
    page = RECIPES / "github-actions.md"
    gateway, client, workflow = blocks_of(page, "yaml")
    connection = "connections: [{name: warehouse, projects: [acme-analytics], credential: {type: adc}}]\n"
    (tmp_path / "hoop.yaml").write_text(gateway + connection)
    (tmp_path / "client.yaml").write_text(client)
    issuer = load(tmp_path / "hoop.yaml").identity.issuers[0]
    profile = load_profile(tmp_path / "client.yaml")
    assert (issuer.kind, issuer.issuer) == ("machine", profile.issuer)
    assert profile.client_id in issuer.audiences
    [command] = blocks_of(page, "sh")
    assert command.strip() in workflow
