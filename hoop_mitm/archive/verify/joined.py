"""Jobs and read sessions: joined once more from the recorded exchanges, by the fold's own code, and compared.

Jobs hang together with what touched them, which may be several sessions. So sessions are taken in groups that share no
job with another group, each group by one worker.
"""

import functools
import operator
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path
from typing import Any

import duckdb
import orjson
import pyarrow as pa

from hoop_mitm.archive.verify.bodies import plain_part
from hoop_mitm.archive.verify.derived import says, values
from hoop_mitm.archive.verify.file import File, UnreadableError
from hoop_mitm.archive.verify.report import Findings, Place, shortened
from hoop_mitm.evidence import join
from hoop_mitm.recording.archive_file import ArchiveFile
from hoop_mitm.recording.joining import Joiner, portions, telling_bodies
from hoop_mitm.recording.retention.learnt import observation_of
from hoop_mitm.recording.sealing import Sealed
from hoop_mitm.recording.unfolded import Row

#: Exchanges that a worker joins together, at least; and how many it holds at once.
GROUP = 2**14
_AT_ONCE, _BYTES_AT_ONCE = 4096, 2**26

_SESSIONS = """
    SELECT session_id, count(*), min(seq) AS first, max(seq) FROM file.main.flows
    WHERE session_id IS NOT NULL AND chain IS NOT NULL GROUP BY session_id ORDER BY first
"""
_SHARED = """
    SELECT list_sort(list(DISTINCT session_id)) FROM file.main.flows
    WHERE session_id IS NOT NULL AND job_key IS NOT NULL AND chain IS NOT NULL
    GROUP BY job_key HAVING count(DISTINCT session_id) > 1
    UNION ALL
    SELECT list_sort(list(DISTINCT session_id)) FROM file.main.jobs
    WHERE session_id IS NOT NULL AND id IS NOT NULL
    GROUP BY project, id HAVING count(DISTINCT session_id) > 1
"""
#: Errors that come of what a record holds.
_UNFIT = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, duckdb.Error, pa.ArrowException)

#: The parts that tell of jobs: who asked does not.
_TOLD = ("statement", "exchange")
_FLOWS = f"""
    SELECT
        records.chain, records.seq, encode(records.data) AS data,
        {", ".join(f"encode({name}) AS {name}" for name in _TOLD)},
        flows.job_key, encode(observations.data) AS learnt
    FROM file.main.flows
    JOIN file.main.records ON records.chain = flows.chain AND records.seq = flows.seq
    LEFT JOIN file.main.observations ON observations.chain = flows.chain AND observations.seq = flows.seq
    WHERE flows.session_id IN (SELECT id FROM mine) AND flows.seq BETWEEN $first AND $last
        AND records.seq BETWEEN $first AND $last AND records.kind = 'flow' AND records.data IS NOT NULL
    ORDER BY records.seq, records.chain
"""  # noqa: S608 - names of ours
# By the place of the row: else all bodies there are would be read beside their hashes.
_BODIES = """
    SELECT hash, size, data FROM file.main.bodies
    WHERE rowid IN (SELECT rowid FROM file.main.bodies WHERE hash IN (SELECT hash FROM wanted))
    ORDER BY hash, part
"""
# As above.
_ROWS = """
    SELECT * FROM file.main.{table} WHERE rowid IN (
        SELECT rowid FROM file.main.{table} WHERE session_id IN (SELECT id FROM mine) OR {key} IN (SELECT {key} FROM ours)
    )
"""
_FROM_NO_FLOW = """
    SELECT session_id, {key} FROM file.main.{table}
    WHERE session_id IS NULL OR session_id NOT IN (
        SELECT session_id FROM file.main.flows WHERE session_id IS NOT NULL
    )
    ORDER BY {key}
"""
_NOBODYS = """
    SELECT id, chain, seq FROM file.main.flows
    WHERE session_id IS NULL AND job_key IS NOT NULL AND chain IS NOT NULL ORDER BY chain, seq
"""
_BEFORE_THE_CHAIN = "SELECT DISTINCT session_id FROM file.main.flows WHERE chain IS NULL AND session_id IS NOT NULL"


@dataclass(frozen=True, slots=True)
class Group:
    """Sessions that share no job with others, and between which records their exchanges lie."""

    sessions: tuple[str, ...]
    flows: int
    first: int
    last: int


@dataclass(slots=True)
class Joined:
    """What a worker saw."""

    flows: int = 0
    jobs: int = 0
    read_sessions: int = 0
    findings: Findings = field(default_factory=Findings)


def groups(file: File) -> Iterator[Group]:
    """The sessions in groups; those with exchanges from before the chain are left out.

    Raises:
        UnreadableError: the file is damaged.
    """
    leader: dict[str, str] = {}

    def lead(session: str) -> str:
        while (above := leader.get(session, session)) != session:
            leader[session] = leader.get(above, above)
            session = above
        return session

    for (shared,) in file.rows(_SHARED):
        for session in shared[1:]:
            leader[lead(session)] = lead(shared[0])
    together: dict[str, list[tuple[str, int, int, int]]] = {}
    for row in file.rows(_SESSIONS):
        together.setdefault(lead(row[0]), []).append(row)
    before = {session for (session,) in file.rows(_BEFORE_THE_CHAIN)}
    waiting: list[tuple[str, int, int, int]] = []
    for rows in together.values():
        if before.isdisjoint(session for session, *_ in rows):
            waiting += rows
        if sum(flows for _, flows, _, _ in waiting) >= GROUP:
            yield _group(waiting)
            waiting = []
    if waiting:
        yield _group(waiting)


