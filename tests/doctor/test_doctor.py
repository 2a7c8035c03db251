"""`hoop-mitm doctor` finds what is wrong, each thing by its name, and nothing where nothing is.

The gateway, the login, the clients and the clock are real; each fault is planted in a machine that was healthy.
"""

import json
import os
import shlex
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from hoop_mitm.certs import ensure_ca, read_ca
from hoop_mitm.client import combined_bundle
from hoop_mitm.devkit.gateway_process import free_port
from hoop_mitm.devkit.world import World
from hoop_mitm.doctor import Patient, examine, sign_in
from tests.gateways import RunningGateway
from tests.laptops import Laptop

KEY = {"type": "service_account", "client_email": "x@y", "private_key": "-----BEGIN PRIVATE KEY-----"}
USER = {"type": "authorized_user", "refresh_token": "x"}


@pytest.fixture(scope="module")
def federated(world: World) -> Iterator[RunningGateway]:
    """A gateway that holds no key: with it a set-up can be healthy in every way. Others can get to its directory."""
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)
        with RunningGateway(world, Path(place), credential="federation") as running:
            for directory in (running.config.gateway.state, running.config.gateway.certs):
                directory.chmod(0o755)
            yield running


@dataclass
class Case:
    """A machine, and what a fault needs of it."""

    laptop: Laptop
    world: World
    variables: dict[str, str] = field(default_factory=dict)
    arguments: list[str | Path] = field(default_factory=list)
    undo: list[Callable[[], object]] = field(default_factory=list)

    @property
    def home(self) -> Path:
        return self.laptop.home

    def in_this_shell(self) -> dict[str, str]:
        """As after `eval "$(hoop-mitm env)"`."""
        done = self.laptop.hoop("env", "--shell", "json")
        assert done.returncode == 0, done.stderr
        self.variables |= {name: value for name, value in json.loads(done.stdout).items() if value is not None}
        return self.variables

    def diagnosis(self) -> tuple[int, list[dict[str, str]]]:
        done = self.laptop.hoop("doctor", "--json", *self.arguments, **self.variables)
        assert done.stderr == ""
        return done.returncode, json.loads(done.stdout)["findings"]


def without_gcloud(place: Path) -> str:
    """A ``PATH`` with all that is needed but gcloud, which takes seconds to say anything."""
    place.mkdir(parents=True)
    for name in ("sh", "id", "touch", "node"):
        if found := shutil.which(name):
            (place / name).symlink_to(found)
    # A link would be a Python without the environment that it stands in.
    (place / "python3").write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
    (place / "python3").chmod(0o755)
    return str(place)


@pytest.fixture
def case(tmp_path: Path, federated: RunningGateway, world: World, request: pytest.FixtureRequest) -> Iterator[Case]:
    laptop = Laptop(tmp_path / "home", federated)
    laptop.sign_in()
    if "gcloud" not in request.node.name and "healthy" not in request.node.name:
        laptop.environment["PATH"] = without_gcloud(tmp_path / "bin")
    made = Case(laptop, world)
    yield made
    for undo in made.undo:
        undo()


def put(path: Path, document: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))


def roots_only(case: Case) -> str:
    """A bundle as the machine had it before the gateway came."""
    return str(combined_bundle(case.home / "roots.pem", None, {}))


@pytest.mark.parametrize("shell", ["plain", pytest.param("env", marks=pytest.mark.exhaustive), "set up"])
def test_a_healthy_set_up_has_nothing_wrong(case: Case, shell: str) -> None:
    if shell == "env":
        case.in_this_shell()
    if shell == "set up":
        put(case.home / ".cursor" / "mcp.json", {"mcpServers": {"bigquery": {"command": "x"}}})
        assert case.laptop.hoop("setup", "cursor", "--yes").returncode == 0
    assert case.diagnosis() == (0, [])


# Each plants one fault.


def no_gateway(case: Case) -> None:
    port = free_port()
    ca = case.laptop.gateway.config.gateway.certs / "mitmproxy-ca-cert.pem"
    again = Laptop(case.home, case.laptop.gateway, {"gateway": {"url": f"http://127.0.0.1:{port}", "ca": str(ca)}})
    case.laptop = again


def a_stranger(case: Case) -> None:
    other = ensure_ca(case.home / "other", ["bigquery.googleapis.com"])
    gateway = {"url": case.laptop.gateway.url, "ca": str(other.cert)}
    case.laptop = Laptop(case.home, case.laptop.gateway, {"gateway": gateway})


