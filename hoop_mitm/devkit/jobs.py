"""Jobs: run on the emulator, described as BigQuery describes them, and kept."""

import hashlib
import re
import secrets
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from hoop_mitm.devkit.api import (
    DEFAULT_PAGE,
    LOCATION,
    LOCATIONS,
    OK,
    STATUS_OF_REASON,
    ApiError,
    etag_of,
    page_of,
    page_token,
    translated,
    wants_integers,
)
from hoop_mitm.devkit.cells import float_timestamps
from hoop_mitm.devkit.emulator import Emulator
from hoop_mitm.devkit.estimates import Estimate, Estimates, TableName
from hoop_mitm.devkit.http import Request
from hoop_mitm.devkit.job_list import JobList, region_of
from hoop_mitm.devkit.scripts import children
from hoop_mitm.devkit.tables import Tables, with_column_names

_JOB_ID = re.compile(r"^[A-Za-z0-9_-]{1,1024}$")
_DESTINATION_FIELDS = ("destinationTable", "createDisposition", "writeDisposition", "schemaUpdateOptions")
# BigQuery puts a colon behind the project in its messages.
_TABLE_IN_MESSAGE = re.compile(r"\bTable ([a-z][a-z0-9-]+)\.(\w+\.)")
_SLOT_MS_PER_MB = 3
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


@dataclass(slots=True)
class Job:
    """A job as the API shows it, and whose it is.

    ``short``: a query that was answered without a job (`JOB_CREATION_OPTIONAL`); only the list of jobs knows it.
    """

    resource: dict[str, Any]
    who: str
    short: bool = False

    @property
    def location(self) -> str:
        return str(self.resource["jobReference"]["location"])

    @property
    def parent(self) -> str | None:
        parent: str | None = self.resource["statistics"].get("parentJobId")
        return parent


@dataclass(frozen=True, slots=True)
class _Order:
    """What is to be run as: whose, where, under which id."""

    project: str
    job_id: str
    who: str
    location: str
    dry_run: bool