def group_of(file: File, session: str) -> Group | None:
    """One session by itself; ``None`` when it has no exchanges, or some from before the chain.

    Raises:
        UnreadableError: the file is damaged.
    """
    if (session,) in file.rows(_BEFORE_THE_CHAIN):
        return None
    return next((_group([row]) for row in file.rows(_SESSIONS) if row[0] == session), None)


def join_alone(file: File, group: Group) -> tuple[pa.Table, pa.Table, dict[str, str]]:
    """The exchanges of ``group``, joined: ``jobs``, ``read_sessions``, and which job each flow is about.

    Raises:
        UnreadableError: the file is damaged.
    """
    keys: dict[str, str] = {}
    scratch = _scratch()
    for _, found in _joining(file, group, scratch, Findings()):
        keys |= found
    return scratch.table("jobs"), scratch.table("read_sessions"), keys


def join_again(file: File, group: Group) -> Joined:
    """Join the exchanges of ``group`` and compare what comes out with the tables."""
    joined = Joined()
    try:
        scratch = _scratch()
        for some, keys in _joining(file, group, scratch, joined.findings):
            joined.flows += len(some)
            _compare_keys(some, keys, joined.findings)
        comparing = _Comparing(file, scratch, _ids(group), joined.findings)
        joined.jobs = comparing.compare("jobs", "key")
        joined.read_sessions = comparing.compare("read_sessions", "name")
    except UnreadableError as error:
        words = f"The file cannot be read here, it is damaged: {error}"
        joined.findings.add("file.damaged", words, Place(seq=group.first, last=group.last, table="flows"))
    except _UNFIT as error:
        words = f"The exchanges of {len(group.sessions)} sessions cannot be joined to jobs: {type(error).__name__}."
        joined.findings.add("record.form", words, Place(seq=group.first, last=group.last, table="records"))
    return joined


def before_the_chain(file: File, table: str) -> int:
    """How many rows belong to sessions that are older than the chain.

    Raises:
        UnreadableError: the file is damaged.
    """
    question = f"SELECT count(*) FROM file.main.{table} WHERE session_id IN ({_BEFORE_THE_CHAIN})"  # noqa: S608 - names of ours
    return int(file.rows(question)[0][0])


def check_alone(file: File, findings: Findings) -> None:
    """Rows that belong to no session, and so to no group.

    Raises:
        UnreadableError: the file is damaged.
    """
    for table, key in (("jobs", "key"), ("read_sessions", "name")):
        for session, value in file.rows(_FROM_NO_FLOW.format(table=table, key=key)):
            words = f"No exchange made this row of {table}."
            findings.add("row.extra", words, Place(session=session, table=table, row=shortened(value)))
    for id_, chain, seq in file.rows(_NOBODYS):
        words = "flows.job_key names a job, but the exchange is nobody's: it can be about none."
        place = Place(chain, seq, kind="flow", table="flows", row=shortened(id_), column="job_key")
        findings.add("row.changed", words, place)


class _Scratch(ArchiveFile):
    """The tables that the fold joins into, in memory."""

    def __init__(self) -> None:
        self._connection = duckdb.connect(config={"threads": "1"})
        self._connection.execute("SET TimeZone = 'UTC'")
        self._connection.execute(resources.files("hoop_mitm.recording").joinpath("schema.sql").read_text())
        self._schemas: dict[str, pa.Schema] = {}

    def empty(self) -> None:
        self.execute("TRUNCATE jobs")
        self.execute("TRUNCATE read_sessions")

    def table(self, name: str) -> pa.Table:
        return self._connection.sql(f"SELECT * FROM {name}").to_arrow_table()  # noqa: S608 - a name of ours


@functools.cache
def _scratch() -> _Scratch:
    return _Scratch()


class _Bodies:
    """Bodies of some flows, as the file holds them."""

    def __init__(self, file: File) -> None:
        self._file = file
        self._parts: dict[bytes, list[tuple[int, bytes]]] = {}

    def load(self, rows: Sequence[Row]) -> None:
        """Have the bodies of ``rows`` at hand, and no others."""
        wanted = {bytes.fromhex(name) for name in telling_bodies(rows)}
        self._parts = {}
        table = pa.table({"hash": pa.array(wanted, pa.binary())})
        for name, size, data in self._file.rows_with(_BODIES, wanted=table) if wanted else ():
            self._parts.setdefault(name, []).append((size, data))

    def body(self, row: Row, side: str, most: int) -> bytes | None:
        """A whole body; ``None`` when there is none or it is larger than ``most`` bytes."""
        note = row.body_note(side)
        if note is None or note["size"] > most:
            return None
        parts = self._parts.get(bytes.fromhex(note["hash"]))
        plain_parts = [plain_part(data, size) for size, data in parts or ()]
        return None if not plain_parts or None in plain_parts else b"".join(part for part in plain_parts if part)


