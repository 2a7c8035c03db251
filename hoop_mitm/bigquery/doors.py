"""The ways into BigQuery that are known. What is not listed here is not forwarded.

Which methods there are is Google's to say (``methods``); what becomes of each is said here: a door, or a refusal with its
reason. A method without a row is refused as unknown, and a test names it.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote_to_bytes

from hoop_mitm.bigquery.content import Headers, lowered
from hoop_mitm.bigquery.hosts import LEGACY_HOST, api_of
from hoop_mitm.bigquery.methods import DISCOVERY, STORAGE
from hoop_mitm.bigquery.operation import Door
from hoop_mitm.bigquery.unreadable import Unreadable

_PROJECT = re.compile(r"[A-Za-z0-9][A-Za-z0-9.:_-]{0,199}")
_JOB = re.compile(r"[A-Za-z0-9_-]{1,1024}")
# Names may hold letters of any script, spaces and a decorator ($20260101); never what could end a segment.
_NAME = re.compile(r"[^/\\%?#;:\x00-\x1f\x7f]{1,1024}")

_SHAPES: Final[Mapping[str, re.Pattern[str]]] = {
    "project": _PROJECT,
    "job": _JOB,
    "dataset": _NAME,
    "table": _NAME,
    "routine": _NAME,
    "model": _NAME,
    "policy": _NAME,
}


@dataclass(frozen=True, slots=True)
class _Template:
    """A door's path: literal segments, and the names of those that vary."""

    door: Door
    literals: tuple[tuple[int, str], ...]
    names: tuple[tuple[int, str], ...]
    suffix: str = ""

    def match(self, segments: list[str]) -> dict[str, str] | None:
        if self.suffix:
            if not segments[-1].endswith(self.suffix):
                return None
            segments = [*segments[:-1], segments[-1].removesuffix(self.suffix)]
        for place, literal in self.literals:
            if segments[place] != literal:
                return None
        found: dict[str, str] = {}
        for place, name in self.names:
            value = _plain(segments[place])
            if value is None or not is_name(name, value):
                return None
            found[name] = value
        return found


def is_name(kind: str, value: str) -> bool:
    """Whether this can be the name of a ``project``, ``job``, ``dataset``, ``table`` …"""
    return bool(_SHAPES[kind].fullmatch(value)) and value not in (".", "..")


def _plain(segment: str) -> str | None:
    """A segment with its percent-encoding off, once; ``None`` when it is not UTF-8."""
    if "%" not in segment:
        return segment
    try:
        return unquote_to_bytes(segment).decode("utf-8")
    except UnicodeDecodeError:
        return None


type _Routes = dict[tuple[str, int], list[_Template]]

_IAM: Final = (
    "it changes who may read, for everybody who shares the gateway's identity. Access is given by whoever administers the "
    "project, at Google."
)
_STREAM: Final = "it writes through a stream, which hoop-mitm does not serve yet. Load rows with a load job or with insertAll instead."
_OLD: Final = "this version of the Storage API is not read by hoop-mitm. Use v1, as Google's client libraries do."
_PARTITIONS: Final = "it changes the partitions of tables in a metastore, which hoop-mitm does not understand."

DOORS: Final[Mapping[str, Door]] = {
    door.name: door
    for door in (
        Door("projects.list", "metadata"),
        Door("projects.getServiceAccount", "metadata"),
        Door("jobs.insert", "admin", body="json"),
        Door("jobs.list", "metadata"),
        Door("jobs.get", "metadata"),
        Door("jobs.cancel", "write"),
        Door("jobs.delete", "write"),
        Door("jobs.query", "admin", body="json"),
        Door("jobs.getQueryResults", "read"),
        Door("datasets.list", "metadata"),
        Door("datasets.insert", "admin", body="json"),
        Door("datasets.get", "metadata"),
        Door("datasets.patch", "admin", body="json"),
        Door("datasets.update", "admin", body="json"),
        Door("datasets.delete", "admin"),
        Door("datasets.undelete", "admin", body="json"),
        Door("tables.list", "metadata"),
        Door("tables.insert", "admin", body="json"),
        Door("tables.get", "metadata"),
        Door("tables.patch", "admin", body="json"),
        Door("tables.update", "admin", body="json"),
        Door("tables.delete", "admin"),
        Door("tables.getIamPolicy", "metadata", body="json"),
        Door("tables.setIamPolicy", "admin", body="json", refused=_IAM),
        Door("tables.testIamPermissions", "metadata", body="json"),
        Door("tabledata.list", "read"),
        Door("tabledata.insertAll", "write", body="json"),
        Door("rowAccessPolicies.list", "metadata"),
        Door("rowAccessPolicies.insert", "admin", body="json"),
        Door("rowAccessPolicies.get", "metadata"),
        Door("rowAccessPolicies.update", "admin", body="json"),
        Door("rowAccessPolicies.delete", "admin"),
        Door("rowAccessPolicies.batchDelete", "admin", body="json"),
        Door("rowAccessPolicies.getIamPolicy", "metadata", body="json"),
        Door("rowAccessPolicies.testIamPermissions", "metadata", body="json"),
        Door("routines.list", "metadata"),
        Door("routines.insert", "admin", body="json"),
        Door("routines.get", "metadata"),
        Door("routines.update", "admin", body="json"),
        Door("routines.delete", "admin"),
        Door("routines.getIamPolicy", "metadata", body="json"),
        Door("routines.setIamPolicy", "admin", body="json", refused=_IAM),
        Door("routines.testIamPermissions", "metadata", body="json"),
        Door("models.list", "metadata"),
        Door("models.get", "metadata"),
        Door("models.patch", "admin", body="json"),
        Door("models.delete", "admin"),
    )
}
"""What becomes of each method of the discovery document, by its id."""

