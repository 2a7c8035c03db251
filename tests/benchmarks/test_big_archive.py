"""The made-up archive is one that every reading command works on."""

import itertools
import json

import duckdb
import pytest
from click.testing import CliRunner

from benchmarks.big_archive import main, make
from benchmarks.traffic import RARE_VALUE, RARE_WORD, Plan, records
from hoop_mitm.cli import main as hoop_mitm
from hoop_mitm.recording import FlowRecord

PLAN = Plan(flows=1000, jobs=200, sessions=8)


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    path = tmp_path_factory.mktemp("big") / "hoop.duckdb"
    make(path, PLAN)
    return path


def run(archive, *arguments, expect=0):
    result = CliRunner(env={"HOOP_DB": str(archive), "TZ": "UTC"}).invoke(hoop_mitm, [*arguments])
    assert result.exit_code == expect, result.output
    return result.stdout


def test_it_holds_as_much_as_was_asked_for(archive):
    with duckdb.connect(archive, read_only=True) as connection:
        found = {
            table: connection.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0]
            for table in ("flows", "jobs", "sessions")
        }
    assert found == {"flows": PLAN.flows, "jobs": PLAN.jobs, "sessions": PLAN.sessions}


def test_nothing_is_left_beside_it(archive):
    assert list(archive.parent.iterdir()) == [archive]


def test_the_rare_word_and_the_rare_value_stand_in_one_job_of_the_middle_session(archive):
    sessions = json.loads(run(archive, "sessions", "--json"))
    by_word = json.loads(run(archive, "search", RARE_WORD, "--json"))["hits"]
    by_value = json.loads(run(archive, "search", RARE_VALUE, "--rows", "--json"))["hits"]
    [middle] = {hit["session"]["id"] for hit in (*by_word, *by_value)}
    assert [len(by_word), len(by_value)] == [1, 1]
    assert middle == sessions[-PLAN.sessions // 2 - 1]["id"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["show", "@last~3"],
        ["show", "@last", "--flows"],
        ["show", "@last", "--job", "1"],
        ["replay", "@last~4", "--instant"],
        ["search", "--verdict", "deny"],
        ["search", "--type", "tables.get"],
        ["export", "@last", "--format", "har"],
        ["export", "@last", "--format", "ocsf"],
        ["export", "@last", "--format", "html"],
    ],
    ids=" ".join,
)
def test_every_reading_command_works_on_it(archive, arguments):
    assert run(archive, *arguments)


def test_sessions_differ(archive):
    assert run(archive, "diff", "@last", "@last~1", expect=1)


def test_the_same_seed_tells_the_same_and_another_one_something_else():
    once, twice, other = (list(records(Plan(60, 12, 3, seed))) for seed in (1, 1, 2))
    assert once == twice
    assert once != other


def test_records_come_in_the_order_of_time_and_sessions_run_side_by_side():
    flows = [each for each in records(Plan(4000, 800, 400)) if isinstance(each, FlowRecord)]
    written = [flow.ended_at or flow.started_at for flow in flows]
    owners = [flow.session.id for flow in flows if flow.session]
    assert written == sorted(written)
    assert sum(one != other for one, other in itertools.pairwise(owners)) > len(set(owners))


@pytest.mark.parametrize(("flows", "jobs", "sessions"), [(10, 6, 1), (10, 2, 3), (10, 2, 0)])
def test_a_plan_that_cannot_be_is_refused(flows, jobs, sessions):
    with pytest.raises(ValueError, match="every session needs a job"):
        Plan(flows, jobs, sessions)


def test_a_file_that_is_there_is_not_touched(tmp_path):
    path = tmp_path / "hoop.duckdb"
    path.write_text("mine")
    with pytest.raises(FileExistsError):
        main([str(path)])
    assert path.read_text() == "mine"
