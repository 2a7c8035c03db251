"""Each dangerous option, set in each way that it can be set."""

from pathlib import Path

import pytest

from hoop_mitm.devkit.world import World
from hoop_mitm.errors import SandboxError
from tests.attacks.options import DANGEROUS
from tests.attacks.raw import bigquery
from tests.gateways import RunningGateway
from tests.waiting import until

HERE = Path(__file__).parent


def settings(rows: list[tuple[str, str]]) -> list[str]:
    return [argument for name, value in rows for argument in ("--set", f"{name}={value}")]


def refuses_to_start(gateway: RunningGateway) -> str:
    """What it wrote to its log before it ended."""
    with pytest.raises(SandboxError, match="did not start"):
        gateway.process.start()
    gateway.process.stop()
    return gateway.log.read_text()


@pytest.fixture
def idle(world: World, tmp_path: Path) -> RunningGateway:
    return RunningGateway(world, tmp_path, "mitmdump")


@pytest.mark.parametrize(
    ("option", "value"), [("ssl_insecure", "true"), ("ignore_hosts", "bigquery"), ("mode", "socks5")]
)
def test_set_on_the_command_line_nothing_starts(option: str, value: str, world: World, tmp_path: Path) -> None:
    gateway = RunningGateway(world, tmp_path, "mitmdump", settings([(option, value)]))
    assert option in refuses_to_start(gateway)


def test_set_in_config_yaml_nothing_starts(world: World, tmp_path: Path) -> None:
    confdir = tmp_path / "mitmproxy"
    confdir.mkdir()
    (confdir / "config.yaml").write_text("ignore_hosts: ['bigquery']\n")
    gateway = RunningGateway(world, tmp_path, "mitmdump", ["--set", f"confdir={confdir}"])
    assert "ignore_hosts" in refuses_to_start(gateway)


def test_at_run_time_every_change_is_taken_back(world: World, tmp_path: Path) -> None:
    """A script of somebody's sets each option while mitmdump runs, and writes down what became of it."""
    script, found = tmp_path / "setter.py", tmp_path / "found"
    script.write_text(
        f"""
import asyncio
from pathlib import Path
from mitmproxy import ctx, exceptions

async def running():
    asyncio.create_task(change())

async def change():
    await asyncio.sleep(1)
    lines = []
    for name, value in {DANGEROUS!r}:
        before = getattr(ctx.options, name)
        try:
            ctx.options.set(f"{{name}}={{value}}")
            outcome = "took it"
        except exceptions.OptionsError:
            outcome = "refused"
        lines.append(f"{{name}} {{outcome}} {{before == getattr(ctx.options, name)}}")
    Path({str(found)!r}).with_suffix(".part").write_text("\\n".join(lines) + "\\n")
    Path({str(found)!r}).with_suffix(".part").rename({str(found)!r})
"""
    )
    with RunningGateway(world, tmp_path, "mitmdump", ["-s", str(script)]) as gateway:
        _wait_for(found)
        assert found.read_text().splitlines() == [f"{name} refused True" for name, _ in DANGEROUS]
        with bigquery(gateway.process.address, gateway.config.gateway.certs / "bundle.pem") as raw:
            answer = raw.request(
                "POST",
                "/bigquery/v2/projects/acme/queries",
                token=world.issuer.token("alice"),
                body={"query": "SELECT 1 AS one", "useLegacySql": False},
            )
            assert answer.status == 200


@pytest.mark.parametrize("damage", ["broken", "saved again", "deleted"])
def test_whatever_becomes_of_the_script_the_gateway_stands(damage: str, world: World, tmp_path: Path) -> None:
    """mitmdump reloads a script that changes, and goes on without it when that fails: as an open proxy, if we let it."""
    script = tmp_path / "hoop.py"
    script.write_bytes((HERE.parents[1] / "addons" / "hoop.py").read_bytes())
    gateway = RunningGateway(world, tmp_path, "mitmdump")
    process = gateway.process
    command = [script if str(part).endswith("addons/hoop.py") else part for part in process._command]
    process._command = [str(part) for part in command]
    with gateway:
        match damage:
            case "broken":
                script.write_text("this is not Python")
            case "saved again":
                script.touch()
            case "deleted":
                script.unlink()
        _wait_for_reload(gateway, damage)
        bundle = gateway.config.gateway.certs / "bundle.pem"
        before = len(world.bigquery.requests())
        with bigquery(process.address, bundle) as raw:
            refused = raw.request("GET", "/bigquery/v2/projects/acme/datasets", token="ya29.mine")
        assert refused.status == 403
        assert len(world.bigquery.requests()) == before
        with bigquery(process.address, bundle) as raw:
            fine = raw.request("GET", "/bigquery/v2/projects/acme/datasets", token=world.issuer.token("alice"))
        assert fine.status == 200


def test_a_wrong_configuration_starts_nothing(world: World, tmp_path: Path) -> None:
    gateway = RunningGateway(world, tmp_path, "mitmdump")
    gateway.config_file.write_text(gateway.config_file.read_text().replace("projects:", "project:"))
    said = refuses_to_start(gateway)
    assert "hoop.yaml" in said
    assert "projects" in said


def test_beyond_loopback_an_open_tunnel_is_refused(world: World, tmp_path: Path) -> None:
    gateway = RunningGateway(world, tmp_path, "mitmdump", ["--listen-host", "0.0.0.0"])
    assert "open proxy" in refuses_to_start(gateway)


def test_our_own_entry_point_takes_no_script(world: World, tmp_path: Path) -> None:
    script = tmp_path / "other.py"
    script.write_text("")
    gateway = RunningGateway(world, tmp_path, "proxy", ["-s", str(script)])
    assert "script" in refuses_to_start(gateway)


def _wait_for(path: Path) -> None:
    until(path.exists)


def _wait_for_reload(gateway: RunningGateway, damage: str) -> None:
    words = {"broken": "error", "saved again": "Loading script", "deleted": "Removing script"}[damage]
    at_least = 2 if damage == "saved again" else 1
    until(lambda: gateway.log.read_text().count(words) >= at_least)
