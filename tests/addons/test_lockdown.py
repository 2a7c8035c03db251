"""What is locked at the start, option by option, in a mitmdump that is about to run."""

import asyncio
from collections.abc import Iterable
from pathlib import Path

import pytest
from mitmproxy import exceptions
from mitmproxy.options import Options
from mitmproxy.tools.dump import DumpMaster

from hoop_mitm.addons.lockdown import FREE, Lockdown, required, split_proxy
from hoop_mitm.config import Config, load
from tests.attacks.options import DANGEROUS, FORCED

YAML = """
identity: {issuers: [{issuer: 'https://127.0.0.1:1', audiences: [x]}]}
connections: [{name: acme, projects: [acme], credential: {type: adc}}]
"""


@pytest.fixture
def config(tmp_path: Path) -> Config:
    (tmp_path / "hoop.yaml").write_text(YAML)
    return load(tmp_path / "hoop.yaml")


def engaged(config: Config, settings: Iterable[str]) -> Options:
    """The options of a mitmdump with these settings once the gateway has locked them."""

    async def engage() -> Options:
        master = DumpMaster(Options(), with_termlog=True)
        try:
            master.options.set(*settings)
            Lockdown(config).engage()
        finally:
            # Some options open what they name.
            await master.done()
        return master.options

    return asyncio.run(engage())


@pytest.mark.parametrize(("option", "value"), [row for row in DANGEROUS if row[0] not in FORCED])
def test_a_dangerous_option_stops_the_start(option: str, value: str, config: Config) -> None:
    with pytest.raises((exceptions.OptionsError, exceptions.CommandError, OSError)) as refused:
        engaged(config, [f"{option}={value}"])
    if isinstance(refused.value, exceptions.OptionsError):
        assert str(refused.value)


@pytest.mark.parametrize(("option", "value"), [row for row in DANGEROUS if row[0] in FORCED])
def test_what_is_forced_is_forced(option: str, value: str, config: Config) -> None:
    assert str(getattr(engaged(config, []), option)).lower() != value


@pytest.mark.parametrize(
    "setting", ["listen_port=9000", "termlog_verbosity=warn", "tcp_timeout=60", "keepserving=true"]
)
def test_what_can_do_no_harm_may_be_set(setting: str, config: Config) -> None:
    name, _, value = setting.partition("=")
    assert str(getattr(engaged(config, [setting]), name)).lower() == value


def test_every_option_of_mitmproxy_is_locked_unless_it_is_listed(config: Config) -> None:
    """An option that a later mitmproxy adds is locked by itself."""
    options = engaged(config, [])
    locked = set(options.keys()) - FREE - {"termlog_verbosity"}
    assert len(locked) > 50
    for name in locked:
        other = not options.default(name)
        if options._options[name].typespec is bool and other != required(config).get(name):
            with pytest.raises(exceptions.OptionsError):
                engaged(config, [f"{name}={str(other).lower()}"])


@pytest.mark.parametrize(
    ("proxy", "parts"),
    [
        ("http://proxy:3128", ("http://proxy:3128", None)),
        ("http://proxy:3128/", ("http://proxy:3128", None)),
        ("https://user:p%40ss@proxy:3128", ("https://proxy:3128", "user:p%40ss")),
        ("http://user:p@ss@proxy:3128", ("http://proxy:3128", "user:p@ss")),
    ],
)
def test_a_proxy_is_split_into_address_and_authorization(proxy: str, parts: tuple[str, str | None]) -> None:
    assert split_proxy(proxy) == parts
