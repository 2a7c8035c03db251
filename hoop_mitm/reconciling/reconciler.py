"""The whole of it: who is asked, for which time, and what becomes of the answers."""

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from hoop_mitm.archive import Archive, Lost, Recorded, open_archive
from hoop_mitm.bigquery import mcp
from hoop_mitm.config import Config, Connection
from hoop_mitm.errors import AskingError, HoopError
from hoop_mitm.reconciling import intents, jobs_view, texts
from hoop_mitm.reconciling.client import BigQuery
from hoop_mitm.reconciling.comparing import Compared, Setting, compare, other_text
from hoop_mitm.reconciling.intents import Resolution
from hoop_mitm.reconciling.ran import Ran
from hoop_mitm.reconciling.report import KINDS, Counts, Finding, NotChecked, Report

_WINDOW: Final = timedelta(days=1)
"""As much time as is held in memory at once."""

_MARGIN: Final = timedelta(minutes=10)
"""How far the recording is read beyond BigQuery's jobs, for the two clocks and for requests that take their time."""

_FOLD_WAIT: Final = 15.0
_PAUSE: Final = 0.5

_MOST_LOOKED_UP: Final = 1_000
"""Jobs that are asked for one by one, for each connection."""

_STARTS: Final = frozenset({"jobs.insert", "jobs.query", "jobs.upload", *mcp.EXECUTES})

type Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Question:
    """What is to be compared.

    Attributes:
        since, until: aware; jobs that were created from ``since`` until before ``until``.
        locations: to ask besides those that are configured, recorded, or known to BigQuery.
        connections: of these names only; all where it is empty.
    """

    since: datetime
    until: datetime
    locations: tuple[str, ...] = ()
    connections: tuple[str, ...] = ()


type ClientFor = Callable[[Connection], BigQuery]


def reconcile(
    config: Config, archive: Path, question: Question, client_for: ClientFor, say: Say = lambda _: None
) -> Report:
    """Compares the recording at ``archive`` with BigQuery's list.

    Args:
        client_for: how a connection's BigQuery is asked; may raise `HoopError`, and is then not checked.
        say: told in a few words what takes long.

    Raises:
        ArchiveError: the recording cannot be read.
    """
    gathering = _Gathering(_Recording(archive), question)
    for connection in config.connections:
        if not question.connections or connection.name in question.connections:
            kept = (connection.keep or config.recording.keep).metadata
            gathering.add(connection, gathering.beginning(connection, kept), client_for, say)
    return gathering.report()


