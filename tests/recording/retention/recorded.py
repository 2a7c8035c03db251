"""Recordings of what happened long ago: each exchange with texts of its own in it, to look for afterwards."""

import secrets
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hoop_mitm.archive.verify import Report, verify
from hoop_mitm.bigquery.operation import Operation, Resource
from hoop_mitm.evidence import RecordingKeys
from hoop_mitm.identity.principal import Principal
from hoop_mitm.identity.session import Session
from hoop_mitm.policy.verdict import Verdict
from hoop_mitm.recording import FlowRecord, Owner
from hoop_mitm.recording.fold import fold_once
from hoop_mitm.recording.layout import Layout
from hoop_mitm.recording.owners import Claim
from hoop_mitm.recording.preparing import prepare
from hoop_mitm.recording.retention import Applied, Cutoff, Cutoffs, apply
from tests.recording.building import BASE, GET, QUERY, RESULTS, event, message, new_id
from tests.recording.folding import KEY, Gateway, keys

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
ISSUER = "https://issuer.example"


def days(number: float) -> timedelta:
    return timedelta(days=number)


def ago(number: float) -> datetime:
    return NOW - days(number)


def cutoff(bodies: float | None = None, statements: float | None = None, metadata: float | None = None) -> Cutoff:
    """How many days what is kept, as times."""
    return Cutoff(*(None if number is None else ago(number) for number in (bodies, statements, metadata)))


def cutoffs(other: Cutoff | None = None, **by_connection: Cutoff) -> Cutoffs:
    return Cutoffs(NOW, by_connection, other or cutoff(), {})


def principal(name: str) -> Principal:
    return Principal(ISSUER, f"subject-of-{name}", f"{name}@acme.example", ("analysts",))


@dataclass(frozen=True)
class Job:
    """A job that was asked for, looked at and read, and the texts that stand in it."""

    key: str
    flows: tuple[str, ...]
    body: str
    statement: str