def _joining(
    file: File, group: Group, scratch: "_Scratch", findings: Findings
) -> Iterator[tuple[list[tuple[Row, str | None]], dict[str, str]]]:
    """Join the exchanges of ``group`` into ``scratch``, some at a time: these, and which job each is about."""
    scratch.empty()
    bodies = _Bodies(file)
    given = {"first": group.first, "last": group.last}
    for batch in file.batches(_FLOWS, given, rows=_AT_ONCE, mine=_ids(group)):
        for some in portions(_rows(batch, findings), operator.itemgetter(0), _BYTES_AT_ONCE):
            rows = [row for row, _ in some]
            bodies.load(rows)
            joiner = Joiner(bodies)
            joiner.observe(rows)
            yield some, joiner.join(scratch)


def _ids(group: Group) -> pa.Table:
    return pa.table({"id": pa.array(group.sessions, pa.string())})


def _group(rows: Sequence[tuple[str, int, int, int]]) -> Group:
    return Group(
        tuple(row[0] for row in rows),
        sum(row[1] for row in rows),
        min(row[2] for row in rows),
        max(row[3] for row in rows),
    )


def _rows(batch: pa.RecordBatch, findings: Findings) -> Iterator[tuple[Row, str | None]]:
    """The exchanges, each with the job that the table says it is about."""
    for chain, seq, data, *texts, job_key, learnt in zip(
        *(column.to_pylist() for column in batch.columns), strict=True
    ):
        try:
            parts = {name: orjson.loads(text) for name, text in zip(_TOLD, texts, strict=True) if text is not None}
            note = join(orjson.loads(data), parts)
            if learnt is not None:
                note["observed"] = observation_of(learnt)
            elif "statement" not in parts:
                # Where the part is gone nobody knows whether it was in there.
                note.pop("observed", None)
            row = Row(seq, "flow", note, {}, Path(), sealed=Sealed(chain, seq, "flow", data, b"", b"", {}))
            for side in ("request", "response"):
                bytes.fromhex((row.body_note(side) or {"hash": ""})["hash"])
        except (LookupError, TypeError, ValueError, AttributeError):
            words = "This exchange cannot be read, so its job was not compared."
            findings.add("record.form", words, Place(chain, seq, kind="flow", table="records"))
            continue
        yield row, job_key


def _compare_keys(stored: Iterable[tuple[Row, str | None]], keys: Mapping[str, str], findings: Findings) -> None:
    for row, there in stored:
        wanted = keys.get(row.note["id"])
        if wanted != there:
            place = Place(
                row.chain,
                row.seq,
                kind="flow",
                at=row.note["started_at"],
                session=row.note["session"]["id"],
                table="flows",
                row=row.note["id"],
                column="job_key",
            )
            findings.add("row.changed", says("flows", "job_key", wanted, there, is_time=False), place)


@dataclass(frozen=True, slots=True)
class _Comparing:
    """What was joined, and what the file holds of the sessions ``mine``."""

    file: File
    scratch: _Scratch
    mine: pa.Table
    findings: Findings

    def compare(self, table: str, key: str) -> int:
        """Compare the rows of ``table``; how many were joined."""
        joined = self.scratch.table(table)
        must = dict(_dicts(joined, key))
        stored: dict[Any, dict[str, Any]] = {}
        question = _ROWS.format(table=table, key=key)
        for batch in self.file.batches(question, rows=_AT_ONCE, mine=self.mine, ours=joined.select([key])):
            stored |= _dicts(batch, key)
        times = {each.name for each in joined.schema if pa.types.is_timestamp(each.type)}
        for value in sorted(must.keys() | stored.keys(), key=str):
            wanted, there = must.get(value), stored.get(value)
            place = Place(session=(wanted or there or {})["session_id"], table=table, row=shortened(value))
            if wanted is None:
                self.findings.add("row.extra", f"No exchange made this row of {table}.", place)
            elif there is None:
                self.findings.add("row.missing", f"Exchanges make a row of {table} here, which is missing.", place)
            else:
                for name in (name for name in joined.column_names if wanted[name] != there[name]):
                    words = says(table, name, wanted[name], there[name], name in times, who="the exchanges say")
                    self.findings.add("row.changed", words, replace(place, column=name))
        return len(must)


def _dicts(table: pa.Table | pa.RecordBatch, key: str) -> Iterator[tuple[Any, dict[str, Any]]]:
    names = table.schema.names
    columns = [
        _unordered(values(column)) if pa.types.is_map(column.type) else values(column) for column in table.columns
    ]
    for row in zip(*columns, strict=True):
        named = dict(zip(names, row, strict=True))
        yield named[key], named


def _unordered(maps: Iterable[list[tuple[Any, Any]] | None]) -> list[Any]:
    """Maps that are the same whichever of their entries was written first: what retention kept has them sorted."""
    return [None if each is None else sorted(each, key=lambda entry: str(entry[0])) for each in maps]
