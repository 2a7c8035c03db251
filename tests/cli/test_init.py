"""`hoop-mitm init`, as somebody types it, in an empty directory and again."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from hoop_mitm.config import load
from hoop_mitm.devkit.gateway_process import free_port
from hoop_mitm.devkit.issuer import CLIENT_ID
from hoop_mitm.devkit.world import World
from hoop_mitm.login import load_profile
from tests.gateways import RunningGateway
from tests.laptops import Laptop

type Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A new user's directory."""
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


@pytest.fixture
def run(tmp_path: Path, place: Path) -> Run:
    """`hoop-mitm` there, with an empty home."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("HOOP_", "XDG_", "GOOGLE_"))
    }
    environment["HOME"] = str(tmp_path / "home")

    def hoop(*arguments: object, answers: str = "") -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "hoop_mitm.cli", *map(str, arguments)]
        return subprocess.run(
            command, cwd=place, env=environment, input=answers, capture_output=True, text=True, timeout=240, check=False
        )

    return hoop


def options(world: World, **changes: object) -> list[object]:
    """What describes a gateway in the local world."""
    chosen: dict[str, object] = {
        "issuer": world.issuer.url,
        "client-id": CLIENT_ID,
        "project": world.project,
        "credential": "service_account",
        "key-file": world.service_account_key,
        "connection": "acme",
        "listen": f"127.0.0.1:{free_port()}",
        "issuer-ca": world.ca,
        "upstream-ca": world.ca,
        **changes,
    }
    hosts = [part for name, target in world.hosts.items() for part in ("--upstream-host", f"{name}={target}")]
    return [part for name, value in chosen.items() if value is not None for part in (f"--{name}", value)] + hosts


def files(place: Path) -> dict[str, bytes]:
    return {str(path.relative_to(place)): path.read_bytes() for path in place.rglob("*") if path.is_file()}


def test_what_it_writes_is_a_gateway_that_runs(run: Run, place: Path, world: World, tmp_path: Path) -> None:
    done = run("init", *options(world))
    assert done.returncode == 0, done.stderr
    assert "issuer: ok" in done.stderr
    assert f"it knows {CLIENT_ID}" in done.stderr
    assert "Google, acme: ok" in done.stderr
    assert done.stderr.rstrip().endswith("Next: hoop-mitm login")
    assert done.stdout == ""

    config = load(place / "hoop.yaml")
    assert config.connections[0].projects == (world.project,)
    assert (place / "hoop.yaml").read_text().count("#") > 8, "it explains itself"
    assert (place / "certs" / "mitmproxy-ca-cert.pem").exists()
    assert {path.name.partition("-")[0] for path in (place / ".hoop").glob("*.pem")} == {"signing", "recording"}
    client = tmp_path / "home/.config/hoop-mitm/client.yaml"
    profile = load_profile(client)
    assert (profile.issuer, profile.client_id) == (world.issuer.url, CLIENT_ID)
    assert profile.gateway.config == place / "hoop.yaml"
    assert profile.authority == place / "certs" / "mitmproxy-ca-cert.pem"


def test_again_it_changes_nothing(run: Run, place: Path, world: World) -> None:
    chosen = options(world)
    assert run("init", *chosen).returncode == 0
    before = files(place)
    again = run("init", *chosen)
    assert again.returncode == 0, again.stderr
    assert again.stderr.count("unchanged:") == 2
    checked = run("init")
    assert checked.returncode == 0, checked.stderr
    assert "is there, and is checked" in checked.stderr
    assert files(place) == before


def test_what_says_something_else_is_not_replaced(run: Run, place: Path, world: World) -> None:
    chosen = options(world)
    assert run("init", *chosen).returncode == 0
    edited = (place / "hoop.yaml").read_text().replace("# groups: [analysts]", "groups: [analysts]")
    (place / "hoop.yaml").write_text(edited)
    refused = run("init", *chosen)
    assert refused.returncode == 1
    assert "-    groups: [analysts]" in refused.stdout
    assert "+    # groups: [analysts]" in refused.stdout
    assert (place / "hoop.yaml").read_text() == edited
    forced = run("init", *chosen, "--force")
    assert forced.returncode == 0, forced.stderr
    [backup] = place.glob("hoop.yaml.*.bak")
    assert backup.read_text() == edited
    assert "# groups: [analysts]" in (place / "hoop.yaml").read_text()


def test_without_a_terminal_what_is_missing_is_named(run: Run) -> None:
    done = run("init", "--issuer", "https://login.acme.example")
    assert (done.returncode, done.stdout) == (2, "")
    assert "--client-id is needed" in done.stderr


WRONG = {
    "an issuer that does not answer": ({"issuer": "https://127.0.0.1:9"}, "issuer: FAILED", "cannot be reached"),
    "an issuer by another name": ({"issuer": "NAMED"}, "issuer: FAILED", "calls itself another issuer"),
    "an application that is not known": ({"client-id": "unknown"}, "sign-in: FAILED", "does not know the application"),
    "no credential of the gateway's own": (
        {"credential": "adc", "key-file": None},
        "Google, acme: FAILED",
        "credential",
    ),
}


@pytest.mark.parametrize(("changes", "failed", "says"), WRONG.values(), ids=WRONG.keys())
def test_what_does_not_answer_is_said_in_words(
    run: Run, world: World, changes: dict[str, str], failed: str, says: str
) -> None:
    changes = {
        name: world.issuer.url.replace("127.0.0.1", "localhost") if value == "NAMED" else value
        for name, value in changes.items()
    }
    done = run("init", *options(world, **changes))
    assert done.returncode == 1
    assert failed in done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert run("init", *options(world, **changes), "--no-check", "--force").returncode == 0


def test_a_project_that_the_credential_may_not_ask_in_is_named_with_the_roles_that_are_needed(
    run: Run, world: World
) -> None:
    world.bigquery.fail_next(
        403, "accessDenied", "Access Denied: Project acme: User does not have bigquery.jobs.create"
    )
    done = run("init", *options(world))
    assert done.returncode == 1
    assert "Google, acme: FAILED" in done.stderr
    assert "bigquery.jobs.create" in done.stderr
    assert "roles/bigquery.jobUser" in done.stderr


def test_a_key_that_is_none_is_named(run: Run, world: World, tmp_path: Path) -> None:
    (tmp_path / "key.json").write_text("{}")
    done = run("init", *options(world, **{"key-file": tmp_path / "key.json"}))
    assert done.returncode == 1
    assert "key.json" in done.stderr


def test_what_would_be_no_valid_configuration_is_not_written(run: Run, place: Path, world: World) -> None:
    done = run("init", *options(world, issuer="http://login.acme.example"))
    assert done.returncode == 2
    assert "https://" in done.stderr
    assert files(place) == {}
    shared = run("init", *options(world, issuer="https://token.actions.githubusercontent.com"))
    assert "mints tokens for anyone" in shared.stderr


def test_solo_signs_one_person_in_with_google(run: Run, place: Path, tmp_path: Path) -> None:
    done = run(
        "init", "--solo", "--client-id", "12.apps.googleusercontent.com", "--client-secret", "GOCSPX-x",
        "--email", "you@acme.example", "--project", "acme-dev", "--credential", "impersonation",
        "--service-account", "bq@acme-dev.iam.gserviceaccount.com", "--no-check",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    config = load(place / "hoop.yaml")
    [issuer] = config.identity.issuers
    assert issuer.issuer == "https://accounts.google.com"
    assert issuer.require == {"email": ("you@acme.example",)}
    assert issuer.groups == {"you@acme.example": ("analysts",)}
    assert config.connections[0].credential.type == "impersonation"
    client = tmp_path / "home/.config/hoop-mitm/client.yaml"
    profile = load_profile(client)
    assert profile.parameters == {"access_type": "offline", "prompt": "consent"}
    assert "GOCSPX" not in repr(profile)
    assert client.stat().st_mode & 0o777 == 0o600
    assert "GOCSPX" not in (place / "hoop.yaml").read_text()


def test_whatever_is_answered_stays_a_text(run: Run, place: Path, world: World) -> None:
    """YAML reads `no`, `1.0` and `: ` as something else; what was answered is what stands there."""
    done = run("init", *options(world, **{"client-id": 'no: "1.0" # x'}), "--no-check")
    assert done.returncode == 0, done.stderr
    assert load(place / "hoop.yaml").identity.issuers[0].audiences == ('no: "1.0" # x',)


def test_on_a_terminal_it_asks(tmp_path: Path, place: Path, world: World) -> None:
    import pty

    main, follower = pty.openpty()
    environment = {**os.environ, "HOME": str(tmp_path / "home"), "TERM": "dumb"}
    chosen = options(
        world, **{"issuer": None, "client-id": None, "project": None, "credential": None, "key-file": None}
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "hoop_mitm.cli", "init", *map(str, chosen)],
        cwd=place, env=environment, stdin=follower, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    for answer in (world.issuer.url, CLIENT_ID, world.project, "service_account", str(world.service_account_key)):
        os.write(main, answer.encode() + b"\n")
    _, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    assert "How does the gateway reach Google?" in err
    assert load(place / "hoop.yaml").connections[0].projects == (world.project,)


def test_somebody_elses_hoop_yaml_gets_a_client_file(run: Run, place: Path, world: World, tmp_path: Path) -> None:
    (tmp_path / "gateway").mkdir()
    gateway = RunningGateway(world, tmp_path / "gateway")
    done = run("init", "--config", gateway.config_file)
    assert done.returncode == 0, done.stderr
    profile = load_profile(tmp_path / "home/.config/hoop-mitm/client.yaml")
    assert profile.gateway.url == gateway.url
    assert json.loads(run("ca", "show", "--config", gateway.config_file, "--json").stdout)["cert"] == str(
        profile.authority
    )


def test_then_login_works_with_what_it_wrote(run: Run, place: Path, world: World, tmp_path: Path) -> None:
    assert run("init", *options(world)).returncode == 0
    environment = {**os.environ, "HOME": str(tmp_path / "home")}
    command = [sys.executable, "-m", "hoop_mitm.cli", "login", "--device", "--store", "file"]
    process = subprocess.Popen(command, cwd=place, env=environment, stderr=subprocess.PIPE, text=True)
    assert process.stderr
    line = process.stderr.readline()
    world.issuer.approve(re.search(r"[A-Z]{4}-[A-Z]{4}", line)[0], "alice")
    _, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    assert "Signed in as alice@acme.example" in err
    assert run("token").stdout.startswith("eyJ")


def test_laptops_of_other_tests_are_like_those_that_it_makes(run: Run, world: World, tmp_path: Path) -> None:
    """The client file that other tests write by hand says what `init` would."""
    assert run("init", *options(world), "--no-check").returncode == 0
    made = load_profile(tmp_path / "home/.config/hoop-mitm/client.yaml")
    (tmp_path / "by-hand").mkdir()
    (tmp_path / "gateway").mkdir()
    by_hand = Laptop(tmp_path / "by-hand", RunningGateway(world, tmp_path / "gateway")).profile
    for name in ("issuer", "client_id", "ca", "scopes", "claims", "connections"):
        assert getattr(made, name) == getattr(by_hand, name), name
