"""Made-up traffic, as the records that a gateway would have written of it.

The same ``Plan`` gives the same records, in the order in which they would have been recorded: sessions run side by side,
intents come before their answers, some is denied, some fails.
"""

import heapq
import itertools
import random
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import orjson

from hoop_mitm.bigquery import doors, hosts, refusals
from hoop_mitm.bigquery.operation import Operation, TableRef
from hoop_mitm.identity.principal import Principal
from hoop_mitm.identity.program import Process, Program
from hoop_mitm.identity.session import Session
from hoop_mitm.policy.verdict import Verdict
from hoop_mitm.recording import EventRecord, FlowRecord, Level, Message, Record

RARE_WORD = "quetzalcoatlus"
"""Stands in one statement only, of a session in the middle."""

RARE_VALUE = "oliphaunt@acme.example"
"""Stands in one row only that a client got, of a session in the middle."""

_BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
_EVERY = timedelta(minutes=3)
_HOST = hosts.REST_HOST
_ALLOW = Verdict("allow", "default")
_READ_ONLY = Verdict("deny", "statement.read_only", "Analysts read here: ask the platform team to change a table.")
_NOT_YOURS = Verdict("deny", "ownership.job", "This job is not yours.")
_EXPIRED = Verdict("deny", "identity.expired", "The token has expired: sign in again.")
_JSON = ("content-type", "application/json; charset=UTF-8")
_BETWEEN_JOBS = 40.0
_PAGES = 0.75
_LOCAL = 0.5

_DATASETS = (
    "shop",
    "finance",
    "hr",
    "marketing",
    "web",
    "logistics",
    "support",
    "ml_features",
    "staging",
    "raw_events",
)
_THINGS = ("orders", "customers", "payments", "sessions", "refunds", "salaries", "inventory", "shipments", "tickets")
_GRAINS = ("", "_daily", "_2025", "_2026", "_eu", "_us", "_snapshot", "_v2")
_COLUMNS = ("status", "country", "channel", "customer_id", "category", "plan", "region", "device", "created_at")
_MEASURES = (
    "count(*)",
    "sum(amount)",
    "avg(price)",
    "count(DISTINCT email)",
    "max(created_at)",
    "approx_quantiles(ms, 4)",
)
_READS = (
    "SELECT {c}, {m} FROM `{t}` WHERE {c} = '{w}' GROUP BY 1 ORDER BY 2 DESC LIMIT {n}",
    "SELECT a.{c}, {m} FROM `{t}` AS a\nJOIN `{u}` AS b USING (customer_id)\nWHERE b.created_at > '{d}'\nGROUP BY 1",
    "WITH recent AS (\n  SELECT * FROM `{t}` WHERE created_at >= '{d}'\n)\nSELECT {c}, {m} FROM recent GROUP BY ALL",
    "SELECT * FROM `{t}` WHERE id = {n}",
    "SELECT email, {c} FROM `{t}` WHERE email LIKE '{w}%' AND created_at BETWEEN '{d}' AND current_date() -- {w}",
    "SELECT table_name, row_count FROM `{p}.{s}.INFORMATION_SCHEMA.TABLES` WHERE table_name = '{w}_{n}'",
)
_WRITES = {
    "INSERT": "INSERT INTO `{t}` SELECT * FROM `{u}` WHERE created_at = '{d}' AND {c} = '{w}'",
    "UPDATE": "UPDATE `{t}` SET {c} = '{w}' WHERE id = {n}",
    "DELETE": "DELETE FROM `{t}` WHERE {c} = '{w}' AND id < {n}",
    "MERGE": "MERGE `{t}` AS a USING `{u}` AS b ON a.id = b.id\nWHEN MATCHED THEN UPDATE SET {c} = b.{c} -- {n}",
    "CREATE_TABLE_AS_SELECT": "CREATE TABLE `{t}_{n}` AS SELECT {c}, {m} FROM `{u}` GROUP BY 1",
    "DROP_TABLE": "DROP TABLE `{t}_{n}`",
}
_WORDS = (
    "amber",
    "basil",
    "cedar",
    "delta",
    "ember",
    "fjord",
    "grove",
    "harbor",
    "indigo",
    "juniper",
    "kestrel",
    "lumen",
)
_AGENTS = {"python": "gcloud-python/3.41.0", "bq": "google-bigquery-cli 2.1.18", "node": "gcloud-node-bigquery/8.1.1"}
_CONNECTIONS: tuple[tuple[str, str, Level], ...] = (
    ("warehouse", "acme-analytics", "full"),
    ("partners", "acme-partners", "full"),
    ("people", "acme-people", "statements"),
)
_FIELDS = [
    {"name": "id", "type": "INTEGER", "mode": "NULLABLE"},
    {"name": "email", "type": "STRING", "mode": "NULLABLE"},
    {"name": "amount", "type": "NUMERIC", "mode": "NULLABLE"},
    {"name": "at", "type": "TIMESTAMP", "mode": "NULLABLE"},
]


