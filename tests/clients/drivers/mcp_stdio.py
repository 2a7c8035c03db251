"""Calls one tool of an MCP server over stdio, through the MCP SDK, as an editor would.

mcp_stdio.py TOOL ARGUMENTS_AS_JSON COMMAND...
"""

import asyncio
import json
import os
import sys

from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client


async def main(tool: str, arguments: str, command: str, *rest: str) -> dict[str, object]:
    # SDKs pass only a few variables on to a server: an editor's `env` entry says the rest, and so does this one.
    server = StdioServerParameters(command=command, args=list(rest), env=dict(os.environ))
    async with stdio_client(server) as streams, ClientSession(*streams) as session:
        await session.initialize()
        result = await session.call_tool(tool, json.loads(arguments))
        texts = [content.text for content in result.content if content.type == "text"]
        return {"error": "\n".join(texts)} if result.isError else {"texts": texts}


def reasons(error: BaseException) -> str:
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(reasons(each) for each in error.exceptions)
    return str(error)


try:
    outcome = asyncio.run(main(*sys.argv[1:]))
except Exception as error:  # noqa: BLE001 - what the agent would see is what the test is about
    outcome = {"error": reasons(error), "type": type(error).__name__}
print(json.dumps(outcome))
