"""``python -m benchmarks.recording``: how fast records become durable, and then part of the archive.

The same made-up traffic goes through the gateway's own journal and fold, is inserted row by row for comparison, and is
written as a mitmproxy flow file.
"""

import argparse
import asyncio
import itertools
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import duckdb
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from benchmarks import machine, page
from benchmarks.gateway import measure
from benchmarks.report import table
from benchmarks.results import Case, Results
from benchmarks.surroundings import Surroundings
from benchmarks.traffic import Plan, records
from benchmarks.variants import Direct, Gateway
from hoop_mitm.archive import open_archive
from hoop_mitm.archive.export import export
from hoop_mitm.evidence import Chain, RecordingKey, RecordingKeys
from hoop_mitm.recording import FlowRecord, Redactor, fold
from hoop_mitm.recording.archive_file import ArchiveFile
from hoop_mitm.recording.journal import Entry, Journal
from hoop_mitm.recording.layout import Layout
from hoop_mitm.recording.preparing import prepare
from hoop_mitm.recording.sealing import seal

BATCHES = (1, 16, 256)
_KEY = b"k" * 32
_PORTION = 500
_TABLES = ("sessions", "flows", "bodies", "jobs", "records", "events", "read_sessions")
_LARGE = 100 * 1024
FULL = {"flows": 300_000, "large": 5_000, "rows": 2_000, "disk": 20_000, "seconds": 3.0, "rounds": 5}
QUICK = {"flows": 4_000, "large": 200, "rows": 200, "disk": 1_000, "seconds": 0.3, "rounds": 1}

_READING = """\
## How to read it

- *journal*: records are prepared beforehand; a commit takes so many of them, and waits until they are on the disk. While
  one commit is under way others gather, so under load many share one.
- *fold*: everything that the journal holds is taken into an empty archive, by the fold's own code, without a pause: bodies,
  jobs joined, sessions, and each record as it was sealed. *longest hold* is the longest time in which nobody else can open
  the archive: the worst that a reader waits. What is recorded does not wait for it at all.
- *executemany* inserts the same rows with DuckDB's own, 500 flows a transaction.
- *on the disk*: the archive against the flow file that `hoop-mitm export --format mitm` writes of the same exchanges.
- *added latency*: a `jobs.query` and a page of 2 KB through the gateway, less that of the same request without a proxy;
  statements wait for their intent in either case.
"""


@dataclass(slots=True)
class Figures:
    """Everything that was measured; rates are a second's."""

    journal: list[tuple[int, float, float]] = field(default_factory=list)
    prepare_us: float = 0
    seal_us: float = 0
    folds: list[tuple[str, int, float, float, float, float]] = field(default_factory=list)
    by_row: float = 0
    disk: tuple[int, int, int] = (0, 0, 0)
    latency: list[tuple[str, int, str, float, float]] = field(default_factory=list)


def entries(plan: Plan) -> Iterator[Entry]:
    """The journal entries of a plan."""
    redactor = Redactor()
    return (prepare(record, redactor, _KEY) for record in records(plan))


