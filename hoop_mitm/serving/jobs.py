"""Jobs that are served: each stands for a recorded one, under an id of its own."""

import hashlib
import secrets
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlencode

from hoop_mitm.bigquery.operation import TableRef
from hoop_mitm.devkit.http import Request
from hoop_mitm.serving.answers import Paging, Reply, failed, not_found
from hoop_mitm.serving.matching import Miss, Missed, Turns
from hoop_mitm.serving.question import Json, json_of, question
from hoop_mitm.serving.recorded import Ask, Recorded
from hoop_mitm.serving.rows import NotRead, Page, wants_integers
from hoop_mitm.serving.story import Story, merged, renamed

type Latency = Literal["recorded", "none"]

_ERRORS = 400
_CONFLICT = 409
# As long as BigQuery waits for a job, where a client does not say.
_WAIT_MS = 10_000
_LONGEST_WAIT_MS = 200_000
_TIMES = frozenset({"creationTime", "startTime", "endTime"})


@dataclass(slots=True)
class Job:
    """A job of a client's, and the recorded one that it stands for.

    Attributes:
        names: what is called otherwise than in the recording, and how it is called now.
        labels: what the client, or the gateway, has put on it.
        shift: milliseconds since the recorded one began.
        ready_at: when it is done, by ``time.monotonic``.
        result: the anonymous table where its rows lie.
    """

    project: str
    id: str
    story: Story
    labels: Mapping[str, str]
    shift: int
    ready_at: float
    names: dict[str, str] = field(default_factory=dict)
    result: TableRef | None = None

    @property
    def location(self) -> str | None:
        job = self.story.job
        return job.location if job else None

    @property
    def reference(self) -> Json:
        return {"projectId": self.project, "jobId": self.id} | ({"location": self.location} if self.location else {})

    def wait(self, milliseconds: int) -> bool:
        """Whether it is done, after waiting for that at most so long."""
        left = self.ready_at - time.monotonic()
        time.sleep(max(0.0, min(left, milliseconds / 1000)))
        return time.monotonic() >= self.ready_at