class _Recording:
    """The archive, open only while it is read: the gateway's fold waits for its readers."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.pending: int | None = 0

    def read[T](self, what: Callable[[Archive], T]) -> T:
        with open_archive(self._path) as archive:
            self.pending = archive.pending
            return what(archive)


class _Gathering:
    """The report, as it grows."""

    def __init__(self, recording: _Recording, question: Question) -> None:
        self.recording = recording
        self.question = question
        self.now = datetime.now(UTC)
        self.findings: list[Finding] = []
        self.not_checked: list[NotChecked] = []
        self.counts = Counts()
        self.asked: dict[str, tuple[str, ...]] = {}
        self.notes: list[str] = []
        self._look_at_the_time()

    def _look_at_the_time(self) -> None:
        first = self.recording.read(lambda archive: archive.ledger.begins())
        kept_since = self.now - jobs_view.KEPT
        self.since = max(self.question.since, kept_since)
        self.until = min(self.question.until, self.now)
        if self.since > self.question.since:
            self.cannot(
                f"Before {_minute(kept_since)}",
                f"BigQuery lists jobs of the last {jobs_view.KEPT.days} days only.",
                "Run `hoop-mitm reconcile` on a schedule, so that no time grows too old.",
            )
        if first is None or first > self.since:
            self.notes.append(
                "The recording holds no session."
                if first is None
                else f"The recording begins at {_minute(first)}: what ran before it is not recorded."
            )
        if self.until > self.now - jobs_view.LAG:
            self.notes.append(
                f"BigQuery's list may be some minutes behind: begin the next run at {_minute(self.now - jobs_view.LAG)} "
                "or before."
            )

    def beginning(self, connection: Connection, kept: timedelta | None) -> datetime:
        """From when on a connection can be compared: what was kept long enough is deleted from the recording."""
        if kept is None or self.now - kept <= self.since:
            return self.since
        self.cannot(
            f"Connection {connection.name} before {_minute(self.now - kept)}",
            "Records as old as that are no longer kept (`keep.metadata`).",
            "Begin later with --since, and run it more often than records are deleted.",
        )
        return self.now - kept

    def cannot(self, what: str, why: str, next_step: str) -> None:
        self.not_checked.append(NotChecked(what, why, next_step))

    def cannot_ask(self, what: str, error: HoopError) -> None:
        if isinstance(error, AskingError):
            self.cannot(what, error.why, error.next_step)
        else:
            self.cannot(what, str(error), "See to the credential in the configuration.")

    def add(self, connection: Connection, since: datetime, client_for: ClientFor, say: Say) -> None:
        if connection.recording == "off":
            self.cannot(
                f"Connection {connection.name}",
                "It records nothing (`recording: off`), so there is nothing to compare.",
                "Record at least its `metadata`.",
            )
            return
        try:
            client = client_for(connection)
        except HoopError as error:
            self.cannot_ask(f"Connection {connection.name}", error)
            return
        _Comparison(self, connection, since, client, say).run()

    def report(self) -> Report:
        order = {kind: place for place, kind in enumerate(KINDS)}
        self.findings.sort(key=lambda finding: (order[finding.kind], finding.at))
        return Report(
            since=self.question.since,
            until=self.until,
            findings=tuple(self.findings),
            not_checked=tuple(self.not_checked),
            notes=tuple(self.notes),
            counts=self.counts,
            asked=self.asked,
        )


class _Comparison:
    """One connection's part."""

    def __init__(
        self, gathering: _Gathering, connection: Connection, since: datetime, client: BigQuery, say: Say
    ) -> None:
        self._all = gathering
        self._connection = connection
        self._since = since
        self._client = client
        self._say = say
        self._asker: str | None = None
        self._used: set[str] = set()
        self._looked_up = 0

    def run(self) -> None:
        known = self._all.recording.read(lambda archive: archive.ledger.locations(self._connection.projects))
        places = {project: self._locations(project, known) for project in self._connection.projects}
        deletions = self._all.recording.read(lambda archive: archive.ledger.deletions())
        for since, until in _windows(self._since, self._all.until):
            jobs = [
                job
                for project, locations in places.items()
                for location in sorted(locations)
                for job in self._jobs(project, location, since, until, locations)
            ]
            self._compare(jobs, since, until, places, deletions)
        self._lost()
        self._all.asked |= {project: tuple(sorted(locations)) for project, locations in places.items()}

    def _locations(self, project: str, known: Collection[str]) -> set[str]:
        self._say(f"Looking where jobs of {project} run")
        given = (*self._all.question.locations, *self._connection.reconcile.locations)
        found: Collection[str] = ()
        try:
            found = self._client.locations(project, self._since, self._all.until)
        except HoopError as error:
            self._all.cannot_ask(f"Locations of {project} that nobody named", error)
        # One spelling for each: BigQuery writes US and EU, and all others small.
        spelled = {place.lower(): place for place in (*given, *known, *found)}
        return {place.upper() if place.lower() in ("us", "eu") else place.lower() for place in spelled.values()}

    def _jobs(self, project: str, location: str, since: datetime, until: datetime, locations: set[str]) -> list[Ran]:
        self._say(f"Asking {project} in {location}, {since:%Y-%m-%d}")
        try:
            statement = jobs_view.statement(project, location, since, until)
            asked = self._client.query(project, location, statement, jobs_view.LABEL)
            if self._asker is None:
                itself = self._client.job(project, asked.job_id, location)
                self._asker = itself.user if itself else None
            return [Ran.of_row(row, location) for row in asked.rows]
        except HoopError as error:
            # What cannot be asked today cannot be asked for yesterday either.
            locations.discard(location)
            self._all.cannot_ask(f"{project} in {location} from {_minute(since)}", error)
            return []

    def _compare(
        self,
        jobs: Sequence[Ran],
        since: datetime,
        until: datetime,
        places: dict[str, set[str]],
        deletions: Collection[str],
    ) -> None:
        setting = Setting(
            called=lambda ids: (
                self._all.recording.read(lambda archive: archive.ledger.jobs_called(self._connection.projects, ids))
                if ids
                else ()
            ),
            asker=self._asker,
            direct_accounts=frozenset(self._connection.reconcile.direct_accounts),
        )
        give_up = time.monotonic() + _FOLD_WAIT
        while True:
            recorded = self._recorded(since, until)
            compared = compare(jobs, [record for record in recorded if record.key not in self._used], setting)
            past = any(finding.kind == "bypassed" for finding in compared.findings)
            # A job that seems to have no record may have one that is not folded yet.
            if not (past and self._all.recording.pending) or time.monotonic() > give_up:
                break
            time.sleep(_PAUSE)
        if past and self._all.recording.pending != 0:
            self._all.notes.append(
                "Some records still lie in the journal and could not be read: a job without a record may be one of them."
            )
        self._used |= {record.key for _, record in compared.pairs}
        self._all.findings += compared.findings
        self._all.counts.add(compared.counts)
        self._texts(compared)
        self._unresolved(compared, since, until)
        self._unknown(compared, since, until, places, deletions)

    def _recorded(self, since: datetime, until: datetime) -> tuple[Recorded, ...]:
        return self._all.recording.read(
            lambda archive: archive.ledger.jobs(self._connection.projects, since - _MARGIN, until + _MARGIN)
        )

    def _texts(self, compared: Compared) -> None:
        """The list may hold the beginning of a long text only; the API has all of it."""
        for job, record in compared.doubtful:
            whole: Ran | None = None
            try:
                whole = self._look_up(job.project, job.id, job.location)
            except HoopError as error:
                if record.statement and job.statement and record.statement.startswith(job.statement):
                    self._all.cannot_ask(f"The text of {job.name}, of which only the beginning is listed", error)
                    continue
            if whole is None or not texts.same(record.statement or "", whole.statement or ""):
                self._all.findings.append(other_text(whole or job, record))

    def _unresolved(self, compared: Compared, since: datetime, until: datetime) -> None:
        for job, record in compared.pairs:
            if record.state == "UNKNOWN" and not record.under_way:
                if record.resolved and record.resolved != "never_ran":
                    self._all.counts.resolved += 1
                else:
                    self._all.findings.append(_unresolved(record, intents.of_job(job)))
        recorded_ids = {job.id for job, _ in compared.pairs}
        for record in compared.left:
            if not (since <= record.started_at < until and record.state == "UNKNOWN") or record.under_way:
                continue
            if record.resolved:
                self._all.counts.resolved += 1
                continue
            try:
                resolution = intents.resolve(
                    self._client, record, others=recorded_ids, now=self._all.now, everybody=True
                )
            except HoopError as error:
                self._all.cannot_ask(f"What became of flow {record.flow_id}", error)
                continue
            # Whoever was told that it failed, and it did, has nothing to be told now.
            if not (record.flow_state == "failed" and resolution.outcome == "never_ran"):
                self._all.findings.append(_unresolved(record, resolution))

    def _unknown(
        self,
        compared: Compared,
        since: datetime,
        until: datetime,
        places: dict[str, set[str]],
        deletions: Collection[str],
    ) -> None:
        for record in compared.left:
            if not since <= record.started_at < until or record.state not in ("PENDING", "RUNNING", "DONE"):
                continue
            self._all.counts.recorded += 1
            if record.id is None:
                self._all.counts.without_job += 1
                continue
            if record.location and record.location.lower() not in {place.lower() for place in places[record.project]}:
                continue
            if any(path.endswith(f"/projects/{record.project}/jobs/{record.id}") for path in deletions):
                self._all.counts.deleted += 1
                continue
            try:
                job = self._look_up(record.project, record.id, record.location)
            except HoopError as error:
                self._all.cannot_ask(f"Whether BigQuery knows job {record.id}", error)
                continue
            if job is None:
                self._all.findings.append(_not_at_bigquery(record))
            else:
                self._all.counts.confirmed += 1
        self._all.counts.recorded += sum(since <= record.started_at < until for _, record in compared.pairs)

    def _look_up(self, project: str, job_id: str, location: str | None) -> Ran | None:
        self._looked_up += 1
        if self._looked_up > _MOST_LOOKED_UP:
            raise AskingError(
                f"More than {_MOST_LOOKED_UP:,} jobs would have to be asked for one by one.", "Ask for a shorter time."
            )
        return self._client.job(project, job_id, location)

    def _lost(self) -> None:
        """Exchanges that started no job, and whose end is not recorded: nobody can be asked about these."""
        everything = self._all.recording.read(lambda archive: archive.ledger.lost(self._since, self._all.until))
        for lost in everything:
            if lost.connection == self._connection.name and not lost.under_way and lost.door not in _STARTS:
                self._all.findings.append(_lost(lost))


