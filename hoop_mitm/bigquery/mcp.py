"""Google's MCP endpoint, ``POST /mcp``: a JSON-RPC message as a request to BigQuery, and its answer as BigQuery's own.

https://docs.cloud.google.com/bigquery/docs/reference/mcp (the tools); https://modelcontextprotocol.io/specification
(the messages, over Streamable HTTP).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import msgspec

from hoop_mitm.bigquery.content import json_object
from hoop_mitm.bigquery.operation import Door
from hoop_mitm.bigquery.unreadable import Unreadable

type Json = Mapping[str, object]

SESSION_HEADER: Final = "mcp-session-id"

EXECUTES: Final = ("mcp.execute_sql", "mcp.execute_sql_readonly")
"""The doors of a statement."""

_PROJECT: Final = {"projectId": str}
_DATASET: Final = {**_PROJECT, "datasetId": str}
_PAGED: Final = {"pageSize": int, "pageToken": str}
_SQL: Final = {**_PROJECT, "query": str, "dryRun": bool}
_JOB: Final = {**_PROJECT, "jobId": str, "location": str}

REQUIRED: Final = frozenset({"projectId", "datasetId", "tableId", "query", "jobId"})
"""Arguments that a tool which takes them cannot do without."""


@dataclass(frozen=True, slots=True)
class Tool:
    """One of Google's tools.

    Attributes:
        door: what it is.
        arguments: their types by name. Another argument is refused.
        like: the method of BigQuery v2 that does the same.
    """

    door: Door
    arguments: Mapping[str, type]
    like: str


def _tool(name: str, kind: str, arguments: Mapping[str, type], like: str) -> Tool:
    return Tool(Door(f"mcp.{name}", kind, body="jsonrpc"), arguments, like)  # type: ignore[arg-type]


TOOLS: Final[Mapping[str, Tool]] = {
    tool.door.name.removeprefix("mcp."): tool
    for tool in (
        _tool("execute_sql", "admin", _SQL, "jobs.query"),
        _tool("execute_sql_readonly", "read", _SQL, "jobs.query"),
        _tool(
            "get_query_results",
            "read",
            {**_JOB, "pageToken": str, "timeoutMs": int, "maxResults": int, "startIndex": int},
            "jobs.getQueryResults",
        ),
        _tool("get_job", "metadata", _JOB, "jobs.get"),
        _tool("cancel_job", "write", _JOB, "jobs.cancel"),
        _tool("list_dataset_ids", "metadata", {**_PROJECT, **_PAGED}, "datasets.list"),
        _tool("get_dataset_info", "metadata", _DATASET, "datasets.get"),
        _tool("list_table_ids", "metadata", {**_DATASET, **_PAGED}, "tables.list"),
        _tool("get_table_info", "metadata", {**_DATASET, "tableId": str}, "tables.get"),
    )
}
"""Google's tools by name."""

LIKE: Final[Mapping[str, str]] = {tool.door.name: tool.like for tool in TOOLS.values()}
"""The method of BigQuery v2 that a door's tool does the same as."""

METHODS: Final[Mapping[str, Door]] = {
    method: Door(f"mcp.{name}", "metadata", body="jsonrpc")
    for method, name in (
        ("initialize", "initialize"),
        ("server/discover", "discover"),
        ("ping", "ping"),
        ("tools/list", "list_tools"),
        ("notifications/initialized", "notification"),
        ("notifications/cancelled", "notification"),
    )
}
"""Messages that call no tool."""

_CALL: Final = "tools/call"


@dataclass(frozen=True, slots=True)
class Call:
    """What a message asks for: a door, and the arguments of a tool."""

    door: Door
    arguments: dict[str, object] = field(default_factory=dict)


def understood(body: bytes, headers: Mapping[str, str]) -> Call:
    """What a message means.

    Args:
        body: without content-encoding.
        headers: by lower-case name.

    Raises:
        Unreadable: it is no single request, or names a method, tool or argument that is not known.
    """
    if body.lstrip()[:1] == b"[":
        raise Unreadable("it holds several JSON-RPC messages; send one at a time.")
    message = json_object(body)
    if unknown := sorted(message.keys() - {"jsonrpc", "id", "method", "params"}):
        raise Unreadable(f"a JSON-RPC request has no {unknown[0][:40]!r}.")
    method = message.get("method")
    if message.get("jsonrpc") != "2.0" or not isinstance(method, str):
        raise Unreadable("it is not a JSON-RPC 2.0 request.")
    identity = message.get("id")
    if not isinstance(identity, str | int) or isinstance(identity, bool):
        identity = None
    if (identity is None) != method.startswith("notifications/") or ("id" in message and identity is None):
        raise Unreadable("a JSON-RPC request has an id, a string or a whole number, and a notification has none.")
    params = message.get("params", {})
    if not isinstance(params, dict):
        raise Unreadable("params must be an object.")
    name = params.get("name") if method == _CALL else None
    _same_headers(headers, method, name)
    if method == _CALL:
        return _called(params, headers)
    if door := METHODS.get(method):
        return Call(door)
    raise Unreadable(f"it does not know MCP's method {method[:60]!r}. It knows tools/list and tools/call.")


