"""A company's own proxy, which intercepts TLS and wants a password, between the gateway and Google."""

import contextlib
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest
from ruamel.yaml import YAML

from hoop_mitm.config import split_host_port
from hoop_mitm.devkit.gateway_process import free_port
from hoop_mitm.devkit.world import World
from tests.attacks.raw import Raw, bigquery
from tests.gateways import RunningGateway
from tests.waiting import until

REDIRECT = """
HOSTS = {hosts!r}
def http_connect(flow):
    print("CONNECT", flow.request.host, flush=True)
def running():
    print("RUNNING", flush=True)
def server_connect(data):
    if target := HOSTS.get(data.server.address[0]):
        host, _, port = target.rpartition(":")
        data.server.address = (host, int(port))
"""


class Company:
    """An ordinary mitmdump in the role of the company's proxy."""

    def __init__(self, world: World, directory: Path) -> None:
        self.port = free_port()
        self.confdir = directory / "company"
        self.log = directory / "company.log"
        script = directory / "redirect.py"
        script.write_text(REDIRECT.format(hosts=world.hosts))
        options = {
            "confdir": self.confdir,
            "ssl_verify_upstream_trusted_ca": world.ca,
            "connection_strategy": "lazy",
            "proxyauth": "acme:s3cret-proxy-password",
        }
        settings = [argument for name, value in options.items() for argument in ("--set", f"{name}={value}")]
        run = "from mitmproxy.tools.main import mitmdump; mitmdump()"
        self.command = [sys.executable, "-c", run, "-s", str(script), "--listen-host", "127.0.0.1"]
        self.command += ["--listen-port", str(self.port), *settings]

    def __enter__(self) -> Self:
        self.process = subprocess.Popen(self.command, stdout=self.log.open("w"), stderr=subprocess.STDOUT)
        until(lambda: "RUNNING" in self.log.read_text() and self._listens())
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()

    def _listens(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=60).close()
        except OSError:
            return False
        return True

    @property
    def seen(self) -> set[str]:
        return {line.split()[-1] for line in self.log.read_text().splitlines() if line.startswith("CONNECT")}


@pytest.fixture(scope="module")
def company(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Company]:
    with Company(world, tmp_path_factory.mktemp("company")) as running:
        yield running


@pytest.fixture(scope="module")
def behind(company: Company, world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    proxy = f"http://acme:s3cret-proxy-password@127.0.0.1:{company.port}"
    upstream = {"proxy": proxy, "ca": company.confdir / "mitmproxy-ca-cert.pem"}
    settings = {"upstream": upstream, "endpoint": f"127.0.0.1:{free_port()}"}
    gateway = RunningGateway(world, tmp_path_factory.mktemp("behind"), gateway=settings)
    # Nothing but the proxy knows the way.
    yaml = YAML()
    document = yaml.load(gateway.config_file)
    del document["gateway"]["upstream"]["hosts"]
    yaml.dump(document, gateway.config_file)
    with gateway as running:
        yield running


def test_queries_and_credentials_go_through_it(behind: RunningGateway, company: Company, world: World) -> None:
    with bigquery(behind.process.address, behind.config.gateway.certs / "bundle.pem") as raw:
        body = {"query": "SELECT COUNT(*) AS n FROM shop.orders", "useLegacySql": False}
        for _ in range(2):
            answer = raw.request(
                "POST", "/bigquery/v2/projects/acme/queries", token=world.issuer.token("alice"), body=body
            )
            assert (answer.status, "rows" in json.loads(answer.body)) == (200, True), answer
    assert {"bigquery.googleapis.com", "oauth2.googleapis.com"} <= company.seen


def test_the_endpoint_goes_through_it_too_and_gives_its_password_to_nobody_else(
    behind: RunningGateway, company: Company, world: World
) -> None:
    endpoint, alice = behind.config.gateway.endpoint, world.issuer.token("alice")
    assert endpoint
    before = len(world.bigquery.requests())
    seen = len(company.log.read_text())
    with Raw(split_host_port(endpoint), behind.config.gateway.certs / "bundle.pem") as raw:
        body = {"query": "SELECT COUNT(*) AS n FROM shop.orders", "useLegacySql": False}
        answer = raw.request("POST", "/bigquery/v2/projects/acme/queries", host=endpoint, token=alice, body=body)
        assert (answer.status, "rows" in json.loads(answer.body)) == (200, True), answer
        # What is streamed is let go at its headers.
        path = "/upload/bigquery/v2/projects/acme/jobs?uploadType=resumable&upload_id=nobodys"
        assert raw.request("PUT", path, host=endpoint, token=alice, body=b"{}").status == 403
    [request] = world.bigquery.requests()[before:]
    assert request.who == "hoop-gateway@acme.iam.gserviceaccount.com"
    assert "CONNECT bigquery.googleapis.com" in company.log.read_text()[seen:]


def test_its_password_is_in_no_log_and_no_record(behind: RunningGateway) -> None:
    behind.folded().close()
    files = [behind.log, *(path for path in behind.recordings.rglob("*") if path.is_file())]
    for file in files:
        # The gateway runs, and removes some meanwhile.
        with contextlib.suppress(FileNotFoundError):
            assert b"s3cret-proxy-password" not in file.read_bytes(), file


def test_who_is_not_known_goes_no_further(behind: RunningGateway, world: World) -> None:
    before = len(world.bigquery.requests())
    with bigquery(behind.process.address, behind.config.gateway.certs / "bundle.pem") as raw:
        assert raw.request("GET", "/bigquery/v2/projects/acme/datasets", token="nobody").status == 403
    assert len(world.bigquery.requests()) == before


@pytest.mark.parametrize("target", ["169.254.169.254", "127.0.0.1", "10.0.0.1", "[::1]"])
def test_private_addresses_are_not_tunnelled_to_the_company_either(target: str, behind: RunningGateway) -> None:
    with Raw(behind.process.address, behind.config.gateway.certs / "bundle.pem") as raw:
        assert raw.connect(target, 80).status == 403
