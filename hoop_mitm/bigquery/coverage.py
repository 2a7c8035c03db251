"""Which of BigQuery's methods are doors, written from the code: ``python -m hoop_mitm.bigquery.coverage > docs/doors.md``.

A test holds the page against the code.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Final

from hoop_mitm.bigquery.doors import DOORS, STORAGE_DOORS, UPLOADS, WHOLE
from hoop_mitm.bigquery.hosts import (
    LEGACY_HOST,
    LOCATIONS,
    REFUSED_HOSTS,
    REST_HOST,
    STORAGE_HOST,
    TOKEN_HOSTS,
    why_refused,
)
from hoop_mitm.bigquery.mcp import LIKE, METHODS, TOOLS
from hoop_mitm.bigquery.methods import DISCOVERY, STORAGE
from hoop_mitm.bigquery.operation import Door

HEAD: Final = """# Doors

Every way into BigQuery is one of these, or it is refused. A *door* is a method of BigQuery's that the gateway understands;
rules, records and refusals name it. The lists of methods are Google's own: REST from revision {revision} of BigQuery v2's
discovery document, the Storage API from the descriptors of its client library. This page is written from the program
(`python -m hoop_mitm.bigquery.coverage`); `python -m hoop_mitm.bigquery.refresh` reads Google's lists anew, and a test fails
while a method has no row.

*Kind* is the most that a door can do before a statement is looked at: `metadata`, `read`, `write`, `admin`. A job that loads
or copies is a `write`, one that extracts a `read`.
"""

_STATEMENT: Final = (
    "the statement, its dialect and default dataset, dry run, destination, labels, connection properties, and every project, "
    "dataset and table in the configuration"
)
_BODY: Final = "every project, dataset and table in the body, and SQL in it"
_READ: Final = {
    "jobs.insert": f"the job's kind and id, {_STATEMENT}",
    "jobs.query": _STATEMENT,
    "jobs.upload": "which upload it continues; what comes is written down as it passes",
    "tabledata.insertAll": "that it names no other table; rows are not looked into",
    "discovery.getRest": "nothing: it is the description of the API",
    "batch": "each part as a request of its own; all are allowed, or none is sent. Only doors of kind `metadata` without a body, "
    "and not of jobs, are served in a batch",
    "storage.CreateReadSession": "project and table",
    "storage.ReadRows": "the stream, and whose it is",
    "storage.SplitReadStream": "the stream, and whose it is",
    "storage.CreateWriteStream": "the table",
}
_MCP: Final = f"""## MCP: `POST https://{REST_HOST}/mcp`

Google's remote MCP server. One JSON-RPC message is one operation; an unknown method, tool or argument is refused, and so are
several messages at once. A refusal is the failed result of the tool's call, which the agent reads. What Google's tools do not
take cannot be set: such a query carries no label of the session, and no limit of its bytes. A session of the server
(`Mcp-Session-Id`) belongs to whoever it was given to.

An MCP client comes through the proxy, or to [the endpoint](endpoint.md) at `/mcp`, with its login as
`Authorization: Bearer $(hoop-mitm token)` instead of Google's OAuth. Its greeting names no project, so where the gateway has
several connections it needs a session of one of them, as `hoop-mitm run` gives it.
"""
_JSON: Final = """What a request says must have one meaning, or it is refused:

- JSON is strict: UTF-8, no key twice, no other spelling of a key (`default_dataset`), and no key that the API's description of
  revision {revision} does not know. `secureContext`, `templateSuffix` and other formats of rows than the usual are refused.
- `X-HTTP-Method-Override` only as Google's own older library uses it, on POST.
- A `fields` mask may not hide which job was started (`jobReference`) and what it cost (`totalBytesBilled`).
- Every project that is named anywhere (path, `jobReference`, `x-goog-user-project`, a connection property, a table) must belong
  to the one connection of the session.