def large(count: int) -> Iterator[Entry]:
    """Exchanges whose answers have 100 KB each, all different, of rows as BigQuery sends them."""
    redactor = Redactor()
    flows = (record for record in records(Plan(2 * count, count // 2, 1)) if isinstance(record, FlowRecord))
    answered = (record for record in flows if record.state == "complete" and record.level == "full")
    for number, record in enumerate(itertools.islice(answered, count)):
        row = b'{"f":[{"v":"%d"},{"v":"%s"}]},'
        body = b'{"rows":[' + b"".join(row % (number, os.urandom(12).hex().encode()) for _ in range(_LARGE // 50))
        message = replace(record.response, body=body, headers=(), size=len(body))
        yield prepare(replace(record, response=message), redactor, _KEY)


def keys() -> RecordingKeys:
    return RecordingKeys((RecordingKey.of(Ed25519PrivateKey.generate()),))


def measure_journal(figures: Figures, directory: Path, seconds: float) -> None:
    """How many records a second become durable, by how many share a commit."""
    some = list(entries(Plan(4_000, 800, 20)))
    for batch in BATCHES:
        layout = Layout(directory / f"journal-{batch}")
        layout.make()
        journal = Journal(layout, keys())
        journal.open()
        endless = itertools.cycle(some)
        began, written, size = time.perf_counter(), 0, 0
        while (took := time.perf_counter() - began) < seconds:
            portion = [_unlike(entry) for entry in itertools.islice(endless, batch)]
            journal.append(portion)
            written += batch
            size += sum(_kept(entry) for entry in portion)
        journal.close()
        figures.journal.append((batch, written / took, size / took))


def _unlike(entry: Entry) -> Entry:
    """With bodies that the journal has not got yet."""
    bodies = {side: replace(body, digest=os.urandom(32)) for side, body in entry.bodies.items()}
    return replace(entry, bodies=bodies)


def measure_chain(figures: Figures) -> None:
    """What a record costs before it is written, and how much of that is being sealed and linked."""
    made = list(itertools.islice(records(Plan(4_000, 800, 20)), 3_000))
    figures.prepare_us = _each(made, lambda record: prepare(record, Redactor(), _KEY))
    chain = Chain.begin("benchmark")
    notes = list(entries(Plan(4_000, 800, 20)))
    figures.seal_us = _each(notes, lambda entry: seal(chain, entry.kind, entry.note))


def _each(items: Sequence[Any], work: Any) -> float:
    """Microseconds for one, the median of five rounds."""
    rounds = []
    for _ in range(5):
        began = time.perf_counter()
        for item in items:
            work(item)
        rounds.append((time.perf_counter() - began) / len(items) * 1e6)
    return statistics.median(rounds)


def measure_fold(figures: Figures, directory: Path, name: str, source: Iterator[Entry]) -> Path:
    """Fold a whole journal into a new archive; the archive."""
    layout = Layout(directory)
    layout.make()
    journal = Journal(layout, keys())
    journal.open()
    flows = size = 0
    for portion in itertools.batched(source, 256):
        journal.append(portion)
        flows += sum(entry.kind == "flow" for entry in portion)
        size += sum(_kept(entry) for entry in portion)
    journal.sign("close")
    journal.close()
    with _timed_holds() as holds:
        began = time.perf_counter()
        folding = fold.Fold(layout, keep=0)
        folding.run(everything=True)
        folding.close()
        took = time.perf_counter() - began
    figures.folds.append((name, flows, flows / took, size / took, max(holds), statistics.median(holds)))
    return layout.archive


@contextmanager
def _timed_holds() -> Iterator[list[float]]:
    """How long each time nobody else could open the archive."""
    holds: list[float] = []

    class Timed(ArchiveFile):
        def __init__(self, path: Path, *, wait: float = 0) -> None:
            self._began = time.perf_counter()
            super().__init__(path, wait=wait)

        def close(self) -> None:
            super().close()
            holds.append(time.perf_counter() - self._began)

    fold.ArchiveFile = Timed  # type: ignore[misc]
    try:
        yield holds
    finally:
        fold.ArchiveFile = ArchiveFile  # type: ignore[misc]


def measure_rows(figures: Figures, archive: Path, copy: Path, flows: int) -> None:
    """The same rows, one at a time."""
    with duckdb.connect(archive, read_only=True) as source:
        rows = {name: source.execute(f"FROM {name} LIMIT {flows}").fetchall() for name in _TABLES}
    ArchiveFile(copy).close()
    with duckdb.connect(copy) as target:
        began = time.perf_counter()
        for start in range(0, flows, _PORTION):
            target.execute("BEGIN")
            for name, all_rows in rows.items():
                if portion := all_rows[start : start + _PORTION]:
                    marks = ", ".join("?" * len(portion[0]))
                    target.executemany(f"INSERT INTO {name} VALUES ({marks})", portion)
            target.execute("COMMIT")
        figures.by_row = len(rows["flows"]) / (time.perf_counter() - began)


def measure_disk(figures: Figures, directory: Path, flows: int) -> None:
    """What the archive and mitmproxy's flow file of the same exchanges take."""
    scratch = Figures()
    archive = measure_fold(scratch, directory, "disk", entries(Plan(flows, flows // 5, max(1, flows // 200))))
    written = 0
    with open_archive(archive) as opened:
        for session in opened.sessions(limit=flows):
            written += sum(len(piece) for piece in export(opened, session, "mitm", max_rows=None))
    with duckdb.connect(archive, read_only=True) as connection:
        [(exchanges,)] = connection.execute("SELECT count(*) FROM flows WHERE session_id IS NOT NULL").fetchall()
    figures.disk = (exchanges, archive.stat().st_size, written)


def measure_latency(figures: Figures, directory: Path, rounds: int, seconds: float) -> None:
    """What waiting for the record adds to an answer."""
    results = Results(Direct.name, Direct.name)
    cases = [Case(kind, "2k", connections) for kind in ("statement", "page") for connections in (1, 16)]
    with Surroundings(directory, large=2**20, stream=2**20) as surroundings:
        waiting = Gateway(surroundings, directory / "before", name="before_response")
        later = Gateway(surroundings, directory / "async", name="async", recording={"ack": "async"})
        with waiting, later:
            asyncio.run(measure(results, [Direct(surroundings), waiting, later], cases, rounds, seconds))
    for case in cases:
        for variant in (waiting.name, later.name):
            added = [results.added(variant, case, figure) for figure in (lambda s: s.p50, lambda s: s.p99)]
            figures.latency.append((case.kind, case.connections, variant, *added))


def _kept(entry: Entry) -> int:
    return sum(part.size for body in entry.bodies.values() for part in body.parts)


def render(figures: Figures) -> str:
    """Everything as Markdown."""
    journal = table(
        ["records in a commit", "records/s", "MB/s of bodies"],
        [[str(batch), f"{rate:,.0f}", f"{size / 1e6:.1f}"] for batch, rate, size in figures.journal],
    )
    fastest = max(rate for _, rate, _ in figures.journal)
    folds = table(
        [
            "folded",
            "flows",
            "flows/s",
            "MB/s of bodies",
            "longest hold ms",
            "median hold ms",
            "to the journal",
            "to executemany",
        ],
        [
            [
                name,
                f"{flows:,}",
                f"{rate:,.0f}",
                f"{size / 1e6:.1f}",
                f"{longest * 1e3:.0f}",
                f"{median * 1e3:.0f}",
                f"{rate / fastest:.2f}",
                f"{rate / figures.by_row:.0f}" if figures.by_row and index == 0 else "-",
            ]
            for index, (name, flows, rate, size, longest, median) in enumerate(figures.folds)
        ],
    )
    flows, archive, mitm = figures.disk
    disk = table(
        ["exchanges", "archive, bytes each", "flow file, bytes each", "ratio"],
        [[f"{flows:,}", f"{archive / flows:,.0f}", f"{mitm / flows:,.0f}", f"{archive / mitm:.2f}"]],
    )
    latency = table(
        ["asked", "conn.", "recording.ack", "added p50 ms", "added p99 ms"],
        [
            [kind, str(connections), name, f"{p50 * 1e3:.2f}", f"{p99 * 1e3:.2f}"]
            for kind, connections, name, p50, p99 in figures.latency
        ],
    )
    chain = (
        f"Before it is written a record costs {figures.prepare_us:.0f} µs (redacted, compressed, encoded), of which nothing "
        f"waits, and {figures.seal_us:.0f} µs more to be split into its parts, committed to and linked. Row by row "
        f"(*executemany*) {figures.by_row:,.0f} flows/s go into an archive."
    )
    parts = ["## Journal", journal, chain, "## Fold", folds, "## On the disk", disk]
    if figures.latency:
        parts += ["## Added latency", latency]
    return "\n\n".join([*parts, _READING])


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recording", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a short run, for a look; its figures are rough")
    parser.add_argument("--write", action="store_true", help="write the results to RESULTS.md")
    parser.add_argument("--flows", type=int, help="how many are folded")
    parser.add_argument("--large", type=int, help="how many with 100 KB each are folded")
    parser.add_argument("--rows", type=int, help="how many are inserted row by row")
    parser.add_argument("--disk", type=int, help="how many are written as a flow file")
    parser.add_argument("--seconds", type=float, help="of each case of the journal, and of each round of latency")
    parser.add_argument("--rounds", type=int, help="how often latency is measured")
    parser.add_argument("--no-latency", action="store_true", help="leave out the gateways")
    parser.add_argument("--dir", type=Path, help="the disk that is measured")
    options = parser.parse_args(arguments)
    for name, value in (QUICK if options.quick else FULL).items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    began = time.monotonic()
    figures = Figures()
    with tempfile.TemporaryDirectory(dir=options.dir, prefix="hoop-bench-") as name:
        directory = Path(name)
        about = machine.describe(directory)
        measure_journal(figures, directory, options.seconds)
        measure_chain(figures)
        plan = Plan(options.flows, options.flows // 5, max(1, options.flows // 200))
        archive = measure_fold(figures, directory / "small", "as recorded", entries(plan))
        measure_rows(figures, archive, directory / "by-row.duckdb", options.rows)
        measure_fold(figures, directory / "large", "100 KB answers", large(options.large))
        measure_disk(figures, directory / "disk", options.disk)
        if not options.no_latency:
            (directory / "latency").mkdir()
            measure_latency(figures, directory / "latency", options.rounds, min(options.seconds, 1.0))
    command = " ".join(["python -m benchmarks.recording", *(sys.argv[1:] if arguments is None else arguments)])
    took = time.monotonic() - began
    part = f"# Recording\n\n`{command}`, {took:.0f} s\n\n{about}\n\n{render(figures)}"
    print(part)
    if options.write:
        page.write(part)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
