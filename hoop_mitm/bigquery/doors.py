"""The ways into BigQuery that are known. What is not listed here is not forwarded.

The list follows BigQuery's discovery document (revision 20250528) and the Storage API's v1 services. Left out on purpose:
``setIamPolicy`` and ``datasets.undelete``, which no client of ours needs; ``/batch`` and ``/mcp``, which carry several
requests in one; and the older Storage API versions.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote_to_bytes

from hoop_mitm.bigquery.content import Headers, lowered
from hoop_mitm.bigquery.operation import Door
from hoop_mitm.bigquery.unreadable import Unreadable

REST_HOST: Final = "bigquery.googleapis.com"
STORAGE_HOST: Final = "bigquerystorage.googleapis.com"
LEGACY_HOST: Final = "www.googleapis.com"

BIGQUERY_HOSTS: Final = frozenset({REST_HOST, STORAGE_HOST, LEGACY_HOST})
"""The only hosts that have doors, and so the only ones that a credential may go to."""

TOKEN_HOSTS: Final = frozenset({"sts.googleapis.com", "oauth2.googleapis.com", "iamcredentials.googleapis.com"})
"""Hosts whose few paths are answered by the gateway itself."""

INTERCEPTED_HOSTS: Final = BIGQUERY_HOSTS | TOKEN_HOSTS


def is_bigquery_host(host: str) -> bool:
    """Whether a name, in any spelling, leads to BigQuery or one of its sister APIs.

    Wider than the doors on purpose: regional, mutual-TLS and private-endpoint names (``us-bigquery.googleapis.com``,
    ``bigquery.europe-west3.rep.googleapis.com``) must not be tunnelled past the gateway, although none has a door.
    """
    name = host.lower().rstrip(".")
    return name in BIGQUERY_HOSTS or (name.endswith(".googleapis.com") and "bigquery" in name)


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
            if value is None or not _SHAPES[name].fullmatch(value) or value in (".", ".."):
                return None
            found[name] = value
        return found


def _plain(segment: str) -> str | None:
    """A segment with its percent-encoding off, once; ``None`` when it is not UTF-8."""
    if "%" not in segment:
        return segment
    try:
        return unquote_to_bytes(segment).decode("utf-8")
    except UnicodeDecodeError:
        return None


_METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")

type _Routes = dict[tuple[str, int], list[_Template]]


def _add(routes: _Routes, method: str, path: str, door: Door) -> None:
    path, _, custom = path.partition(":")
    segments = path.split("/")
    literals = tuple((i, s) for i, s in enumerate(segments) if not s.startswith("{"))
    names = tuple((i, s[1:-1]) for i, s in enumerate(segments) if s.startswith("{"))
    template = _Template(door, literals, names, f":{custom}" if custom else "")
    routes.setdefault((method, len(segments)), []).append(template)


_DATASET = "projects/{project}/datasets/{dataset}"
_TABLE = _DATASET + "/tables/{table}"
_ROUTINE = _DATASET + "/routines/{routine}"
_MODEL = _DATASET + "/models/{model}"
_POLICY = _TABLE + "/rowAccessPolicies/{policy}"

_REST: _Routes = {}
_UPLOAD: _Routes = {}

for _method, _path, _door in (
    ("GET", "projects", Door("projects.list", "metadata")),
    ("GET", "projects/{project}/serviceAccount", Door("projects.getServiceAccount", "metadata")),
    ("POST", "projects/{project}/jobs", Door("jobs.insert", "admin", body="json")),
    ("GET", "projects/{project}/jobs", Door("jobs.list", "metadata")),
    ("GET", "projects/{project}/jobs/{job}", Door("jobs.get", "metadata")),
    ("POST", "projects/{project}/jobs/{job}/cancel", Door("jobs.cancel", "write")),
    ("DELETE", "projects/{project}/jobs/{job}/delete", Door("jobs.delete", "write")),
    ("POST", "projects/{project}/queries", Door("jobs.query", "admin", body="json")),
    ("GET", "projects/{project}/queries/{job}", Door("jobs.getQueryResults", "read")),
    ("GET", "projects/{project}/datasets", Door("datasets.list", "metadata")),
    ("POST", "projects/{project}/datasets", Door("datasets.insert", "admin", body="json")),
    ("GET", _DATASET, Door("datasets.get", "metadata")),
    ("PATCH", _DATASET, Door("datasets.patch", "admin", body="json")),
    ("PUT", _DATASET, Door("datasets.update", "admin", body="json")),
    ("DELETE", _DATASET, Door("datasets.delete", "admin")),
    ("GET", _DATASET + "/tables", Door("tables.list", "metadata")),
    ("POST", _DATASET + "/tables", Door("tables.insert", "admin", body="json")),
    ("GET", _TABLE, Door("tables.get", "metadata")),
    ("PATCH", _TABLE, Door("tables.patch", "admin", body="json")),
    ("PUT", _TABLE, Door("tables.update", "admin", body="json")),
    ("DELETE", _TABLE, Door("tables.delete", "admin")),
    ("POST", _TABLE + ":getIamPolicy", Door("tables.getIamPolicy", "metadata", body="json")),
    ("POST", _TABLE + ":testIamPermissions", Door("tables.testIamPermissions", "metadata", body="json")),
    ("GET", _TABLE + "/data", Door("tabledata.list", "read")),
    ("POST", _TABLE + "/insertAll", Door("tabledata.insertAll", "write", body="json")),
    ("GET", _TABLE + "/rowAccessPolicies", Door("rowAccessPolicies.list", "metadata")),
    ("POST", _TABLE + "/rowAccessPolicies", Door("rowAccessPolicies.insert", "admin", body="json")),
    ("GET", _POLICY, Door("rowAccessPolicies.get", "metadata")),
    ("PUT", _POLICY, Door("rowAccessPolicies.update", "admin", body="json")),
    ("DELETE", _POLICY, Door("rowAccessPolicies.delete", "admin")),
    ("GET", _DATASET + "/routines", Door("routines.list", "metadata")),
    ("POST", _DATASET + "/routines", Door("routines.insert", "admin", body="json")),
    ("GET", _ROUTINE, Door("routines.get", "metadata")),
    ("PUT", _ROUTINE, Door("routines.update", "admin", body="json")),
    ("DELETE", _ROUTINE, Door("routines.delete", "admin")),
    ("GET", _DATASET + "/models", Door("models.list", "metadata")),
    ("GET", _MODEL, Door("models.get", "metadata")),
    ("PATCH", _MODEL, Door("models.patch", "admin", body="json")),
    ("DELETE", _MODEL, Door("models.delete", "admin")),
):
    _add(_REST, _method, _path, _door)

# One POST for both kinds of upload: its first or only part is the job's JSON. The PUT carries data alone.
_add(_UPLOAD, "POST", "projects/{project}/jobs", Door("jobs.insert", "admin", body="multipart"))
_add(_UPLOAD, "PUT", "projects/{project}/jobs", Door("jobs.upload", "write", body="media", streams_request=True))

_STORAGE: Final[Mapping[str, Door]] = {
    f"/google.cloud.bigquery.storage.v1.{service}/{door.name.removeprefix('storage.')}": door
    for service, door in (
        ("BigQueryRead", Door("storage.CreateReadSession", "read", "grpc", "grpc")),
        ("BigQueryRead", Door("storage.ReadRows", "read", "grpc", "grpc", streams_response=True)),
        ("BigQueryRead", Door("storage.SplitReadStream", "read", "grpc", "grpc")),
        ("BigQueryWrite", Door("storage.CreateWriteStream", "write", "grpc", "grpc")),
        (
            "BigQueryWrite",
            Door("storage.AppendRows", "write", "grpc", "grpc", streams_request=True, streams_response=True),
        ),
        ("BigQueryWrite", Door("storage.GetWriteStream", "write", "grpc", "grpc")),
        ("BigQueryWrite", Door("storage.FinalizeWriteStream", "write", "grpc", "grpc")),
        ("BigQueryWrite", Door("storage.BatchCommitWriteStreams", "write", "grpc", "grpc")),
        ("BigQueryWrite", Door("storage.FlushRows", "write", "grpc", "grpc")),
    )
}

_DISCOVERY: Final = Door("discovery.getRest", "metadata")
_DISCOVERY_PATH: Final = "/$discovery/rest"
"""Where a client that was given another address of BigQuery reads how to speak to it (bq with ``--api``)."""

_BASES: Final[tuple[tuple[str, _Routes], ...]] = (
    ("/bigquery/v2/", _REST),
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


def find(host: str, method: str, path: str) -> Door | None:
    """The door that a request knocks at, or ``None``: it is not listed, or its path is not spelled plainly.

    Args:
        host: lower case, without a port.
        method: as ``effective_method`` gives it.
        path: as on the wire, with its query string, which tells the start of an upload from its continuation.

    Raises:
        Unreadable: as ``check_target``.
    """
    check_target(path)
    found = match(host, method, path)
    return found[0] if found else None


def match(host: str, method: str, path: str) -> tuple[Door, dict[str, str]] | None:
    """As ``find``, with the decoded names in the path (``project``, ``job``, ``dataset``, ``table`` …)."""
    path, _, query = path.partition("?")
    if host == STORAGE_HOST:
        door = _STORAGE.get(path) if method == "POST" else None
        return (door, {}) if door else None
    if host not in BIGQUERY_HOSTS:
        return None
    if path == _DISCOVERY_PATH:
        return (_DISCOVERY, {}) if method == "GET" else None
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
    if door is _DISCOVERY:
        return {} if path == _DISCOVERY_PATH else None
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
