"""What is recorded of one job: what its exchanges said, put together so that any method can tell it again."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from hoop_mitm.archive import FlowEntry, JobEntry
from hoop_mitm.bigquery.rows import Field
from hoop_mitm.serving.question import Json, json_of
from hoop_mitm.serving.recorded import Ask, Shelf
from hoop_mitm.serving.rows import Rows, is_whole

_ERRORS = 400
_ROWS = frozenset({"rows", "pageToken"})
_RESOURCES = frozenset({"jobs.insert", "jobs.get", "jobs.upload", "jobs.cancel"})
_RESULTS = frozenset({"jobs.query", "jobs.getQueryResults"})
# Of a `jobs.query` request, what describes the query as a job's configuration does.
_OF_QUERIES = ("query", "queryParameters", "parameterMode", "defaultDataset", "connectionProperties", "createSession")
_STATUS_OF_REASON = {
    "accessDenied": 403,
    "backendError": 503,
    "duplicate": 409,
    "internalError": 500,
    "notFound": 404,
    "quotaExceeded": 403,
    "rateLimitExceeded": 403,
    "stopped": 400,
}


@dataclass(frozen=True, slots=True)
class Told:
    """An answer as it was recorded."""

    flow: FlowEntry
    status: int
    answer: Json


class Story:
    """One recorded job."""

    def __init__(self, shelf: Shelf, ask: Ask, flows: Sequence[FlowEntry]) -> None:
        self.ask = ask
        self._shelf = shelf
        self._flows = [flow for flow in flows if flow.status is not None]
        whole = [flow for flow in self._flows if is_whole(flow)]
        self.rows = Rows(shelf, whole, job.schema or () if (job := ask.job) else (), self._streamed)

    @property
    def job(self) -> JobEntry | None:
        return self.ask.job

    @cached_property
    def told(self) -> tuple[Told, ...]:
        """Everything that was said of the job, rows apart, in order."""
        found: list[Told] = []
        for flow in self._flows:
            if flow.door in _RESOURCES | _RESULTS:
                answer = json_of(self._shelf.answer(flow)) or {}
                kept = {name: value for name, value in answer.items() if name not in _ROWS}
                found.append(Told(flow, flow.status or 0, kept))
        return tuple(found)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """What BigQuery, or the client, called this job: ids that mean nothing in another run."""
        told = [*self.resources, *self._results]
        found = [_reference(each).get("jobId") for each in told] + [each.get("queryId") for each in told]
        return tuple(dict.fromkeys(name for name in (*found, self.job.id if self.job else None) if name))

    @cached_property
    def asked(self) -> Told | None:
        """The answer to the one who asked for the job; ``None`` where it is not in the recording."""
        return next((each for each in self.told if each.flow is self.ask.flow), None)

    @cached_property
    def resources(self) -> tuple[Json, ...]:
        """The job's resource each time that it was shown."""
        shown = (each.answer for each in self.told if each.flow.door in _RESOURCES and each.status < _ERRORS)
        return tuple(each["job"] if isinstance(each.get("job"), dict) else each for each in shown if each)

    @cached_property
    def _results(self) -> tuple[Json, ...]:
        return tuple(each.answer for each in self.told if each.flow.door in _RESULTS and each.status < _ERRORS)

    @cached_property
    def results(self) -> Json:
        """What ``jobs.query`` and ``jobs.getQueryResults`` said of the finished job, without its rows."""
        found: Json = {}
        for each in self._results:
            # A poll of an unfinished job says less than the last word, and nothing else.
            found |= {name: value for name, value in each.items() if name != "jobComplete"}
        if self.job and self.job.schema is not None and "schema" not in found:
            found["schema"] = {"fields": [described(column) for column in self.job.schema]}
        if self.rows.total is not None:
            found["totalRows"] = str(self.rows.total)
        return found

    @cached_property
    def is_finished(self) -> bool:
        """Whether the recording knows how the job ended."""
        done = any(_state(each) == "DONE" for each in self.resources)
        return done or self.failure is not None or self.results_seen

    @cached_property
    def results_seen(self) -> bool:
        """Whether the recorded client saw that the result is there."""
        return any(_complete(each) for each in self._results)

    @cached_property
    def failure(self) -> tuple[int, Json] | None:
        """HTTP status and error that tell that the job failed."""
        for each in reversed(self.told):
            if each.flow.door in _RESULTS and each.status >= _ERRORS and "error" in each.answer:
                return each.status, each.answer
        for resource in reversed(self.resources):
            if error := _mapping(resource.get("status")).get("errorResult"):
                return _http_error(error)
        return None

    @cached_property
    def resource(self) -> Json:
        """The job as it was in the end."""
        found: Json = {}
        for each in (self._from_results(), *self.resources):
            found = merged(found, each)
        status: Json = {"state": "DONE"}
        if self.failure is not None and "errorResult" not in _mapping(found.get("status")):
            error = _detail(self.failure[1])
            status |= {"errorResult": error, "errors": [error]}
        found["status"] = merged(_mapping(found.get("status")), status)
        return found

    def _from_results(self) -> Json:
        """The job as far as the answers of ``jobs.query`` describe it."""
        said = {name: value for each in self._results for name, value in each.items()}
        statistics: Json = {
            name: said[name] for name in ("creationTime", "startTime", "endTime", "totalSlotMs") if name in said
        }
        names = ("totalBytesProcessed", "totalBytesBilled", "cacheHit", "statementType", "numDmlAffectedRows", "schema")
        query = {name: said[name] for name in names if name in said}
        if self.job is not None and self.job.referenced_tables:
            query["referencedTables"] = [
                {"projectId": table.project, "datasetId": table.dataset, "tableId": table.table}
                for table in self.job.referenced_tables
            ]
        if "totalBytesProcessed" in said:
            statistics["totalBytesProcessed"] = said["totalBytesProcessed"]
        kind = self.ask.question.kind
        sent = json_of(self._shelf.request(self.ask.flow)) or {}
        configuration = dict(_mapping(sent.get("configuration")))
        if not configuration:
            configuration[kind] = {name: sent[name] for name in _OF_QUERIES if name in sent}
        if kind == "query":
            configuration[kind] = {**configuration[kind], "useLegacySql": self.ask.question.dialect == "legacy SQL"}
            statistics["query"] = query
        return {
            "kind": "bigquery#job",
            "jobReference": dict(_reference(said)),
            "configuration": {**configuration, "jobType": kind.upper()},
            "statistics": statistics,
        }

    def _streamed(self) -> Any:
        return None if self.job is None else self._shelf.rows(self.job)


