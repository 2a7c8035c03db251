"""``python -m benchmarks.verifying``: how long ``hoop-mitm verify`` takes, as a whole process, and what it needs.

Two figures, because machines are shared: seconds from start to end, and seconds of processor of all its processes, which
depend less on who else is at work.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from benchmarks import machine, page
from benchmarks.big_archive import make
from benchmarks.report import table
from benchmarks.traffic import Plan

_FLOWS = (10_000, 100_000, 1_000_000)
_PER_JOB, _PER_SESSION = 5, 200
_WAYS = {"--quick": ["--quick"], "whole": []}

_READING = """\
## How to read it

- *--quick* checks every record, link, commitment of a part, signature, and every column of `flows`, `events` and `sessions`.
  *whole* also decompresses and hashes every body, and joins every job again from its exchanges with the fold's own code.
- *records/s* counts all records of the chain, intents and gateway's own included. *of processor* is what it would be if
  all cores were free: records by the seconds of processor that were used, times the cores.
- Workers are processes, one for each core; below 50,000 records there are none. *MiB* is the largest process.
- Archives are made as for *Reading a large recording*.
"""


@dataclass(frozen=True, slots=True)
class Figure:
    """One run: seconds, seconds of processor, and the resident memory of its largest process in MiB."""

    seconds: float
    processor: float
    memory: float


def measure(archive: Path, way: str) -> Figure:
    """Verifies once, in a process of its own."""
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "hoop_mitm.cli", "verify", str(archive), *_WAYS[way]], stdout=subprocess.PIPE
    )
    assert process.stdout
    told = process.stdout.read()
    # What is waited for with this includes the workers that the process has waited for itself.
    _, status, usage = os.wait4(process.pid, 0)
    took = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{archive.name} does not verify: {told.decode()}")
    return Figure(took, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def render(records: dict[int, int], figures: dict[tuple[int, str], list[Figure]]) -> str:
    """Everything as Markdown."""
    cores = os.cpu_count() or 1
    rows = []
    for (flows, way), some in figures.items():
        seconds = statistics.median(each.seconds for each in some)
        processor = statistics.median(each.processor for each in some)
        rows.append(
            [
                f"{flows:,}",
                f"{records[flows]:,}",
                way,
                f"{seconds:.1f}",
                f"{processor:.1f}",
                f"{records[flows] / seconds:,.0f}",
                f"{records[flows] / processor * cores:,.0f}",
                f"{max(each.memory for each in some):.0f}",
            ]
        )
    head = ["flows", "records", "", "seconds", "processor s", "records/s", "records/s of processor", "MiB"]
    return f"{table(head, rows)}\n\n{_READING}"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.verifying", description=__doc__)
    parser.add_argument("--flows", nargs="+", type=int, default=[*_FLOWS], metavar="N", help="sizes of the archives")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is verified")
    parser.add_argument("--ways", nargs="+", choices=[*_WAYS], default=[*_WAYS], help="which ways are measured")
    parser.add_argument("--write", action="store_true", help="write the results to RESULTS.md")
    parser.add_argument(
        "--keep", type=Path, metavar="DIR", help="keep the archives there, and use those that are there"
    )
    options = parser.parse_args(arguments)
    began = time.monotonic()
    records: dict[int, int] = {}
    figures: dict[tuple[int, str], list[Figure]] = {}
    with tempfile.TemporaryDirectory(prefix="hoop-bench-") as name:
        directory = options.keep or Path(name)
        directory.mkdir(parents=True, exist_ok=True)
        about = machine.describe(directory)
        for flows in options.flows:
            archive = directory / f"{flows}.duckdb"
            if not archive.exists():
                make(archive, Plan(flows, flows // _PER_JOB, max(1, flows // _PER_SESSION)))
            with duckdb.connect(archive, read_only=True) as connection:
                [(records[flows],)] = connection.execute("SELECT count(*) FROM records").fetchall()
            for way in options.ways:
                figures[flows, way] = [measure(archive, way) for _ in range(options.rounds)]
    asked = sys.argv[1:] if arguments is None else arguments
    command = " ".join(["python -m benchmarks verifying", *asked])
    took = time.monotonic() - began
    text = f"# Verifying a recording\n\n`{command}`, {took:.0f} s\n\n{about}\n\n{render(records, figures)}"
    print(text)
    if options.write:
        page.write(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