_GRPC: Final[Mapping[str, Door]] = {
    door.name.removeprefix("storage."): door
    for door in (
        Door("storage.CreateReadSession", "read", "grpc", "grpc"),
        Door("storage.ReadRows", "read", "grpc", "grpc", streams_response=True),
        Door("storage.SplitReadStream", "read", "grpc", "grpc"),
        Door("storage.CreateWriteStream", "write", "grpc", "grpc"),
        Door(
            "storage.AppendRows", "write", "grpc", "grpc", streams_request=True, streams_response=True, refused=_STREAM
        ),
        Door("storage.GetWriteStream", "write", "grpc", "grpc"),
        Door("storage.FinalizeWriteStream", "write", "grpc", "grpc"),
        Door("storage.BatchCommitWriteStreams", "write", "grpc", "grpc"),
        Door("storage.FlushRows", "write", "grpc", "grpc"),
    )
}

_SERVED: Final = "google.cloud.bigquery.storage.v1"
_REFUSED: Final = {
    (f"{_SERVED}beta1", "BigQueryStorage"): _OLD,
    (f"{_SERVED}beta2", "BigQueryRead"): _OLD,
    (f"{_SERVED}beta2", "BigQueryWrite"): _OLD,
    (f"{_SERVED}beta", "MetastorePartitionService"): _PARTITIONS,
    (f"{_SERVED}alpha", "MetastorePartitionService"): _PARTITIONS,
}


def _storage_door(package: str, service: str, method: str) -> Door | None:
    if package == _SERVED:
        return _GRPC.get(method)
    if reason := _REFUSED.get((package, service)):
        return Door(f"storage.{package.rpartition('.')[2]}.{method}", "admin", "grpc", "grpc", refused=reason)
    return None


STORAGE_DOORS: Final[Mapping[str, Door]] = {
    f"/{package}.{service}/{method}": door
    for package, services in STORAGE.items()
    for service, methods in services.items()
    for method in methods
    if (door := _storage_door(package, service, method))
}
"""What becomes of each method of the Storage API's services, by its path."""

_METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")


def _add(routes: _Routes, method: str, path: str, door: Door) -> None:
    path, _, custom = path.partition(":")
    segments = path.split("/")
    literals = tuple((i, s) for i, s in enumerate(segments) if not s.startswith("{"))
    names = tuple((i, s[1:-1]) for i, s in enumerate(segments) if s.startswith("{"))
    template = _Template(door, literals, names, f":{custom}" if custom else "")
    routes.setdefault((method, len(segments)), []).append(template)


def _rest() -> _Routes:
    routes: _Routes = {}
    for name, (verb, path) in DISCOVERY.methods.items():
        if door := DOORS.get(name):
            _add(routes, verb, path, door)
    return routes


_REST: Final = _rest()

UPLOADS: Final = (
    # One POST for both kinds of upload: its first or only part is the job's JSON. The PUT carries data alone.
    ("POST", Door("jobs.insert", "admin", body="multipart")),
    ("PUT", Door("jobs.upload", "write", body="media", streams_request=True)),
)
_UPLOAD: Final[_Routes] = {}
for _verb, _door in UPLOADS:
    _add(_UPLOAD, _verb, DISCOVERY.methods["jobs.insert"][1], _door)

DISCOVERY_DOOR: Final = Door("discovery.getRest", "metadata")
BATCH_DOOR: Final = Door("batch", "metadata", body="batch")
MCP_DOOR: Final = Door("mcp", "admin", body="jsonrpc")
"""What is behind it, the message tells: `read` gives each its own door."""

MCP_PATH: Final = "/mcp"