- Compressed bodies have an end: more than `gateway.max_request_body` bytes after unpacking are not unpacked.
"""
_STREAM: Final = "the table, and the stream and whose it is"

type Row = tuple[str, Door | None, str]


def page() -> str:
    """The page, in Markdown."""
    parts = [
        HEAD.format(revision=DISCOVERY.revision),
        f"## REST: BigQuery v2\n\nPaths begin with `{DISCOVERY.base}`. `{LEGACY_HOST}` answers the same.\n",
        *_table("method", _rest()),
        _JSON.format(revision=DISCOVERY.revision),
        "## Uploads, batches, discovery\n",
        *_table("request", _others()),
        "Credentials within the parts of a batch are taken off, as those of any request are.\n",
        "## Storage API\n",
        *_table("method", _storage()),
        _MCP,
        *_table("message", _mcp()),
        "## Hosts\n",
        *_hosts(),
    ]
    return "\n".join(parts)


def _rest() -> Iterator[Row]:
    for name, (verb, path) in DISCOVERY.methods.items():
        yield f"`{name}`<br>{verb} `{path}`", DOORS.get(name), path


def _others() -> Iterator[Row]:
    for path in DISCOVERY.uploads["jobs.insert"]:
        for verb, door in UPLOADS:
            yield f"{verb} `{path}`", door, path
    for (verb, path), door in WHOLE.items():
        if path != "/mcp":
            yield f"{verb} `{path}`", door, path


def _storage() -> Iterator[Row]:
    for package, services in STORAGE.items():
        for service, methods in services.items():
            for method in methods:
                short = package.removeprefix("google.cloud.bigquery.storage.")
                yield f"`{short}.{service}.{method}`", STORAGE_DOORS.get(f"/{package}.{service}/{method}"), ""


def _mcp() -> Iterator[Row]:
    for name, tool in TOOLS.items():
        yield f"`tools/call` `{name}`", tool.door, ""
    for method, door in METHODS.items():
        yield f"`{method}`", door, ""
    for (verb, path), door in WHOLE.items():
        if path == "/mcp" and door.refused:
            yield f"{verb} `{path}`", door, ""


def _table(first: str, rows: Iterable[Row]) -> Iterator[str]:
    yield f"| {first} | door | kind | what is understood, or why it is refused |\n|---|---|---|---|"
    for what, door, path in rows:
        assert door is not None, what
        if door.refused:
            yield f"| {what} | refused | | {door.refused} |"
        else:
            yield f"| {what} | `{door.name}` | {door.kind} | {_understood(door, path)} |"
    yield ""


def _understood(door: Door, path: str) -> str:
    if door.name in TOOLS_BY_DOOR:
        tool = TOOLS_BY_DOOR[door.name]
        return f"{', '.join(f'`{name}`' for name in tool.arguments)}: as `{LIKE[door.name]}`"
    if door.body == "jsonrpc":
        return "it names nothing of BigQuery's"
    if door.protocol == "grpc":
        return _READ.get(door.name, _STREAM)
    names = ", ".join(re.findall(r"\{(\w+)\}", path))
    more = _READ.get(door.name) or (_BODY if door.body == "json" else "")
    return "; ".join(part for part in (names, more) if part) or "that it names no project"


TOOLS_BY_DOOR: Final = {tool.door.name: tool for tool in TOOLS.values()}


def _hosts() -> Iterator[str]:
    yield "| host | what becomes of it |\n|---|---|"
    yield f"| `{REST_HOST}` | served: REST, batches, MCP |"
    yield f"| `{STORAGE_HOST}` | served: the Storage API |"
    yield f"| `{LEGACY_HOST}` | served: `{DISCOVERY.base}` and batches of it, nothing else |"
    yield (
        "| `bigquery.LOCATION.rep.googleapis.com`, `LOCATION-bigquery.googleapis.com`, and `bigquerystorage` alike | served "
        f"where LOCATION is one of {', '.join(LOCATIONS)} |"
    )
    yield (
        "| `bigquery-NAME.p.googleapis.com`, `bigquerystorage-NAME.p.googleapis.com` | served where hoop.yaml lists it under "
        "`gateway.private_hosts` |"
    )
    yield (
        f"| {', '.join(f'`{host}`' for host in sorted(TOKEN_HOSTS))} | answered by the gateway itself: clients trade their "
        "login there for a session of its own. Nothing is forwarded |"
    )
    for host in sorted(REFUSED_HOSTS):
        yield f"| `{host}` | refused: {why_refused(host)} |"
    yield "| any other host of Google's with `bigquery` in its name | refused; it is never tunnelled |"
    yield (
        "\nThe gateway's authority can vouch for the hosts that are served, answered or refused by name here, for "
        "`gateway.endpoint_names` where there is no `gateway.endpoint_certificate`, and for names below any of these. A client "
        "that trusts it gets an error of TLS for every other name. Google's credential is put only on requests to hosts that "
        "are served.\n"
    )


if __name__ == "__main__":
    print(page(), end="")  # noqa: T201 - what the command says