def no_authority(case: Case) -> None:
    gateway = {"url": case.laptop.gateway.url, "ca": str(case.home / "nowhere.pem")}
    case.laptop = Laptop(case.home, case.laptop.gateway, {"gateway": gateway})


def wrong_configuration(case: Case) -> None:
    (case.home / "hoop.yaml").write_text("version: 1\nconections: []\n")
    case.arguments = ["--config", case.home / "hoop.yaml"]


def not_signed_in(case: Case) -> None:
    shutil.rmtree(case.laptop.state)


def login_over(case: Case) -> None:
    case.laptop.sign_in(lifetime=timedelta(minutes=-5))


def upper_case_only(case: Case) -> None:
    case.in_this_shell()
    del case.variables["https_proxy"], case.variables["grpc_proxy"]


def proxies_differ(case: Case) -> None:
    case.in_this_shell()["https_proxy"] = "http://127.0.0.1:9"


def no_proxy_for_google(case: Case) -> None:
    case.in_this_shell()["no_proxy"] = "localhost,.googleapis.com"


def emulator(case: Case) -> None:
    case.in_this_shell()["BIGQUERY_EMULATOR_HOST"] = "http://127.0.0.1:9050"


def executables_forbidden(case: Case) -> None:
    del case.in_this_shell()["GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES"]


def credentials_file_gone(case: Case) -> None:
    case.in_this_shell()["GOOGLE_APPLICATION_CREDENTIALS"] = "/nowhere.json"


def requests_distrusts(case: Case) -> None:
    case.in_this_shell()["REQUESTS_CA_BUNDLE"] = roots_only(case)


def grpc_distrusts(case: Case) -> None:
    case.in_this_shell()["GRPC_DEFAULT_SSL_ROOTS_FILE_PATH"] = roots_only(case)


def node_distrusts(case: Case) -> None:
    case.in_this_shell()["NODE_EXTRA_CA_CERTS"] = roots_only(case)


def go_distrusts(case: Case) -> None:
    case.in_this_shell()["SSL_CERT_FILE"] = roots_only(case)


def gcloud_distrusts(case: Case) -> None:
    if not shutil.which("gcloud"):
        pytest.skip("gcloud is not on this machine")
    variables = case.in_this_shell()
    variables["CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE"] = roots_only(case)
    variables["REQUESTS_CA_BUNDLE"] = roots_only(case)


def application_default(case: Case) -> None:
    put(case.home / ".config" / "gcloud" / "application_default_credentials.json", USER)


def gcloud_login(case: Case) -> None:
    directory = case.home / ".config" / "gcloud"
    directory.mkdir(parents=True)
    with sqlite3.connect(directory / "credentials.db") as database:
        database.execute("CREATE TABLE credentials (account_id TEXT PRIMARY KEY, value BLOB)")
        database.execute("INSERT INTO credentials VALUES ('alice@acme.example', ?)", [json.dumps(USER)])
    database.close()


def key_in_a_variable(case: Case) -> None:
    put(case.home / "elsewhere" / "key.json", KEY)
    case.variables["GOOGLE_APPLICATION_CREDENTIALS"] = str(case.home / "elsewhere" / "key.json")


def key_in_downloads(case: Case) -> None:
    put(case.home / "Downloads" / "acme-analytics-0123.json", KEY)


def bq_credential(case: Case) -> None:
    (case.home / ".bigqueryrc").write_text("service_account_credential_file = /home/me/key.json\n")


def metadata_server(case: Case) -> None:
    case.variables["GCE_METADATA_HOST"] = "127.0.0.1:9"


def servers_own_key(case: Case) -> None:
    entry = {"command": "mcp-server-bigquery", "args": ["--key-file", "/k.json"]}
    put(case.home / ".cursor" / "mcp.json", {"mcpServers": {"bigquery": entry}})


def gateways_key_readable(case: Case) -> None:
    directory = case.home / "keyed"
    directory.mkdir()
    keyed = RunningGateway(case.world, directory, credential="service_account")
    case.arguments = ["--config", keyed.config_file]


def signing_key_exposed(case: Case) -> None:
    keys = (file for file in case.laptop.gateway.config.gateway.state.rglob("*") if file.is_file())
    key = next(file for file in keys if b"PRIVATE KEY" in file.read_bytes())
    key.chmod(0o644)
    case.undo.append(lambda: key.chmod(0o600))


