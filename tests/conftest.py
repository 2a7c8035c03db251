"""What whole-system tests stand on. One world per test process: it costs seconds and a few hundred megabytes."""

import gc
import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from hoop_mitm.devkit.world import World
from tests.gateways import RunningGateway

pytest_plugins = ["tests.left_out"]

# On a busy machine an example takes as long as it takes. In CI hypothesis thinks so by itself.
settings.register_profile("patient", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


def pytest_configure() -> None:
    """xdist tells its workers how wide the terminal is; programs under test must not take it for theirs."""
    os.environ.pop("COLUMNS", None)
    os.register_at_fork(before=_refuse_to_fork)


def _refuse_to_fork() -> None:
    """What is forked off beside gRPC's threads is ended by them, one time in thirty. The test that did it fails."""
    raise AssertionError("a test forks its own process; subprocess starts programs, tests.terminals at a terminal")


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """An issuer, Google's token endpoints and BigQuery on loopback. Tests share it: change it under names of your own."""
    with World(tmp_path_factory.mktemp("world")) as running:
        yield running


@pytest.fixture(scope="session")
def gateway(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """`hoop-mitm proxy` in the world, with a service account's key."""
    with RunningGateway(world, tmp_path_factory.mktemp("gateway"), "proxy") as running:
        yield running


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest begins first, so that at the end no worker waits for another."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


def pytest_collection_finish() -> None:
    """What was imported and collected stays. To go through it for garbage again and again took a twentieth of all time."""
    gc.collect()
    gc.freeze()


def pytest_make_parametrize_id(val: object) -> str | None:
    """Tests must have the same names in every worker, and gzip writes the time into what it compresses."""
    return "gzipped" if isinstance(val, bytes) and val.startswith(b"\x1f\x8b") else None