class Jobs:
    """``jobs.*`` of BigQuery's API, out of a recording."""

    def __init__(self, recorded: Recorded, *, strict: bool, latency: Latency) -> None:
        self._recorded = recorded
        self._turns = Turns(recorded.asks, strict=strict)
        self._latency = latency
        self._lock = threading.Lock()
        self._stories: dict[int, Story] = {}
        self.reset()

    def reset(self) -> None:
        """Forget all jobs, and begin the recording from its start."""
        self._jobs: dict[tuple[str, str], Job] = {}
        self._results: dict[TableRef, Job] = {}
        self._turns.reset()

    def ask(self, door: str, project: str, request: Request) -> Reply:
        """``jobs.query`` and ``jobs.insert``.

        Raises:
            Missed: the recording does not know what is asked.
        """
        sent = request.content()
        body = json_of(sent) or {}
        asked = question(door, project, sent)
        if asked is None:
            return failed(400, "invalid", "hoop-mitm serve cannot read what is asked.")
        chosen = str((body.get("jobReference") or {}).get("jobId") or "")
        if (project, chosen) in self._jobs:
            return failed(_CONFLICT, "duplicate", f"Already Exists: Job {project}:{chosen}")
        ask = self._turns.take(asked)
        job = self._job(project, chosen, ask, (body.get("configuration") or body).get("labels") or {})
        self._pause(ask)
        story = job.story
        if ask.flow.verdict.decision == "deny" and story.asked is None:
            return failed(403, "accessDenied", ask.flow.verdict.message)
        if story.asked is None:
            raise Missed(Miss(asked.text, f"What was answered to {ask.label} is not in the recording.", ask))
        if story.asked.status >= _ERRORS:
            return Reply(story.asked.status, renamed(story.asked.answer, job.names))
        if asked.dry_run:
            return Reply(200, self._estimate(door, job))
        with self._lock:
            self._jobs[project, job.id] = job
            if job.result is not None:
                self._results[job.result] = job
        if door == "jobs.insert":
            return Reply(200, self._inserted(job))
        return self._queried(job, request, body)

    def get(self, project: str, id: str) -> Job | None:  # noqa: A002
        """A job that was asked for here."""
        return self._jobs.get((project, id))

    def of_result(self, table: TableRef) -> Job | None:
        """The job whose rows lie in an anonymous table."""
        return self._results.get(table)

    def resource(self, job: Job) -> Json:
        """``jobs.get``."""
        done = job.wait(0)
        found = self._shown(job, job.story.resource)
        if not done:
            found["status"] = {"state": "RUNNING"}
        return found

    def results(self, job: Job, request: Request) -> Reply:
        """``jobs.getQueryResults``.

        Raises:
            Missed: the recorded client had not read as far.
        """
        limit = int(request.argument("timeoutMs") or _WAIT_MS)
        paging = Paging.of(request, f"job {job.id}")
        reply = self._answer(job, limit, paging, integers=wants_integers(_url(request), None))
        return _of_kind(reply, "bigquery#getQueryResultsResponse")

    def _job(self, project: str, chosen: str, ask: Ask, labels: Mapping[str, str]) -> Job:
        story = self._story(ask)
        made = chosen or f"job_{secrets.token_urlsafe(21)}"
        began = ask.job.started_at if ask.job else ask.flow.started_at
        length = ask.job.duration if ask.job else None
        ready = length.total_seconds() if length and self._latency == "recorded" else 0.0
        now = time.time()
        job = Job(project, made, story, labels, int((now - began.timestamp()) * 1000), time.monotonic() + ready)
        job.names |= dict.fromkeys(story.names, made)
        self._place_result(job)
        return job

    def _place_result(self, job: Job) -> None:
        """An anonymous table of its own: who reads it must get this job's rows, and not another run's."""
        if job.story.ask.question.kind != "query" or job.story.ask.question.destination:
            return
        given = (job.story.resource.get("configuration") or {}).get("query", {}).get("destinationTable") or {}
        dataset = str(
            given.get("datasetId") or f"_{hashlib.sha1(job.project.encode(), usedforsecurity=False).hexdigest()}"
        )
        if not dataset.startswith("_"):
            return
        table = f"anon{hashlib.sha256(job.id.encode()).hexdigest()}"
        job.result = TableRef(str(given.get("projectId") or job.project), dataset, table)
        if given.get("tableId"):
            job.names[str(given["tableId"])] = table

    def _story(self, ask: Ask) -> Story:
        with self._lock:
            if ask.place not in self._stories:
                key = ask.flow.job_key
                flows = self._recorded.of_job(key) if key else [ask.flow]
                self._stories[ask.place] = Story(self._recorded.shelf, ask, flows)
            return self._stories[ask.place]

    def _pause(self, ask: Ask) -> None:
        if self._latency == "recorded" and ask.question.dry_run and (length := ask.flow.duration):
            time.sleep(length.total_seconds())

    def _estimate(self, door: str, job: Job) -> Json:
        resource = self._shown(job, job.story.resource)
        reference = {name: value for name, value in job.reference.items() if name != "jobId"}
        resource |= {"jobReference": reference, "id": f"{job.project}:{job.location or ''}."}
        if door == "jobs.insert":
            return resource
        statistics = resource.get("statistics", {}).get("query", {})
        names = ("totalBytesProcessed", "cacheHit", "statementType", "schema")
        said = {name: statistics[name] for name in names if name in statistics} | dict(job.story.results)
        return {"kind": "bigquery#queryResponse", "jobComplete": True, **said, "jobReference": reference}

    def _inserted(self, job: Job) -> Json:
        story = job.story
        if story.ask.flow.door == "jobs.insert" and story.asked is not None and story.asked.answer:
            return self._shown(job, merged({"configuration": {}, "status": {}}, story.asked.answer))
        return self.resource(job)

    def _queried(self, job: Job, request: Request, body: Json) -> Reply:
        most = body.get("maxResults")
        paging = Paging(f"job {job.id}", 0, None if most is None else int(most))
        limit = int(body.get("timeoutMs") or _WAIT_MS)
        reply = _of_kind(
            self._answer(job, limit, paging, integers=wants_integers("", request.content())), "bigquery#queryResponse"
        )
        if reply.status < _ERRORS:
            assert reply.json is not None
            told = job.story.asked
            reply.json["location"] = job.location
            # Without a job only where the client allows it, and BigQuery had made none.
            optional = body.get("jobCreationMode") == "JOB_CREATION_OPTIONAL"
            if optional and told and told.answer.get("queryId") and "jobReference" not in told.answer:
                reply.json.pop("jobReference", None)
                reply.json["queryId"] = job.id
        return reply

    def _answer(self, job: Job, limit: int, paging: Paging, *, integers: bool) -> Reply:
        story = job.story
        if not job.wait(min(limit, _LONGEST_WAIT_MS)):
            return Reply(200, {"jobReference": job.reference, "jobComplete": False})
        if story.failure is not None:
            status, error = story.failure
            return Reply(status, renamed(error, job.names))
        if not story.is_finished:
            raise Missed(
                Miss(
                    story.ask.question.text,
                    f"The recording ends before {story.ask.label} did: its result is not known.",
                )
            )
        page = self._page(job, paging, integers=integers)
        said = _shifted(renamed(story.results, job.names), job.shift)
        found = {**said, "jobReference": job.reference, "jobComplete": True}
        if page.rows:
            found["rows"] = page.rows
        if page.following is not None and paging.size != 0:
            found["pageToken"] = paging.token(page.following)
        return Reply(200, found)

    def _page(self, job: Job, paging: Paging, *, integers: bool) -> Page:
        if paging.size == 0:
            return Page([], None)
        rows = job.story.rows
        if rows.total is None and not rows.end and not job.story.results_seen:
            raise Missed(_unread(job.story.ask, 0, None))
        try:
            return rows.page(paging.start, paging.size, integers=integers)
        except NotRead as error:
            raise Missed(_unread(job.story.ask, error.end, rows.total)) from error

    def _shown(self, job: Job, resource: Json) -> Json:
        """A recorded resource as this job's."""
        found: Json = _shifted(renamed(resource, job.names), job.shift)
        found["jobReference"] = job.reference
        found["id"] = f"{job.project}:{job.location or ''}.{job.id}"
        configuration = dict(found.get("configuration") or {})
        configuration.pop("labels", None)
        if job.labels:
            configuration["labels"] = dict(job.labels)
        if job.result is not None and isinstance(configuration.get("query"), dict) and not configuration.get("dryRun"):
            place = {"projectId": job.result.project, "datasetId": job.result.dataset, "tableId": job.result.table}
            configuration["query"] = {**configuration["query"], "destinationTable": place}
        found["configuration"] = configuration
        return found

    def missing(self, project: str, id: str) -> Reply:  # noqa: A002
        """For a job that nobody asked for here."""
        return not_found(f"Not found: Job {project}:{id}")


def _of_kind(reply: Reply, kind: str) -> Reply:
    if reply.json is not None and reply.status < _ERRORS:
        reply.json["kind"] = kind
    return reply


def _unread(ask: Ask, end: int, total: int | None) -> Miss:
    of = f" of {total:,}" if total is not None else ""
    return Miss(
        ask.question.text, f"Of {ask.label} the recorded client read {end:,}{of} rows, and more are asked for.", ask
    )


def _shifted(value: Any, by: int) -> Any:
    """JSON with the times of a job moved by ``by`` milliseconds."""
    if isinstance(value, list):
        return [_shifted(each, by) for each in value]
    if not isinstance(value, dict):
        return value
    return {
        name: str(int(each) + by) if name in _TIMES and str(each).isdecimal() else _shifted(each, by)
        for name, each in value.items()
    }


def _url(request: Request) -> str:
    return f"{request.path}?{urlencode(request.query)}"
