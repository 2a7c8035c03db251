"""``python -m benchmarks serving``: how soon a recording plays or is served, and how many queries it answers then.

The baselines: DuckDB alone, which opens the same file; and the sandbox, whose BigQuery is bqemulator, behind the same
gateway, asked the same by the same client.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import machine, page
from benchmarks.big_archive import make
from benchmarks.report import table
from benchmarks.traffic import Plan
from hoop_mitm.archive.opening import open_settled
from hoop_mitm.client.outfit import SESSION
from hoop_mitm.devkit.sandbox import Installation, Sandbox
from hoop_mitm.rerunning import Asking
from hoop_mitm.serving import Serving, load

_ALONE = """
import duckdb, sys
with duckdb.connect(sys.argv[1], read_only=True) as connection:
    connection.execute("SELECT count(*) FROM sessions").fetchall()
"""
_HOOP = [sys.executable, "-m", "hoop_mitm.cli"]
_STATEMENTS, _ROWS = 20, 200
_READING = """\
## How to read it

- *replay* is the time from the start of `hoop-mitm replay` to its first line, *serve* that from the start of
  `hoop-mitm serve` until its command begins: issuer, certificates, gateway and recording are up then. Both with the largest
  session of the archive.
- A *query* is a `jobs.insert` and a `jobs.getQueryResults` of 200 rows, through a gateway that records. The statements are
  the same; *bqemulator* computes them behind the sandbox's front, *served* finds them in the recording of that.
"""


@dataclass(slots=True)
class Figures:
    """Seconds of each start, and queries a second by what answered and over how many connections; one a round."""

    starts: dict[str, list[float]] = field(default_factory=dict)
    rates: dict[tuple[str, int], list[float]] = field(default_factory=dict)


def measure_starts(figures: Figures, archive: Path, directory: Path, rounds: int) -> None:
    session = _largest(archive)
    ways: dict[str, Callable[[], float]] = {
        "duckdb alone": lambda: _whole([sys.executable, "-c", _ALONE, str(archive)]),
        "replay": lambda: _to_first_line([*_HOOP, "replay", session, "--db", str(archive), "--instant"], ends=False),
        "serve": lambda: _to_first_line(
            [*_HOOP, "serve", session, "--db", str(archive), "--dir", str(directory / "served"), "--", "echo", "up"],
            ends=True,
        ),
    }
    for _ in range(rounds):
        for name, way in ways.items():
            figures.starts.setdefault(name, []).append(way())


def measure_rates(figures: Figures, directory: Path, rounds: int, queries: int) -> None:
    statements = [
        f"SELECT n, n * {number} AS m FROM UNNEST(GENERATE_ARRAY(1, {_ROWS})) AS n ORDER BY n"
        for number in range(_STATEMENTS)
    ]
    with Sandbox(directory / "sandbox", user="ci") as sandbox:
        variables = sandbox.variables("recorded")
        _asked(Asking(variables), statements)
        open_settled(sandbox.archive).close()
        recorded = load(sandbox.archive, [variables[SESSION]])
        with Serving(directory / "serving", recorded) as serving:
            for _ in range(rounds):
                for connections in (1, 4):
                    for name, place in (("bqemulator", sandbox), ("served", serving)):
                        rate = _rate(place, statements, queries, connections)
                        figures.rates.setdefault((name, connections), []).append(rate)
            if serving.world.misses:
                raise SystemExit(f"not served: {serving.world.misses[0].message}")


def render(figures: Figures) -> str:
    def ratio(name: str) -> str:
        pairs = zip(figures.starts[name], figures.starts["duckdb alone"], strict=True)
        return f"{statistics.median(one / other for one, other in pairs):.1f}"

    starts = [[name, f"{statistics.median(taken):.2f}", ratio(name)] for name, taken in figures.starts.items()]
    rates = []
    for connections in sorted({connections for _, connections in figures.rates}):
        emulated, served = (figures.rates[name, connections] for name in ("bqemulator", "served"))
        times = statistics.median(two / one for one, two in zip(emulated, served, strict=True))
        medians = [f"{statistics.median(each):.1f}" for each in (emulated, served)]
        rates.append([str(connections), *medians, f"{times:.2f}"])
    return "\n\n".join([
        "## Until it is there",
        table(["what", "seconds", "ratio"], starts),
        "## Queries a second",
        table(["connections", "bqemulator", "served", "ratio"], rates),
        _READING,
    ])  # fmt: skip


def _largest(archive: Path) -> str:
    import duckdb

    with duckdb.connect(str(archive), read_only=True) as connection:
        question = "SELECT session_id FROM jobs WHERE decision = 'allow' GROUP BY ALL ORDER BY count(*) DESC LIMIT 1"
        row = connection.execute(question).fetchone()
        assert row is not None
        return str(row[0])


def _whole(command: Sequence[str]) -> float:
    began = time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - began


def _to_first_line(command: Sequence[str], *, ends: bool) -> float:
    began = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, "PYTHONUNBUFFERED": "1"}) as process:
        assert process.stdout
        line = process.stdout.readline()
        took = time.monotonic() - began
        if ends:
            process.wait()
        else:
            process.kill()
    if not line or (ends and process.returncode):
        raise SystemExit(f"{' '.join(command)} failed")
    return took


def _rate(place: Installation, statements: Sequence[str], queries: int, connections: int) -> float:
    local = threading.local()

    def ask(number: int) -> None:
        if not hasattr(local, "asking"):
            local.asking = Asking(place.variables())
        _asked(local.asking, [statements[number % len(statements)]])

    with ThreadPoolExecutor(connections) as pool:
        list(pool.map(ask, range(connections)))
        began = time.monotonic()
        list(pool.map(ask, range(queries)))
        return queries / (time.monotonic() - began)


def _asked(asking: Asking, statements: Sequence[str]) -> None:
    for statement in statements:
        asking.read(asking.insert("acme", None, {"query": {"query": statement, "useLegacySql": False}}))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving", description=__doc__)
    parser.add_argument("--flows", type=int, default=100_000, metavar="N", help="size of the archive")
    parser.add_argument("--rounds", type=int, default=5, help="how often everything is measured")
    parser.add_argument("--queries", type=int, default=200, help="of each round")
    parser.add_argument("--write", action="store_true", help="write the results to RESULTS.md")
    parser.add_argument("--archive", type=Path, metavar="FILE", help="an archive of that size that is there")
    options = parser.parse_args(arguments)
    began = time.monotonic()
    figures = Figures()
    with tempfile.TemporaryDirectory(prefix="hoop-bench-") as name:
        directory = Path(name)
        about = machine.describe(directory)
        archive = options.archive or directory / "hoop.duckdb"
        if options.archive is None:
            make(archive, Plan(options.flows, options.flows // 5, max(1, options.flows // 200)))
        measure_starts(figures, archive, directory, options.rounds)
        measure_rates(figures, directory, options.rounds, options.queries)
    command = (
        f"python -m benchmarks serving --flows {options.flows} --rounds {options.rounds} --queries {options.queries}"
    )
    text = f"# Serving a recording\n\n`{command}`, {time.monotonic() - began:.0f} s\n\n{about}\n\n{render(figures)}"
    print(text)
    if options.write:
        page.write(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
