"""What docs/recordings.md shows is run, on a recording in which everything happens."""

import shlex
from pathlib import Path

import duckdb
import pytest
from click.testing import CliRunner

from hoop_mitm.cli import main
from tests.archive.eventful import eventful
from tests.examples import blocks_of

PAGE = Path(__file__).parents[2] / "docs" / "recordings.md"
QUERIES = blocks_of(PAGE, "sql")
COMMANDS = [line for block in blocks_of(PAGE, "sh") for line in block.splitlines()]


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    return eventful(tmp_path_factory.mktemp("recording"))


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.rpartition(" TO ")[2].strip()[:20])
def test_each_copy_writes_what_another_program_reads(recording, tmp_path, monkeypatch, query):
    monkeypatch.chdir(tmp_path)
    with duckdb.connect(recording, read_only=True) as connection:
        connection.execute(query)
    [written] = tmp_path.iterdir()
    place = f"{written}/**/*.parquet" if written.is_dir() else written
    with duckdb.connect() as connection:
        rows = connection.execute(f"FROM '{place}'").fetchall()
    assert rows


def test_each_command_is_one_that_runs(recording, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert len(COMMANDS) >= 10
    for line in COMMANDS:
        arguments = shlex.split(line.partition("|")[0])[1:]
        if arguments[0] == "tail":
            # It does not end; tests/cli/test_tail.py follows it.
            continue
        result = CliRunner(env={"HOOP_DB": str(recording)}).invoke(main, arguments)
        # 1 is "nothing found": the page's words are not those of this recording.
        assert result.exit_code in ((0, 1) if arguments[0] == "search" else (0,)), (line, result.output)
