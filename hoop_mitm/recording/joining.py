"""Jobs, joined from the flows that touch them, also when these are folded at different times."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, Protocol

from msgspec.structs import replace

from hoop_mitm.bigquery.fingerprints import fingerprint
from hoop_mitm.bigquery.jobs import JOB_DOORS, STATEMENT_DOORS, JobFacts, merge
from hoop_mitm.bigquery.operation import TableRef
from hoop_mitm.identity.session import IMPORTED
from hoop_mitm.recording.archive_file import ArchiveFile
from hoop_mitm.recording.observing import CREATE_READ_SESSION, Observation, from_plain, observe
from hoop_mitm.recording.unfolded import Row
from hoop_mitm.sql import tables_read

#: Larger requests are uploads; larger answers hold rows, and the job's facts come with other answers as well.
LARGEST_BODY = 64 * 2**20
#: Exchanges that tell something of jobs in their bodies.
_TELLING = JOB_DOORS | {CREATE_READ_SESSION}
_READS_A_TABLE = frozenset({"tabledata.list", "tables.get", CREATE_READ_SESSION})
READING_DOORS = _READS_A_TABLE | {"storage.ReadRows"}
"""Doors whose exchanges are joined to the job that made what they read."""

_JOBS_BY_KEY = "SELECT * FROM jobs WHERE key IN (FROM wanted)"
_REMOVE_JOBS = "DELETE FROM jobs WHERE key IN (FROM wanted)"
_JOBS_BY_DESTINATION = """
    SELECT key, session_id, destination, decision, state, started_at FROM jobs
    WHERE destination IS NOT NULL AND destination."table" IN (FROM wanted)
"""
_READ_SESSIONS = "SELECT * FROM read_sessions WHERE name IN (FROM wanted)"

BIGQUERY, STATEMENT = "bigquery", "statement"

#: With these a review ended and nothing was run. (``review.executed`` is said of what BigQuery refused.)
_NOT_RUN = frozenset({"review.rejected", "review.expired", "review.withdrawn"})
#: So the gateway itself sends what reviewers let run.
_APPROVED = "review.approved"
#: In these states BigQuery has the job.
_TAKEN = frozenset({"PENDING", "RUNNING", "DONE"})

type _Table = dict[str, str]
type _JobRow = dict[str, Any]


@dataclass(slots=True)
class _Seen:
    """A flow with what it tells."""

    row: Row
    observation: Observation

    @property
    def note(self) -> dict[str, Any]:
        return self.row.note

    @property
    def door(self) -> str:
        return (self.note["operation"] or {}).get("door") or ""

    @property
    def is_denied(self) -> bool:
        return bool(self.note["verdict"]["decision"] == "deny")

    @property
    def is_held(self) -> bool:
        return bool(self.note["verdict"]["decision"] == "review")

    @property
    def ends_review(self) -> bool:
        """Whether the gateway says here that the job will never run."""
        return self.is_held and self.note["verdict"]["rule"] in _NOT_RUN

    @property
    def is_accepted(self) -> bool:
        """Whether BigQuery took what was asked for."""
        job = self.observation.job
        return self.note["state"] in {"complete", "truncated"} and (job is None or job.state != "FAILED")

    def tells_of(self, known: _JobRow | None) -> bool:
        """Whether it tells of the job ``known`` (``None``: of which nothing is known yet), which has the id that it names.

        Clients choose the ids of their jobs. A request that was refused, or has no answer, or is held under an id that is
        taken, stands alone: else whoever sends a second statement with the id of a first one would hide that one.
        """
        if self.door not in STATEMENT_DOORS or self.is_denied:
            return True
        if self.note["state"] == "open":
            return False
        if self.is_held:
            return known is None or known["decision"] == "review"
        if self.note["verdict"]["rule"] == _APPROVED:
            return known is None or known["decision"] == "review" or known["rule"] == _APPROVED
        return self.is_accepted and (known is None or known["decision"] == "allow")

    @property
    def key(self) -> str | None:
        """The job whose id it names; its own id where BigQuery gave none."""
        job = self.observation.job
        if self.note["session"] is None or (job is None and not (self.door in STATEMENT_DOORS and self.is_denied)):
            return None
        known = None if self.is_denied or job is None or job.key is None else self.own(job.key)
        return known or (str(self.note["id"]) if self.door in STATEMENT_DOORS else None)

    def own(self, key: str) -> str:
        """A job's key as the archive has it. What was imported is another's word: it says nothing of a job of ours, or of
        another file's, that is called the same."""
        is_imported = self.row.sealed and self.note["session"] and self.note["session"]["connection"] == IMPORTED
        return f"{self.row.sealed.chain}/{key}" if self.row.sealed and is_imported else key