def merged(before: Mapping[str, Any], after: Mapping[str, Any]) -> Json:
    """Two JSON objects as one; what ``after`` says counts."""
    found = dict(before)
    for name, value in after.items():
        old = found.get(name)
        found[name] = merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return found


def described(column: Field) -> Json:
    """A column as BigQuery's schemas have it."""
    found: Json = {"name": column.name, "type": column.type, "mode": column.mode}
    if column.fields:
        found["fields"] = [described(each) for each in column.fields]
    if column.type == "RANGE":
        found["rangeElementType"] = {"type": column.element}
    return found


def renamed(value: Any, names: Mapping[str, str]) -> Any:
    """JSON with words of ``names`` for others, wherever they stand in it; keys stay."""
    if not names:
        return value
    if isinstance(value, dict):
        return {name: renamed(each, names) for name, each in value.items()}
    if isinstance(value, list):
        return [renamed(each, names) for each in value]
    if isinstance(value, str):
        for old, new in names.items():
            value = value.replace(old, new)
    return value


def _reference(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    return _mapping(answer.get("jobReference"))


def _state(resource: Mapping[str, Any]) -> str | None:
    state = _mapping(resource.get("status")).get("state")
    return str(state) if state else None


def _complete(answer: Mapping[str, Any]) -> bool:
    return answer.get("jobComplete") is True or ("jobComplete" not in answer and "totalRows" in answer)


def _http_error(error: Mapping[str, Any]) -> tuple[int, Json]:
    status = _STATUS_OF_REASON.get(str(error.get("reason")), 400)
    message = str(error.get("message", ""))
    details = {"message": message, "domain": "global", **error}
    return status, {"error": {"code": status, "message": message, "errors": [details]}}


def _detail(answer: Mapping[str, Any]) -> Json:
    error = _mapping(answer.get("error"))
    first: Iterator[Any] = iter(error.get("errors") or ())
    detail = _mapping(next(first, None))
    kept = {name: detail[name] for name in ("reason", "location", "debugInfo", "message") if name in detail}
    return {"reason": "invalid", "message": str(error.get("message", "")), **kept}


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
