"""``python -m benchmarks.diffing``: what it takes to compare two large results, against ``EXCEPT ALL`` written by hand.

The same rows lie in Parquet files, and in a recording as BigQuery's JSON pages and as streams of its Storage API. All
are asked in turn, round by round, each as a whole process.
"""

import argparse
import asyncio
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import machine, page
from benchmarks.report import table
from hoop_mitm.bigquery import doors, hosts
from hoop_mitm.bigquery.operation import Operation, Resource, TableRef
from hoop_mitm.config.model import Recording
from hoop_mitm.identity.principal import Principal
from hoop_mitm.identity.session import Session
from hoop_mitm.policy.verdict import Verdict
from hoop_mitm.recording import FlowRecord, Message, Recorder
from hoop_mitm.recording.fold import fold_once
from hoop_mitm.recording.layout import Layout

if TYPE_CHECKING:
    import pyarrow as pa

BARE = "EXCEPT ALL, Parquet"
PAGES, STREAMS, ALONE, BARE_TABLES = (
    "diff, JSON pages",
    "diff, Storage streams",
    "comparing alone",
    "EXCEPT ALL, tables",
)
MOST_MEMORY = 2**30
_PAGE, _BATCH = 50_000, 20_000
_BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
_FIELDS = {
    "id": "INTEGER",
    "name": "STRING",
    "amount": "NUMERIC",
    "score": "FLOAT",
    "at": "TIMESTAMP",
    "day": "DATE",
    "active": "BOOLEAN",
    "country": "STRING",
    "visits": "INTEGER",
    "note": "STRING",
}
_MAKE = """
    SELECT
        i::BIGINT AS id, 'customer ' || i AS name, ((i * 7919 % 1000000) / 100)::DECIMAL(38, 9) AS amount,
        i * 0.37 AS score, TIMESTAMPTZ '2026-01-01 00:00:00Z' + to_microseconds(i * 1000003) AS at,
        DATE '2020-01-01' + (i % 2000)::INT AS day, i % 3 = 0 AS active, 'country ' || (i % 200) AS country,
        i % 17 AS visits, 'a note about ' || (i % 5000) || ' and more text' AS note
    FROM range(?) AS t(i)
"""
# One row in a hundred: most changed, some gone, some new.
_CHANGE = """
    SELECT * REPLACE (CASE WHEN id % 100 = 0 THEN amount + 1 ELSE amount END AS amount)
    FROM a WHERE id % 10000 <> 1
    UNION ALL
    SELECT * REPLACE (-id AS id) FROM a WHERE id % 10000 = 1
"""
_EXCEPT = """
import duckdb, sys, time
connection = duckdb.connect()
connection.execute("SET enable_progress_bar = false")
for one, other in (("a", "b"), ("b", "a")):
    found = f"SELECT * FROM '{sys.argv[1]}/{one}.parquet' EXCEPT ALL SELECT * FROM '{sys.argv[1]}/{other}.parquet'"
    print(connection.execute(f"SELECT count(*) FROM ({found})").fetchone()[0])
"""
# Both over the same tables, in a workspace as a comparison has it.
_ALONE = """
import sys, time
import pyarrow.parquet as parquet
from hoop_mitm.archive import arrow
from hoop_mitm.archive.comparing import Ways, rows, values
from hoop_mitm.archive.comparing.landing import Landed
from hoop_mitm.archive.comparing.workspace import Shelf, Workspace

with Workspace() as workspace:
    sides = []
    for name in "ab":
        columns = shelf = None
        for batch in parquet.ParquetFile(f"{sys.argv[1]}/{name}.parquet").iter_batches(50_000):
            columns = columns or [arrow.described(field) for field in batch.schema]
            shelf = shelf or Shelf(workspace, f"side_{name}", values.types(columns))
            shelf.lay([values.of_arrow(column, array) for column, array in zip(columns, batch)], shelf.rows)
        shelf.close()
        sides.append(Landed(shelf.name, tuple(columns), shelf.rows, shelf.rows, True, None))
    if sys.argv[2] == "ours":
        began, cpu = time.perf_counter(), time.process_time()
        rows.compare(workspace, *sides, Ways())
    else:
        listed = ", ".join(f"c{index}" for index in range(len(columns)))
        began, cpu = time.perf_counter(), time.process_time()
        for one, other in (("side_a", "side_b"), ("side_b", "side_a")):
            found = f"SELECT {listed} FROM {one} EXCEPT ALL SELECT {listed} FROM {other}"
            workspace.number(f"SELECT count(*) FROM ({found})")
    print(time.perf_counter() - began, time.process_time() - cpu)
"""