WHOLE: Final[Mapping[tuple[str, str], Door]] = {
    # Where a client that was given another address of BigQuery reads how to speak to it (bq with ``--api``).
    ("GET", "/$discovery/rest"): DISCOVERY_DOOR,
    ("POST", DISCOVERY.batch): BATCH_DOOR,
    ("POST", "/batch"): BATCH_DOOR,
    ("POST", MCP_PATH): MCP_DOOR,
    ("GET", MCP_PATH): Door(
        "mcp.listen", "read", refused="a stream of the server's own messages is not offered. Post your requests."
    ),
    ("DELETE", MCP_PATH): Door("mcp.end", "metadata", refused="a session ends by itself."),
}
"""Doors whose path is one and the same, by verb and path."""

_BASES: Final[tuple[tuple[str, _Routes], ...]] = (
    (DISCOVERY.base, _REST),
    ("/upload/bigquery/v2/", _UPLOAD),
    ("/resumable/upload/bigquery/v2/", _UPLOAD),
)


# Printable ASCII (RFC 3986) but "#": what follows it is a fragment to some readers, and never sent by a client.
_TARGET = re.compile(r"[!\"$-~]*")


def check_target(target: str) -> None:
    """Refuses a path, or a path with its query string, that two readers could end at different places.

    Raises:
        Unreadable: it has a ``#``, white space, a control character, or anything else that must be percent-encoded.
    """
    if not _TARGET.fullmatch(target):
        raise Unreadable("its path or query string has a character that must be percent-encoded.")


def find(host: str, method: str, path: str, private: Collection[str] = ()) -> Door | None:
    """The door that a request knocks at, or ``None``: it is not listed, or its path is not spelled plainly.

    Args:
        host: lower case, without a port.
        method: as ``effective_method`` gives it.
        path: as on the wire, with its query string, which tells the start of an upload from its continuation.
        private: hosts that are served besides Google's public ones.

    Raises:
        Unreadable: as ``check_target``.
    """
    check_target(path)
    found = match(host, method, path, private)
    return found[0] if found else None


def match(host: str, method: str, path: str, private: Collection[str] = ()) -> tuple[Door, dict[str, str]] | None:
    """As ``find``, with the decoded names in the path (``project``, ``job``, ``dataset``, ``table`` …)."""
    path, _, query = path.partition("?")
    api = api_of(host, private)
    if api == "storage":
        door = STORAGE_DOORS.get(path) if method == "POST" else None
        return (door, {}) if door else None
    if api is None:
        return None
    if whole := WHOLE.get((method, path)):
        return None if path == MCP_PATH and host == LEGACY_HOST else (whole, {})
    for base, routes in _BASES:
        if path.startswith(base):
            if routes is _UPLOAD and method == "POST" and "upload_id=" in query:
                # Go's client sends the parts of a resumable upload as POST; elsewhere they are PUT.
                method = "PUT"
            return _match(routes, method, path[len(base) :].split("/"))
    return None


def _match(routes: _Routes, method: str, segments: list[str]) -> tuple[Door, dict[str, str]] | None:
    for template in routes.get((method, len(segments)), ()):
        names = template.match(segments)
        if names is not None:
            return template.door, names
    return None


_BY_DOOR: Final[Mapping[Door, _Template]] = {
    template.door: template for _, routes in _BASES for templates in routes.values() for template in templates
}


def names_in(door: Door, path: str) -> dict[str, str] | None:
    """The decoded names in the path of a REST door; ``None`` when this is not a path of that door."""
    template = _BY_DOOR.get(door)
    path = path.partition("?")[0]
    if door is DISCOVERY_DOOR:
        return {} if WHOLE.get(("GET", path)) is door else None
    for base, routes in _BASES:
        if template and path.startswith(base):
            segments = path[len(base) :].split("/")
            known = any(template in routes.get((method, len(segments)), ()) for method in _METHODS)
            return template.match(segments) if known else None
    return None


_OVERRIDE = "x-http-method-override"
_OTHER_OVERRIDES = ("x-http-method", "x-method-override")
_OVERRIDDEN = frozenset({"GET", "PATCH", "DELETE", "PUT"})


def effective_method(method: str, headers: Headers) -> str:
    """The method that BigQuery will see.

    Google's older Python client, and so bq, sends long GETs and PATCH as POST with ``X-HTTP-Method-Override``.

    Raises:
        Unreadable: any other use of it, on which servers differ.
    """
    fields = lowered(headers)
    if any(name in fields for name in _OTHER_OVERRIDES):
        raise Unreadable("it overrides its HTTP method in a way that BigQuery may not understand.")
    override = fields.get(_OVERRIDE)
    if override is None:
        return method
    if method != "POST" or override not in _OVERRIDDEN:
        raise Unreadable("only POST may override its method, with GET, PATCH, PUT or DELETE.")
    return override
