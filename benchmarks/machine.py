"""The machine and the versions, as far as they help to read a result."""

import os
import platform
import statistics
import time
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from benchmarks import usage

_SYNCS = 50


def describe(directory: Path) -> str:
    """A paragraph for whoever reads the results: no name of the machine, and no path. ``directory`` is on the disk in use."""
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("hoop-mitm", "mitmproxy", "duckdb", "msgspec"))
    return (
        f"{datetime.now(UTC):%Y-%m-%d}; {os.cpu_count()} cores ({_processor()}), {platform.system()} "
        f"{platform.release().partition('-')[0]}, load {os.getloadavg()[0]:.1f} at the start; Python "
        f"{platform.python_version()}, {versions}; recordings on {usage.filesystem(directory)}, where 4 KB take "
        f"{_sync(directory) * 1e3:.2f} ms to be durable."
    )


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _sync(directory: Path) -> float:
    """Median seconds of an fdatasync after 4 KB more."""
    took: list[float] = []
    path = directory / "sync"
    with path.open("wb", buffering=0) as file:
        for _ in range(_SYNCS):
            began = time.perf_counter()
            file.write(bytes(4096))
            os.fdatasync(file.fileno())
            took.append(time.perf_counter() - began)
    path.unlink()
    return statistics.median(took)