_READING = """\
## How to read it

Each is a whole process, from its start to its end, but for *comparing alone* and *EXCEPT ALL, tables*, where the rows lie
in tables already and only the comparing is timed. A figure is the median of the rounds; the ratio is that of the rounds'
own ratios: of *comparing alone* to *EXCEPT ALL, tables*, of all else to *EXCEPT ALL, Parquet*. The target is 2.00 and 1 GiB.

- *EXCEPT ALL* counts the rows that only the one and only the other has, and says no more. `hoop-mitm diff` finds a key,
  pairs what changed, counts by column and keeps samples.
- *diff* is `hoop-mitm diff --json` of two sessions: it opens the recording, decompresses the bodies, reads rows out of
  them and compares. BigQuery's JSON is ten times larger than the Parquet file and has each value in text.
- *CPU s* is of all threads. It says more than *seconds* where other programs run beside the benchmark.
- *peak* is the largest resident set of the process. A bare EXCEPT ALL takes what it wants; `diff` has a bound.
"""


@dataclass(slots=True)
class Figures:
    """Of each way, one a round: seconds, seconds of CPU, peak memory in bytes. ``sizes``: bytes of what it reads."""

    seconds: dict[str, list[float]] = field(default_factory=dict)
    cpu: dict[str, list[float]] = field(default_factory=dict)
    peaks: dict[str, list[int]] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)

    def add(self, way: str, seconds: float, cpu: float, peak: int) -> None:
        self.seconds.setdefault(way, []).append(seconds)
        self.cpu.setdefault(way, []).append(cpu)
        self.peaks.setdefault(way, []).append(peak)


def _ratio(figures: dict[str, list[float]], way: str, other: str) -> float:
    """To another way in the same round."""
    return statistics.median(own / bare for own, bare in zip(figures[way], figures[other], strict=True))


def make(directory: Path, rows: int) -> Figures:
    """Both sides as Parquet files, and two recordings of them."""
    import duckdb

    figures = Figures()
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("SET enable_progress_bar = false")
        connection.execute(f"CREATE TABLE a AS {_MAKE}", [rows])
        connection.execute(f"CREATE TABLE b AS SELECT * FROM ({_CHANGE}) ORDER BY hash(id)")
        for name in "ab":
            connection.execute(f"COPY {name} TO '{directory / name}.parquet'")
        figures.sizes[BARE] = sum((directory / f"{name}.parquet").stat().st_size for name in "ab")
        for way, record in ((PAGES, _pages), (STREAMS, _streams)):
            place = directory / record.__name__
            place.mkdir()
            asyncio.run(_record(place, connection, record))
            while fold_once(place, wait=60).remaining:
                time.sleep(0.2)
            figures.sizes[way] = Layout(place).archive.stat().st_size
    return figures


async def _record(place: Path, connection: Any, answers: Any) -> None:
    recorder = Recorder(Recording(directory=place, fold_interval=timedelta(seconds=1)))
    await recorder.start()
    try:
        for number, name in enumerate("ab"):
            session = Session(
                f"0193{number:04}-0000-7000-8000-000000000000",
                name,
                "acme",
                Principal("https://login.acme.example", "u-1", "ada@acme.example"),
                "python",
                "127.0.0.1",
                _BEGAN + timedelta(hours=number),
            )
            await recorder.write(session)
            rows = connection.execute(f"SELECT * FROM {name}")
            for flow in answers(session, number, rows):
                await recorder.write(flow)
    finally:
        await recorder.stop()


def _pages(session: Session, number: int, rows: Any) -> Iterator[FlowRecord]:
    """A query and its result as the client reads it over REST."""
    import orjson

    reader = rows.to_arrow_reader(_PAGE)
    job = f"job_{number}"
    place = 0
    pages = list(reader)
    total = sum(batch.num_rows for batch in pages)
    yield _query(session, job)
    for place, batch in enumerate(pages):
        answer = {
            "jobReference": {"projectId": "acme", "jobId": job},
            "jobComplete": True,
            "totalRows": str(total),
            "rows": _cells(batch),
        }
        if place + 1 < len(pages):
            answer["pageToken"] = f"p{place + 1}"
        path = f"queries/{job}" + (f"?pageToken=p{place}" if place else "")
        yield _flow(session, place + 1, "GET", path, orjson.dumps(answer), job_id=job)


