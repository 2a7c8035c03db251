"""``python -m benchmarks.reading``: how long it takes to read a large recording, each time as a whole process.

Every command is compared with what DuckDB alone takes in the same round: to be imported, open the same file and
answer one small question.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import machine, page
from benchmarks.big_archive import make
from benchmarks.report import table
from benchmarks.traffic import RARE_VALUE, RARE_WORD, Plan

BARE = "duckdb alone"
_FLOWS = (10_000, 100_000, 1_000_000)
_PER_JOB, _PER_SESSION = 5, 200
_NOWHERE = "no such words anywhere"

_ALONE = """
import duckdb, sys
with duckdb.connect(sys.argv[1], read_only=True) as connection:
    connection.execute("SELECT count(*) FROM sessions").fetchall()
"""
_MIDDLE = """
import duckdb, json, sys
with duckdb.connect(sys.argv[1], read_only=True) as connection:
    ask = lambda question, *values: connection.execute(question, values).fetchall()
    [(job, session)] = ask("SELECT key, session_id FROM jobs WHERE contains(statement, ?)", sys.argv[2])
    number = ask("SELECT count(*) FROM jobs WHERE session_id = ? AND (started_at, key) <= (SELECT (started_at, key) FROM jobs WHERE key = ?)", session, job)
    day = ask("SELECT CAST(started_at AS DATE) FROM jobs WHERE key = ?", job)
    records = ask("SELECT count(*) FROM records")
print(json.dumps([session, number[0][0], str(day[0][0]), records[0][0]]))
"""

_READING = """\
## How to read it

Seconds are medians of whole processes, from their start to their end; a ratio is the median of the rounds' own ratios to
*duckdb alone*, which imports DuckDB, opens the same file read-only and counts its sessions. *CPU s* is of the process and
all its threads, and says more than seconds do where the machine had other things to do; *CPU grows* is how many times as
much the largest archive takes as the smallest. Files were read before and lie in the page cache.

- The archives are made up (`python -m benchmarks.big_archive`), by the gateway's own recorder and fold: a job in five
  exchanges, two hundred exchanges in a session, some of it denied, some failed.
- *show* is of the session in the middle, *show --job* of a job in it with its first rows. *search* is for a word that
  stands in one statement, and for words that stand nowhere. *search --rows* is for a value that one client got in one row,
  with `--since` and `--until` of that day.
- *--help* reads no recording; its ratio is to `python -c "import click"`.
"""


@dataclass(slots=True)
class Figures:
    """Seconds of each command, and of CPU, by the archive's flows, one a round; and what else is known of each archive."""

    seconds: dict[tuple[str, int], list[float]] = field(default_factory=dict)
    cpu: dict[tuple[str, int], list[float]] = field(default_factory=dict)
    sizes: dict[int, int] = field(default_factory=dict)
    records: dict[int, int] = field(default_factory=dict)
    made_in: dict[int, float] = field(default_factory=dict)

    @property
    def commands(self) -> list[str]:
        return list(dict.fromkeys(command for command, _ in self.seconds))

    def median(self, command: str, flows: int) -> float:
        return statistics.median(self.seconds[command, flows])

    def ratio(self, command: str, flows: int, other: str) -> float:
        """To another one in the same round."""
        pairs = zip(self.seconds[command, flows], self.seconds[other, flows], strict=False)
        return statistics.median(own / bare for own, bare in pairs)


def measure(figures: Figures, archive: Path, flows: int, rounds: int) -> None:
    """Asks everything of one archive, in turn."""
    middle = subprocess.run(
        [sys.executable, "-c", _MIDDLE, str(archive), RARE_WORD], capture_output=True, text=True, check=True
    )
    session, job, day, figures.records[flows] = json.loads(middle.stdout)
    figures.sizes[flows] = archive.stat().st_size
    commands = {
        BARE: ["-c", _ALONE, str(archive)],
        "sessions": _hoop_mitm("sessions"),
        "show": _hoop_mitm("show", session),
        "show --job": _hoop_mitm("show", session, "--job", str(job)),
        "search": _hoop_mitm("search", RARE_WORD),
        "search, in vain": _hoop_mitm("search", _NOWHERE),
        "search --rows": _hoop_mitm("search", RARE_VALUE, "--rows", "--since", day, "--until", day),
        "--help": _hoop_mitm("--help"),
        "import click": ["-c", "import click"],
    }
    for round_ in range(rounds + 1):
        for name, command in commands.items():
            seconds, cpu = _run(command, archive, expected=1 if name == "search, in vain" else 0)
            # The first one is for the caches.
            if round_:
                figures.seconds.setdefault((name, flows), []).append(seconds)
                figures.cpu.setdefault((name, flows), []).append(cpu)


