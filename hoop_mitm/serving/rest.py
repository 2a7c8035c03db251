"""BigQuery's REST API out of a recording."""

import json
import re
import secrets
import threading
from collections.abc import Callable
from dataclasses import replace
from urllib.parse import quote

from hoop_mitm.bigquery import doors
from hoop_mitm.bigquery.operation import Door, TableRef
from hoop_mitm.bigquery.unreadable import Unreadable
from hoop_mitm.devkit import masks
from hoop_mitm.devkit.api import unauthenticated
from hoop_mitm.devkit.bigquery import HOSTS
from hoop_mitm.devkit.google import Grant
from hoop_mitm.devkit.http import Request, Response
from hoop_mitm.serving import calls
from hoop_mitm.serving.answers import Paging, Reply, failed, missed, not_found
from hoop_mitm.serving.calls import Calls, Listings
from hoop_mitm.serving.jobs import Job, Jobs, Latency
from hoop_mitm.serving.matching import Miss, Missed
from hoop_mitm.serving.recorded import Recorded
from hoop_mitm.serving.story import described

_ERRORS = 300
_GO_ON = 308
# Of a part that is not the last, nobody has said how much there is in all.
_PART = re.compile(r"bytes \d+-(\d+)/\*")
_ASKS = ("jobs.query", "jobs.insert")
_HOST = HOSTS[0]
_PLAIN = "/:@!$&'()*+,;=~"


class Rest:
    """``handle`` answers; ``misses`` are what was asked and is not in the recording, in order."""

    def __init__(
        self,
        recorded: Recorded,
        grant: Callable[[str | None], Grant | None],
        *,
        strict: bool = False,
        latency: Latency = "none",
    ) -> None:
        self.jobs = Jobs(recorded, strict=strict, latency=latency)
        self._calls = Calls(recorded)
        self._listings = Listings(recorded)
        self._uploads: dict[str, tuple[str, Request]] = {}
        self._grant = grant
        self._lock = threading.Lock()
        self.misses: list[Miss] = []

    def reset(self) -> None:
        """Begin the recording from its start."""
        for part in (self.jobs, self._calls, self._listings):
            part.reset()
        self._uploads.clear()
        self.misses.clear()

    def note(self, miss: Miss) -> None:
        with self._lock:
            self.misses.append(miss)

    def handle(self, request: Request) -> Response:
        try:
            method = doors.effective_method(request.method, request.headers)
            if method != request.method:
                request = _as_meant(request, method)
            query = "?upload_id=" if request.argument("upload_id") else ""
            matched = doors.match(_HOST, method, quote(request.path, safe=_PLAIN) + query)
        except Unreadable as error:
            return failed(400, "invalid", str(error)).response()
        if matched is None:
            return not_found(f"Not found: {request.method} {request.path}").response()
        door, names = matched
        if self._grant(request.bearer()) is None and door.name not in ("discovery.getRest", "jobs.upload"):
            return unauthenticated().response()
        try:
            return self._cut(self._reply(door, names, request), request)
        except Missed as error:
            self.note(error.miss)
            return missed(error, query=door.name.startswith("jobs.")).response()
        except ValueError as error:
            return failed(400, "invalid", str(error)).response()

    def _reply(self, door: Door, names: dict[str, str], request: Request) -> Reply:
        project, id = names.get("project", ""), names.get("job", "")  # noqa: A001
        if door.name == "jobs.upload":
            return self._uploaded(request)
        if door.name in _ASKS:
            if request.argument("uploadType") == "resumable":
                return self._upload(project, request)
            return self.jobs.ask(door.name, project, request)
        job = self.jobs.get(project, id) if id else None
        if job is not None:
            return self._of_job(door, job, request)
        if {"dataset", "table"} <= names.keys():
            owner = self.jobs.of_result(TableRef(project, names["dataset"], names["table"]))
            if owner is not None:
                return self._of_result(door, owner, request)
        if door.name == "tabledata.list" and (listed := self._listings.answer(request.path, request)):
            return listed
        return self._calls.answer(door, request.path, request.query, request.content())

    def _of_job(self, door: Door, job: Job, request: Request) -> Reply:
        match door.name:
            case "jobs.get":
                return Reply(200, self.jobs.resource(job))
            case "jobs.getQueryResults":
                return self.jobs.results(job, request)
            case "jobs.cancel":
                return Reply(200, {"kind": "bigquery#jobCancelResponse", "job": self.jobs.resource(job)})
        return Reply(204)

    def _of_result(self, door: Door, job: Job, request: Request) -> Reply:
        """The anonymous table of a result."""
        rows = job.story.rows
        if door.name == "tabledata.list":
            return calls.listed(
                rows, Paging.of(request, f"result {job.id}"), request, f"the result of {job.story.ask.label}"
            )
        assert job.result is not None
        if door.name != "tables.get":
            return not_found(f"hoop-mitm serve knows no {door.name} of a result.")
        place = {"projectId": job.result.project, "datasetId": job.result.dataset, "tableId": job.result.table}
        table = {
            "kind": "bigquery#table",
            "id": f"{job.result.project}:{job.result.dataset}.{job.result.table}",
            "tableReference": place,
            "schema": {"fields": [described(column) for column in rows.columns]},
            "type": "TABLE",
        }
        return Reply(200, table | ({"numRows": str(rows.total)} if rows.total is not None else {}))

    def _upload(self, project: str, request: Request) -> Reply:
        """Begins an upload in parts; its data says nothing of what was answered."""
        handle = secrets.token_urlsafe(24)
        self._uploads[handle] = (project, request)
        where = f"https://{_HOST}{request.path}?uploadType=resumable&upload_id={handle}"
        return Reply(200, headers={"location": where})

    def _uploaded(self, request: Request) -> Reply:
        """A part of an upload; the last one makes the job."""
        handle = request.argument("upload_id")
        if handle not in self._uploads:
            return not_found("Not found: this upload.")
        more = _PART.fullmatch(request.headers.get("content-range", ""))
        if more:
            return Reply(_GO_ON, headers={"range": f"bytes=0-{more[1]}"})
        return self.jobs.ask("jobs.insert", *self._uploads.pop(handle))

    def _cut(self, reply: Reply, request: Request) -> Response:
        """The answer with the fields that were asked for."""
        wanted = request.argument("fields")
        if wanted and reply.json is not None and reply.status < _ERRORS:
            reply.json = masks.apply(masks.parse(wanted), json.loads(json.dumps(reply.json)))
        return reply.response()


def _as_meant(request: Request, method: str) -> Request:
    """A long GET that bq sends as POST: its query string is in the body."""
    moved = tuple(request.form().items()) if method == "GET" else ()
    return replace(request, method=method, query=(*request.query, *moved), body=b"" if moved else request.body)
