"""The front of the local BigQuery: strict where the emulator is lenient, complete where it has gaps.

It lets in only access tokens that the local token endpoints issued, answers errors as Google does, and knows
what the emulator does not: who ran a job, which tables a statement reads, how many bytes that costs, where the
result lies. Statements themselves are the emulator's.
"""

import json
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, unquote, urlencode

from hoop_mitm.bigquery import hosts
from hoop_mitm.devkit import batch, discovery, masks, mcp
from hoop_mitm.devkit.api import (
    API,
    DEFAULT_PAGE,
    LOCATION,
    OK,
    ApiError,
    etag_of,
    json_object,
    page_of,
    page_token,
    relayed,
    table_path,
    unauthenticated,
    wants_integers,
)
from hoop_mitm.devkit.cells import float_timestamps
from hoop_mitm.devkit.emulator import Emulator
from hoop_mitm.devkit.estimates import TableName
from hoop_mitm.devkit.google import Grant
from hoop_mitm.devkit.http import Request, Response
from hoop_mitm.devkit.jobs import Jobs
from hoop_mitm.devkit.uploads import Uploads
from hoop_mitm.devkit.visitors import SeenRequest, Visitors

PRIVATE_HOST = "bigquery-acme.p.googleapis.com"
"""What a company may have called its private endpoint."""

#: Every name under which Google's public servers answer, so that none of them is asked by mistake.
HOSTS = (
    hosts.REST_HOST,
    "bigquery.mtls.googleapis.com",
    PRIVATE_HOST,
    *sorted(hosts.REST_HOSTS - {hosts.REST_HOST}),
)

_REMEMBERED_BODY = 2**20
_OBJECTS = (
    "clustering",
    "encryptionConfiguration",
    "externalDataConfiguration",
    "materializedView",
    "rangePartitioning",
    "schema",
    "timePartitioning",
    "view",
)


