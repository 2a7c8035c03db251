"""``hoop-mitm run`` where a company's own proxy was set before: the gateway that it starts goes out through that."""

import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from hoop_mitm.devkit.world import World
from tests.clients.clients import DRIVERS
from tests.gateways import RunningGateway
from tests.laptops import Laptop
from tests.test_upstream_proxy import Company

PYTHON = [sys.executable, DRIVERS / "python_rest.py", "query", "SELECT COUNT(*) AS n FROM shop.orders"]
PASSWORD = "s3cret-proxy-password"


@pytest.fixture(scope="module")
def company(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Company]:
    with Company(world, tmp_path_factory.mktemp("company")) as running:
        yield running


@pytest.fixture
def laptop(tmp_path: Path, world: World, company: Company) -> Iterator[Laptop]:
    """Signed in; no gateway runs, and nothing but the company's proxy knows the way to Google."""
    (tmp_path / "gateway").mkdir()
    gateway = RunningGateway(world, tmp_path / "gateway")
    yaml = YAML()
    document = yaml.load(gateway.config_file)
    # The proxy opens TLS, as many do: its authority is named by the environment, as companies do.
    document["gateway"]["upstream"] = {"no_proxy": ["127.0.0.1"]}
    yaml.dump(document, gateway.config_file)
    made = Laptop(tmp_path, gateway)
    made.sign_in()
    made.environment |= {
        "HTTPS_PROXY": f"http://acme:{PASSWORD}@127.0.0.1:{company.port}",
        "NO_PROXY": "127.0.0.1,intranet.acme.example",
        "REQUESTS_CA_BUNDLE": str(company.confdir / "mitmproxy-ca-cert.pem"),
    }
    yield made
    made.stop_gateways()


def test_what_the_gateway_asks_google_goes_through_it(laptop: Laptop, company: Company) -> None:
    done = laptop.hoop("run", "--", *PYTHON)

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["rows"] == [{"n": 900}], done.stdout
    assert {"bigquery.googleapis.com", "oauth2.googleapis.com"} <= company.seen
    assert "does not use the proxy" not in done.stderr


def test_the_proxys_password_is_for_the_gateway_and_its_owner_alone(laptop: Laptop) -> None:
    printed = "import json, os; print(json.dumps(dict(os.environ)))"
    done = laptop.hoop("run", "-q", "--", sys.executable, "-c", printed)
    seen = json.loads(done.stdout)
    assert seen["HTTPS_PROXY"] == laptop.gateway.url
    # hoop-mitm's own sign-in goes the way that it went before.
    assert [name for name, value in seen.items() if PASSWORD in value] == ["HOOP_CHAINED_PROXY"]
    assert PASSWORD not in done.stderr
    modes = set()
    for file in laptop.home.rglob("*"):
        # The gateway is at work in there.
        with contextlib.suppress(FileNotFoundError):
            if file.is_file() and PASSWORD.encode() in file.read_bytes():
                modes.add((file.name, file.stat().st_mode & 0o777))
    assert modes == {("hoop.yaml", 0o600), ("token", 0o700)}
    assert not any(PASSWORD in " ".join(process.cmdline()) for process in laptop.gateways())


def test_a_gateway_that_runs_without_it_is_told_of(tmp_path: Path, gateway: RunningGateway, company: Company) -> None:
    laptop = Laptop(tmp_path, gateway)
    laptop.sign_in()
    proxy = f"http://acme:{PASSWORD}@127.0.0.1:{company.port}"

    done = laptop.hoop("run", "-q", "--", "true", HTTPS_PROXY=proxy)

    assert done.returncode == 0
    assert f"does not use the proxy that was set here (127.0.0.1:{company.port})" in done.stderr
    assert "gateway.upstream.proxy" in done.stderr
    assert PASSWORD not in done.stderr


def test_a_proxy_of_a_kind_that_cannot_be_chained_is_refused(laptop: Laptop) -> None:
    del laptop.environment["HTTPS_PROXY"]
    done = laptop.hoop("run", "--", "true", ALL_PROXY="socks5://127.0.0.1:1080")
    assert done.returncode == 2
    assert "of the kind socks5" in done.stderr