def _hoop_mitm(*arguments: str) -> list[str]:
    return ["-m", "hoop_mitm.cli", *arguments]


def _run(command: Sequence[str], archive: Path, expected: int = 0) -> tuple[float, float]:
    """Seconds, and seconds of CPU, of a process."""
    environment = {**os.environ, "HOOP_DB": str(archive), "TZ": "UTC"}
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, env=environment, check=False)
    took, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != expected:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr}")
    return took, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def render(figures: Figures) -> str:
    """Everything as Markdown."""
    all_flows = sorted(figures.sizes)
    columns = [f"{flows:,}: {what}" for what in ("s", "ratio", "CPU s") for flows in all_flows]
    head = ["asked", *columns, "CPU grows"]
    rows = []
    for command in figures.commands:
        if command == "import click":
            continue
        bare = "import click" if command == "--help" else BARE
        seconds = [figures.median(command, flows) for flows in all_flows]
        ratios = [figures.ratio(command, flows, bare) for flows in all_flows]
        cpu = [statistics.median(figures.cpu[command, flows]) for flows in all_flows]
        rows.append([command, *(f"{each:.2f}" for each in (*seconds, *ratios, *cpu)), f"{cpu[-1] / cpu[0]:.1f}"])
    archives = table(
        ["flows", "records", "MiB", "bytes a flow", "made in s"],
        [
            [
                f"{flows:,}",
                f"{figures.records[flows]:,}",
                f"{figures.sizes[flows] / 2**20:.0f}",
                f"{figures.sizes[flows] / flows:.0f}",
                f"{figures.made_in[flows]:.0f}" if flows in figures.made_in else "-",
            ]
            for flows in all_flows
        ],
    )
    return "\n\n".join(["## Whole processes", table(head, rows), "## The archives", archives, _READING])


@contextmanager
def _place(directory: Path | None, kept: Path | None) -> Iterator[Path]:
    if kept is not None:
        kept.mkdir(parents=True, exist_ok=True)
        yield kept
        return
    with tempfile.TemporaryDirectory(dir=directory, prefix="hoop-bench-") as name:
        yield Path(name)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reading", description=__doc__)
    parser.add_argument("--flows", nargs="+", type=int, default=[*_FLOWS], metavar="N", help="sizes of the archives")
    parser.add_argument("--rounds", type=int, default=7, help="how often everything is asked")
    parser.add_argument("--write", action="store_true", help="write the results to RESULTS.md")
    parser.add_argument("--dir", type=Path, help="where the archives go, for as long as it takes")
    parser.add_argument(
        "--keep", type=Path, metavar="DIR", help="keep the archives there, and use those that are there"
    )
    options = parser.parse_args(arguments)
    began = time.monotonic()
    figures = Figures()
    with _place(options.dir, options.keep) as directory:
        about = machine.describe(directory)
        for flows in options.flows:
            archive = directory / f"{flows}.duckdb"
            if not archive.exists():
                started = time.monotonic()
                make(archive, Plan(flows, flows // _PER_JOB, max(1, flows // _PER_SESSION)))
                figures.made_in[flows] = time.monotonic() - started
            measure(figures, archive, flows, options.rounds)
    asked = f"--flows {' '.join(map(str, options.flows))} --rounds {options.rounds}"
    command = f"python -m benchmarks reading {asked}"
    took = time.monotonic() - began
    text = f"# Reading a large recording\n\n`{command}`, {took:.0f} s\n\n{about}\n\n{render(figures)}"
    print(text)
    if options.write:
        page.write(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