class Bodies(Protocol):
    """Where the bodies of records are read from: the journal, or an archive."""

    def body(self, row: Row, side: str, most: int) -> bytes | None:
        """A whole body; ``None`` when there is none or it is larger than ``most`` bytes."""


class Joiner:
    """Joins the flows of one batch into jobs. First :meth:`observe`, which takes the time, then :meth:`join`."""

    def __init__(self, bodies: Bodies) -> None:
        self._bodies = bodies
        self._seen: list[_Seen] = []

    def observe(self, rows: Iterable[Row]) -> None:
        """Understand the flows, from their bodies or from what the recorder noted where bodies are not kept."""
        self._seen = [_Seen(row, self._observation(row)) for row in sorted(rows, key=lambda row: row.seq)]

    def join(self, archive: ArchiveFile) -> dict[str, str]:
        """Bring ``jobs`` and ``read_sessions`` up to date; which job each flow belongs to, by the flow's id.

        Flow by flow, in the order of their records: what comes out is the same however they come in batches.
        """
        keys: dict[str, str] = {}
        wanted = {name for seen in self._seen if (key := seen.key) for name in (key, _located(key, seen))}
        jobs = {row["key"]: row for row in archive.rows_among(_JOBS_BY_KEY, wanted)} if wanted else {}
        reading = {
            table["table"] for seen in self._seen if seen.door in _READS_A_TABLE for table in tables_of(seen.note)
        }
        makers = _Makers(archive.rows_among(_JOBS_BY_DESTINATION, reading) if reading else ())
        made: dict[str, dict[str, Any]] = {}
        # An intent that was folded before its answer stands under its flow's id.
        own: set[str] = set()
        for seen in self._seen:
            id_ = str(seen.note["id"])
            if key := seen.key:
                if _elsewhere(jobs.get(key), seen):
                    # The same id in two locations is two jobs.
                    key = _located(key, seen)
                if not seen.tells_of(jobs.get(key)):
                    key = id_
                jobs[key] = _joined(jobs.get(key), key, seen)
                makers.note(jobs[key])
                keys[id_] = key
                own.add(id_)
            elif seen.door in _READS_A_TABLE and tables_of(seen.note):
                if job := makers.of(seen):
                    keys[id_] = job
                if name := seen.observation.read_session:
                    made.setdefault(name, _read_session(name, seen, job))
        if own:
            archive.execute_among(_REMOVE_JOBS, wanted | own)
            archive.insert("jobs", jobs.values())
        self._link_streams(archive, made, keys)
        return keys

    def _observation(self, row: Row) -> Observation:
        note = row.note
        operation = note["operation"]
        if operation is None:
            return Observation()
        if "observed" in note:
            return from_plain(note["observed"])
        if operation["door"] not in _TELLING:
            return Observation()
        request, response = (self._bodies.body(row, side, LARGEST_BODY) for side in ("request", "response"))
        return observe(
            operation["door"], note["state"], note["url"], note["status"], request=request, response=response
        )

    def _link_streams(self, archive: ArchiveFile, made: dict[str, dict[str, Any]], keys: dict[str, str]) -> None:
        streaming = {seen.note["id"]: name for seen in self._seen if (name := _read_session_of(seen.note))}
        if not made and not streaming:
            return
        known = {row["name"]: row for row in archive.rows_among(_READ_SESSIONS, {*made, *streaming.values()})}
        archive.insert("read_sessions", [row for name, row in made.items() if name not in known])
        for flow, name in streaming.items():
            session = known.get(name) or made.get(name)
            if session and session["job_key"]:
                keys[flow] = session["job_key"]


