"""The MCP servers in an editor's settings, and which of them talk to BigQuery."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

#: Where editors keep their servers: Cursor, Claude Desktop and most others; VS Code's mcp.json; VS Code's settings.
HOLDERS = (("mcpServers",), ("servers",), ("mcp", "servers"), ("mcp.servers",))

type Kind = Literal["program", "container", "remote", "other"]

_CONTAINERS = {"docker", "podman", "nerdctl"}
_NAME = re.compile(r"(?:^|[^a-z])(?:bigquery|bq)(?:[^a-z]|$)")
# `mcp-server-bigquery==0.3`, `@ergut/mcp-bigquery-server@latest`, `/usr/bin/bigquery-mcp`, `mcp_server_bigquery`.
_VERSION = re.compile(r"(?<=.)(?:@|==|>=|<=|~=|\[).*$")
_SERVER = re.compile(r"(?:^|[-_./])(?:mcp|server)(?:$|[-_.])")
_TOOLBOX = re.compile(r"(?:^|[-_])toolbox(?:$|[-_.])")
_TOOLBOX_PACKAGE = "@toolbox-sdk/server"
_OWN_KEY = re.compile(r"--?(?:key[-_]file|credentials?(?:[-_]file)?|service[-_]account[-_]key)(?:=|$)")
_OWN_KEY_VARIABLES = ("BIGQUERY_KEY_FILE", "GOOGLE_APPLICATION_CREDENTIALS_JSON", "GOOGLE_CREDENTIALS")


@dataclass(frozen=True, slots=True)
class Server:
    """One server's entry.

    Attributes:
        name: what it is called there.
        holder: names from the root to the object that it stands in.
        entry: what stands there.
    """

    name: str
    holder: tuple[str, ...]
    entry: Mapping[str, Any]

    @property
    def kind(self) -> Kind:
        """How it is run: as a program of this machine, in a container, or elsewhere."""
        if isinstance(self.entry.get("command"), str):
            return "container" if Path(self._words()[0]).name in _CONTAINERS else "program"
        return "remote" if isinstance(self.entry.get("url"), str) else "other"

    @property
    def asks_bigquery(self) -> bool:
        """Whether it is one that talks to BigQuery, by its program, its package, or its name."""
        words = self._words()
        if any(_is_bigquery_server(word) for word in words) or _NAME.search(self.name.lower()):
            return True
        toolbox = any(_package(word) == _TOOLBOX_PACKAGE or _TOOLBOX.search(Path(word).name) for word in words[:4])
        return (toolbox and self._toolbox_has_bigquery(words)) or "bigquery" in str(self.entry.get("url", "")).lower()

    @property
    def own_key(self) -> str | None:
        """The argument or variable by which it has a Google key of its own, past the gateway; ``None``: none is seen."""
        environment = self.entry.get("env")
        set_there = [name for name in _OWN_KEY_VARIABLES if isinstance(environment, dict) and environment.get(name)]
        return next((word.partition("=")[0] for word in self._words() if _OWN_KEY.match(word)), None) or next(
            iter(set_there), None
        )

    def _words(self) -> list[str]:
        arguments = self.entry.get("args")
        given = arguments if isinstance(arguments, list) else []
        return [word for word in (self.entry.get("command"), *given) if isinstance(word, str)] or [""]

    def _toolbox_has_bigquery(self, words: list[str]) -> bool:
        """Google's MCP Toolbox serves many databases; its arguments, or the file that they name, say which."""
        if any("bigquery" in word.lower() for word in words):
            return True
        files = [word.partition("=")[2] or word for word in words if word.endswith((".yaml", ".yml"))]
        return any(_mentions_bigquery(Path(file).expanduser()) for file in files)


def servers_in(settings: Any) -> Iterator[Server]:
    """Every server in an editor's settings, read from JSON."""
    for holder in HOLDERS:
        place = settings
        for key in holder:
            place = place.get(key) if isinstance(place, dict) else None
        if isinstance(place, dict):
            yield from (Server(name, holder, entry) for name, entry in place.items() if isinstance(entry, dict))


def _is_bigquery_server(word: str) -> bool:
    """Whether a word of a command line is a server's program or package; a mere path with that word in it is not."""
    name = _package(word).lower()
    last = name.rpartition("/")[2].removesuffix(".py").removesuffix(".js")
    return bool(_NAME.search(last) and _SERVER.search(name if name.startswith("@") else last))


def _package(word: str) -> str:
    return word[:1] + _VERSION.sub("", word[1:]) if word.startswith("@") else _VERSION.sub("", word)


def _mentions_bigquery(file: Path) -> bool:
    try:
        return "bigquery" in file.read_text(errors="replace").lower()
    except OSError:
        return False