@dataclass
class Recorded:
    """A gateway's directory."""

    directory: Path
    gateway: Gateway = field(init=False)
    sessions: dict[str, Session] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.directory.mkdir(exist_ok=True)
        self.gateway = Gateway(self.directory)

    @property
    def layout(self) -> Layout:
        return self.gateway.layout

    @property
    def archive(self) -> Path:
        return self.layout.archive

    @property
    def keys(self) -> RecordingKeys:
        return keys()

    def session(self, name: str, *, age: float, connection: str = "acme", session: str | None = None) -> Session:
        """A session of ``name``, which begins now; the same again when it is named again."""
        known = session or f"{name}/{connection}"
        if known not in self.sessions:
            made = Session(
                id=new_id(),
                name=f"{name}-python",
                connection=connection,
                principal=principal(name),
                agent="python",
                client_address="192.0.2.7",
                started_at=ago(age),
            )
            self.sessions[known] = made
            self.gateway.write(made)
        return self.sessions[known]

    def job(self, name: str = "alice", *, age: float, connection: str = "acme", session: str | None = None) -> Job:
        """A job that ended ``age`` days ago: intent and answer, a look at it, and its rows."""
        of = self.session(name, age=age, connection=connection, session=session)
        body, statement, job_id = (f"{what}-{secrets.token_hex(12)}" for what in ("row", "text", "job"))
        sql = f"SELECT '{statement}' AS column_{statement.replace('-', '_')}"
        reference = {"projectId": "acme", "jobId": job_id, "location": "EU"}
        schema = {"fields": [{"name": f"column_{statement.replace('-', '_')}", "type": "STRING"}]}
        labels = {"about": statement}
        operation = Operation(QUERY, "acme", statement=sql, labels=labels)
        answer = {"jobComplete": True, "jobReference": reference, "schema": schema, "totalRows": "1"}
        asked = self.exchange(
            of, age + 0.001, operation, url=f"{BASE}/queries", request={"query": sql, "labels": labels}, answer=answer
        )
        looked = {
            "jobReference": reference,
            "configuration": {"query": {"query": sql}, "labels": labels},
            "status": {"state": "DONE"},
            "statistics": {"query": {"statementType": "SELECT", "totalBytesBilled": "1048576"}},
        }
        seen = self.exchange(
            of, age + 0.0005, Operation(GET, "acme", job_id=job_id), url=f"{BASE}/jobs/{job_id}", answer=looked
        )
        rows = {"jobComplete": True, "jobReference": reference, "totalRows": "1", "rows": [{"f": [{"v": body}]}]}
        url = f"{BASE}/queries/{job_id}"
        read = self.exchange(of, age, Operation(RESULTS, "acme", job_id=job_id), url=url, answer=rows)
        self.claim(of, job_id)
        return Job(f"acme:{job_id}", (asked, seen, read), body, statement)

    def failed(self, name: str = "alice", *, age: float) -> str:
        """A job that failed with an error that quotes its statement; the text that is quoted."""
        quoted = f"quoted-{secrets.token_hex(12)}"
        sql = f"SELECT CAST('{quoted}' AS INT64)"
        error = {
            "error": {"code": 400, "message": f"Bad int64 value: {quoted}", "errors": [{"reason": "invalidQuery"}]}
        }
        operation = Operation(QUERY, "acme", statement=sql)
        self.exchange(
            self.session(name, age=age),
            age,
            operation,
            url=f"{BASE}/queries",
            request={"query": sql},
            answer=error,
            status=400,
        )
        return quoted

    def denied(self, name: str = "alice", *, age: float) -> str:
        """A statement that was denied with a message that quotes it; the text that is quoted."""
        quoted = f"denied-{secrets.token_hex(12)}"
        sql = f"DROP TABLE `{quoted}`"
        record = FlowRecord(
            id=new_id(),
            state="refused",
            session=self.session(name, age=age),
            operation=Operation(QUERY, "acme", statement=sql),
            verdict=Verdict("deny", "no_drops", f"You may not: {sql}"),
            method="POST",
            host="bigquery.googleapis.com",
            url=f"{BASE}/queries",
            user_agent="python",
            client_address="192.0.2.7",
            request=message({"query": sql}),
            response=message({"error": {"message": f"You may not: {sql}"}}),
            started_at=ago(age),
            ended_at=ago(age),
            status=403,
        )
        self.gateway.write(record)
        return quoted

    def refused_sign_in(self, name: str, *, age: float) -> None:
        """An event without a session that names somebody in its text."""
        self.gateway.write(event(at=ago(age), message=f"The token of {principal(name).email} has expired."))

    def refused_without_a_session(self, name: str, *, age: float) -> str:
        """A statement that was refused before its connection was known: only the event says whose; a text in both."""
        quoted = f"refused-{secrets.token_hex(12)}"
        message_ = f"Project {quoted} belongs to no connection of this gateway."
        sql = f"SELECT * FROM `{quoted}.d.t`"
        record = FlowRecord(
            id=new_id(),
            state="refused",
            session=None,
            operation=Operation(QUERY, "acme", statement=sql),
            verdict=Verdict("deny", "project.unlisted", message_),
            method="POST",
            host="bigquery.googleapis.com",
            url=f"{BASE}/queries",
            user_agent="python",
            client_address="192.0.2.7",
            request=message({"query": sql}),
            response=message({"error": {"message": message_}}),
            started_at=ago(age),
            ended_at=ago(age),
            status=403,
        )
        told = event("request.refused", at=ago(age), message=message_, principal=principal(name), flow_id=record.id)
        self.gateway.write(told, record)
        return quoted

    def claim(self, session: Session, job_id: str) -> None:
        owner = Owner(session.principal.key, session.connection)
        self.gateway.journal.append([], [Claim(Resource("job", f"acme:{job_id}"), owner, NOW.timestamp())])

    def fold(self) -> "Recorded":
        """The gateway ends, and all of it is in the archive."""
        self.gateway.journal.sign("close")
        self.gateway.die()
        assert fold_once(self.directory).remaining == 0
        return self

    def apply(self, asked: Cutoffs) -> Applied:
        return apply(self.layout, self.keys, asked, "the test", lambda _: None)

    def verified(self) -> Report:
        report = verify(self.archive)
        assert report.verified, report.findings
        return report

    def exchange(
        self,
        of: Session,
        age: float,
        operation: Operation,
        *,
        url: str,
        answer: object,
        request: object = None,
        status: int = 200,
    ) -> str:
        """An exchange that ended ``age`` days ago; with its intent, where it holds a statement. Its flow's id."""
        intent = FlowRecord(
            id=new_id(),
            state="open",
            session=of,
            operation=operation,
            verdict=Verdict("allow", "everything"),
            method="GET" if request is None else "POST",
            host="bigquery.googleapis.com",
            url=url,
            user_agent="python",
            client_address="192.0.2.7",
            request=message(request),
            response=message(),
            started_at=ago(age) - timedelta(seconds=1),
        )
        done = replace(intent, state="complete", ended_at=ago(age), status=status, response=message(answer))
        written = [intent, done] if operation.statement else [done]
        self.gateway.journal.append([prepare(each, self.gateway.redactor, KEY) for each in written])
        return intent.id