def edited_settings(case: Case) -> None:
    file = case.home / ".cursor" / "mcp.json"
    put(file, {"mcpServers": {"bigquery": {"command": "x"}}})
    assert case.laptop.hoop("setup", "cursor", "--yes").returncode == 0
    document = json.loads(file.read_text())
    del document["mcpServers"]["bigquery"]["env"]["HTTPS_PROXY"]
    put(file, document)


def stale_settings(case: Case) -> None:
    put(case.home / ".cursor" / "mcp.json", {"mcpServers": {"bigquery": {"command": "x"}}})
    assert case.laptop.hoop("setup", "cursor", "--yes").returncode == 0
    (case.laptop.state / "editors" / "acme" / "credentials.json").unlink()


def settings_before_a_renewal(case: Case) -> None:
    put(case.home / ".cursor" / "mcp.json", {"mcpServers": {"bigquery": {"command": "x"}}})
    # With a root of its own the machine does not use the gateway's bundle, which is renewed with its authority.
    other = ensure_ca(case.home / "company", ["intranet.example.com"])
    assert case.laptop.hoop("setup", "cursor", "--yes", REQUESTS_CA_BUNDLE=str(other.cert)).returncode == 0
    combined_bundle(case.laptop.state / "editors" / "acme" / "bundle.pem", None, {})