def _windows(since: datetime, until: datetime) -> Iterator[tuple[datetime, datetime]]:
    while since < until:
        following = min(since + _WINDOW, until)
        yield since, following
        since = following


def _unresolved(record: Recorded, resolution: Resolution) -> Finding:
    told = "The client was told that it failed." if record.flow_state == "failed" else "No answer of it is recorded."
    job = resolution.job
    return Finding(
        "unresolved",
        f"{told} {resolution.message}",
        _AFTER[resolution.outcome],
        record.started_at,
        project=record.project,
        job=job.name if job else None,
        user=job.user if job else None,
        principal=str(record.principal),
        session_id=record.session_id,
        flow_id=record.flow_id,
        ran=job.statement if job else None,
        recorded=record.statement,
        outcome=resolution.outcome,
    )


_AFTER: Final = {
    "ran": "Count it as done: do not run it again without a look at what it changed. The gateway records this at its "
    "next start.",
    "failed": "Run it again if it is still wanted. The gateway records this at its next start.",
    "running": "Ask again when it has ended.",
    "never_ran": "Run it again if it is still wanted. The gateway records this at its next start.",
    "unknown": "Look at the tables that it names, and at Cloud Audit Logs for this time.",
}


def _not_at_bigquery(record: Recorded) -> Finding:
    place = f"{record.location}." if record.location else ""
    return Finding(
        "not_at_bigquery",
        "It is recorded as a job that BigQuery took, and BigQuery knows no such job.",
        "`hoop-mitm verify` tells whether the record was added or changed; a job's metadata can also be deleted at "
        "BigQuery (`jobs.delete`), which Cloud Audit Logs show.",
        record.started_at,
        project=record.project,
        job=f"{record.project}:{place}{record.id}",
        principal=str(record.principal),
        session_id=record.session_id,
        flow_id=record.flow_id,
        recorded=record.statement,
    )


def _lost(lost: Lost) -> Finding:
    reading = lost.kind in ("read", "metadata")
    what = lost.door or lost.method
    return Finding(
        "unresolved",
        f"The gateway ended while {what} was under way: "
        + (
            "how much of the answer the client got is not known."
            if reading
            else "whether BigQuery did it is not known."
        ),
        "Nothing was changed by it." if reading else f"Look at what it was about: {lost.method} {lost.url}",
        lost.started_at,
        principal=str(lost.principal) if lost.principal else None,
        session_id=lost.session_id,
        flow_id=lost.flow_id,
        outcome="unknown",
    )


def _minute(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
