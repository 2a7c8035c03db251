"""Google's MCP server for BigQuery, on loopback: JSON-RPC over Streamable HTTP, as its reference describes the tools.

https://docs.cloud.google.com/bigquery/docs/reference/mcp; https://modelcontextprotocol.io/specification (2025-06-18).
"""

import json
import secrets
from collections.abc import Callable
from typing import Any

from hoop_mitm.bigquery.mcp import REQUIRED, TOOLS
from hoop_mitm.devkit.api import ApiError
from hoop_mitm.devkit.http import Request, Response

PATH = "/mcp"

_VERSION = "2025-06-18"
_TYPES = {str: "string", bool: "boolean", int: "integer"}
_SESSION = "mcp-session-id"

type Run = Callable[[str, dict[str, Any], str], dict[str, Any]]
"""Does what a tool does: its name, its arguments, and who asks."""


class Mcp:
    """The server. It gives sessions, and answers only in those that it gave."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._sessions: set[str] = set()

    def handle(self, request: Request, who: str) -> Response:
        if request.method != "POST":
            return Response(405, headers={"allow": "POST"})
        accepted = request.headers.get("accept", "")
        if "application/json" not in accepted or "text/event-stream" not in accepted:
            return Response(406)
        session = request.headers.get(_SESSION)
        if session and session not in self._sessions:
            return Response(404)
        message = json.loads(request.content())
        if "id" not in message:
            return Response(202)
        answer = {"jsonrpc": "2.0", "id": message["id"]} | self._answer(message, who)
        if message["method"] == "tools/call":
            # A server may answer as a stream of events: then this comes last in it.
            text = f"event: message\ndata: {json.dumps(answer)}\n\n"
            return Response(200, text.encode(), {"content-type": "text/event-stream"})
        headers = {}
        if message["method"] == "initialize":
            headers[_SESSION] = secrets.token_urlsafe(16)
            self._sessions.add(headers[_SESSION])
        return Response.json(answer, headers=headers)

    def _answer(self, message: dict[str, Any], who: str) -> dict[str, Any]:
        match message["method"]:
            case "initialize":
                return {
                    "result": {
                        "protocolVersion": _VERSION,
                        "capabilities": {"tools": {"listChanged": False}},
                        "serverInfo": {"name": "bigquery.googleapis.com", "version": "1.0.0"},
                    }
                }
            case "ping":
                return {"result": {}}
            case "tools/list":
                return {"result": {"tools": [_described(name) for name in TOOLS]}}
            case "tools/call" if message["params"]["name"] in TOOLS:
                return {"result": self._called(message["params"], who)}
        return {"error": {"code": -32601, "message": "Method not found"}}

    def _called(self, params: dict[str, Any], who: str) -> dict[str, Any]:
        try:
            found = self._run(params["name"], params.get("arguments") or {}, who)
        except ApiError as error:
            return {"content": [{"type": "text", "text": error.message}], "isError": True}
        return {"content": [{"type": "text", "text": json.dumps(found)}], "structuredContent": found, "isError": False}


def _described(name: str) -> dict[str, Any]:
    tool = TOOLS[name]
    return {
        "name": name,
        "description": f"As {tool.like} does.",
        "inputSchema": {
            "type": "object",
            "properties": {argument: {"type": _TYPES[kind]} for argument, kind in tool.arguments.items()},
            "required": [argument for argument in tool.arguments if argument in REQUIRED],
        },
        "annotations": {"readOnlyHint": tool.door.kind in ("read", "metadata")},
    }