@pytest.mark.parametrize(
    ("fault", "found", "level"),
    [
        (no_gateway, "gateway.down", "broken"),
        (a_stranger, "gateway.stranger", "broken"),
        (no_authority, "authority.missing", "broken"),
        pytest.param(wrong_configuration, "config.invalid", "broken", marks=pytest.mark.exhaustive),
        (not_signed_in, "login.none", "broken"),
        pytest.param(login_over, "login.none", "broken", marks=pytest.mark.exhaustive),
        pytest.param(upper_case_only, "variables.upper_case_only", "broken", marks=pytest.mark.exhaustive),
        pytest.param(proxies_differ, "variables.proxies_differ", "broken", marks=pytest.mark.exhaustive),
        (no_proxy_for_google, "variables.no_proxy", "broken"),
        (emulator, "variables.bypass", "broken"),
        pytest.param(executables_forbidden, "variables.executables", "broken", marks=pytest.mark.exhaustive),
        pytest.param(credentials_file_gone, "variables.no_credentials", "broken", marks=pytest.mark.exhaustive),
        pytest.param(requests_distrusts, "trust.requests_ca_bundle", "broken", marks=pytest.mark.exhaustive),
        (grpc_distrusts, "trust.grpc_default_ssl_roots_file_path", "broken"),
        (node_distrusts, "trust.node_extra_ca_certs", "broken"),
        pytest.param(go_distrusts, "trust.ssl_cert_file", "warning", marks=pytest.mark.exhaustive),
        (gcloud_distrusts, "trust.cloudsdk_core_custom_ca_certs_file", "broken"),
        (application_default, "leftover.application_default", "warning"),
        pytest.param(gcloud_login, "leftover.gcloud", "warning", marks=pytest.mark.exhaustive),
        (key_in_a_variable, "leftover.variable", "broken"),
        pytest.param(key_in_downloads, "leftover.key_file", "warning", marks=pytest.mark.exhaustive),
        pytest.param(bq_credential, "leftover.bigqueryrc", "warning", marks=pytest.mark.exhaustive),
        pytest.param(metadata_server, "leftover.metadata", "warning", marks=pytest.mark.exhaustive),
        pytest.param(servers_own_key, "settings.own_key", "warning", marks=pytest.mark.exhaustive),
        pytest.param(gateways_key_readable, "secret.google_key", "warning", marks=pytest.mark.exhaustive),
        (signing_key_exposed, "secret.signing_key", "broken"),
        pytest.param(edited_settings, "settings.changed", "warning", marks=pytest.mark.exhaustive),
        (stale_settings, "settings.stale", "broken"),
        pytest.param(settings_before_a_renewal, "settings.stale", "broken", marks=pytest.mark.exhaustive),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_each_planted_fault_is_found_with_its_remedy(
    case: Case, fault: Callable[[Case], None], found: str, level: str
) -> None:
    fault(case)

    status, findings = case.diagnosis()

    assert [(finding["id"], finding["level"]) for finding in findings if finding["id"] == found] == [(found, level)]
    others = {finding["id"] for finding in findings} - {found}
    assert others <= ALSO.get(fault.__name__, set()), "nothing else is wrong"
    assert status == int(level == "broken")
    assert all(finding[part] for finding in findings for part in ("what", "why", "remedy"))
    assert "PRIVATE KEY" not in json.dumps(findings)


#: What a fault also breaks.
ALSO = {"gcloud_distrusts": {"trust.requests_ca_bundle"}}


def test_a_gateway_that_stopped_is_told_from_one_elsewhere(tmp_path: Path, world: World) -> None:
    directory = tmp_path / "gateway"
    directory.mkdir()
    gateway = RunningGateway(world, directory, credential="federation")
    ensure_ca(gateway.config.gateway.certs, ["bigquery.googleapis.com"])
    laptop = Laptop(tmp_path / "home", gateway)
    laptop.sign_in()
    done = laptop.hoop("doctor", "--json")
    [finding] = json.loads(done.stdout)["findings"]
    assert finding["id"] == "gateway.down"
    assert "hoop-mitm setup cursor --service" in finding["remedy"]


@pytest.mark.parametrize(
    ("moved", "found"),
    [
        (timedelta(0), {}),
        (timedelta(seconds=40), {"clock.skew": "warning"}),
        (timedelta(seconds=-40), {"clock.skew": "warning"}),
        (timedelta(minutes=10), {"clock.skew": "broken"}),
        (timedelta(minutes=-10), {"clock.skew": "broken"}),
        (timedelta(days=89), {"clock.skew": "broken", "login.none": "broken", "authority.expiring": "warning"}),
        (timedelta(days=100), {"clock.skew": "broken", "login.none": "broken", "authority.expired": "broken"}),
    ],
    ids=str,
)
def test_a_clock_that_is_wrong_and_an_authority_near_its_end_are_seen(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moved: timedelta, found: dict[str, str]
) -> None:
    monkeypatch.setattr(os, "environ", case.laptop.environment)
    ca = read_ca(case.laptop.gateway.config.gateway.certs)
    assert ca
    assert ca.expires_at - datetime.now(UTC) > timedelta(days=89, hours=12)
    # It goes on while it is looked at, which may take its time.
    patient = Patient(
        case.laptop.profile,
        case.laptop.client_file,
        tmp_path,
        case.laptop.environment,
        clock=lambda: time.time() + moved.total_seconds(),
    )
    seen = {
        finding.id: finding.level
        for examined in examine(patient)
        if examined.name in ("login", "clock", "authority")
        for finding in examined.findings
    }
    assert seen == found


def test_an_issuer_that_is_slow_is_none_with_another_clock(case: Case, tmp_path: Path) -> None:
    times = iter([time.time(), time.time() + 100])
    patient = Patient(
        case.laptop.profile, case.laptop.client_file, tmp_path, case.laptop.environment, clock=lambda: next(times)
    )
    assert list(sign_in.clock(patient)) == []


def test_at_a_gateway_where_nobody_signs_in_its_own_side_is_looked_at(case: Case, federated: RunningGateway) -> None:
    case.laptop.client_file.unlink()
    case.arguments = ["--config", federated.config_file]
    assert case.diagnosis() == (0, [])
    signing_key_exposed(case)
    status, findings = case.diagnosis()
    assert (status, [finding["id"] for finding in findings]) == (1, ["secret.signing_key"])


def test_without_a_client_file_it_says_how_to_get_one(case: Case) -> None:
    case.laptop.client_file.unlink()
    done = case.laptop.hoop("doctor")
    assert done.returncode == 2
    assert "hoop-mitm init" in done.stderr


def test_a_question_that_is_refused_says_so(case: Case) -> None:
    case.laptop = Laptop(case.home, case.laptop.gateway, {"connections": {"acme": ["other-project"]}})
    status, findings = case.diagnosis()
    assert status == 1
    assert {finding["id"] for finding in findings} == {"query.refused"}
    assert "other-project" in findings[0]["what"]


def test_for_people_each_finding_has_what_why_and_remedy(case: Case) -> None:
    case.variables["GCE_METADATA_HOST"] = "127.0.0.1:9"
    done = case.laptop.hoop("doctor", **case.variables)
    assert done.returncode == 0, "warnings only"
    assert "  !  GCE_METADATA_HOST is set" in done.stdout
    assert "→ unset GCE_METADATA_HOST" in done.stdout
    assert "  ok the gateway answers, and is yours" in done.stdout
    assert "not checked" in done.stdout


def test_nothing_is_changed_by_looking(case: Case) -> None:
    def files() -> set[str]:
        return {str(path) for path in case.home.rglob("*")}

    before = files()
    subprocess.run(case.laptop.command("doctor"), env=case.laptop.environment, capture_output=True, check=False)
    # The login's lock file is not the doctor's; nothing else is new.
    assert {path for path in files() - before if "lock" not in path} == set()
