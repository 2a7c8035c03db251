"""Signing in and out as somebody types it, with a real issuer and a real gateway."""

import json
import os
import re
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import psutil
import pytest

from hoop_mitm.client.outfit import fit_out, source_of
from hoop_mitm.devkit.world import World
from tests.attacks.tokens import session_token, use
from tests.clients import environments
from tests.gateways import RunningGateway
from tests.laptops import Laptop
from tests.login import people


@pytest.fixture(scope="module")
def own(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """A gateway of these tests' own, from which alice signs out."""
    with RunningGateway(world, tmp_path_factory.mktemp("signing-in")) as running:
        yield running


@pytest.fixture
def laptop(tmp_path: Path, own: RunningGateway) -> Laptop:
    return Laptop(tmp_path, own)


def login(laptop: Laptop, *arguments: str, user: str = "alice") -> subprocess.Popen[str]:
    """Signs in with a code, which somebody enters elsewhere."""
    process = subprocess.Popen(
        laptop.command("login", "--device", *arguments),
        env=laptop.environment,
        cwd=laptop.home,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr
    said = ""
    while not (code := re.search(r"the code ([A-Z]{4}-[A-Z]{4}):", said)):
        line = process.stderr.readline()
        assert line, said
        said += line
    laptop.gateway.world.issuer.approve(code[1], user)
    return process


def test_login_whoami_token_logout(laptop: Laptop, world: World) -> None:
    process = login(laptop)
    out, err = process.communicate(timeout=240)
    assert (process.returncode, out) == (0, ""), err
    assert "Signed in as alice@acme.example" in err
    assert "You can use: acme" in err

    said = json.loads(laptop.hoop("whoami", "--json").stdout)
    assert (said["email"], said["groups"], said["renews"]) == ("alice@acme.example", ["analysts"], True)
    assert said["gateway"]["connections"] == ["acme"]
    assert said["gateway"]["name"] == "alice@acme.example"
    assert "alice@acme.example, signed in at" in laptop.hoop("whoami").stdout

    token = laptop.hoop("token").stdout.strip()
    assert world.issuer.verify(token, "hoop-mitm")["email"] == "alice@acme.example"
    session = session_token(laptop.gateway, token)
    assert use(laptop.gateway, session).status == 200

    done = laptop.hoop("logout")
    assert done.returncode == 0, done.stderr
    refused = use(laptop.gateway, session)
    assert (refused.status, "hoop-mitm login" in refused.message) == (403, True)
    for command in ("whoami", "token"):
        after = laptop.hoop(command)
        assert (after.returncode, after.stdout) == (1, "")
        assert "hoop-mitm login" in after.stderr
    assert laptop.hoop("logout").returncode == 0, "twice is no mistake"


def test_no_token_is_ever_shown_or_left_for_others(laptop: Laptop) -> None:
    process = login(laptop)
    out, err = process.communicate(timeout=240)
    said = out + err + laptop.hoop("whoami").stdout + laptop.hoop("whoami", "--json").stdout
    assert "eyJ" not in said
    files = [path for path in laptop.state.rglob("*") if path.is_file()]
    kept = [path for path in files if "eyJ" in path.read_text(errors="replace")]
    assert len(kept) == 1
    assert stat.S_IMODE(kept[0].stat().st_mode) == 0o600


def test_the_browser_of_the_machine(laptop: Laptop) -> None:
    script = people.browser_script(laptop.home, laptop.gateway.world.ca, "bob")
    done = laptop.hoop("login", BROWSER=script)
    assert done.returncode == 0, done.stderr
    assert "Signed in as bob@acme.example" in done.stderr


def test_a_browser_that_stays_in_the_foreground_is_not_waited_for(laptop: Laptop) -> None:
    people.browser_script(laptop.home, laptop.gateway.world.ca, "bob")
    script = laptop.home / "browser.py"
    script.write_text(script.read_text() + "import signal\nsignal.pause()\n")
    try:
        # Its output is the browser's too, which is why it goes to a file.
        with (laptop.home / "said").open("w") as said:
            status = subprocess.run(
                laptop.command("login"),
                env=laptop.environment | {"BROWSER": f"{sys.executable} {script} %s"},
                stdin=subprocess.DEVNULL,
                stderr=said,
                timeout=240,
                check=False,
            ).returncode
        assert (status, "Signed in as bob" in (laptop.home / "said").read_text()) == (0, True)
    finally:
        for process in psutil.process_iter(["cmdline"]):
            if str(script) in (process.info["cmdline"] or ()):
                process.kill()


def test_denied(laptop: Laptop) -> None:
    process = subprocess.Popen(
        laptop.command("login", "--device"), env=laptop.environment, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr
    said = "".join(process.stderr.readline() for _ in range(3))
    laptop.gateway.world.issuer.deny(re.search(r"[A-Z]{4}-[A-Z]{4}", said)[0])
    err = process.stderr.read()
    assert process.wait(240) == 1
    assert "denied" in err
    assert "Traceback" not in err


@pytest.mark.parametrize("command", ["login", "logout", "whoami", "token"])
def test_without_a_client_file_it_is_said_where_one_comes_from(
    tmp_path: Path, own: RunningGateway, command: str
) -> None:
    laptop = Laptop(tmp_path, own)
    laptop.client_file.unlink()
    done = laptop.hoop(command)
    assert (done.returncode, done.stdout) == (2, "")
    assert "hoop-mitm init" in done.stderr
    assert str(laptop.client_file) in done.stderr


def test_a_gateway_that_does_not_run_is_no_obstacle_to_signing_in(tmp_path: Path, own: RunningGateway) -> None:
    laptop = Laptop(tmp_path, own, {"gateway": {"url": "http://127.0.0.1:9", "config": str(own.config_file)}})
    process = login(laptop)
    _, err = process.communicate(timeout=240)
    assert process.returncode == 0
    assert "does not answer; `hoop-mitm run` starts it" in err
    assert "Next: hoop-mitm run -- bq query" in err
    said = json.loads(laptop.hoop("whoami", "--json").stdout)
    assert said["gateway"]["reached"] is False
    done = laptop.hoop("logout")
    assert done.returncode == 3, "somebody could not be told"
    assert "could not be told" in done.stderr
    assert "not signed in" in laptop.hoop("logout").stderr, "and yet nothing is left here"


# What a gateway says of itself, and of those who were there before, may come at any time.
OF_WHOEVER_CAME = "SELECT 1 FROM events WHERE type NOT LIKE 'gateway.%' AND type <> 'session.ended'"


def test_another_gateway_in_its_place_is_told_nothing(
    tmp_path: Path, own: RunningGateway, gateway: RunningGateway
) -> None:
    before = len(gateway.ask(OF_WHOEVER_CAME))
    laptop = Laptop(tmp_path, own, {"gateway": {"url": gateway.url, "config": str(own.config_file)}})
    process = login(laptop)
    _, err = process.communicate(timeout=240)
    assert "is not the gateway of your client file" in err
    assert len(gateway.ask(OF_WHOEVER_CAME)) == before


def test_somebody_whom_the_gateway_does_not_let_in_is_told_why(tmp_path: Path, world: World) -> None:
    (tmp_path / "gateway").mkdir()
    issuers = [{"issuer": world.issuer.url, "audiences": ["another-app"], "ca": str(world.ca)}]
    with RunningGateway(world, tmp_path / "gateway", identity={"issuers": issuers}) as gateway:
        laptop = Laptop(tmp_path, gateway)
        process = login(laptop)
        _, err = process.communicate(timeout=240)
        assert process.returncode == 1
        assert "needs the audience another-app" in err
        said = laptop.hoop("whoami")
        assert said.returncode == 1
        assert "does not accept this login" in said.stdout


def test_somebody_without_groups_is_told_that_they_lack_them(
    tmp_path: Path, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gateway").mkdir()
    overrides = {
        "connections": [
            {"name": "acme", "projects": ["acme"], "credential": world.credential("service_account"), "groups": ["hr"]}
        ]
    }
    token = world.issuer.token
    monkeypatch.setattr(world.issuer, "token", lambda *args, **claims: token(*args, **claims | {"groups": None}))
    with RunningGateway(world, tmp_path / "gateway", **overrides) as gateway:
        laptop = Laptop(tmp_path, gateway)
        process = login(laptop)
        _, err = process.communicate(timeout=240)
        assert "your token names no groups" in err
        assert "groups claim" in err


def test_the_executable_form_answers_failures_too(laptop: Laptop, world: World) -> None:
    done = laptop.hoop("token", "--format", "executable")
    assert (done.returncode, done.stderr) == (0, "")
    said = json.loads(done.stdout)
    assert (said["version"], said["success"], said["code"]) == (1, False, "401")
    assert "hoop-mitm login" in said["message"]
    login(laptop).communicate(timeout=240)
    said = json.loads(laptop.hoop("token", "--format", "executable").stdout)
    assert said["token_type"] == "urn:ietf:params:oauth:token-type:jwt"
    assert world.issuer.verify(said["id_token"])["exp"] == said["expiration_time"]


SIGNS_OUT = """
bq query --nouse_legacy_sql 'SELECT 1 AS one' || exit 9
hoop-mitm logout || exit 8
bq query --nouse_legacy_sql 'SELECT 2 AS two'
"""


def test_bq_says_what_to_do_when_its_user_has_signed_out(laptop: Laptop) -> None:
    try:
        environments.bq()
    except environments.NotHere as reason:
        pytest.skip(str(reason))
    login(laptop).communicate(timeout=240)
    done = laptop.hoop("run", "--", "sh", "-c", SIGNS_OUT)
    assert done.returncode == 1, done.stderr
    assert "| one |" in done.stdout
    assert "| two |" not in done.stdout
    assert "Run `hoop-mitm login`" in done.stdout + done.stderr


LOOP = """
import sys, time
from google.cloud import bigquery
client = bigquery.Client()
until = time.monotonic() + float(sys.argv[1])
asked = 0
while time.monotonic() < until or asked < 6:
    [row] = client.query_and_wait("SELECT COUNT(*) AS n FROM `acme.shop.customers`")
    assert row.n
    asked += 1
    time.sleep(0.3)
print(asked, flush=True)
sys.stdin.readline()
try:
    client.query_and_wait("SELECT 1")
except Exception as error:
    print(f"{type(error).__name__}: {error}".replace("\\n", " "))
"""


def test_a_client_that_outlives_its_tokens_never_fails_until_its_user_signs_out(tmp_path: Path, world: World) -> None:
    """ID tokens and session tokens live for seconds; the client asks for much longer, and knows nothing of it.

    The leeway is what a busy machine needs between taking a token and showing it, and not enough for one of before.
    """
    (tmp_path / "gateway").mkdir()
    issuers = [{"issuer": world.issuer.url, "audiences": ["hoop-mitm"], "ca": str(world.ca), "leeway": "10s"}]
    identity = {"issuers": issuers, "session_tokens": {"lifetime": "8s"}}
    before = world.issuer.lifetime
    world.issuer.lifetime = timedelta(seconds=15)
    try:
        with RunningGateway(world, tmp_path / "gateway", identity=identity) as gateway:
            laptop = Laptop(tmp_path, gateway)
            login(laptop).communicate(timeout=240)
            place = tmp_path / "client"
            place.mkdir()
            source = source_of("login", laptop.profile, laptop.client_file, place, {})
            outfit = fit_out(laptop.profile, source, place, os.environ)
            client = subprocess.Popen(
                [sys.executable, "-c", LOOP, "35"],
                env={**laptop.environment, **outfit.variables},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            assert client.stdin
            assert client.stdout
            asked = client.stdout.readline()
            assert asked.strip(), client.communicate()[1]
            assert laptop.hoop("logout").returncode == 0
            out, err = client.communicate("\n", timeout=240)
            assert "hoop-mitm login" in out, err
            refreshed = gateway.ask("SELECT count(*) FROM events WHERE type = 'token.exchanged'")
            assert refreshed[0][0] > 4
    finally:
        world.issuer.lifetime = before


def test_who_is_thrown_out_has_to_sign_in_anew_a_renewed_token_does_not_help(laptop: Laptop, world: World) -> None:
    before = world.issuer.lifetime
    world.issuer.lifetime = timedelta(seconds=4)
    try:
        login(laptop, user="bob").communicate(timeout=240)
        token = laptop.hoop("token").stdout.strip()
        assert use(laptop.gateway, token).status == 200
        config = laptop.gateway.config_file
        done = laptop.hoop("sessions", "revoke", "--principal", "bob@acme.example", "--config", config)
        assert done.returncode == 0, done.stderr
        time.sleep(4)
        world.issuer.lifetime = before
        renewed = laptop.hoop("token").stdout.strip()
        assert renewed != token
        refused = use(laptop.gateway, renewed)
        assert (refused.status, "hoop-mitm login --again" in refused.message) == (403, True)
        assert "revoked" in laptop.hoop("whoami").stdout
    finally:
        world.issuer.lifetime = before


def test_ten_programs_that_ask_at_once_get_one_token(laptop: Laptop, world: World) -> None:
    before = world.issuer.lifetime
    world.issuer.lifetime = timedelta(seconds=2)
    try:
        login(laptop).communicate(timeout=240)
        time.sleep(2)
    finally:
        world.issuer.lifetime = before
    tokens: list[str] = []
    threads = [threading.Thread(target=lambda: tokens.append(laptop.hoop("token").stdout)) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(tokens) == 10
    assert len(set(tokens)) == 1
    assert tokens[0].startswith("eyJ")
