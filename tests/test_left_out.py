"""A test that CI leaves out is a failure there, and nowhere else."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TESTS = """
import pytest

@pytest.fixture
def disk():
    pytest.skip("a disk that can be filled needs root")

def test_fixture(disk): ...

@pytest.mark.skipif(True, reason="only root may become another user")
def test_mark(): ...

def test_shell():
    pytest.skip("pwsh is not on this machine")

@pytest.mark.xfail(reason="known")
def test_known():
    raise AssertionError

def test_runs(): ...
"""


@pytest.mark.parametrize(
    ("ci", "ended"),
    [("true", {"1 passed", "1 skipped", "1 xfailed", "2 errors"}), ("", {"1 passed", "3 skipped", "1 xfailed"})],
)
def test_what_is_left_out_fails_in_ci_but_for_shells(tmp_path, ci, ended):
    (tmp_path / "test_some.py").write_text(TESTS)
    command = [sys.executable, "-m", "pytest", "-p", "tests.left_out", "-p", "no:cacheprovider", "-q", "-rs"]
    environment = {**os.environ, "CI": ci, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [*command, "test_some.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert ended <= set(re.findall(r"\d+ \w+", done.stdout.splitlines()[-1])), done.stdout + done.stderr
    assert done.returncode == (1 if ci else 0)
    if ci:
        assert "In CI this must not be left out: a disk that can be filled needs root" in done.stdout
        assert "In CI this must not be left out: only root may become another user" in done.stdout