@dataclass(frozen=True, slots=True)
class Plan:
    """How much there is of each; ``flows`` must be at least twice ``jobs``."""

    flows: int
    jobs: int
    sessions: int
    seed: int = 1

    def __post_init__(self) -> None:
        if self.flows < 2 * self.jobs or self.jobs < self.sessions or self.sessions < 1:
            raise ValueError("every session needs a job, and every job two flows")


type _Timed = tuple[datetime, Record]


def records(plan: Plan) -> Iterator[Record]:
    """All records of ``plan``."""
    chance = random.Random(plan.seed)
    starts = sorted(_BEGAN + _EVERY * plan.sessions * chance.random() for _ in range(plan.sessions))
    weights = [chance.lognormvariate(0, 0.8) for _ in starts]
    jobs = [1 + extra for extra in _shares(plan.jobs - plan.sessions, weights)]
    flows = [2 * count + extra for count, extra in zip(jobs, _shares(plan.flows - 2 * plan.jobs, jobs), strict=True)]
    middle = plan.sessions // 2
    yield _event(_BEGAN, chance, "gateway.started", "The gateway started.")
    running: list[tuple[datetime, int, Record, Iterator[_Timed]]] = []
    for number, (start, own_jobs, own_flows) in enumerate(zip(starts, jobs, flows, strict=True)):
        while running and running[0][0] <= start:
            yield _next(running)
        run = _Run(random.Random(chance.getrandbits(64)), start, number, rare=number == middle)
        own = run.play(own_jobs, own_flows)
        heapq.heappush(running, (*_first(own, number), own))
    while running:
        yield _next(running)


def _first(run: Iterator[_Timed], number: int) -> tuple[datetime, int, Record]:
    at, record = next(run)
    return at, number, record


def _next(running: list[tuple[datetime, int, Record, Iterator[_Timed]]]) -> Record:
    """The earliest record of all that is running."""
    _, number, record, run = running[0]
    following = next(run, None)
    if following is None:
        heapq.heappop(running)
    else:
        heapq.heapreplace(running, (following[0], number, following[1], run))
    return record


def _shares(whole: int, weights: list[int] | list[float]) -> list[int]:
    """``whole`` cut in proportion to ``weights``, without a rest."""
    ends = [round(whole * place / sum(weights)) for place in itertools.accumulate(weights)]
    return [end - start for start, end in itertools.pairwise([0, *ends])]


