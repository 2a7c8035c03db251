"""Which servers of an editor's settings talk to BigQuery."""

import pytest

from hoop_mitm.setup.servers import servers_in


def server(command: str | None = None, *args: str, name: str = "x", **more: object):
    entry = {**({"command": command, "args": list(args)} if command else {}), **more}
    [found] = servers_in({"mcpServers": {name: entry}})
    return found


@pytest.mark.parametrize(
    "words",
    [
        ["mcp-server-bigquery", "--project", "p"],
        ["uvx", "mcp-server-bigquery@0.3.2", "--project", "p"],
        ["uvx", "--from", "mcp-server-bigquery==0.3.2", "serve"],
        ["uv", "run", "bigquery-mcp"],
        ["pipx", "run", "bigquery-mcp"],
        ["npx", "-y", "@ergut/mcp-bigquery-server", "--project-id", "p"],
        ["npx", "-y", "@ergut/mcp-bigquery-server@latest"],
        ["/opt/venv/bin/mcp-server-bigquery"],
        ["python", "-m", "mcp_server_bigquery"],
        ["python", "/home/me/src/bigquery_mcp_server.py"],
        ["npx", "-y", "@toolbox-sdk/server", "--prebuilt", "bigquery", "--stdio"],
        ["npx", "@toolbox-sdk/server@1.12.0", "--prebuilt=bigquery-conversational-analytics"],
        ["./toolbox", "--prebuilt", "bigquery", "--stdio"],
        ["/usr/local/bin/genai-toolbox", "--prebuilt", "bigquery"],
        ["docker", "run", "-i", "mcp/bigquery-mcp-server"],
    ],
)
def test_a_known_server_is_told_by_its_program_or_package(words: list[str]) -> None:
    assert server(*words).asks_bigquery


@pytest.mark.parametrize(
    "words",
    [
        ["npx", "-y", "@modelcontextprotocol/server-filesystem", "/home/me/bigquery-docs"],
        ["npx", "-y", "@modelcontextprotocol/server-filesystem", "/home/me/bigquery"],
        ["uvx", "mcp-server-git", "--repository", "/src/bigquery"],
        ["npx", "@toolbox-sdk/server", "--prebuilt", "postgres"],
        ["./toolbox", "--prebuilt", "cloud-sql-mysql"],
        ["uvx", "mcp-server-bigqueryish"],
        ["node", "server.js"],
    ],
)
def test_others_are_not(words: list[str]) -> None:
    assert not server(*words).asks_bigquery


@pytest.mark.parametrize(
    ("name", "expected"), [("bigquery", True), ("BigQuery prod", True), ("my-bq", True), ("bquick", False)]
)
def test_its_name_tells_too(name: str, expected: bool) -> None:
    assert server("python", "server.py", name=name).asks_bigquery is expected


def test_the_toolboxs_own_file_is_looked_into(tmp_path) -> None:
    (tmp_path / "tools.yaml").write_text("sources:\n  warehouse:\n    kind: bigquery\n")
    assert server("toolbox", "--tools-file", str(tmp_path / "tools.yaml")).asks_bigquery
    assert server("toolbox", f"--tools-file={tmp_path / 'tools.yaml'}").asks_bigquery
    (tmp_path / "tools.yaml").write_text("sources:\n  shop:\n    kind: postgres\n")
    assert not server("toolbox", "--tools-file", str(tmp_path / "tools.yaml")).asks_bigquery


def test_where_it_runs() -> None:
    assert server("uvx", "x").kind == "program"
    assert server("/usr/bin/docker", "run", "x").kind == "container"
    assert server(url="https://bigquery.googleapis.com/mcp").kind == "remote"
    assert server(url="https://bigquery.googleapis.com/mcp").asks_bigquery
    assert server(type="stdio").kind == "other"


@pytest.mark.parametrize(
    ("words", "environment", "found"),
    [
        (["mcp-server-bigquery", "--key-file", "/k.json"], {}, "--key-file"),
        (["mcp-server-bigquery", "--key-file=/k.json"], {}, "--key-file"),
        (["mcp-server-bigquery"], {"BIGQUERY_KEY_FILE": "/k.json"}, "BIGQUERY_KEY_FILE"),
        (["mcp-server-bigquery", "--project", "p"], {"A": "b"}, None),
    ],
)
def test_a_key_of_its_own_is_seen(words: list[str], environment: dict[str, str], found: str | None) -> None:
    assert server(*words, env=environment).own_key == found


@pytest.mark.parametrize(
    "settings",
    [
        {"mcpServers": {"a": {"command": "x"}}},
        {"servers": {"a": {"command": "x"}}},
        {"mcp": {"servers": {"a": {"command": "x"}}}},
        {"mcp.servers": {"a": {"command": "x"}}},
    ],
)
def test_every_clients_way_to_list_them_is_known(settings: dict[str, object]) -> None:
    assert [found.name for found in servers_in(settings)] == ["a"]


@pytest.mark.parametrize("settings", [{}, [], None, "x", {"mcpServers": []}, {"mcpServers": {"a": "x"}}, {"mcp": 1}])
def test_what_lists_none_has_none(settings: object) -> None:
    assert list(servers_in(settings)) == []
