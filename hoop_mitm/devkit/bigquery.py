"""The front of the local BigQuery: strict where the emulator is lenient, complete where it has gaps.

It lets in only access tokens that the local token endpoints issued, answers errors as Google does, and knows
what the emulator does not: who ran a job, which tables a statement reads, how many bytes that costs, where the
result lies. Statements themselves are the emulator's.
"""

import base64
import binascii
import hashlib
import json
import re
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote, unquote, urlencode

from hoop_mitm.devkit import masks
from hoop_mitm.devkit.emulator import Emulator
from hoop_mitm.devkit.estimates import Estimate, Estimates, TableFacts, TableName
from hoop_mitm.devkit.google import Grant
from hoop_mitm.devkit.http import Request, Response

HOSTS = ("bigquery.googleapis.com", "www.googleapis.com", "bigquery.mtls.googleapis.com")
LOCATION = "US"

_API = re.compile(r"^/(?:bigquery/v2|resumable/upload/bigquery/v2|upload/bigquery/v2)(?=/)")
_JOB_ID = re.compile(r"^[A-Za-z0-9_-]{1,1024}$")
_REMEMBERED_REQUESTS = 20_000
_REMEMBERED_BODY = 2**20
_DEFAULT_PAGE = 100_000
_SLOT_MS_PER_MB = 3
_STATUS_OF_REASON = {
    "accessDenied": 403,
    "bytesBilledLimitExceeded": 400,
    "duplicate": 409,
    "invalid": 400,
    "invalidQuery": 400,
    "notFound": 404,
    "notImplemented": 501,
    "resourceInUse": 400,
}
_STATUS_NAMES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ALREADY_EXISTS",
    412: "FAILED_PRECONDITION",
    429: "RESOURCE_EXHAUSTED",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
}
#: Fields of a `jobs.query` request that belong to the job as a whole; the rest describe the query.
_JOB_FIELDS = ("dryRun", "labels", "jobTimeoutMs", "reservation", "maxSlots")
_QUERY_FIELDS = (
    "query",
    "defaultDataset",
    "useQueryCache",
    "parameterMode",
    "queryParameters",
    "connectionProperties",
    "createSession",
    "maximumBytesBilled",
    "destinationEncryptionConfiguration",
    "continuous",
    "writeIncrementalResults",
)


@dataclass(frozen=True, slots=True)
class SeenRequest:
    """One request that reached the local BigQuery, let in or not.

    Attributes:
        who: the subject of its access token; ``None`` if it had none that counts.
        operation: REST method and path, or the gRPC method, in one line.
    """

    protocol: Literal["rest", "grpc"]
    method: str
    host: str
    path: str
    who: str | None
    at: float
    query: tuple[tuple[str, str], ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)

    @property
    def operation(self) -> str:
        return f"{self.method} {self.path}" if self.protocol == "rest" else self.path


@dataclass(frozen=True, slots=True)
class _Fault:
    status: int
    reason: str
    message: str


class ApiError(Exception):
    """An error answer, in the envelope of Google's REST APIs."""

    def __init__(self, status: int, reason: str, message: str, location: str | None = None) -> None:
        self.status, self.reason, self.message, self.location = status, reason, message, location
        super().__init__(message)

    def response(self) -> Response:
        detail = {"message": self.message, "domain": "global", "reason": self.reason}
        if self.location:
            detail |= {"location": self.location, "locationType": "parameter"}
        error: dict[str, Any] = {"code": self.status, "message": self.message, "errors": [detail]}
        if self.status in _STATUS_NAMES:
            error["status"] = _STATUS_NAMES[self.status]
        return Response.json({"error": error}, self.status)


class Visitors:
    """Who came to the front, and what they are to meet there. REST and gRPC share one."""

    def __init__(self, grant: Callable[[str | None], Grant | None]) -> None:
        self._grant = grant
        self._lock = threading.Lock()
        self._seen: deque[SeenRequest] = deque(maxlen=_REMEMBERED_REQUESTS)
        self._faults: deque[_Fault] = deque()
        self._hold_before = self._hold_after = 0.0

    def who(self, token: str | None) -> str | None:
        grant = self._grant(token)
        return grant.subject if grant else None

    def remember(self, request: SeenRequest) -> None:
        self._seen.append(request)

    def requests(self) -> list[SeenRequest]:
        return list(self._seen)

    def forget(self) -> None:
        self._seen.clear()

    def hold(self, seconds: float, *, answered: bool = False) -> None:
        self._hold_before, self._hold_after = (0.0, seconds) if answered else (seconds, 0.0)

    def fail_next(self, status: int, reason: str, message: str, times: int) -> None:
        with self._lock:
            self._faults.extend([_Fault(status, reason, message)] * times)

    def wait_before(self) -> None:
        _sleep_while(lambda: self._hold_before)

    def wait_after(self) -> None:
        _sleep_while(lambda: self._hold_after)

    def fault(self) -> _Fault | None:
        with self._lock:
            return self._faults.popleft() if self._faults else None


