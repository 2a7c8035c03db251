"""The clients, each as its own program with nothing but environment variables, behind one small interface."""

import ast
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from tests.clients import environments

type Environment = Mapping[str, str]

DRIVERS = Path(__file__).parent / "drivers"
_SECONDS = 240


@dataclass(frozen=True)
class Outcome:
    """What a client's user ends up with: rows, with every value in text as clients differ in types, or an error.

    ``output`` is all that the program printed.
    """

    rows: list[dict[str, str]] | None
    error: str | None
    output: str

    @property
    def result(self) -> list[dict[str, str]]:
        assert self.rows is not None, self.output
        return self.rows

    @property
    def complaint(self) -> str:
        assert self.error is not None, self.output
        return self.error


class Client(Protocol):
    """One client. ``agent`` is what the recording calls it."""

    name: str
    agent: str

    def ready(self) -> None:
        """Raises `NotHere` where this machine cannot run it."""
        ...

    def query(self, environment: Environment, sql: str) -> Outcome: ...

    def pages(self, environment: Environment, sql: str, size: int) -> Outcome:
        """Fetches in pages of ``size`` rows where the client can be told so, in BigQuery's own pages otherwise."""
        ...


class Python:
    """google-cloud-bigquery over REST, by one of its methods."""

    agent = "python"

    def __init__(self, method: str) -> None:
        self.name = f"python {method}"
        self._method = method

    def ready(self) -> None:
        pass

    def query(self, environment: Environment, sql: str) -> Outcome:
        return drive(environment, sys.executable, DRIVERS / "python_rest.py", self._method, sql)

    def pages(self, environment: Environment, sql: str, size: int) -> Outcome:
        pages = "pages" if self._method == "query" else "pages_and_wait"
        return drive(environment, sys.executable, DRIVERS / "python_rest.py", pages, sql, str(size))


class Node:
    """@google-cloud/bigquery."""

    name = agent = "node"

    def ready(self) -> None:
        environments.node_modules()

    def query(self, environment: Environment, sql: str) -> Outcome:
        return self._drive(environment, "query", sql)

    def pages(self, environment: Environment, sql: str, size: int) -> Outcome:
        return self._drive(environment, "pages", sql, str(size))

    def _drive(self, environment: Environment, *arguments: str) -> Outcome:
        environment = {**environment, "NODE_PATH": str(environments.node_modules())}
        return drive(environment, environments.node(), DRIVERS / "node.cjs", *arguments)


class Bq:
    """The command line of Google's SDK."""

    name = agent = "bq"

    def ready(self) -> None:
        environments.bq()

    def query(self, environment: Environment, sql: str) -> Outcome:
        return self._bq(environment, "query", "--nouse_legacy_sql", sql)

    def pages(self, environment: Environment, sql: str, size: int) -> Outcome:
        limits = (f"--max_rows_per_request={size}",)
        return self._bq(environment, *limits, "query", "--nouse_legacy_sql", "--max_rows=1000000", sql)

    def _bq(self, environment: Environment, *arguments: str) -> Outcome:
        done = run(environment, environments.bq(), "--quiet", "--format=json", *arguments)
        if done.returncode:
            return Outcome(None, done.stdout + done.stderr, done.stdout + done.stderr)
        return Outcome(texts(json.loads(done.stdout)), None, done.stdout + done.stderr)


class Toolbox:
    """Google's MCP Toolbox for databases, asked over stdio."""

    name = agent = "toolbox"

    def ready(self) -> None:
        environments.toolbox()

    def query(self, environment: Environment, sql: str) -> Outcome:
        program = [environments.toolbox(), "--prebuilt", "bigquery", "--stdio", "--disable-version-check"]
        return ask(environment, "execute_sql", {"sql": sql}, program, json.loads)

    def pages(self, environment: Environment, sql: str, size: int) -> Outcome:
        return self.query({**environment, "BIGQUERY_MAX_QUERY_RESULT_ROWS": "1000000"}, sql)


class McpServerBigquery:
    """mcp-server-bigquery, asked over stdio."""

    name = "mcp-server-bigquery"
    agent = "python"

    def ready(self) -> None:
        environments.mcp_server_bigquery()

    def query(self, environment: Environment, sql: str) -> Outcome:
        server = [
            environments.mcp_server_bigquery(),
            "--project",
            environment["GOOGLE_CLOUD_PROJECT"],
            "--location",
            "US",
        ]
        return ask(environment, "execute-query", {"query": sql}, server, ast.literal_eval)

    def pages(self, environment: Environment, sql: str, size: int) -> Outcome:
        return self.query(environment, sql)


CLIENTS: Sequence[Client] = (
    Python("query"),
    Python("query_and_wait"),
    Bq(),
    Node(),
    Toolbox(),
    McpServerBigquery(),
)


def ask(
    environment: Environment, tool: str, arguments: object, server: Sequence[str | Path], read: Callable[[str], Any]
) -> Outcome:
    """Calls one tool of an MCP server; ``read`` turns the text of its answer into rows."""
    outcome = printed(run(environment, sys.executable, DRIVERS / "mcp_stdio.py", tool, json.dumps(arguments), *server))
    if "error" in outcome.said:
        return Outcome(None, outcome.said["error"], outcome.output)
    answers = [read(text) for text in outcome.said["texts"]]
    rows = [row for answer in answers for row in (answer if isinstance(answer, list) else [answer])]
    return Outcome(texts(rows), None, outcome.output)


def drive(environment: Environment, *command: str | Path) -> Outcome:
    """Runs a driver, which prints one JSON object with ``rows`` or ``error``."""
    outcome = printed(run(environment, *command))
    rows = outcome.said.get("rows")
    return Outcome(None if rows is None else texts(rows), outcome.said.get("error"), outcome.output)


@dataclass(frozen=True)
class Printed:
    said: dict[str, Any]
    output: str


def printed(done: subprocess.CompletedProcess[str]) -> Printed:
    output = done.stdout + done.stderr
    assert done.returncode == 0, output
    return Printed(json.loads(done.stdout.strip().splitlines()[-1]), output)


def run(environment: Environment, *command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [os.fspath(part) for part in command],
        env=dict(environment),
        cwd=environment["HOME"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )


def texts(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    return [{name: str(value) for name, value in row.items()} for row in rows]
