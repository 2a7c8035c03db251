"""``python -m benchmarks.big_archive OUT.duckdb``: a large archive of made-up traffic.

Everything goes through the gateway's own recorder and fold, so what is in the archive is what a gateway would have put
there. Statements, ids, times and sizes follow the seed; what a recording keys with a secret of its own does not.
"""

import argparse
import asyncio
import itertools
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path

from benchmarks.traffic import Plan, records
from hoop_mitm.config.model import Recording
from hoop_mitm.recording import Recorder
from hoop_mitm.recording.fold import fold_once
from hoop_mitm.recording.layout import Layout

_AT_ONCE = 256
_PAUSE = 0.2
#: Seconds. A gateway's fold leaves readers room, two tenths of a second at a time; here are none.
_HOLD = 5.0

type Progress = Callable[[int], None]


def _silent(written: int) -> None:
    """Nobody watches."""


def make(path: Path, plan: Plan, progress: Progress = _silent) -> None:
    """Write the archive of ``plan`` to ``path``, which must not exist. ``progress`` is told how many records are written.

    Its journal is made beside it and removed, so that what reads the archive has nothing to fold.
    """
    if path.exists():
        raise FileExistsError(path)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as directory:
        record(Path(directory), plan, progress)
        Layout(Path(directory)).archive.rename(path)


def record(directory: Path, plan: Plan, progress: Progress = _silent) -> None:
    """Record ``plan`` into ``directory`` as a gateway does, and fold all of it."""
    asyncio.run(_record(directory, plan, progress))
    while fold_once(directory, wait=60, hold=_HOLD).remaining:
        time.sleep(_PAUSE)


async def _record(directory: Path, plan: Plan, progress: Progress) -> None:
    recorder = Recorder(Recording(directory=directory, fold_interval=timedelta(hours=1), journal_keep=timedelta(0)))
    await recorder.start()
    written = 0
    try:
        for some in itertools.batched(records(plan), _AT_ONCE):
            await recorder.write(*some)
            written += len(some)
            progress(written)
    finally:
        await recorder.stop()


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.big_archive", description=__doc__)
    parser.add_argument("path", type=Path, metavar="OUT.duckdb")
    parser.add_argument("--flows", type=int, default=1_000_000)
    parser.add_argument("--jobs", type=int, default=200_000)
    parser.add_argument("--sessions", type=int, default=5_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    began = time.monotonic()
    plan = Plan(options.flows, options.jobs, options.sessions, options.seed)
    make(options.path, plan, _say if sys.stderr.isatty() else _silent)
    size = options.path.stat().st_size / 2**20
    print(f"{options.path}: {options.flows:,} flows, {size:.0f} MiB, {time.monotonic() - began:.0f} s")
    return 0


def _say(written: int) -> None:
    print(f"\r{written:,} records", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