class _Makers:
    """Which job made what stands in a table, of those whose results go there."""

    def __init__(self, jobs: Iterable[_JobRow]) -> None:
        self._into: dict[tuple[str | None, TableRef], dict[str, _JobRow]] = {}
        self._place: dict[str, tuple[str | None, TableRef]] = {}
        for job in jobs:
            self.note(job)

    def note(self, job: _JobRow) -> None:
        """``job`` is as this row says from now on."""
        key = job["key"]
        if (before := self._place.pop(key, None)) is not None:
            del self._into[before][key]
        # One that BigQuery was not sent, or did not take, or has not answered for, made nothing.
        if job["destination"] is not None and job["decision"] == "allow" and job["state"] in _TAKEN:
            place = self._place[key] = (job["session_id"], TableRef(**job["destination"]))
            self._into.setdefault(place, {})[key] = job

    def of(self, seen: _Seen) -> str | None:
        """The latest job of the same session whose result went to the table that is read, and that was asked for before."""
        read_at = datetime.fromisoformat(seen.note["started_at"])
        session = seen.note["session"] and seen.note["session"]["id"]
        found = [
            job
            for table in tables_of(seen.note)
            for job in self._into.get((session, TableRef(**table)), {}).values()
            # Where only some records are joined again, the jobs that came later are there already.
            if job["started_at"] <= read_at
        ]
        return str(max(found, key=lambda job: (job["started_at"], job["key"]))["key"]) if found else None


def _read_session(name: str, seen: _Seen, job: str | None) -> dict[str, Any]:
    return {
        "name": name,
        "session_id": seen.note["session"] and seen.note["session"]["id"],
        "flow_id": seen.note["id"],
        "job_key": job,
        "source": tables_of(seen.note)[0],
        "created_at": datetime.fromisoformat(seen.note["started_at"]),
    }


def portions[Item](items: Iterable[Item], row_of: Callable[[Item], Row], most: int) -> Iterator[list[Item]]:
    """``items`` in their order, so many at a time that the bodies of their records have at most ``most`` bytes, or one."""
    some: list[Item] = []
    size = 0
    for item in items:
        more = sum(note["size"] for side in ("request", "response") if (note := row_of(item).body_note(side)))
        if some and size + more > most:
            yield some
            some, size = [], 0
        some.append(item)
        size += more
    if some:
        yield some


def telling_bodies(rows: Iterable[Row]) -> set[str]:
    """The names (hexadecimal) of the bodies that a :class:`Joiner` reads of these records."""
    return {
        note["hash"]
        for row in rows
        if "observed" not in row.note and (row.note.get("operation") or {}).get("door") in _TELLING
        for side in ("request", "response")
        if (note := row.body_note(side)) and note["size"] <= LARGEST_BODY
    }


def tables_of(note: dict[str, Any]) -> list[_Table]:
    """The tables that a flow's request names outside of SQL."""
    tables: list[_Table] = (note["operation"] or {}).get("tables", [])
    return tables


def _joined(old: _JobRow | None, key: str, seen: _Seen) -> _JobRow:
    note, operation = seen.note, seen.note["operation"]
    fresh = seen.observation.job or JobFacts(
        project=operation["project"],
        location=operation["location"],
        statement=operation["statement"],
        labels=operation["labels"],
        dry_run=operation["dry_run"],
    )
    if old and old["decision"] == "allow" and seen.is_held and not seen.ends_review:
        # What the gateway says of a job while it is being sent is no word of BigQuery's.
        return old
    approved = _is_sent(old, seen)
    facts = fresh
    if old:
        known = _facts(old)
        # Whatever BigQuery says is further along than what the gateway said of a job that waited.
        facts = merge(replace(known, state="FAILED", error=None) if approved else known, fresh)
    row = old or _first_row(key, seen)
    if approved or (old and seen.door in STATEMENT_DOORS and old["statement"] is None):
        # The job waited, or was seen in a poll before; now comes the one who asked BigQuery for it.
        row = _first_row(key, seen)
    elif seen.ends_review:
        row = row | _verdict(seen)
    state = _state(seen, facts, None if approved else old)
    ended = facts.ended_at or row["ended_at"]
    if ended is None and state in {"DONE", "FAILED", "DENIED"} and note["ended_at"]:
        ended = datetime.fromisoformat(note["ended_at"])
    statement = facts.statement or operation["statement"]
    tables, tables_from = _tables(facts, statement, old, seen)
    return row | {
        "id": None if seen.is_denied else facts.id,
        "project": facts.project or operation["project"],
        "location": facts.location,
        "statement": statement,
        "fingerprint": _fingerprint(statement) if statement else None,
        "statement_type": facts.statement_type,
        "job_type": facts.job_type,
        "referenced_tables": [_plain(table) for table in tables],
        "tables_from": tables_from,
        "destination": _plain(facts.destination) if facts.destination else None,
        "labels": list(facts.labels.items()),
        "dry_run": facts.dry_run,
        "state": state,
        "error": facts.error or (note["error"] if seen.door in STATEMENT_DOORS else None),
        "bytes_processed": facts.bytes_processed,
        "bytes_billed": facts.bytes_billed,
        "cache_hit": facts.cache_hit,
        "slot_ms": facts.slot_ms,
        "schema": facts.schema,
        "row_count": facts.row_count,
        "ended_at": ended,
    }