class Jobs:
    """Runs jobs on the emulator and keeps them: ``jobs.*`` are answered from here."""

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator
        self._lock = threading.Lock()
        self._jobs: dict[tuple[str, str], Job] = {}
        self._taken: set[tuple[str, str]] = set()
        self.tables = Tables(emulator)
        self.list = JobList(emulator)
        self._estimates = Estimates(self.tables.facts, self.tables.of_dataset)

    def all(self) -> list[Job]:
        """Every job that ran here, the oldest first."""
        with self._lock:
            return list(self._jobs.values())

    def get(self, project: str, job_id: str, location: str = "") -> Job:
        """A job that exists, in ``location`` where one is given.

        Raises:
            ApiError: there is none.
        """
        job = self._jobs.get((project, job_id))
        if job is None or job.short or (location and location.lower() != job.location.lower()):
            raise ApiError(404, "notFound", f"Not found: Job {project}:{location or LOCATION}.{job_id}")
        return job

    def delete(self, project: str, job_id: str) -> None:
        self.get(project, job_id)
        with self._lock:
            self._jobs.pop((project, job_id), None)

    def listing(self, project: str, request: Request, who: str) -> dict[str, Any]:
        states = {value.upper() for name, value in request.query if name == "stateFilter"}
        everyone = request.argument("allUsers") == "true"
        earliest, latest = (int(request.argument(f"{end}CreationTime") or 0) for end in ("min", "max"))
        with self._lock:
            jobs = [job for (home, _), job in self._jobs.items() if home == project]
        shown = [
            job.resource | {"state": job.resource["status"]["state"]}
            for job in reversed(jobs)
            if (everyone or job.who == who)
            and not job.short
            and (not states or job.resource["status"]["state"] in states)
            and (job.parent or "") == request.argument("parentJobId")
            and earliest <= int(job.resource["statistics"]["creationTime"]) <= (latest or 2**63)
        ]
        if request.argument("projection").lower() != "full":
            shown = [{name: value for name, value in job.items() if name != "configuration"} for job in shown]
        start, size = page_of(request, f"jobs:{project}", default=50)
        answer: dict[str, Any] = {
            "kind": "bigquery#jobList",
            "etag": etag_of(project),
            "jobs": shown[start : start + size],
        }
        if start + size < len(shown):
            answer["nextPageToken"] = page_token(f"jobs:{project}", start + size)
        return answer

    def insert(self, project: str, body: Mapping[str, Any], who: str) -> dict[str, Any]:
        """``jobs.insert``: a dry run comes back as a job that nobody keeps."""
        configuration = dict(body.get("configuration") or {})
        reference = body.get("jobReference") or {}
        if reference.get("projectId", project) != project:
            raise ApiError(400, "invalid", f"Project id in the URL ({project}) and in jobReference must be the same.")
        location = str(reference.get("location") or "")
        return self.run(project, configuration, who, str(reference.get("jobId") or ""), location).resource

    def query(self, project: str, body: Mapping[str, Any], who: str) -> dict[str, Any]:
        """``jobs.query``: the same as a job, answered in one go; a job that fails is an HTTP error."""
        configuration: dict[str, Any] = {name: body[name] for name in _JOB_FIELDS if name in body}
        # True is Google's default, though every client library says otherwise.
        query: dict[str, Any] = {"useLegacySql": body.get("useLegacySql", True)}
        configuration["query"] = query | {name: body[name] for name in _QUERY_FIELDS if name in body}
        location = str(body.get("location") or "")
        job = self.run(project, configuration, who, f"job_{secrets.token_urlsafe(21)}", location)
        resource, statistics = job.resource, job.resource["statistics"]
        _raise_failure(resource)
        answer: dict[str, Any] = {
            "kind": "bigquery#queryResponse",
            "jobReference": resource["jobReference"],
            "jobComplete": True,
            "location": job.location,
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
            answer["jobReference"] = {"projectId": project, "location": job.location}
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
        size = int(body.get("maxResults", DEFAULT_PAGE))
        integers = bool((body.get("formatOptions") or {}).get("useInt64Timestamp"))
        page = self._page_of_results(project, job, 0, size, integers=integers)
        if body.get("jobCreationMode") == "JOB_CREATION_OPTIONAL" and "pageToken" not in page:
            job.short = True
            answer["queryId"] = answer.pop("jobReference")["jobId"]
            answer.pop("jobCreationReason")
        return answer | {name: page[name] for name in ("schema", "rows", "totalRows", "pageToken") if name in page}

    def results(self, project: str, job_id: str, request: Request) -> dict[str, Any]:
        """``jobs.getQueryResults``."""
        job = self.get(project, job_id, request.argument("location"))
        _raise_failure(job.resource)
        if "query" not in job.resource["configuration"]:
            raise ApiError(400, "invalid", "Query results can be had of query jobs only.")
        start, size = page_of(request, f"{project}:{job_id}", default=DEFAULT_PAGE)
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
        return answer | self._page_of_results(project, job, start, size, integers=wants_integers(request))

    def _page_of_results(self, project: str, job: Job, start: int, size: int, *, integers: bool) -> dict[str, Any]:
        job_id = job.resource["jobReference"]["jobId"]
        status, page = self._emulator.call(
            "GET",
            f"/bigquery/v2/projects/{quote(project)}/queries/{quote(job_id)}",
            query=urlencode({"startIndex": start, "maxResults": size}),
        )
        if status != OK:
            raise translated(status, page)
        answer: dict[str, Any] = {"schema": with_column_names(page["schema"]), "totalRows": page["totalRows"]}
        if page["rows"]:
            answer["rows"] = page["rows"]
            if not integers:
                float_timestamps(page["rows"], page["schema"]["fields"])
        if "pageToken" in page:
            answer["pageToken"] = page_token(f"{project}:{job_id}", page["pageToken"])
        return answer

    def run(self, project: str, configuration: dict[str, Any], who: str, job_id: str = "", location: str = "") -> Job:
        """Runs a job to its end, in ``location`` or where its data is.

        Raises:
            ApiError: for what Google refuses to make a job of. A job that fails is returned.
        """
        job_id = job_id or f"job_{secrets.token_urlsafe(21)}"
        if not _JOB_ID.match(job_id):
            raise ApiError(400, "invalid", f'Invalid job ID "{job_id}".')
        kinds = [kind for kind in ("query", "load", "copy", "extract") if kind in configuration]
        if len(kinds) != 1:
            raise ApiError(400, "required", "Required parameter is missing: one job configuration")
        dry_run = configuration.get("dryRun") in (True, "true")
        with self._lock:
            if (project, job_id) in self._taken:
                raise ApiError(409, "duplicate", f"Already Exists: Job {project}:{location or LOCATION}.{job_id}")
            self._taken.add((project, job_id))
        try:
            order = _Order(project, job_id, who, _place(configuration, location), dry_run)
            job = self._run(order, configuration, kinds[0])
        except BaseException:
            self._taken.discard((project, job_id))
            raise
        with self._lock:
            if dry_run:
                self._taken.discard((project, job_id))
            else:
                for child in children(job.resource):
                    self._jobs[project, child["jobReference"]["jobId"]] = Job(child, who)
                self._jobs[project, job_id] = job
        return job

    def _run(self, order: _Order, configuration: dict[str, Any], kind: str) -> Job:
        started = _now()
        if kind == "query":
            job = self._run_query(order, configuration)
        else:
            job = self._run_other(order.project, configuration, order.job_id)
        resource = job.resource
        resource |= {
            "kind": "bigquery#job",
            "id": f"{order.project}:{order.location}.{order.job_id}",
            "selfLink": f"https://bigquery.googleapis.com/bigquery/v2/projects/{order.project}/jobs/{order.job_id}?location={order.location}",
            "etag": etag_of(order.project, order.job_id),
            "jobReference": {"projectId": order.project, "jobId": order.job_id, "location": order.location},
            "user_email": order.who,
            "principal_subject": order.who if order.who.startswith("principal:") else f"serviceAccount:{order.who}",
            "jobCreationReason": {"code": "REQUESTED"},
        }
        resource["configuration"]["jobType"] = kind.upper()
        if order.dry_run:
            resource["jobReference"].pop("jobId")
            resource["id"] = f"{order.project}:{order.location}."
        else:
            resource["statistics"] |= {"startTime": started, "endTime": _now()}
        resource["statistics"]["creationTime"] = started
        job.who = order.who
        return job

    def _run_query(self, order: _Order, configuration: dict[str, Any]) -> Job:
        query = {"useLegacySql": True} | configuration["query"]
        statement = str(query.get("query", ""))
        if not statement.strip():
            raise ApiError(400, "required", "Required parameter is missing: query")
        home = query.get("defaultDataset") or {}
        default = (home.get("projectId", order.project), home["datasetId"]) if "datasetId" in home else None
        self.tables.materialise_named_in(statement)
        estimate = self._estimates.of(statement, order.project, default)
        if estimate.tables and order.location != LOCATION:
            first = estimate.tables[0]
            raise ApiError(
                404,
                "notFound",
                f"Not found: Dataset {first.project}:{first.dataset} was not found in location {order.location}",
            )
        known = [job.resource for job in self.all()]
        with self.list.in_place_of_views(statement, order.project, order.location, order.who, known) as listed:
            if listed.processed:
                estimate = Estimate(estimate.tables, estimate.processed + listed.processed)
            return self._run_statement(order, configuration, query, listed.statement, estimate)

    def _run_statement(
        self,
        order: _Order,
        configuration: dict[str, Any],
        query: dict[str, Any],
        statement: str,
        estimate: Estimate,
    ) -> Job:
        """``statement`` is what the emulator is given in place of the query's own."""
        limit = int(query.get("maximumBytesBilled") or 0)
        if limit and not order.dry_run and estimate.billed > limit:
            message = f"Query exceeded limit for bytes billed: {limit}. {estimate.billed} or higher required."
            return _failed(configuration | {"query": query}, "bytesBilledLimitExceeded", message)
        if not order.dry_run and (error := self._destination_error(order.project, query)) is not None:
            return _failed(configuration | {"query": query}, *error)
        # The emulator does not write to a destination, though it answers as if it had.
        sent = {name: value for name, value in query.items() if name not in _DESTINATION_FIELDS}
        sent["query"] = statement
        status, answer = self._emulator.call(
            "POST",
            f"/bigquery/v2/projects/{quote(order.project)}/jobs",
            json_body={
                "jobReference": {"projectId": order.project, "jobId": order.job_id},
                "configuration": configuration | {"query": sent},
            },
        )
        if status != OK:
            raise translated(status, answer)
        for error in (answer["status"].get("errorResult"), *answer["status"].get("errors", ())):
            if error:
                error["message"] = _TABLE_IN_MESSAGE.sub(r"Table \1:\2", error["message"])
        job = Job({"configuration": configuration | {"query": query}, "status": answer["status"]}, order.who)
        self._describe_query(job, answer["statistics"], estimate, dry_run=order.dry_run)
        if job.resource["status"].get("errorResult") or order.dry_run:
            return job
        self._place_result(order.project, order.job_id, job, answer)
        return job

    def _describe_query(self, job: Job, statistics: dict[str, Any], estimate: Estimate, *, dry_run: bool) -> None:
        failed = "errorResult" in job.resource["status"]
        processed = "0" if failed else str(estimate.processed)
        details = statistics.setdefault("query", {})
        if "schema" in details:
            details["schema"] = with_column_names(details["schema"])
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
        if asked:
            self._write(project, job_id, job, query)
            return
        anonymous = TableName(
            project,
            f"_{hashlib.sha1(f'{project} {job.who}'.encode(), usedforsecurity=False).hexdigest()}",
            f"anon{hashlib.sha256(job_id.encode()).hexdigest()}",
        )
        self.tables.note_result(anonymous, job_id)
        query["destinationTable"] = anonymous.reference()
        query.setdefault("createDisposition", "CREATE_IF_NEEDED")
        query.setdefault("writeDisposition", "WRITE_TRUNCATE")
        query.setdefault("priority", "INTERACTIVE")

    def _destination_error(self, project: str, query: Mapping[str, Any]) -> tuple[str, str] | None:
        """Reason and message, if the destination's state forbids the job."""
        if not query.get("destinationTable"):
            return None
        name = _destination(project, query["destinationTable"])
        existing = self.tables.facts([name])[0]
        shown = f"{name.project}:{name.dataset}.{name.table}"
        if existing is None and query.get("createDisposition") == "CREATE_NEVER":
            return "notFound", f"Not found: Table {shown} was not found in location {LOCATION}"
        if existing is not None and existing.rows and query.get("writeDisposition", "WRITE_EMPTY") == "WRITE_EMPTY":
            return "duplicate", f"Already Exists: Table {shown}"
        return None

    def _write(self, project: str, job_id: str, job: Job, query: Mapping[str, Any]) -> None:
        name = _destination(project, query["destinationTable"])
        existing = self.tables.facts([name])[0]
        if existing is not None and query.get("writeDisposition", "WRITE_EMPTY") == "WRITE_TRUNCATE":
            self.tables.remove(name)
            existing = None
        try:
            self.tables.fill(name, job_id, create=existing is None)
        except ApiError as error:
            # What is left is a result that does not fit the table's columns.
            shown = f"{name.project}:{name.dataset}.{name.table}"
            failure = {"reason": "invalid", "message": f"Provided Schema does not match Table {shown}. {error.message}"}
            job.resource["status"] |= {"errorResult": failure, "errors": [failure]}

    def _run_other(self, project: str, configuration: dict[str, Any], job_id: str) -> Job:
        load = configuration.get("load")
        target = (load or configuration.get("copy") or {}).get("destinationTable") or {}
        name = TableName(target.get("projectId", project), target.get("datasetId", ""), target.get("tableId", ""))
        before = self.tables.facts([name])[0] if target else None
        if "copy" in configuration:
            sources = configuration["copy"].get("sourceTables") or [configuration["copy"].get("sourceTable") or {}]
            for source in sources:
                self.tables.materialise(
                    TableName(source.get("projectId", project), source["datasetId"], source["tableId"])
                )
        status, answer = self._emulator.call(
            "POST",
            f"/bigquery/v2/projects/{quote(project)}/jobs",
            json_body={"jobReference": {"projectId": project, "jobId": job_id}, "configuration": configuration},
        )
        if status != OK:
            raise translated(status, answer)
        job = Job({"configuration": configuration, "status": answer["status"]}, who="")
        statistics: dict[str, Any] = answer["statistics"]
        job.resource["statistics"] = statistics
        if load is not None and "errorResult" not in answer["status"]:
            after = self.tables.facts([name])[0]
            kept = 0 if before is None or load.get("writeDisposition") == "WRITE_TRUNCATE" else before.rows
            statistics["load"] = {
                "outputRows": str((after.rows if after else 0) - kept),
                "outputBytes": str(after.bytes if after else 0),
                "badRecords": "0",
            }
        return job


def _place(configuration: Mapping[str, Any], location: str) -> str:
    statement = str((configuration.get("query") or {}).get("query", ""))
    known = {each.lower(): each for each in LOCATIONS}
    asked = location or region_of(statement) or LOCATION
    if location and location.lower() not in known:
        raise ApiError(400, "invalid", f"Invalid location: {location}")
    return known.get(asked.lower(), LOCATION)


def _destination(project: str, table: Mapping[str, str]) -> TableName:
    return TableName(table.get("projectId", project), table["datasetId"], table["tableId"].partition("$")[0])


def _failed(configuration: dict[str, Any], reason: str, message: str) -> Job:
    error = {"reason": reason, "message": message}
    statistics = {"totalBytesProcessed": "0", "query": {"totalBytesProcessed": "0", "totalBytesBilled": "0"}}
    status = {"state": "DONE", "errorResult": error, "errors": [error]}
    return Job({"configuration": configuration, "status": status, "statistics": statistics}, who="")


def _raise_failure(resource: dict[str, Any]) -> None:
    error = resource["status"].get("errorResult")
    if error:
        status = STATUS_OF_REASON.get(error["reason"], 400)
        raise ApiError(status, error["reason"], error["message"], error.get("location"))


def _now() -> str:
    return str(int(time.time() * 1000))
