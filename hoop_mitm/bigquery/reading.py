"""From a request to an operation: what it asks for, and whose things it names.

A request that two readers could understand differently is refused: BigQuery must not see another one than we do.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, cast
from urllib.parse import parse_qsl, unquote

import msgspec

from hoop_mitm.bigquery import batch, framing, hidden, masks, mcp
from hoop_mitm.bigquery.content import (
    LIMIT,
    Headers,
    boundary_of,
    codings,
    decoded,
    json_object,
    lowered,
    media_type,
    multipart,
)
from hoop_mitm.bigquery.doors import BATCH_DOOR, MCP_DOOR, check_target, is_name, names_in
from hoop_mitm.bigquery.labels import check_query_label
from hoop_mitm.bigquery.methods import DISCOVERY
from hoop_mitm.bigquery.operation import Dataset, Door, JobType, Operation, Resource, TableRef
from hoop_mitm.bigquery.ownership import job_resource
from hoop_mitm.bigquery.unreadable import Unreadable
from hoop_mitm.errors import Denied

type Query = Sequence[tuple[str, str]]
type Json = Mapping[str, object]

FORM: Final = "application/x-www-form-urlencoded"


def read(door: Door, *, path: str, query: Query, headers: Headers, body: bytes | None, limit: int = LIMIT) -> Operation:
    """What a request means.

    Args:
        door: as ``doors.find`` gave it for this path.
        path: as on the wire, without the query string.
        query: the query string, decoded, in order.
        headers: of the request.
        body: as on the wire, content-encoding still on; ``None`` for a streamed door.
        limit: bytes of the decoded body.

    Raises:
        Denied: rule ``unreadable``, when the request could mean something else to BigQuery.
    """
    check_target(path)
    request = _Request(path, query, lowered(headers), body, limit)
    facts = _Facts(door)
    if user_project := request.headers.get("x-goog-user-project"):
        facts.projects.add(user_project)
    if door.streams_request and len(codings(request.headers)) > 1:
        # Each layer can make the next a thousand times larger, and what is streamed is only unpacked for the record.
        raise Unreadable("its data has several content-encodings on top of each other; one is enough.")
    if door is BATCH_DOOR:
        _read_batch(facts, request)
    elif door is MCP_DOOR:
        _read_mcp(facts, request)
    elif door.protocol == "grpc":
        _read_grpc(facts, request)
    else:
        _read_rest(facts, request)
    return facts.operation()


def projects(operation: Operation) -> set[str]:
    """Every project that a request names outside of SQL, ``x-goog-user-project`` included."""
    return set(operation.projects)


@dataclass(frozen=True, slots=True)
class _Request:
    path: str
    query: Query
    headers: Mapping[str, str]
    body: bytes | None
    limit: int

    def plain(self) -> bytes:
        """The body without its content-encoding."""
        if self.body is None:
            raise Unreadable("its body is missing.")
        return decoded(self.body, self.headers.get("content-encoding"), self.limit)

    def media_type(self) -> str:
        return media_type(self.headers.get("content-type"))


@dataclass(slots=True)
class _Facts:
    """What is known so far."""

    door: Door
    project: str = ""
    location: str | None = None
    tables: dict[TableRef, None] = field(default_factory=dict)
    statement: str | None = None
    dry_run: bool = False
    job_id: str | None = None
    labels: dict[str, str] = field(default_factory=dict)
    projects: set[str] = field(default_factory=set)
    uses: dict[Resource, None] = field(default_factory=dict)
    claims: tuple[Resource, ...] = ()
    body: dict[str, object] | None = None
    datasets: set[str] = field(default_factory=set)
    job_type: JobType | None = None
    destination: TableRef | None = None
    legacy_sql: bool | None = None
    default_dataset: Dataset | None = None
    dataset_project: str | None = None
    parts: tuple[Operation, ...] = ()

    def table(self, project: str, dataset: str, table: str) -> None:
        if hidden.is_result(dataset, table):
            self.use(hidden.table_resource(project, dataset, table))
        self.tables[TableRef(project, dataset, hidden.undecorated(table))] = None
        self.datasets.add(f"{project}.{dataset}")
        self.projects.add(project)

    def dataset(self, project: str, dataset: str) -> None:
        if hidden.is_hidden(dataset):
            self.use(hidden.table_resource(project, dataset))
        self.datasets.add(f"{project}.{dataset}")
        self.projects.add(project)

    def sql(self, statement: str, default: Dataset | None = None, *, legacy: bool | None = None) -> None:
        for resource in hidden.named_in(statement, project=self.project, default=default, legacy=legacy):
            self.use(resource)

    def use(self, resource: Resource) -> None:
        self.uses[resource] = None

    def operation(self) -> Operation:
        if self.project:
            self.projects.add(self.project)
        return Operation(
            door=self.door,
            project=self.project,
            location=self.location,
            tables=tuple(self.tables),
            statement=self.statement,
            dry_run=self.dry_run,
            job_id=self.job_id,
            labels=self.labels,
            projects=tuple(sorted(self.projects)),
            uses=tuple(self.uses),
            claims=self.claims,
            body=self.body,
            datasets=tuple(sorted(self.datasets)),
            job_type=self.job_type,
            destination=self.destination,
            legacy_sql=self.legacy_sql,
            default_dataset=self.default_dataset,
            dataset_project=self.dataset_project,
            parts=self.parts,
        )


# ---------------------------------------------------------------------------------------------------------------- REST

_CREDENTIALS: Final = frozenset({"access_token", "oauth_token", "bearer_token", "key"})
_UPLOAD_ONLY: Final = frozenset({"uploadType", "upload_id"})
# Parameters that something is decided by, in the one spelling that is taken: protobuf's JSON knows page_token as well.
_PARAMETERS: Final = frozenset({
    "alt", "callback", "fields", "key", "location", "pageToken", "parentJobId", "uploadType", "upload_id",
})  # fmt: skip
_PARAMETERS_IN_LOWER: Final = {name.replace("_", "").lower(): name for name in _PARAMETERS}
_OUR_WORDS: Final = frozenset({"pageToken", "location", "parentJobId", "alt", "uploadType", "upload_id", "fields"})


def _read_rest(facts: _Facts, request: _Request) -> None:
    door = facts.door
    names = names_in(door, request.path)
    if names is None:
        raise Unreadable("its path is not the one of its method.")
    query = request.query
    if door.body == "none" and request.body:
        query = [*query, *_moved_query(request)]
    words = _words(query, upload=door.body in ("multipart", "media"))
    _names(facts, names)
    _query(facts, words)
    mask = masks.of(words, request.headers)
    if door.body == "media":
        _resumed(facts, words, request)
    elif door.body in ("json", "multipart"):
        _json(facts, names, _metadata(door, words, request))
    if mask is not None:
        masks.check(facts.door.name, mask, dry_run=facts.dry_run)


def _moved_query(request: _Request) -> Query:
    """A long GET that bq sends as POST has its query string in the body."""
    body = request.plain()
    if request.media_type() == FORM and request.headers.get("x-http-method-override") == "GET":
        try:
            return parse_qsl(body.decode("ascii"), keep_blank_values=True, strict_parsing=True, errors="strict")
        except ValueError as error:
            raise Unreadable("its form body is malformed.") from error
    if body.strip() not in (b"", b"{}", b"null"):
        raise Unreadable("it has a body where BigQuery expects none.")
    return ()


def _words(query: Query, *, upload: bool) -> dict[str, str]:
    words: dict[str, str] = {}
    for name, value in query:
        if name.startswith("$") and name not in ("$.xgafv", "$prettyPrint"):
            # $httpMethod, $httpHeaders, $alt and their like: Google's second way to say almost anything.
            raise Unreadable(f"the query parameter {name[:40]!r} can change what the request means.")
        if name in words and name in _OUR_WORDS:
            raise Unreadable(f"the query parameter {name} occurs twice.")
        if name in _CREDENTIALS:
            raise Unreadable(f"it carries a credential in {name}.")
        if (plain := name.replace("_", "").lower()) == "uploadprotocol":
            raise _unknown_upload_protocol()
        if name not in _PARAMETERS and plain in _PARAMETERS_IN_LOWER:
            raise Unreadable(f"the query parameter {name[:40]!r} must be spelled {_PARAMETERS_IN_LOWER[plain]!r}.")
        if name == "callback" or (name in _UPLOAD_ONLY and not upload):
            raise Unreadable(f"the query parameter {name} does not belong here.")
        words[name] = value
    if words.get("alt", "json").lower() != "json":
        raise Unreadable("it asks for an answer that is not JSON.")
    return words


def _names(facts: _Facts, names: Mapping[str, str]) -> None:
    facts.project = names.get("project", "")
    if job := names.get("job"):
        facts.job_id = job
        facts.use(job_resource(facts.project, job))
    if dataset := names.get("dataset"):
        facts.dataset(facts.project, dataset)
        if table := names.get("table"):
            # The table is what is asked for: its dataset as a whole is not.
            facts.uses.pop(hidden.table_resource(facts.project, dataset), None)
            facts.table(facts.project, dataset, table)


def _query(facts: _Facts, words: Mapping[str, str]) -> None:
    facts.location = words.get("location") or None
    if (parent := words.get("parentJobId")) and facts.door.name == "jobs.list":
        facts.job_id = parent
        facts.use(job_resource(facts.project, parent))


def _resumed(facts: _Facts, words: Mapping[str, str], request: _Request) -> None:
    _no_other_upload_protocol(request)
    if words.get("uploadType") != "resumable" or not words.get("upload_id"):
        raise Unreadable("it continues an upload without naming one.")
    facts.use(Resource("upload", words["upload_id"]))


def _metadata(door: Door, words: Mapping[str, str], request: _Request) -> dict[str, object]:
    """The JSON of a request, or of the first part of an upload."""
    kind, body = request.media_type(), request.plain()
    if door.body == "multipart":
        _no_other_upload_protocol(request)
        if "upload_id" in words:
            raise Unreadable("it starts an upload that has an id already.")
        match words.get("uploadType"):
            case "multipart" if kind == "multipart/related":
                return json_object(multipart(body, boundary_of(request.headers["content-type"])).json)
            case "resumable":
                pass
            case _:
                raise Unreadable("an upload must be multipart/related or resumable, or its job is not described.")
    if kind not in ("application/json", ""):
        raise Unreadable(f"its content-type is {kind[:60]!r} where BigQuery expects JSON.")
    if door.name == "tabledata.insertAll":
        # Rows need not be read: what is decided about them stands in the path, and around them.
        _rows_alone(body)
        return {}
    return json_object(body)


_around_rows: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_AROUND_ROWS: Final = frozenset({"ignoreUnknownValues", "kind", "rows", "skipInvalidRows", "traceId"})


def _rows_alone(body: bytes) -> None:
    try:
        around = _around_rows.decode(body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise Unreadable("its body is not a JSON object.") from error
    if "templateSuffix" in around:
        raise Unreadable("its templateSuffix makes another table than the one that its path names.")
    if unknown := sorted(around.keys() - _AROUND_ROWS):
        raise Unreadable(f"the JSON key {unknown[0][:60]!r} does not belong around rows.")


def _no_other_upload_protocol(request: _Request) -> None:
    if any(name.startswith("x-goog-upload-") for name in request.headers):
        raise _unknown_upload_protocol()


def _unknown_upload_protocol() -> Unreadable:
    return Unreadable("it uses an upload protocol that hoop-mitm does not know.")


# ---------------------------------------------------------------------------------------------------------------- JSON

_REFERENCES: Final = ("datasetReference", "tableReference", "routineReference", "modelReference")
_REFERENCE_NAMES: Final = {
    "projectId": "project", "datasetId": "dataset", "tableId": "table", "routineId": "routine", "modelId": "model"
}  # fmt: skip
_JOB_KINDS: Final[tuple[JobType, ...]] = ("query", "load", "copy", "extract")
_JOB_ID = re.compile(r"[A-Za-z0-9_-]{1,1024}")


def _json(facts: _Facts, names: Mapping[str, str], body: dict[str, object]) -> None:
    facts.body = body
    match facts.door.name:
        case "jobs.query":
            _query_job(facts, body, body)
        case "jobs.insert":
            _insert_job(facts, body)
        case _:
            for reference in _REFERENCES:
                _same_names(_object(body, reference), names)
            _walk(facts, body, sql=True)


def _same_names(reference: Json, names: Mapping[str, str]) -> None:
    for key, name in _REFERENCE_NAMES.items():
        value = _string(reference, key)
        if value and name in names and value != names[name]:
            raise Unreadable(f"{key} in its body is {value!r}, and in its path {names[name]!r}.")


def _insert_job(facts: _Facts, body: Json) -> None:
    reference = _object(body, "jobReference")
    project = _string(reference, "projectId")
    if project and project != facts.project:
        raise Unreadable(f"projectId in jobReference is {project!r}, and in its path {facts.project!r}.")
    configuration = _object(body, "configuration")
    kinds = [kind for kind in _JOB_KINDS if configuration.get(kind) is not None]
    if len(kinds) != 1:
        raise Unreadable("its configuration must have exactly one of query, load, copy and extract.")
    facts.job_type = kinds[0]
    facts.location = _string(reference, "location") or facts.location
    facts.job_id = _string(reference, "jobId")
    facts.dry_run = _boolean(configuration, "dryRun")
    facts.labels = _labels(configuration)
    if facts.job_id:
        if not _JOB_ID.fullmatch(facts.job_id):
            raise Unreadable("its jobId has characters that BigQuery does not take.")
        if not facts.dry_run:
            facts.claims = (job_resource(facts.project, facts.job_id),)
    job = _object(configuration, kinds[0])
    facts.destination = _table(facts, _object(job, "destinationTable"))
    if kinds[0] == "query":
        _query_job(facts, job, body)
    else:
        _walk(facts, body, sql=False)
        _session(facts, job)


def _query_job(facts: _Facts, job: Json, body: Json) -> None:
    statement = _string(job, "query")
    if not statement:
        raise Unreadable("it has no statement in query.")
    if facts.door.name == "jobs.query":
        facts.location = _string(job, "location") or facts.location
        facts.dry_run = _boolean(job, "dryRun")
        facts.labels = _labels(job)
        facts.job_type = "query"
        if _string(job, "queryResultsFormat") not in _RESULTS:
            raise Unreadable(
                "it asks for rows in a format that hoop-mitm does not read yet. Leave queryResultsFormat away."
            )
    facts.statement = statement
    # Absent, a project's own default decides, which we do not know.
    facts.legacy_sql = _boolean(job, "useLegacySql") if job.get("useLegacySql") is not None else None
    _walk(facts, body, sql=False)
    facts.dataset_project = other_project = _session(facts, job)
    default = _object(job, "defaultDataset")
    dataset = _string(default, "datasetId")
    if other_project and (_string(default, "projectId") or other_project) != other_project:
        raise Unreadable("its dataset_project_id and its defaultDataset name different projects.")
    project = other_project or _string(default, "projectId") or facts.project
    facts.default_dataset = (project, dataset) if dataset else None
    for resource in hidden.named_in(
        statement,
        project=project,
        default=facts.default_dataset,
        legacy=facts.legacy_sql,
        parameters=_texts(job.get("queryParameters")),
    ):
        facts.use(resource)


_RESULTS: Final = (None, "QUERY_RESULTS_FORMAT_UNSPECIFIED", "STRUCT_ENCODING")


def _texts(value: object) -> list[str]:
    """Every string in it but keys."""
    found: list[str] = []
    todo = [value]
    while todo:
        match todo.pop():
            case str(text):
                found.append(text)
            case list(items):
                todo += items
            case dict(fields):
                todo += fields.values()
    return found


def _session(facts: _Facts, job: Json) -> str | None:
    """Reads the connection properties; returns the project that names without one are in, if it is set there."""
    project = None
    seen: set[str] = set()
    for item in _objects(job, "connectionProperties"):
        key, value = _string(item, "key") or "", _string(item, "value") or ""
        if key.lower() in seen:
            raise Unreadable(f"the connection property {key[:40]!r} occurs twice.")
        seen.add(key.lower())
        match key.lower():
            case "session_id":
                facts.use(Resource("bq_session", value))
            case "dataset_project_id":
                project = value
                facts.projects.add(value)
            case "service_account":
                raise Unreadable("it chooses a service account, which is the gateway's to choose.")
            case "query_label":
                check_query_label(value)
    return project


def _labels(owner: Json) -> dict[str, str]:
    labels = _object(owner, "labels")
    if not all(isinstance(value, str) for value in labels.values()):
        raise Unreadable("a label is not a string.")
    return cast("dict[str, str]", dict(labels))


_SQL_KEYS: Final = frozenset({"query", "definitionBody", "filterPredicate"})
# Settings of client libraries themselves, which some of them send along. BigQuery does not read them.
_CLIENTS_OWN: Final = frozenset({"autoPaginate", "parseJSON", "skipParsing", "wrapIntegers"})
_REFUSED_KEYS: Final = {
    # What SECURE_CONTEXT() gives, by which views and row policies may tell people apart.
    "secureContext": "it sets a secure context, which would be anybody's word for who asks.",
}
_IN_PROJECT = re.compile(r"(?:^|/)projects/([^/]+)/")
_SHORT_NAME = re.compile(r"[.;]")


def _walk(facts: _Facts, body: Json, *, sql: bool) -> None:
    """Finds every project, dataset and table, wherever the body names one."""
    todo: list[tuple[str, object]] = [("", body)]
    while todo:
        key, value = todo.pop()
        if isinstance(value, dict):
            # Below a map, keys are names that the user chose.
            if key not in DISCOVERY.maps:
                _plain_keys(value)
                _named(facts, value)
            # The keys of a table definition are BigQuery's again, whatever name the user gave to the table.
            todo += ((("" if key == "tableDefinitions" else name), item) for name, item in value.items())
        elif isinstance(value, list):
            todo += ((key, item) for item in value)
        elif isinstance(value, str):
            if sql and key in _SQL_KEYS:
                facts.sql(value)
            if key in _RESOURCE_KEYS and (project := _project_of(value)):
                facts.projects.add(project)


# Resource names of BigQuery's family; a key of Cloud KMS may well live in another project.
_RESOURCE_KEYS: Final = frozenset({"connection", "connectionId", "reservation", "connectionName"})


def _project_of(resource: str) -> str | None:
    """The project in ``projects/p/locations/us/connections/c``, and in the short ``p.us.c`` and ``p.us;c``."""
    if found := _IN_PROJECT.search(resource):
        return found[1]
    return ".".join(_SHORT_NAME.split(resource)[:-2]) or None


def _plain_keys(value: Json) -> None:
    for key in value:
        if key in _REFUSED_KEYS:
            raise Unreadable(_REFUSED_KEYS[key])
        if key in DISCOVERY.keys or key in _CLIENTS_OWN:
            continue
        if "_" in key:
            # Protobuf's JSON takes table_id for tableId: a second spelling of the same fact.
            raise Unreadable(f"the JSON key {key[:60]!r} must be spelled in camelCase.")
        raise Unreadable(
            f"the JSON key {key[:60]!r} is none that BigQuery's API describes (revision {DISCOVERY.revision}), so nobody can "
            "tell what it does."
        )


def _named(facts: _Facts, value: Json) -> None:
    project, dataset = _string(value, "projectId"), _string(value, "datasetId")
    table = _string(value, "tableId")
    if dataset and table:
        facts.table(project or facts.project, dataset, table)
    elif dataset:
        facts.dataset(project or facts.project, dataset)
    elif project:
        facts.projects.add(project)


def _table(facts: _Facts, reference: Json) -> TableRef | None:
    dataset, table = _string(reference, "datasetId"), _string(reference, "tableId")
    if not dataset or not table:
        return None
    return TableRef(_string(reference, "projectId") or facts.project, dataset, hidden.undecorated(table))


def _string(owner: Json, key: str) -> str | None:
    value = owner.get(key)
    if value is not None and not isinstance(value, str):
        raise Unreadable(f"{key} must be a string.")
    if value is not None and not value.isascii():
        try:
            value.encode("utf-8")
        except UnicodeEncodeError as error:
            raise Unreadable(f"{key} is not valid Unicode.") from error
    return value


def _boolean(owner: Json, key: str) -> bool:
    value = owner.get(key)
    if value is not None and not isinstance(value, bool):
        raise Unreadable(f"{key} must be true or false.")
    return bool(value)


def _object(owner: Json, key: str) -> Json:
    value = owner.get(key)
    if value is not None and not isinstance(value, dict):
        raise Unreadable(f"{key} must be an object.")
    return value or {}


def _objects(owner: Json, key: str) -> Iterable[Json]:
    value = owner.get(key)
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise Unreadable(f"{key} must be a list of objects.")
    return cast("list[Json]", value)


# ----------------------------------------------------------------------------------------------------------------- MCP


def _read_mcp(facts: _Facts, request: _Request) -> None:
    if request.query:
        raise Unreadable("a message to an MCP server has no query parameters.")
    if request.media_type() != "application/json":
        raise Unreadable("its content-type is not application/json.")
    call = mcp.understood(request.plain(), request.headers)
    facts.door, facts.body = call.door, call.arguments
    if session := request.headers.get(mcp.SESSION_HEADER):
        facts.use(Resource("mcp_session", session))
    names = {
        kind: name
        for argument, kind in (
            ("projectId", "project"),
            ("datasetId", "dataset"),
            ("tableId", "table"),
            ("jobId", "job"),
        )
        if (name := _string(call.arguments, argument)) is not None
    }
    for kind, name in names.items():
        if not is_name(kind, name):
            raise Unreadable(f"{name[:80]!r} is not the name of a {kind}.")
    _names(facts, names)
    facts.location = _string(call.arguments, "location")
    if call.door.name in mcp.EXECUTES:
        facts.statement = _string(call.arguments, "query") or ""
        facts.dry_run = _boolean(call.arguments, "dryRun")
        facts.job_type, facts.legacy_sql = "query", False
        facts.sql(facts.statement, legacy=False)


# --------------------------------------------------------------------------------------------------------------- batch


def _read_batch(facts: _Facts, request: _Request) -> None:
    """A batch is understood when each of its parts is; what one part needs, the whole needs."""
    if request.query:
        raise Unreadable("a batch has no query parameters.")
    if codings(request.headers):
        raise Unreadable("a batch is sent without content-encoding.")
    found: list[Operation] = []
    for number, part in enumerate(batch.parts(request.plain(), request.headers.get("content-type", "")), 1):
        try:
            found.append(_part(part, request))
        except Denied as error:
            raise batch.refused(error, number, part) from error
    facts.parts = tuple(found)
    for operation in found:
        facts.projects.update(operation.projects)
        facts.datasets.update(operation.datasets)
        facts.tables.update(dict.fromkeys(operation.tables))
        facts.uses.update(dict.fromkeys(operation.uses))


def _part(part: batch.Part, request: _Request) -> Operation:
    path, _, query = part.target.partition("?")
    return read(
        batch.door_of(part),
        path=path,
        query=parse_qsl(query, keep_blank_values=True),
        headers=part.headers,
        body=b"",
        limit=request.limit,
    )


# ---------------------------------------------------------------------------------------------------------------- gRPC

_TABLE_NAME = re.compile(r"projects/([^/]+)/datasets/([^/]+)/tables/([^/]+)")
_READ_STREAM = re.compile(r"projects/([^/]+)/locations/[^/]+/sessions/[^/]+/streams/[^/]+")
_WRITE_STREAM = re.compile(rf"({_TABLE_NAME.pattern})(?:/streams/([^/]+)|/(_default))")
_PARENT = re.compile(r"projects/([^/]+)")
_DEFAULT_STREAM: Final = "_default"


def _read_grpc(facts: _Facts, request: _Request) -> None:
    if request.media_type() not in ("application/grpc", "application/grpc+proto"):
        raise Unreadable("its content-type is not application/grpc.")
    routing = _routing(request.headers)
    if facts.door.streams_request and request.body is None:
        # The stream itself is checked message by message, with `append_facts`.
        if name := routing.get("write_stream"):
            _write_stream(facts, name)
        return
    found = framing.messages(request.body or b"", request.headers.get("grpc-encoding"), limit=request.limit)
    parsed = [framing.fields(message) for message in found]
    if len(parsed) != 1 and not facts.door.streams_request:
        raise Unreadable("it must be exactly one gRPC message.")
    for message in parsed:
        _grpc_message(facts, message)
        _same_routing(routing, message)


def append_facts(message: bytes) -> tuple[tuple[TableRef, ...], tuple[Resource, ...]]:
    """The table and the streams that one message of ``storage.AppendRows`` names; mostly only the first names any."""
    facts = _Facts(Door("storage.AppendRows", "write", "grpc", "grpc"))
    if name := framing.text(framing.fields(message), 1):
        _write_stream(facts, name)
    return tuple(facts.tables), tuple(facts.uses)


def _grpc_message(facts: _Facts, message: dict[int, list[bytes]]) -> None:
    name = framing.text(message, 1)
    match facts.door.name:
        case "storage.CreateReadSession":
            facts.project = _matched(_PARENT, name)[1]
            _grpc_table(facts, framing.text(framing.child(message, 2), 6))
        case "storage.ReadRows" | "storage.SplitReadStream":
            facts.project = _matched(_READ_STREAM, name)[1]
            facts.use(Resource("read_stream", name))
        case "storage.CreateWriteStream":
            _grpc_table(facts, name)
        case "storage.BatchCommitWriteStreams":
            _grpc_table(facts, name)
            for stream in message.get(2, ()):
                _write_stream(facts, framing.text({1: [stream]}, 1))
        case "storage.AppendRows":
            if name:
                _write_stream(facts, name)
        case _:
            _write_stream(facts, name)


def _grpc_table(facts: _Facts, name: str) -> None:
    match = _matched(_TABLE_NAME, name)
    facts.project = facts.project or match[1]
    facts.table(match[1], match[2], match[3])


def _write_stream(facts: _Facts, name: str) -> None:
    match = _matched(_WRITE_STREAM, name)
    _grpc_table(facts, match[1])
    if _DEFAULT_STREAM not in (match[5], match[6]):
        facts.use(Resource("write_stream", name))


def _matched(pattern: re.Pattern[str], name: str) -> re.Match[str]:
    match = pattern.fullmatch(name)
    if match is None:
        raise Unreadable(f"{name[:80]!r} is not the name of a resource of this method.")
    return match


def _routing(headers: Mapping[str, str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for pair in headers.get("x-goog-request-params", "").split("&"):
        if not pair:
            continue
        name, _, value = pair.partition("=")
        if (name := unquote(name)) in found:
            raise Unreadable(f"its routing header names {name[:40]!r} twice.")
        found[name] = unquote(value)
    return found


_FIRST_FIELD: Final = frozenset({"read_stream", "name", "parent", "write_stream"})


def _same_routing(routing: Mapping[str, str], message: dict[int, list[bytes]]) -> None:
    """The routing header must name what the message names: Google could look at either."""
    for name, value in routing.items():
        if name == "read_session.table":
            real = framing.text(framing.child(message, 2), 6)
        elif name in _FIRST_FIELD:
            real = framing.text(message, 1)
        else:
            continue
        if real not in (value, ""):
            raise Unreadable("its routing header names another resource than its message.")
