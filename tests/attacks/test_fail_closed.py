"""Break every hook of every addon, one after the other, in a running mitmdump: nothing gets past unchecked."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from mitmproxy.addonmanager import traverse
from mitmproxy.hooks import all_hooks

from hoop_mitm.addons import gateway_addons
from hoop_mitm.addons.failsafe import LIFECYCLE
from hoop_mitm.addons.lockdown import Lockdown
from hoop_mitm.addons.services import Services
from hoop_mitm.config import load, split_host_port
from hoop_mitm.devkit.gateway_process import free_port
from hoop_mitm.devkit.world import World
from tests.attacks.raw import Got, Raw
from tests.gateways import RunningGateway

QUERIES = "/bigquery/v2/projects/acme/queries"
REQUEST_SIDE = ("http_connect", "next_layer", "server_connect", "requestheaders", "request")


def hooks_of_all_addons() -> list[str]:
    """Every hook, found by looking. A hook added tomorrow is a row tomorrow."""
    import tempfile

    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch, "hoop.yaml")
        file.write_text(
            "identity: {issuers: [{issuer: 'https://127.0.0.1:1', audiences: [x]}]}\n"
            "connections: [{name: acme, projects: [acme], credential: {type: adc}}]\n"
        )
        config = load(file)
        addons = traverse(gateway_addons(Services(config), Lockdown(config)))
        return sorted(
            f"{type(addon).__name__}.{hook}"
            for addon in addons
            for hook in all_hooks.keys() - LIFECYCLE
            if callable(getattr(addon, hook, None))
        )


@pytest.fixture(scope="module")
def breakable(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    directory = tmp_path_factory.mktemp("breakable")
    (directory / "break").write_text("")
    os.environ["BREAK"] = str(directory / "break")
    try:
        breaker = ["-s", str(Path(__file__).parent / "breaker.py")]
        settings = {"endpoint": f"127.0.0.1:{free_port()}"}
        with RunningGateway(world, directory, "mitmdump", breaker, gateway=settings) as running:
            yield running
    finally:
        del os.environ["BREAK"]


def query(gateway: RunningGateway, token: str, marker: str, *headers: str) -> Got:
    with Raw(gateway.process.address, gateway.config.gateway.certs / "bundle.pem") as raw:
        answer = raw.connect()
        if answer.status != 200:
            return answer
        raw.tls()
        sql = {"query": f"SELECT '{marker}' AS marker", "useLegacySql": False}
        return raw.request("POST", QUERIES, token=token, body=sql, headers=headers)


def query_endpoint(gateway: RunningGateway, token: str, marker: str) -> Got:
    endpoint = gateway.config.gateway.endpoint
    assert endpoint
    with Raw(split_host_port(endpoint), gateway.config.gateway.certs / "bundle.pem") as raw:
        sql = {"query": f"SELECT '{marker}' AS marker", "useLegacySql": False}
        return raw.request("POST", QUERIES, host=endpoint, token=token, body=sql)


WAYS = {"by the proxy": query, "by the endpoint": query_endpoint}


def reached_upstream(world: World, since: int) -> int:
    return len(world.bigquery.requests()) - since


@pytest.mark.parametrize("way", WAYS)
def test_nothing_is_broken_without_a_reason(way: str, breakable: RunningGateway, world: World) -> None:
    """The control: unbroken, the same request is answered with its row."""
    answer = WAYS[way](breakable, world.issuer.token("alice"), "control")
    assert (answer.status, b"control" in answer.body) == (200, True)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("hook", hooks_of_all_addons())
def test_a_broken_hook_lets_nothing_through(hook: str, way: str, breakable: RunningGateway, world: World) -> None:
    if way == "by the endpoint" and hook.endswith(".http_connect"):
        pytest.skip("there is no CONNECT at the endpoint")
    marker = f"marker-{hook.replace('.', '-')}-{time.monotonic_ns()}"
    (breakable.directory / "break").write_text(hook)
    before = len(world.bigquery.requests())
    try:
        answer = WAYS[way](breakable, world.issuer.token("alice"), marker)
    finally:
        (breakable.directory / "break").write_text("")

    side = hook.partition(".")[2]
    if side in REQUEST_SIDE and not hook.startswith("TokenExchange."):
        assert reached_upstream(world, before) == 0
    if side != "error":
        assert answer.status != 200 or marker.encode() not in answer.body
        assert answer.status == 0 or "hoop-mitm" in answer.message


@pytest.mark.parametrize("hook", [hook for hook in hooks_of_all_addons() if hook.startswith("TokenExchange.")])
def test_a_broken_token_exchange_sends_no_token_on(hook: str, breakable: RunningGateway, world: World) -> None:
    (breakable.directory / "break").write_text(hook)
    before = len(world.google.requests())
    try:
        with Raw(breakable.process.address, breakable.config.gateway.certs / "bundle.pem") as raw:
            raw.connect("sts.googleapis.com")
            raw.tls("sts.googleapis.com")
            form = b"grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange&subject_token=x"
            answer = raw.request("POST", "/v1/token", host="sts.googleapis.com", body=form)
    finally:
        (breakable.directory / "break").write_text("")
    assert len(world.google.requests()) == before
    assert answer.status in (0, 400, 403)


def test_what_was_held_back_is_recorded_as_denied(breakable: RunningGateway, world: World) -> None:
    """Whichever stage failed on the way, and the guard too: nobody said no, but nobody may read that it was allowed."""
    hooks = [
        hook
        for hook in hooks_of_all_addons()
        # Without a ticket there is nothing to record.
        if hook.partition(".")[2] in ("requestheaders", "request") and not hook.startswith("Strip.")
    ]
    run = str(time.monotonic_ns())
    answers = {}
    for hook in hooks:
        (breakable.directory / "break").write_text(hook)
        answers[hook] = query(breakable, world.issuer.token("alice"), hook, f"User-Agent: {hook}/{run}")
    (breakable.directory / "break").write_text("")
    asked = f"SELECT user_agent, state, status, decision, rule, message FROM flows WHERE user_agent LIKE '%/{run}'"
    recorded = {agent.partition("/")[0]: row for agent, *row in breakable.ask(asked)}
    assert recorded == {
        hook: ["refused", 403, "deny", "internal.held_back", answers[hook].message]
        for hook in hooks
        # Those are answered, and not sent on, as a flow.
        if answers[hook].status
    }
    assert len(recorded) > 15
    told = breakable.ask("SELECT count(*) FROM events WHERE details LIKE '%internal.held_back%'")
    assert told[0][0] >= len(recorded)


def test_a_request_that_a_script_changed_is_held_back_and_recorded_so(world: World, tmp_path: Path) -> None:
    changer = ["-s", str(Path(__file__).parent / "changer.py")]
    with RunningGateway(world, tmp_path, "mitmdump", changer) as gateway:
        before = len(world.bigquery.requests())
        unchanged = query(gateway, world.issuer.token("alice"), "sealed", "User-Agent: left alone")
        assert (unchanged.status, reached_upstream(world, before) > 0) == (200, True)
        before = len(world.bigquery.requests())
        changed = query(gateway, world.issuer.token("alice"), "sealed", "User-Agent: changed")
        assert (changed.status, reached_upstream(world, before)) == (403, 0)
        rows = gateway.ask("SELECT decision, rule FROM flows WHERE user_agent = 'changed'")
        assert rows == [("deny", "internal.held_back")]