class _Run:
    """One session. Each thing that it does takes the clock on."""

    def __init__(self, chance: random.Random, start: datetime, number: int, *, rare: bool) -> None:
        self._chance = chance
        self._clock = start
        self._number = number
        self._rare = rare
        # What is looked for in rows must be where rows are recorded.
        weights = (1, 0, 0) if rare else (6, 3, 1)
        self._connection, self._project, self._level = chance.choices(_CONNECTIONS, weights)[0]
        person = int(chance.paretovariate(1.2)) % 60
        machine = person % 20 == 19
        self._principal = Principal(
            "https://login.acme.example",
            f"u-{person:04}",
            None if machine else f"{_WORDS[person % 12]}.{_THINGS[person % 9]}{person}@acme.example",
            ("analysts",) if person % 3 else ("analysts", "finance"),
            "machine" if machine else "user",
        )
        self._agent = chance.choices([*_AGENTS], (6, 2, 2))[0]
        names = ("Cursor", "zsh", self._agent) if chance.random() < _LOCAL else ()
        self._program = (
            Program(tuple(Process(1000 + place, name) for place, name in enumerate(names))) if names else None
        )
        self.session = Session(
            _uuid7(start, chance),
            f"{_WORDS[person % 12]}-{self._agent}-{number % 97}",
            self._connection,
            self._principal,
            self._agent,
            f"10.0.{person}.{number % 250}",
            start,
            self._program,
        )

    def play(self, jobs: int, flows: int) -> Iterator[_Timed]:
        """So many jobs in so many flows; in a rare session one holds the rare word, and its rows the rare value."""
        yield self._clock, self.session
        left = flows
        for number in range(jobs):
            self._pass(self._chance.expovariate(1 / _BETWEEN_JOBS))
            last = number == jobs - 1
            # What the jobs after this one need at least is kept for them.
            most = left - 2 * (jobs - number - 1)
            wanted = most if last else min(most, 1 + int(self._chance.expovariate(jobs / max(flows, 1))))
            rare = self._rare and number == jobs // 2
            for at, record in self._job(number, max(wanted, 1 + rare), rare=rare):
                left -= isinstance(record, FlowRecord) and record.state != "open"
                yield at, record
        assert left == 0, left
        self._pass(60)
        yield self._clock, _event(self._clock, self._chance, "session.ended", "The session ended.", self.session)

    def _job(self, number: int, flows: int, *, rare: bool) -> Iterator[_Timed]:
        """One job, and what a client does besides, in exactly ``flows`` flows."""
        kind = (
            "read" if rare else self._chance.choices(("read", "write", "denied", "fails", "dry"), (78, 8, 3, 4, 7))[0]
        )
        job = f"job_{self._number}_{number}_{self._chance.getrandbits(32):08x}"
        statement, type_, tables = self._statement(write=kind in ("write", "denied"))
        if rare:
            statement += f" -- {RARE_WORD}"
        yield from self._ask(kind, job, statement, type_, tables)
        pages = kind == "read"
        for page in range(flows - 1):
            if (pages and self._chance.random() < _PAGES) or (rare and page == 0):
                yield from self._page(job, page, rare=rare and page == 0)
            else:
                yield from self._call(tables[0])

    def _ask(self, kind: str, job: str, statement: str, type_: str, tables: list[TableRef]) -> Iterator[_Timed]:
        query = {"query": statement, "useLegacySql": False}
        reference = {"projectId": self._project, "jobId": job, "location": "EU"}
        labels = {"hoop-session": self.session.id, "team": self._chance.choice(_DATASETS)}
        configuration = {"query": query, "labels": labels, "jobType": "QUERY"} | (
            {"dryRun": True} if kind == "dry" else {}
        )
        request = {"jobReference": reference, "configuration": configuration}
        size = int(self._chance.lognormvariate(20, 3))
        answer: dict[str, object] = {
            "jobReference": reference if kind != "dry" else {"projectId": self._project, "location": "EU"},
            "configuration": configuration,
            "status": {"state": "DONE"},
            "statistics": {
                "creationTime": str(int(self._clock.timestamp() * 1000)),
                "endTime": str(int(self._clock.timestamp() * 1000) + 300),
                "totalBytesProcessed": str(size),
                "query": {
                    "statementType": type_,
                    "totalBytesProcessed": str(size),
                    "totalBytesBilled": str(0 if kind == "dry" else -(-size // 2**20) * 2**20),
                    "totalSlotMs": str(size // 2**16),
                    "cacheHit": self._chance.random() < 0.1,
                    "referencedTables": [
                        {"projectId": table.project, "datasetId": table.dataset, "tableId": table.table}
                        for table in tables
                    ],
                    "schema": {"fields": _FIELDS},
                },
            },
        }
        if kind == "fails":
            problem = {
                "reason": "invalidQuery",
                "message": f"Unrecognized name: {self._chance.choice(_WORDS)} at [1:8]",
            }
            answer["status"] = {"state": "DONE", "errorResult": problem, "errors": [problem]}
        operation = self._operation(
            "POST", "jobs", statement=statement, job_id=job, labels=labels, dry_run=kind == "dry"
        )
        verdict = _READ_ONLY if kind == "denied" else _ALLOW
        yield from self._exchange(operation, "jobs", method="POST", request=request, answer=answer, verdict=verdict)

    def _page(self, job: str, page: int, *, rare: bool) -> Iterator[_Timed]:
        rows = [self._row() for _ in range(int(self._chance.lognormvariate(2.2, 1)) % 400)]
        if rare:
            rows.append({"f": [{"v": "1"}, {"v": RARE_VALUE}, {"v": "1.50"}, {"v": None}]})
        answer: dict[str, object] = {
            "jobReference": {"projectId": self._project, "jobId": job, "location": "EU"},
            "jobComplete": True,
            "totalRows": str(100_000),
            "schema": {"fields": _FIELDS},
            "pageToken": f"p{page + 1}",
            "rows": rows,
        }
        path = f"queries/{job}"
        token = f"?pageToken=p{page}" if page else ""
        yield from self._exchange(self._operation("GET", path, job_id=job), path + token, answer=answer)

    def _call(self, table: TableRef) -> Iterator[_Timed]:
        """Something besides jobs: mostly a look at a table, sometimes its rows, now and then a refusal."""
        place = f"datasets/{table.dataset}/tables/{table.table}"
        what = self._chance.random()
        if what < 0.01:
            yield from self._stranger()
        elif what < 0.03:
            path = f"queries/job_of_somebody_{self._chance.getrandbits(32):08x}"
            yield from self._exchange(self._operation("GET", path), path, verdict=_NOT_YOURS)
        elif what < 0.15:
            listed = {"kind": "bigquery#tableDataList", "totalRows": "8", "rows": [self._row() for _ in range(8)]}
            operation = self._operation("GET", f"{place}/data", tables=(table,))
            yield from self._exchange(operation, f"{place}/data", answer=listed)
        else:
            answer = {
                "kind": "bigquery#table",
                "numRows": str(self._chance.getrandbits(30)),
                "schema": {"fields": _FIELDS},
            }
            operation = self._operation("GET", place, tables=(table,))
            yield from self._exchange(operation, place, answer=answer)

    def _stranger(self) -> Iterator[_Timed]:
        """Somebody whose token has expired."""
        [(_, flow)] = self._exchange(None, "queries", method="POST", verdict=_EXPIRED)
        assert isinstance(flow, FlowRecord)
        yield self._clock, replace(flow, session=None)
        event = _event(self._clock, self._chance, "identity.refused", _EXPIRED.message)
        yield self._clock, replace(event, principal=self._principal, flow_id=flow.id)

    def _exchange(
        self,
        operation: Operation | None,
        path: str,
        *,
        method: str = "GET",
        request: object = None,
        answer: object = None,
        verdict: Verdict = _ALLOW,
    ) -> Iterator[_Timed]:
        start = self._clock
        denied = verdict.decision == "deny"
        body = None if request is None else orjson.dumps(request)
        refusal = refusals.rest(verdict.message).body
        told = refusal if denied else orjson.dumps(answer)
        flow = FlowRecord(
            id=_uuid7(start, self._chance),
            state="refused" if denied else "complete",
            session=self.session,
            operation=operation,
            verdict=verdict,
            method=method,
            host=_HOST,
            url=f"https://{_HOST}/bigquery/v2/projects/{self._project}/{path}",
            user_agent=_AGENTS[self._agent],
            client_address=self.session.client_address,
            request=Message((("host", _HOST), ("accept", "*/*"), _JSON), body, size=len(body or b"")),
            response=Message((_JSON, ("content-length", str(len(told)))), told, size=len(told)),
            started_at=start,
            status=403 if denied else 200,
            level=self._level,
            http_version="HTTP/1.1",
            program=str(self._program) if self._program else None,
        )
        if operation is not None and operation.statement is not None and not denied:
            yield start, replace(flow, state="open", response=Message(), status=None)
        self._pass(self._chance.lognormvariate(-1.5, 0.8))
        yield self._clock, replace(flow, ended_at=self._clock)

    def _operation(self, method: str, path: str, **facts: object) -> Operation:
        door = doors.find(_HOST, method, f"/bigquery/v2/projects/{self._project}/{path}")
        assert door is not None, path
        return Operation(door, self._project, projects=(self._project,), **facts)  # type: ignore[arg-type]

    def _statement(self, *, write: bool) -> tuple[str, str, list[TableRef]]:
        """A statement, BigQuery's word for it, and the tables that it reads."""
        chance = self._chance
        type_ = chance.choice([*_WRITES]) if write else "SELECT"
        template = _WRITES[type_] if write else chance.choice(_READS)
        first, second = self._table(), self._table()
        text = template.format(
            t=first,
            u=second,
            p=self._project,
            s=first.dataset,
            c=chance.choice(_COLUMNS),
            m=chance.choice(_MEASURES),
            w=chance.choice(_WORDS),
            d=f"{self._clock - timedelta(days=chance.randrange(90)):%Y-%m-%d}",
            n=chance.randrange(10**6),
        )
        return text, type_, [first, second] if "{u}" in template else [first]

    def _table(self) -> TableRef:
        chance = self._chance
        return TableRef(self._project, chance.choice(_DATASETS), chance.choice(_THINGS) + chance.choice(_GRAINS))

    def _row(self) -> dict[str, object]:
        number = self._chance.getrandbits(40)
        email = f"{_WORDS[number % 12]}{number % 99991}@example.com"
        at = f"{1.7e15 + number:.0f}"
        return {"f": [{"v": str(number)}, {"v": email}, {"v": f"{number % 10**6 / 100:.2f}"}, {"v": at}]}

    def _pass(self, seconds: float) -> None:
        self._clock += timedelta(seconds=seconds)


def _event(
    at: datetime, chance: random.Random, type_: str, message: str, session: Session | None = None
) -> EventRecord:
    who = session.principal if session else None
    return EventRecord(_uuid7(at, chance), at, type_, message, session.id if session else None, who)


def _uuid7(at: datetime, chance: random.Random) -> str:
    """RFC 9562: 48 bits of milliseconds, then chance."""
    number = int(at.timestamp() * 1000) << 80 | chance.getrandbits(80)
    return str(uuid.UUID(int=number & ~(0xF << 76) & ~(0x3 << 62) | 0x7 << 76 | 0x2 << 62))