def _cells(batch: "pa.RecordBatch") -> list[dict[str, Any]]:
    """As BigQuery writes them with ``useInt64Timestamp``."""
    import pyarrow as pa
    import pyarrow.compute as pc

    texts = []
    for column in batch.columns:
        whole = (
            pc.cast(column.cast(pa.timestamp("us", "UTC")), pa.int64())
            if pa.types.is_timestamp(column.type)
            else column
        )
        texts.append(pc.cast(whole, pa.string()).to_pylist())
    return [{"f": [{"v": value} for value in row]} for row in zip(*texts, strict=True)]


def _streams(session: Session, number: int, rows: Any) -> Iterator[FlowRecord]:
    """A query whose result the client reads as one stream of the Storage API."""
    from google.cloud.bigquery_storage_v1 import types

    job = f"job_{number}"
    destination = TableRef("acme", "_results", f"anon{number}")
    result = rows.to_arrow_table()
    yield _query(session, job, destination)
    name = f"projects/acme/locations/eu/sessions/s{number}"
    source = f"projects/acme/datasets/{destination.dataset}/tables/{destination.table}"
    created = types.ReadSession(
        name=name,
        table=source,
        arrow_schema={"serialized_schema": result.schema.serialize().to_pybytes()},
        streams=[{"name": f"{name}/streams/1"}],
    )
    asked = types.CreateReadSessionRequest(parent="projects/acme", read_session={"table": source})
    yield _storage(session, 1, "CreateReadSession", asked, _frame(created), destination)
    batches = result.to_batches(max_chunksize=_BATCH)
    body = b"".join(
        _frame(
            types.ReadRowsResponse(
                arrow_record_batch={"serialized_record_batch": batch.serialize().to_pybytes()}, row_count=batch.num_rows
            )
        )
        for batch in batches
    )
    yield _storage(session, 2, "ReadRows", types.ReadRowsRequest(read_stream=f"{name}/streams/1"), body, destination)


def _frame(message: Any) -> bytes:
    data: bytes = type(message).serialize(message)
    return b"\0" + len(data).to_bytes(4) + data


def _query(session: Session, job: str, destination: TableRef | None = None) -> FlowRecord:
    import orjson

    statement = "SELECT * FROM shop.customers"
    query: dict[str, Any] = {"query": statement}
    if destination is not None:
        query["destinationTable"] = {
            "projectId": destination.project,
            "datasetId": destination.dataset,
            "tableId": destination.table,
        }
    fields = [{"name": name, "type": kind, "mode": "NULLABLE"} for name, kind in _FIELDS.items()]
    answer = {
        "jobReference": {"projectId": "acme", "jobId": job, "location": "EU"},
        "configuration": {"jobType": "QUERY", "query": query},
        "status": {"state": "DONE"},
        "statistics": {
            "query": {"statementType": "SELECT", "totalBytesBilled": "10485760", "schema": {"fields": fields}}
        },
    }
    return _flow(session, 0, "POST", "jobs", orjson.dumps(answer), statement=statement, job_id=job)


def _flow(session: Session, place: int, method: str, path: str, answer: bytes, **facts: Any) -> FlowRecord:
    door = doors.find(hosts.REST_HOST, method, f"/bigquery/v2/projects/acme/{path}")
    assert door is not None
    operation = Operation(door, "acme", projects=("acme",), **facts)
    request = b"{}" if method == "POST" else None
    return _record_of(
        session,
        place,
        operation,
        f"https://{hosts.REST_HOST}/bigquery/v2/projects/acme/{path}",
        method,
        request,
        answer,
    )


def _storage(  # noqa: PLR0917 - an exchange has this many sides
    session: Session, place: int, name: str, request: Any, answer: bytes, source: TableRef
) -> FlowRecord:
    path = f"/google.cloud.bigquery.storage.v1.BigQueryRead/{name}"
    door = doors.find(hosts.STORAGE_HOST, "POST", path)
    assert door is not None
    opens = name == "CreateReadSession"
    streams = () if opens else (Resource("read_stream", request.read_stream),)
    operation = Operation(door, "acme", projects=("acme",), tables=(source,) if opens else (), uses=streams)
    return _record_of(session, place, operation, f"https://{hosts.STORAGE_HOST}{path}", "POST", _frame(request), answer)


