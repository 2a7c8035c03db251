"""``hoop-mitm demo``: the story that a newcomer sees."""

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, float]:
    directory = tmp_path_factory.mktemp("demo")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run = subprocess.run(
        [sys.executable, "-m", "hoop_mitm.cli", "demo"],
        cwd=directory, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return directory, run.stdout, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_it_leaves_the_recording_and_nothing_else(told):
    directory, *_ = told
    assert [path.name for path in directory.iterdir()] == ["recordings"]
    assert (directory / "recordings" / "hoop.duckdb").is_file()


@pytest.mark.parametrize(
    "said",
    [
        "alice ? Which products sell best?",
        "orders read as Arrow",
        "BigQuery said no:",
        "Forbidden:",  # the one without a token
        "hoop-mitm sessions",
        "hoop-mitm replay @last",
        "hoop-mitm diff @last~1 @last",
        "recordings/hoop.duckdb",
        "Try next:",
    ],
)
def test_it_shows(told, said):
    assert said in told[1]


@pytest.mark.parametrize("noise", ["Warning", "Traceback", "warn(", "  failed:"])
def test_nothing_is_on_the_screen_that_a_newcomer_could_do_nothing_about(told, noise):
    assert noise not in told[1]


def test_it_takes_less_than_a_minute(told):
    # Of the processor, so that tests which run beside this one do not decide.
    assert told[2] < 60


def test_a_policy_that_is_tried_on_it_denies_exactly_what_was_planted(told, tmp_path):
    directory, *_ = told
    planted = "rules:\n- {name: people, verdict: deny, tables: [shop.customers]}\n- {name: rest, verdict: allow}\n"
    (tmp_path / "planted.yaml").write_text(planted)
    archive = directory / "recordings" / "hoop.duckdb"
    run = subprocess.run(
        [sys.executable, "-m", "hoop_mitm.cli", "policy", "test", "--policy", "planted.yaml", "--json", "--db", archive],
        cwd=tmp_path, capture_output=True, text=True, timeout=110, check=False,
    )  # fmt: skip
    assert run.returncode == 1, run.stderr
    trial = json.loads(run.stdout)
    # Of the six statements of a day three name customers, and there are two days.
    assert (trial["jobs"], trial["newly_denied"], trial["newly_allowed"], trial["newly_reviewed"]) == (12, 6, 0, 0)
    assert [(each["principal"], each["rule"]) for each in trial["changes"]] == [("alice@acme.example", "policy.people")]


@pytest.mark.exhaustive
def test_a_second_demo_adds_to_the_recording(told):
    directory, *_ = told
    subprocess.run(
        [sys.executable, "-m", "hoop_mitm.cli", "demo", "--dir", directory],
        stdout=subprocess.DEVNULL,
        timeout=500,
        check=True,
    )
    listed = subprocess.run(
        [sys.executable, "-m", "hoop_mitm.cli", "sessions", "--json"],
        cwd=directory,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert listed.count('"name": "monday"') == 2