def _sleep_while(seconds: Callable[[], float]) -> None:
    # In short steps, so that `hold(0)` lets go of requests that wait already.
    started = time.monotonic()
    while time.monotonic() - started < seconds():
        time.sleep(0.02)


class BigQuery:
    """BigQuery's REST API (`handle`), and what tests want to know and to break."""

    def __init__(
        self, emulator: Emulator, grant: Callable[[str | None], Grant | None], project: str, directory: Path
    ) -> None:
        self._emulator = emulator
        self._project = project
        self.visitors = Visitors(grant)
        self.jobs = Jobs(emulator)
        self._uploads = Uploads(self.jobs, directory)

    def requests(self) -> list[SeenRequest]:
        """Every request that reached this BigQuery, REST and gRPC, oldest first."""
        return self.visitors.requests()

    def forget_requests(self) -> None:
        self.visitors.forget()

    def hold(self, seconds: float, *, answered: bool = False) -> None:
        """From now on every request waits that long: before it is done or, with ``answered``, after. 0 ends it."""
        self.visitors.hold(seconds, answered=answered)

    def fail_next(
        self, status: int = 503, reason: str = "backendError", message: str = "Error encountered.", times: int = 1
    ) -> None:
        """The next ``times`` requests fail like that and are not done."""
        self.visitors.fail_next(status, reason, message, times)

    def handle(self, request: Request) -> Response:
        method = _effective_method(request)
        who = self.visitors.who(request.bearer())
        self.visitors.remember(
            SeenRequest(
                protocol="rest",
                method=method,
                host=request.host,
                path=request.path,
                who=who,
                at=time.time(),
                query=request.query,
                headers=dict(request.headers),
                body=request.body[:_REMEMBERED_BODY],
            )
        )
        try:
            response = self._answer(request, method, who)
        except ApiError as error:
            response = error.response()
        except (ValueError, KeyError, TypeError) as error:
            response = ApiError(400, "badRequest", f"Invalid request: {error}").response()
        self.visitors.wait_after()
        return response

    def _answer(self, request: Request, method: str, who: str | None) -> Response:
        if not _API.match(request.path):
            raise ApiError(404, "notFound", "Not Found")
        upload_id = request.argument("upload_id")
        if who is None and not (upload_id and method == "PUT"):
            raise _unauthenticated()
        self.visitors.wait_before()
        if (fault := self.visitors.fault()) is not None:
            raise ApiError(fault.status, fault.reason, fault.message)
        if "/upload/" in request.path:
            response = self._uploads.handle(request, method, who)
        else:
            response = self._route(request, method, who or "")
        if (fields := request.argument("fields")) and response.body and response.status < 300:  # noqa: PLR2004
            try:
                mask = masks.parse(fields)
            except ValueError as error:
                raise ApiError(400, "invalidParameter", str(error), "fields") from error
            response.body = json.dumps(masks.apply(mask, json.loads(response.body))).encode()
        return response

    def _route(self, request: Request, method: str, who: str) -> Response:  # noqa: C901 - a table of routes.
        parts = [unquote(part) for part in _API.sub("", request.path).strip("/").split("/")]
        match method, parts:
            case "GET", ["projects"]:
                return Response.json(self._projects())
            case "POST", ["projects", project, "queries"]:
                return Response.json(self.jobs.query(project, _object(request), who))
            case "GET", ["projects", project, "queries", job]:
                return Response.json(self.jobs.results(project, job, request))
            case "POST", ["projects", project, "jobs"]:
                return Response.json(self.jobs.insert(project, _object(request), who))
            case "GET", ["projects", project, "jobs"]:
                return Response.json(self.jobs.listing(project, request, who))
            case "GET", ["projects", project, "jobs", job]:
                return Response.json(self.jobs.get(project, job).resource)
            case "POST", ["projects", project, "jobs", job, "cancel"]:
                return Response.json(
                    {"kind": "bigquery#jobCancelResponse", "job": self.jobs.get(project, job).resource}
                )
            case "DELETE", ["projects", project, "jobs", job, "delete"]:
                self.jobs.delete(project, job)
                return Response(204)
            case "GET", ["projects", project, "datasets", dataset, "tables", table]:
                self.jobs.materialise(TableName(project, dataset, table))
                return self._table(TableName(project, dataset, table), request)
            case "GET", ["projects", project, "datasets", dataset, "tables", table, "data"]:
                self.jobs.materialise(TableName(project, dataset, table))
                return self._rows(TableName(project, dataset, table), request)
        return self._forward(request, method)

    def _projects(self) -> dict[str, Any]:
        project = {
            "kind": "bigquery#project",
            "id": self._project,
            "numericId": "1",
            "projectReference": {"projectId": self._project},
            "friendlyName": self._project,
        }
        return {"kind": "bigquery#projectList", "etag": _etag(self._project), "projects": [project], "totalItems": 1}

    def _table(self, name: TableName, request: Request) -> Response:
        answer = self._forward(request, "GET")
        facts = self.jobs.facts([name])[0] if answer.status == 200 else None  # noqa: PLR2004
        if facts is None:
            return answer
        table = json.loads(answer.body) | {"location": LOCATION}
        sizes = dict.fromkeys(("numBytes", "numActiveLogicalBytes", "numTotalLogicalBytes"), str(facts.bytes))
        table |= sizes | {"numRows": str(facts.rows)}
        if facts.query is not None and table["type"] == "VIEW":
            table["view"] = {"query": facts.query, "useLegacySql": False}
        return Response.json(table)

    def _rows(self, name: TableName, request: Request) -> Response:
        scope = f"{name.project}.{name.dataset}.{name.table}"
        query = _paged(request, scope)
        status, rows = self._emulator.call("GET", _emulator_path(request.path), query=query)
        if status == 200 and "pageToken" in rows:  # noqa: PLR2004
            rows["pageToken"] = _page_token(scope, rows["pageToken"])
        return _relay(status, rows)

    def _forward(self, request: Request, method: str) -> Response:
        status, body = self._emulator.call(
            method,
            _emulator_path(request.path),
            query=urlencode([pair for pair in request.query if pair[0] not in ("fields", "prettyPrint", "alt", "key")]),
            body=request.content() or None,
            headers={name: request.headers[name] for name in ("content-type", "if-match") if name in request.headers},
        )
        if isinstance(body, dict) and isinstance(body.get("datasets"), list) and request.argument("all") != "true":
            # Datasets of anonymous results are hidden unless they are asked for.
            body["datasets"] = [d for d in body["datasets"] if not d["datasetReference"]["datasetId"].startswith("_")]
            body.pop("totalItems", None)
        return _relay(status, body)


