import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PROGRAM = """
import sys, time
def run(arguments):
    print("up", *arguments, flush=True)
    if arguments == ["status"]:
        return 7
    time.sleep(600)
"""


@pytest.fixture
def leashed(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    yield from start(tmp_path, "a", "b")


@pytest.fixture
def ending(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    yield from start(tmp_path, "status")


def start(directory: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    (directory / "leashed_program.py").write_text(PROGRAM)
    command = [sys.executable, "-m", "hoop_mitm.devkit.leash", "leashed_program:run", *arguments]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={"PYTHONPATH": str(directory)}
    ) as process:
        yield process
        process.kill()


def test_it_runs_the_program_with_its_arguments(leashed):
    assert leashed.stdout.readline() == "up a b\n"


def test_its_status_is_the_programs(ending):
    assert ending.wait(60) == 7


def test_the_program_ends_when_its_parent_lets_go(leashed):
    assert leashed.stdout.readline() == "up a b\n"
    leashed.stdin.close()
    assert leashed.wait(60) == -signal.SIGTERM