def _called(params: Json, headers: Mapping[str, str]) -> Call:
    if unknown := sorted(params.keys() - {"name", "arguments", "_meta"}):
        raise Unreadable(f"it does not know {unknown[0][:40]!r} in the params of a tool's call.")
    name = params.get("name")
    tool = TOOLS.get(name) if isinstance(name, str) else None
    if tool is None:
        raise Unreadable(f"it does not know the tool {str(name)[:60]!r}. It knows {', '.join(TOOLS)}.")
    arguments = params.get("arguments", {})
    if not isinstance(arguments, dict):
        raise Unreadable("arguments must be an object.")
    for given, value in arguments.items():
        kind = tool.arguments.get(given)
        if kind is None:
            raise Unreadable(f"{name} has no argument {given[:40]!r}. It has {', '.join(tool.arguments)}.")
        # A number may be written as a string, as in all of Google's JSON; anything else has one spelling.
        if not (type(value) is kind or (kind is int and isinstance(value, str) and value.isdecimal())):
            raise Unreadable(f"{given} must be {_WORDS[kind]}.")
    if missing := sorted((tool.arguments.keys() & REQUIRED) - arguments.keys()):
        raise Unreadable(f"{name} needs {missing[0]}.")
    _same_arguments(headers, arguments)
    return Call(tool.door, arguments)


_WORDS: Final = {str: "a string", bool: "true or false", int: "a whole number"}
_PARAM: Final = "mcp-param-"


def _same_headers(headers: Mapping[str, str], method: str, name: object) -> None:
    """Headers that repeat what the message says, for those on the way who do not read it, must say the same."""
    for header, value in (("mcp-method", method), ("mcp-name", name)):
        if header in headers and headers[header] != value:
            raise Unreadable(f"its header {header} says something else than its message.")
    if "last-event-id" in headers:
        raise Unreadable("it resumes a stream, which is not offered.")


def _same_arguments(headers: Mapping[str, str], arguments: Json) -> None:
    by_name = {name.lower(): value for name, value in arguments.items()}
    for header, value in headers.items():
        if header.startswith(_PARAM):
            argument = by_name.get(header.removeprefix(_PARAM))
            if value not in (argument, json.dumps(argument)):
                raise Unreadable(f"its header {header[:60]} says something else than its message.")


# ------------------------------------------------------------------------------------------------------------- answers


class _Text(msgspec.Struct):
    type: str = ""
    text: str = ""


class _Result(msgspec.Struct, rename="camel"):
    content: list[_Text] = []
    structured_content: msgspec.Raw = msgspec.Raw()
    is_error: bool = False


class _Error(msgspec.Struct):
    message: str = ""


class _Message(msgspec.Struct):
    id: int | str | None = None
    method: str | None = None
    result: _Result | None = None
    error: _Error | None = None


_messages = msgspec.json.Decoder(_Message)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a tool answered: JSON as the method of BigQuery v2 that it is like answers, or why there is none."""

    json: bytes | None = None
    error: str | None = None


def answer(body: bytes) -> Answer:
    """The answer to a tool's call, from a JSON body or from a stream of events; empty when there is none in it.

    Args:
        body: without content-encoding.
    """
    for data in _events(body):
        try:
            message = _messages.decode(data)
        except (msgspec.DecodeError, RecursionError):
            continue
        if message.error:
            return Answer(error=message.error.message)
        if message.result:
            return _result(message.result)
    return Answer()


def _result(result: _Result) -> Answer:
    text = "".join(part.text for part in result.content if part.type == "text")
    if result.is_error:
        return Answer(error=text or "The tool failed.")
    return Answer(_with_reference(bytes(result.structured_content) or text.encode()))


_objects = msgspec.json.Decoder(dict[str, msgspec.Raw])


def _with_reference(answer: bytes) -> bytes:
    """A query's answer names its job by ``jobId`` alone."""
    try:
        found = _objects.decode(answer)
    except msgspec.DecodeError:
        return answer
    if "jobId" not in found or "jobReference" in found:
        return answer
    reference = {key: found[key] for key in ("projectId", "jobId", "location") if key in found}
    return msgspec.json.encode(found | {"jobReference": reference})


def _events(body: bytes) -> list[bytes]:
    """The data of each event (HTML standard, 9.2.6), or the body itself where it is no stream."""
    if body.lstrip()[:1] == b"{":
        return [body]
    lines: list[list[bytes]] = [[]]
    for line in body.splitlines():
        if not line:
            lines.append([])
        elif line.startswith(b"data:"):
            lines[-1].append(line.removeprefix(b"data:").removeprefix(b" "))
    return [b"\n".join(data) for data in lines if data]


def arguments(body: bytes | None) -> dict[str, object]:
    """The arguments of a recorded call; empty when it cannot be read."""
    try:
        return understood(body or b"", {}).arguments
    except Unreadable:
        return {}


class _Asked(msgspec.Struct):
    id: int | str | None = None
    method: str | None = None


_asked = msgspec.json.Decoder(_Asked)


def asked(body: bytes | None) -> tuple[int | str | None, bool]:
    """The id that an answer to this message must have, and whether it calls a tool; ``None`` where there is none."""
    try:
        message = _asked.decode(body or b"")
    except (msgspec.DecodeError, RecursionError):
        return None, False
    return message.id, message.method == _CALL