def _record_of(  # noqa: PLR0917 - an exchange has this many sides
    session: Session, place: int, operation: Operation, url: str, method: str, request: bytes | None, answer: bytes
) -> FlowRecord:
    grpc = operation.door.protocol == "grpc"
    kind = ("content-type", "application/grpc" if grpc else "application/json")
    began = session.started_at + timedelta(seconds=place)
    return FlowRecord(
        id=f"{session.id[:-12]}{place:012}",
        state="complete",
        session=session,
        operation=operation,
        verdict=Verdict("allow", "default"),
        method=method,
        host=url.split("/")[2],
        url=url,
        user_agent="gcloud-python/3.41.0",
        client_address="127.0.0.1",
        request=Message((kind,), request, size=len(request or b"")),
        response=Message((kind,), answer, size=len(answer)),
        started_at=began,
        ended_at=began + timedelta(milliseconds=500),
        status=200,
        grpc_status=0 if grpc else None,
        http_version="HTTP/1.1",
    )


def measure(figures: Figures, directory: Path, rounds: int) -> None:
    """Asks everything in turn, in a process of its own; before the first round once for the caches."""
    ways = {
        BARE: ["-c", _EXCEPT, str(directory)],
        BARE_TABLES: ["-c", _ALONE, str(directory), "theirs"],
        ALONE: ["-c", _ALONE, str(directory), "ours"],
        STREAMS: ["-m", "hoop_mitm.cli", "diff", "a", "b", "--json", "--db", str(directory / "_streams")],
        PAGES: ["-m", "hoop_mitm.cli", "diff", "a", "b", "--json", "--db", str(directory / "_pages")],
    }
    for round_ in range(rounds):
        for way, command in ways.items():
            seconds, cpu, peak, told = _run(command, expected=1 if way in (PAGES, STREAMS) else 0)
            if way in (ALONE, BARE_TABLES):
                seconds, cpu = map(float, told.split()[-2:])
            elif way != BARE and round_ == 0 and '"changed":' not in told:
                raise RuntimeError(f"{way} found no rows that changed")
            figures.add(way, seconds, cpu, peak)


def _run(command: Sequence[str], expected: int) -> tuple[float, float, int, str]:
    """Seconds, seconds of CPU, peak memory and output of a Python process."""
    with tempfile.TemporaryFile("w+") as output:
        began = time.perf_counter()
        process = subprocess.Popen([sys.executable, *command], stdout=output)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        took = time.perf_counter() - began
        output.seek(0)
        told = output.read()
    if process.returncode != expected:
        raise RuntimeError(f"{' '.join(command[:4])} ended with {process.returncode}")
    return took, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024, told


def render(figures: Figures, rows: int) -> str:
    """Everything as Markdown."""
    told = []
    for way in figures.seconds:
        bare = BARE_TABLES if way in (ALONE, BARE_TABLES) else BARE
        told.append(
            [
                way,
                f"{statistics.median(figures.seconds[way]):.2f}",
                f"{_ratio(figures.seconds, way, bare):.2f}",
                f"{statistics.median(figures.cpu[way]):.2f}",
                f"{_ratio(figures.cpu, way, bare):.2f}",
                f"{max(figures.peaks[way]) / 2**20:.0f}",
                f"{figures.sizes[way] / 2**20:.0f}" if way in figures.sizes else "-",
            ]
        )
    head = ["way", "seconds", "ratio", "CPU s", "CPU ratio", "peak MiB", "reads MiB"]
    return "\n\n".join([f"## {rows:,} rows a side, {len(_FIELDS)} columns, 1 % changed", table(head, told), _READING])


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.diffing", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="of each side")
    parser.add_argument("--rounds", type=int, default=3, help="how often everything is asked")
    parser.add_argument("--write", action="store_true", help="write the results to RESULTS.md")
    parser.add_argument("--dir", type=Path, help="where files go, for as long as it takes")
    options = parser.parse_args(arguments)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(dir=options.dir, prefix="hoop-bench-") as name:
        about = machine.describe(Path(name))
        # In a process of its own: a child's peak is never told as less than its parent had when it was forked.
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as apart:
            figures = apart.submit(make, Path(name), options.rows).result()
        measure(figures, Path(name), options.rounds)
    asked = sys.argv[1:] if arguments is None else arguments
    command = " ".join(["python -m benchmarks.diffing", *asked])
    text = (
        f"# Comparing large results\n\n`{command}`, {time.monotonic() - began:.0f} s\n\n{about}\n\n"
        f"{render(figures, options.rows)}"
    )
    print(text)
    if options.write:
        page.write(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