@dataclass(slots=True)
class Job:
    """A job as the API shows it, and what is remembered to serve its results."""

    resource: dict[str, Any]
    who: str
    anonymous: TableName | None = None
    has_rows: bool = False


class Jobs:
    """Runs jobs on the emulator and keeps them: ``jobs.*`` are answered from here."""

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator
        self._lock = threading.Lock()
        self._jobs: dict[tuple[str, str], Job] = {}
        self._anonymous: dict[TableName, Job] = {}
        self._materialising = threading.Lock()
        self._estimates = Estimates(self.facts, self._tables_of)

    def get(self, project: str, job_id: str) -> Job:
        job = self._jobs.get((project, job_id))
        if job is None:
            raise ApiError(404, "notFound", f"Not found: Job {project}:{LOCATION}.{job_id}")
        return job

    def delete(self, project: str, job_id: str) -> None:
        self.get(project, job_id)
        with self._lock:
            self._jobs.pop((project, job_id), None)

    def listing(self, project: str, request: Request, who: str) -> dict[str, Any]:
        states = {value.upper() for name, value in request.query if name == "stateFilter"}
        everyone = request.argument("allUsers") == "true"
        with self._lock:
            jobs = [job for (home, _), job in self._jobs.items() if home == project]
        shown = [
            job.resource | {"state": job.resource["status"]["state"]}
            for job in reversed(jobs)
            if (everyone or job.who == who)
            and (not states or job.resource["status"]["state"] in states)
            and not request.argument("parentJobId")
        ]
        start, size = _page(request, f"jobs:{project}", default=50)
        answer: dict[str, Any] = {
            "kind": "bigquery#jobList",
            "etag": _etag(project),
            "jobs": shown[start : start + size],
        }
        if start + size < len(shown):
            answer["nextPageToken"] = _page_token(f"jobs:{project}", start + size)
        return answer

    def insert(self, project: str, body: Mapping[str, Any], who: str) -> dict[str, Any]:
        """``jobs.insert``: a dry run comes back as a job that nobody keeps."""
        configuration = dict(body.get("configuration") or {})
        reference = body.get("jobReference") or {}
        if reference.get("projectId", project) != project:
            raise ApiError(400, "invalid", f"Project id in the URL ({project}) and in jobReference must be the same.")
        return self.run(project, configuration, who, str(reference.get("jobId") or "")).resource

    def query(self, project: str, body: Mapping[str, Any], who: str) -> dict[str, Any]:
        """``jobs.query``: the same as a job, answered in one go; a job that fails is an HTTP error."""
        configuration: dict[str, Any] = {name: body[name] for name in _JOB_FIELDS if name in body}
        # True is Google's default, though every client library says otherwise.
        query: dict[str, Any] = {"useLegacySql": body.get("useLegacySql", True)}
        configuration["query"] = query | {name: body[name] for name in _QUERY_FIELDS if name in body}
        job = self.run(project, configuration, who, f"job_{secrets.token_urlsafe(21)}")
        resource, statistics = job.resource, job.resource["statistics"]
        _raise_failure(resource)
        answer: dict[str, Any] = {
            "kind": "bigquery#queryResponse",
            "jobReference": resource["jobReference"],
            "jobComplete": True,
            "location": LOCATION,
            "cacheHit": False,
            "creationTime": statistics["creationTime"],
        } | {
            name: statistics["query"][name]
            for name in ("totalBytesProcessed", "statementType", "numDmlAffectedRows", "ddlOperationPerformed")
            if name in statistics["query"]
        }
        if "sessionInfo" in statistics:
            answer["sessionInfo"] = statistics["sessionInfo"]
        if body.get("dryRun"):
            answer["jobReference"] = {"projectId": project, "location": LOCATION}
            answer["schema"] = statistics["query"].get("schema", {"fields": []})
            return answer
        answer |= {
            "queryId": f"job_{secrets.token_urlsafe(21)}",
            "jobCreationReason": {"code": "REQUESTED"},
            "startTime": statistics["startTime"],
            "endTime": statistics["endTime"],
            "totalBytesBilled": statistics["query"]["totalBytesBilled"],
            "totalSlotMs": statistics["totalSlotMs"],
        }
        size = int(body.get("maxResults", _DEFAULT_PAGE))
        page = self._page_of_results(project, job, 0, size)
        return answer | {name: page[name] for name in ("schema", "rows", "totalRows", "pageToken") if name in page}

    def results(self, project: str, job_id: str, request: Request) -> dict[str, Any]:
        """``jobs.getQueryResults``."""
        job = self.get(project, job_id)
        _raise_failure(job.resource)
        if "query" not in job.resource["configuration"]:
            raise ApiError(400, "invalid", "Query results can be had of query jobs only.")
        start, size = _page(request, f"{project}:{job_id}", default=_DEFAULT_PAGE)
        statistics = job.resource["statistics"]["query"]
        answer = {
            "kind": "bigquery#getQueryResultsResponse",
            "etag": job.resource["etag"],
            "jobReference": job.resource["jobReference"],
            "jobComplete": True,
            "cacheHit": False,
            "totalBytesProcessed": statistics["totalBytesProcessed"],
        }
        if "numDmlAffectedRows" in statistics:
            answer["numDmlAffectedRows"] = statistics["numDmlAffectedRows"]
        return answer | self._page_of_results(project, job, start, size)

    def _page_of_results(self, project: str, job: Job, start: int, size: int) -> dict[str, Any]:
        job_id = job.resource["jobReference"]["jobId"]
        status, page = self._emulator.call(
            "GET",
            f"/bigquery/v2/projects/{quote(project)}/queries/{quote(job_id)}",
            query=urlencode({"startIndex": start, "maxResults": size}),
        )
        if status != 200:  # noqa: PLR2004
            raise _api_error(status, page)
        answer: dict[str, Any] = {"schema": page["schema"], "totalRows": page["totalRows"]}
        if page["rows"]:
            answer["rows"] = page["rows"]
        if "pageToken" in page:
            answer["pageToken"] = _page_token(f"{project}:{job_id}", page["pageToken"])
        return answer

    def run(self, project: str, configuration: dict[str, Any], who: str, job_id: str = "") -> Job:
        """Runs a job to its end.

        Raises:
            ApiError: for what Google refuses to make a job of. A job that fails is returned.
        """
        job_id = job_id or f"job_{secrets.token_urlsafe(21)}"
        if not _JOB_ID.match(job_id):
            raise ApiError(400, "invalid", f'Invalid job ID "{job_id}".')
        with self._lock:
            if (project, job_id) in self._jobs:
                raise ApiError(409, "duplicate", f"Already Exists: Job {project}:{LOCATION}.{job_id}")
        kinds = [kind for kind in ("query", "load", "copy", "extract") if kind in configuration]
        if len(kinds) != 1:
            raise ApiError(400, "required", "Required parameter is missing: one job configuration")
        dry_run = configuration.get("dryRun") in (True, "true")
        started = _now()
        if kinds == ["query"]:
            job = self._run_query(project, configuration, job_id, dry_run=dry_run)
        else:
            job = self._run_other(project, configuration, job_id)
        resource = job.resource
        resource |= {
            "kind": "bigquery#job",
            "id": f"{project}:{LOCATION}.{job_id}",
            "selfLink": f"https://bigquery.googleapis.com/bigquery/v2/projects/{project}/jobs/{job_id}?location={LOCATION}",
            "etag": _etag(project, job_id),
            "jobReference": {"projectId": project, "jobId": job_id, "location": LOCATION},
            "user_email": who,
            "principal_subject": who if who.startswith("principal:") else f"serviceAccount:{who}",
            "jobCreationReason": {"code": "REQUESTED"},
        }
        resource["configuration"]["jobType"] = kinds[0].upper()
        if dry_run:
            resource["jobReference"].pop("jobId")
            resource["id"] = f"{project}:{LOCATION}."
        else:
            resource["statistics"] |= {"startTime": started, "endTime": _now()}
        resource["statistics"]["creationTime"] = started
        job.who = who
        if not dry_run:
            with self._lock:
                self._jobs[project, job_id] = job
                if job.anonymous:
                    self._anonymous[job.anonymous] = job
        return job

    def _run_query(self, project: str, configuration: dict[str, Any], job_id: str, *, dry_run: bool) -> Job:
        query = {"useLegacySql": True} | configuration["query"]
        statement = str(query.get("query", ""))
        if not statement.strip():
            raise ApiError(400, "required", "Required parameter is missing: query")
        home = query.get("defaultDataset") or {}
        default = (home.get("projectId", project), home["datasetId"]) if "datasetId" in home else None
        for name, table in self._known_anonymous():
            if name.table in statement:
                self._materialise(name, table)
        estimate = self._estimates.of(statement, project, default)
        limit = int(query.get("maximumBytesBilled") or 0)
        if limit and not dry_run and estimate.billed > limit:
            message = f"Query exceeded limit for bytes billed: {limit}. {estimate.billed} or higher required."
            return _failed(configuration | {"query": query}, "bytesBilledLimitExceeded", message)
        status, answer = self._emulator.call(
            "POST",
            f"/bigquery/v2/projects/{quote(project)}/jobs",
            json_body={
                "jobReference": {"projectId": project, "jobId": job_id},
                "configuration": configuration | {"query": query},
            },
        )
        if status != 200:  # noqa: PLR2004
            raise _api_error(status, answer)
        job = Job({"configuration": configuration | {"query": query}, "status": answer["status"]}, who="")
        self._describe_query(job, answer["statistics"], estimate, dry_run=dry_run)
        if job.resource["status"].get("errorResult") or dry_run:
            return job
        self._place_result(project, job_id, job, answer)
        return job

    def _describe_query(self, job: Job, statistics: dict[str, Any], estimate: Estimate, *, dry_run: bool) -> None:
        failed = "errorResult" in job.resource["status"]
        processed = "0" if failed else str(estimate.processed)
        details = statistics.setdefault("query", {})
        details.pop("totalRows", None)
        details |= {
            "totalBytesProcessed": processed,
            "totalBytesBilled": "0" if failed or dry_run else str(estimate.billed),
            "cacheHit": False,
        }
        if not failed:
            details["referencedTables"] = [table.reference() for table in estimate.tables]
            details["totalBytesProcessedAccuracy"] = "PRECISE"
        if not dry_run:
            details.pop("totalBytesProcessedAccuracy", None)
            details["billingTier"] = 1
            statistics["totalSlotMs"] = str(estimate.processed * _SLOT_MS_PER_MB // 2**20 + 1)
        statistics["totalBytesProcessed"] = processed
        job.resource["statistics"] = statistics

    def _place_result(self, project: str, job_id: str, job: Job, answer: dict[str, Any]) -> None:
        """Puts a SELECT's rows where the job says, or notes the anonymous table where they would lie."""
        kind = job.resource["statistics"]["query"].get("statementType", "")
        query = job.resource["configuration"]["query"]
        asked = query.get("destinationTable")
        if kind not in ("SELECT", "SCRIPT"):
            target = answer["configuration"]["query"].get("destinationTable", {})
            if not str(target.get("datasetId", "_")).startswith("_"):
                query["destinationTable"] = target
            return
        job.has_rows = True
        if asked:
            self._write(project, job_id, asked, query)
            return
        anonymous = TableName(
            project,
            f"_{hashlib.sha1(project.encode(), usedforsecurity=False).hexdigest()}",
            f"anon{hashlib.sha256(job_id.encode()).hexdigest()}",
        )
        job.anonymous = anonymous
        query["destinationTable"] = anonymous.reference()
        query.setdefault("createDisposition", "CREATE_IF_NEEDED")
        query.setdefault("writeDisposition", "WRITE_TRUNCATE")
        query.setdefault("priority", "INTERACTIVE")

    def _write(self, project: str, job_id: str, destination: Mapping[str, str], query: Mapping[str, Any]) -> None:
        name = TableName(destination.get("projectId", project), destination["datasetId"], destination["tableId"])
        disposition = query.get("writeDisposition", "WRITE_EMPTY")
        existing = self.facts([name])[0]
        if existing is not None and disposition == "WRITE_EMPTY" and existing.rows:
            raise ApiError(409, "duplicate", f"Already Exists: Table {name.project}:{name.dataset}.{name.table}")
        if existing is not None and disposition != "WRITE_APPEND":
            self._emulator.call("DELETE", _table_path(name))
            existing = None
        self._fill(name, job_id, create=existing is None)

    def _run_other(self, project: str, configuration: dict[str, Any], job_id: str) -> Job:
        load = configuration.get("load")
        target = (load or configuration.get("copy") or {}).get("destinationTable") or {}
        name = TableName(target.get("projectId", project), target.get("datasetId", ""), target.get("tableId", ""))
        before = self.facts([name])[0] if target else None
        if "copy" in configuration:
            sources = configuration["copy"].get("sourceTables") or [configuration["copy"].get("sourceTable") or {}]
            for source in sources:
                self.materialise(TableName(source.get("projectId", project), source["datasetId"], source["tableId"]))
        status, answer = self._emulator.call(
            "POST",
            f"/bigquery/v2/projects/{quote(project)}/jobs",
            json_body={"jobReference": {"projectId": project, "jobId": job_id}, "configuration": configuration},
        )
        if status != 200:  # noqa: PLR2004
            raise _api_error(status, answer)
        job = Job({"configuration": configuration, "status": answer["status"]}, who="")
        statistics: dict[str, Any] = answer["statistics"]
        job.resource["statistics"] = statistics
        if load is not None and "errorResult" not in answer["status"]:
            after = self.facts([name])[0]
            kept = 0 if before is None or load.get("writeDisposition") == "WRITE_TRUNCATE" else before.rows
            statistics["load"] = {
                "outputRows": str((after.rows if after else 0) - kept),
                "outputBytes": str(after.bytes if after else 0),
                "badRecords": "0",
            }
        return job

    def materialise(self, name: TableName) -> None:
        """Makes a job's anonymous result a table that the emulator can read, if ``name`` is one and it is not."""
        job = self._anonymous.get(name)
        if job is not None:
            self._materialise(name, job)

    def _known_anonymous(self) -> list[tuple[TableName, Job]]:
        with self._lock:
            return list(self._anonymous.items())

    def _materialise(self, name: TableName, job: Job) -> None:
        with self._materialising:
            if job.anonymous is None:
                return
            self._emulator.call(
                "POST",
                f"/bigquery/v2/projects/{quote(name.project)}/datasets",
                json_body={"datasetReference": {"projectId": name.project, "datasetId": name.dataset}},
            )
            self._fill(name, job.resource["jobReference"]["jobId"], create=True)
            job.anonymous = None

    def _fill(self, name: TableName, job_id: str, *, create: bool) -> None:
        if create:
            _, page = self._emulator.call(
                "GET", f"/bigquery/v2/projects/{quote(name.project)}/queries/{quote(job_id)}", query="maxResults=0"
            )
            status, answer = self._emulator.call(
                "POST",
                _table_path(name).rpartition("/")[0],
                json_body={"tableReference": name.reference(), "schema": page["schema"]},
            )
            if status != 200:  # noqa: PLR2004
                raise _api_error(status, answer)
        status, answer = self._emulator.call(
            "POST", "/world/results", json_body={"job": job_id, "table": [name.project, name.dataset, name.table]}
        )
        if status != 200:  # noqa: PLR2004
            raise _api_error(status, answer)

    def facts(self, names: Sequence[TableName]) -> list[TableFacts | None]:
        """What the emulator knows of tables; ``None`` for those that do not exist."""
        if not names:
            return []
        status, answer = self._emulator.call(
            "POST", "/world/tables", json_body={"tables": [[n.project, n.dataset, n.table] for n in names]}
        )
        if status != 200:  # noqa: PLR2004
            return [None] * len(names)
        return [
            TableFacts(rows=table["rows"], columns=table["columns"], query=table["query"]) if table else None
            for table in answer["tables"]
        ]

    def _tables_of(self, project: str, dataset: str) -> list[str]:
        status, answer = self._emulator.call(
            "GET", f"/bigquery/v2/projects/{quote(project)}/datasets/{quote(dataset)}/tables", query="maxResults=10000"
        )
        if status != 200:  # noqa: PLR2004
            return []
        return [table["tableReference"]["tableId"] for table in answer.get("tables", [])]


@dataclass(slots=True)
class _Upload:
    project: str
    body: dict[str, Any]
    who: str
    size: int | None
    received: bytearray = field(default_factory=bytearray)


class Uploads:
    """Google's three upload protocols, as far as load jobs use them."""

    def __init__(self, jobs: Jobs, directory: Path) -> None:
        self._jobs = jobs
        self._directory = directory
        self._pending: dict[str, _Upload] = {}

    def handle(self, request: Request, method: str, who: str | None) -> Response:
        parts = _API.sub("", request.path).strip("/").split("/")
        if len(parts) != 3 or parts[0] != "projects" or parts[2] != "jobs":  # noqa: PLR2004
            raise ApiError(404, "notFound", "Not Found")
        upload_id = request.argument("upload_id")
        if upload_id:
            return self._continue(request, upload_id)
        if method != "POST":
            raise ApiError(405, "httpMethodNotAllowed", "Method Not Allowed")
        match request.argument("uploadType"):
            case "multipart":
                metadata, media = _multipart(request)
                return Response.json(self._load(parts[1], metadata, media, who or ""))
            case "resumable":
                return self._begin(request, parts[1], who or "")
        raise ApiError(400, "invalid", "uploadType must be multipart or resumable for load jobs.")

    def _begin(self, request: Request, project: str, who: str) -> Response:
        upload_id = secrets.token_urlsafe(60)
        declared = request.headers.get("x-upload-content-length")
        self._pending[upload_id] = _Upload(project, _object(request), who, int(declared) if declared else None)
        query = urlencode({"uploadType": "resumable", "upload_id": upload_id})
        location = f"https://{request.host}/upload/bigquery/v2/projects/{quote(project)}/jobs?{query}"
        return Response(200, headers={"location": location, "x-guploader-uploadid": upload_id})

    def _continue(self, request: Request, upload_id: str) -> Response:
        upload = self._pending.get(upload_id)
        if upload is None:
            raise ApiError(404, "notFound", "Upload session not found.")
        content = request.content()
        if content_range := request.headers.get("content-range"):
            match = re.fullmatch(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)", content_range)
            if match is None or (match[1] and int(match[1]) != len(upload.received)):
                raise ApiError(400, "badRequest", f"Invalid or out-of-order Content-Range: {content_range}")
            if match[3] != "*":
                upload.size = int(match[3])
            upload.received += content if match[1] else b""
        else:
            upload.received += content
            upload.size = len(upload.received)
        if upload.size is None or len(upload.received) < upload.size:
            got = {"range": f"bytes=0-{len(upload.received) - 1}"} if upload.received else {}
            return Response(308, headers=got)
        del self._pending[upload_id]
        return Response.json(self._load(upload.project, upload.body, bytes(upload.received), upload.who))

    def _load(self, project: str, body: dict[str, Any], media: bytes, who: str) -> dict[str, Any]:
        configuration = dict(body.get("configuration") or {})
        if "load" not in configuration:
            raise ApiError(400, "required", "Required parameter is missing: configuration.load")
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = self._directory / secrets.token_hex(8)
        path.write_bytes(media)
        try:
            load = dict(configuration["load"]) | {"sourceUris": [f"file://{path}"]}
            reference = body.get("jobReference") or {}
            job = self._jobs.run(project, configuration | {"load": load}, who, str(reference.get("jobId") or ""))
        finally:
            path.unlink(missing_ok=True)
        job.resource["configuration"]["load"].pop("sourceUris", None)
        for error in (job.resource["status"].get("errorResult"), *job.resource["status"].get("errors", ())):
            if error:
                error["message"] = error["message"].replace(str(path), "the uploaded file")
                error.pop("location", None)
        statistics = job.resource["statistics"].setdefault("load", {})
        statistics |= {"inputFiles": "1", "inputFileBytes": str(len(media))}
        return job.resource


def _multipart(request: Request) -> tuple[dict[str, Any], bytes]:
    """The two parts of ``multipart/related``: the job, and the bytes exactly as sent, whatever type they claim."""
    match = re.search(r'boundary="?([^";]+)"?', request.headers.get("content-type", ""))
    if match is None:
        raise ApiError(400, "badRequest", "multipart upload without a boundary")
    boundary = b"\r\n--" + match[1].encode()
    sections = (b"\r\n" + request.content()).replace(b"\r\n--" + match[1].encode(), boundary).split(boundary)
    if len(sections) == 2:  # noqa: PLR2004 - Python's client ends lines with LF only.
        sections = (b"\n" + request.content()).split(b"\n--" + match[1].encode())
    contents = [re.split(rb"\r?\n\r?\n", section, maxsplit=1)[-1] for section in sections[1:-1]]
    if len(contents) != 2:  # noqa: PLR2004
        raise ApiError(400, "badRequest", "multipart upload needs two parts: the job and the data")
    metadata = json.loads(contents[0])
    if not isinstance(metadata, dict):
        raise ApiError(400, "parseError", "The first part must be a job.")
    return metadata, contents[1]


def _failed(configuration: dict[str, Any], reason: str, message: str) -> Job:
    error = {"reason": reason, "message": message}
    statistics = {"totalBytesProcessed": "0", "query": {"totalBytesProcessed": "0", "totalBytesBilled": "0"}}
    status = {"state": "DONE", "errorResult": error, "errors": [error]}
    return Job({"configuration": configuration, "status": status, "statistics": statistics}, who="")


def _raise_failure(resource: dict[str, Any]) -> None:
    error = resource["status"].get("errorResult")
    if error:
        status = _STATUS_OF_REASON.get(error["reason"], 400)
        raise ApiError(status, error["reason"], error["message"], error.get("location"))


def _unauthenticated() -> ApiError:
    return ApiError(
        401,
        "authError",
        "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other "
        "valid authentication credential. See https://developers.google.com/identity/sign-in/web/devconsole-project.",
    )


def _api_error(status: int, body: Any) -> ApiError:
    error = body.get("error", {}) if isinstance(body, dict) else {}
    first = (error.get("errors") or [{}])[0]
    reason = first.get("reason") or "internalError"
    return ApiError(_STATUS_OF_REASON.get(reason, status), reason, str(error.get("message", "")), first.get("location"))


def _relay(status: int, body: Any) -> Response:
    if status >= 400:  # noqa: PLR2004
        return _api_error(status, body).response()
    return Response.json(body, status) if body is not None else Response(status)


def _object(request: Request) -> dict[str, Any]:
    try:
        body = json.loads(request.content() or b"{}")
    except ValueError as error:
        raise ApiError(400, "parseError", "Parse Error") from error
    if not isinstance(body, dict):
        raise ApiError(400, "parseError", "Parse Error")
    return body


def _effective_method(request: Request) -> str:
    override = request.headers.get("x-http-method-override", "").upper()
    return override if request.method == "POST" and override in ("GET", "PUT", "PATCH", "DELETE") else request.method


def _emulator_path(path: str) -> str:
    return quote(path, safe="/:@%")


def _table_path(name: TableName) -> str:
    return f"/bigquery/v2/projects/{quote(name.project)}/datasets/{quote(name.dataset)}/tables/{quote(name.table)}"


def _page(request: Request, scope: str, *, default: int) -> tuple[int, int]:
    size = int(request.argument("maxResults") or default)
    token = request.argument("pageToken")
    return (_offset(token, scope) if token else int(request.argument("startIndex") or 0)), size


def _paged(request: Request, scope: str) -> str:
    start, size = _page(request, scope, default=_DEFAULT_PAGE)
    query: dict[str, object] = {"startIndex": start, "maxResults": size}
    if selected := request.argument("selectedFields"):
        query |= {"selectedFields": selected}
    return urlencode(query)


def _page_token(scope: str, offset: object) -> str:
    return base64.urlsafe_b64encode(f"{scope}\0{offset}".encode()).decode().rstrip("=")


def _offset(token: str, scope: str) -> int:
    try:
        of, _, offset = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode().rpartition("\0")
        if of == scope:
            return int(offset)
    except (ValueError, binascii.Error):
        pass
    raise ApiError(400, "invalid", "Invalid page token.", "pageToken")


def _etag(*parts: str) -> str:
    return hashlib.sha256("/".join(parts).encode()).hexdigest()[:22] + "=="


def _now() -> str:
    return str(int(time.time() * 1000))