class BigQuery:
    """BigQuery's REST API (`handle`), and what tests want to know and to break."""

    def __init__(self, emulator: Emulator, grant: Callable[[str | None], Grant | None], project: str) -> None:
        self._emulator = emulator
        self._project = project
        self.visitors = Visitors(grant)
        self.jobs = Jobs(emulator)
        self._uploads = Uploads(self.jobs, emulator.directory / "uploads")
        self._mcp = mcp.Mcp(self._tool)

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
        if request.path == discovery.PATH and method == "GET":
            # Anybody may read it.
            return discovery.document()
        if request.path in batch.PATHS and method == "POST":
            return batch.answered(request, lambda part: self._part(part, who))
        if request.path != mcp.PATH and not API.match(request.path):
            raise ApiError(404, "notFound", "Not Found")
        upload_id = request.argument("upload_id")
        if who is None and not (upload_id and method == "PUT"):
            raise unauthenticated()
        self.visitors.wait_before()
        if (fault := self.visitors.fault()) is not None:
            raise ApiError(fault.status, fault.reason, fault.message)
        if request.path == mcp.PATH:
            return self._mcp.handle(request, who or "")
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

    def _part(self, part: Request, who: str | None) -> Response:
        """A part of a batch, with the credential of the whole."""
        try:
            return self._answer(
                part, _effective_method(part), self.visitors.who(part.bearer()) if part.bearer() else who
            )
        except ApiError as error:
            return error.response()

    def _tool(self, name: str, arguments: dict[str, Any], who: str) -> dict[str, Any]:
        """What a tool of the MCP server does, by the method that does the same."""
        project = str(arguments["projectId"])
        match name:
            case "execute_sql" | "execute_sql_readonly":
                return self._executed(project, arguments, who, read_only=name == "execute_sql_readonly")
            case "get_query_results":
                query = tuple((key, str(arguments[key])) for key in ("pageToken", "maxResults") if key in arguments)
                asked = Request("GET", hosts.REST_HOST, "", query)
                return self.jobs.results(project, str(arguments["jobId"]), asked)
            case "get_job":
                return self.jobs.get(project, str(arguments["jobId"])).resource
            case "cancel_job":
                return {"job": self.jobs.get(project, str(arguments["jobId"])).resource}
        path = f"/bigquery/v2/projects/{project}/datasets"
        if "datasetId" in arguments:
            path += f"/{arguments['datasetId']}"
        if name == "list_table_ids" or "tableId" in arguments:
            path += f"/tables/{arguments['tableId']}" if "tableId" in arguments else "/tables"
        response = self._route(Request("GET", hosts.REST_HOST, path), "GET", who)
        answer: dict[str, Any] = json.loads(response.body)
        if response.status != OK:
            raise ApiError(response.status, "invalid", answer["error"]["message"])
        kind = {"list_dataset_ids": "datasets", "list_table_ids": "tables"}.get(name)
        return {kind: [{"id": each["id"]} for each in answer.get(kind, ())]} if kind else answer

    def _executed(self, project: str, arguments: dict[str, Any], who: str, *, read_only: bool) -> dict[str, Any]:
        query = {"query": arguments["query"], "useLegacySql": False, "labels": {"goog-mcp-server": "true"}}
        if read_only:
            planned = self.jobs.query(project, query | {"dryRun": True}, who)
            if planned.get("statementType") != "SELECT":
                raise ApiError(400, "invalidQuery", "Only SELECT statements are allowed. Use execute_sql.")
        answer = self.jobs.query(project, query | {"dryRun": bool(arguments.get("dryRun"))}, who)
        shown = {name: answer[name] for name in ("schema", "rows", "jobComplete", "pageToken") if name in answer}
        reference = answer["jobReference"]
        return shown | {name: reference[name] for name in ("jobId", "location") if name in reference}

    def _route(self, request: Request, method: str, who: str) -> Response:  # noqa: C901 - a table of routes.
        parts = [unquote(part) for part in API.sub("", request.path).strip("/").split("/")]
        match method, parts:
            case "GET", ["projects"]:
                return Response.json(self._projects())
            case "POST", ["projects", project, "queries"]:
                return Response.json(self.jobs.query(project, json_object(request), who))
            case "GET", ["projects", project, "queries", job]:
                return Response.json(self.jobs.results(project, job, request))
            case "POST", ["projects", project, "jobs"]:
                return Response.json(self.jobs.insert(project, json_object(request), who))
            case "GET", ["projects", project, "jobs"]:
                return Response.json(self.jobs.listing(project, request, who))
            case "GET", ["projects", project, "jobs", job]:
                return Response.json(self.jobs.get(project, job, request.argument("location")).resource)
            case "POST", ["projects", project, "jobs", job, "cancel"]:
                return Response.json(
                    {"kind": "bigquery#jobCancelResponse", "job": self.jobs.get(project, job).resource}
                )
            case "DELETE", ["projects", project, "jobs", job, "delete"]:
                self.jobs.delete(project, job)
                return Response(204)
            case "GET", ["projects", project, "datasets", dataset, "tables", table]:
                self.jobs.tables.materialise(TableName(project, dataset, table))
                return self._table(TableName(project, dataset, table), request)
            case "GET", ["projects", project, "datasets", dataset, "tables", table, "data"]:
                self.jobs.tables.materialise(TableName(project, dataset, table))
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
        return {"kind": "bigquery#projectList", "etag": etag_of(self._project), "projects": [project], "totalItems": 1}

    def _table(self, name: TableName, request: Request) -> Response:
        answer = self._forward(request, "GET")
        facts = self.jobs.tables.facts([name])[0] if answer.status == OK else None
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
        if status == OK and "pageToken" in rows:
            rows["pageToken"] = page_token(scope, rows["pageToken"])
        if status == OK and rows.get("rows") and not wants_integers(request):
            _, table = self._emulator.call("GET", table_path(name))
            float_timestamps(rows["rows"], _selected(table["schema"]["fields"], request.argument("selectedFields")))
        return relayed(status, rows)

    def _forward(self, request: Request, method: str) -> Response:
        status, body = self._emulator.call(
            method,
            _emulator_path(request.path),
            query=urlencode([pair for pair in request.query if pair[0] not in ("fields", "prettyPrint", "alt", "key")]),
            body=_without_null_objects(request.content()) or None,
            headers={name: request.headers[name] for name in ("content-type", "if-match") if name in request.headers},
        )
        if isinstance(body, dict) and isinstance(body.get("datasets"), list) and request.argument("all") != "true":
            # Datasets of anonymous results are hidden unless they are asked for.
            body["datasets"] = [d for d in body["datasets"] if not d["datasetReference"]["datasetId"].startswith("_")]
            body.pop("totalItems", None)
        return relayed(status, body)


def _effective_method(request: Request) -> str:
    override = request.headers.get("x-http-method-override", "").upper()
    return override if request.method == "POST" and override in ("GET", "PUT", "PATCH", "DELETE") else request.method


def _emulator_path(path: str) -> str:
    return quote(path, safe="/:@%")


def _without_null_objects(body: bytes) -> bytes:
    """``bq update`` sends null for what it leaves alone; the emulator takes that for an object."""
    if b"null" not in body:
        return body
    fields = json.loads(body)
    if not isinstance(fields, dict):
        return body
    return json.dumps({k: v for k, v in fields.items() if v is not None or k not in _OBJECTS}).encode()


def _selected(fields: list[dict[str, Any]], names: str) -> list[dict[str, Any]]:
    by_name = {field["name"]: field for field in fields}
    return [by_name[name] for name in names.split(",") if name in by_name] if names else fields


def _paged(request: Request, scope: str) -> str:
    start, size = page_of(request, scope, default=DEFAULT_PAGE)
    query: dict[str, object] = {"startIndex": start, "maxResults": size}
    if selected := request.argument("selectedFields"):
        query |= {"selectedFields": selected}
    return urlencode(query)