def _tables(
    facts: JobFacts, statement: str | None, old: _JobRow | None, seen: _Seen
) -> tuple[tuple[TableRef, ...], str | None]:
    """The tables that the job read: by BigQuery's account, or else by what its statement says."""
    if facts.referenced_tables:
        return facts.referenced_tables, BIGQUERY
    if old and old["tables_from"]:
        return _refs(old), old["tables_from"]
    if not statement:
        return (), None
    return _tables_read(statement, facts.project or "", seen.observation.default_dataset), STATEMENT


def _plain(table: TableRef) -> _Table:
    return {"project": table.project, "dataset": table.dataset, "table": table.table}


def _refs(row: _JobRow) -> tuple[TableRef, ...]:
    return tuple(TableRef(**table) for table in row["referenced_tables"])


def _first_row(key: str, seen: _Seen) -> _JobRow:
    note = seen.note
    return {
        "key": key,
        "session_id": note["session"]["id"],
        "executed_statement": note["executed_statement"],
        **_verdict(seen),
        "started_at": datetime.fromisoformat(note["started_at"]),
        "ended_at": None,
    }


def _verdict(seen: _Seen) -> dict[str, Any]:
    verdict = seen.note["verdict"]
    return {"decision": verdict["decision"], "rule": verdict["rule"], "message": verdict["message"] or None}


def _is_sent(old: _JobRow | None, seen: _Seen) -> bool:
    """Whether a job that was held goes to BigQuery here, because reviewers let it run."""
    return bool(
        old
        and old["decision"] == "review"
        and seen.door in STATEMENT_DOORS
        and seen.note["verdict"]["rule"] == _APPROVED
    )


def _state(seen: _Seen, facts: JobFacts, old: _JobRow | None) -> str:
    if seen.is_denied:
        return "DENIED"
    answered = seen.note["state"] in {"complete", "truncated", "held"}
    if not answered and (old is None or old["state"] == "UNKNOWN"):
        return "FAILED" if seen.note["state"] == "refused" else "UNKNOWN"
    return facts.state


def _facts(row: _JobRow) -> JobFacts:
    destination = row["destination"]
    return JobFacts(
        project=row["project"],
        id=row["id"],
        location=row["location"],
        statement=row["statement"],
        statement_type=row["statement_type"],
        job_type=row["job_type"],
        referenced_tables=_refs(row) if row["tables_from"] == BIGQUERY else (),
        destination=TableRef(**destination) if destination else None,
        labels=dict(row["labels"] or ()),
        dry_run=row["dry_run"],
        state=row["state"] if row["state"] in {"PENDING", "RUNNING", "DONE", "FAILED"} else "PENDING",
        error=row["error"],
        bytes_processed=row["bytes_processed"],
        bytes_billed=row["bytes_billed"],
        cache_hit=row["cache_hit"],
        slot_ms=row["slot_ms"],
        schema=row["schema"],
        row_count=row["row_count"],
        ended_at=row["ended_at"],
    )


def _located(key: str, seen: _Seen) -> str:
    job = seen.observation.job
    if job is None or job.key is None or job.location is None or seen.own(job.key) != key:
        return key
    return seen.own(f"{job.project}:{job.location}.{job.id}")


def _elsewhere(old: _JobRow | None, seen: _Seen) -> bool:
    job = seen.observation.job
    return bool(old and job and job.location and old["location"] and old["location"].lower() != job.location.lower())


def _read_session_of(note: dict[str, Any]) -> str | None:
    streams = (note["operation"] or {}).get("read_streams") or [""]
    name, marker, _ = streams[0].rpartition("/streams/")
    return str(name) if marker else None


@lru_cache(maxsize=4096)
def _tables_read(statement: str, project: str, default: tuple[str | None, str] | None) -> tuple[TableRef, ...]:
    return tables_read(statement, project, default)


@lru_cache(maxsize=4096)
def _fingerprint(statement: str) -> str | None:
    return fingerprint(statement)
