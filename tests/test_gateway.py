"""Our own entry point, as an operator starts it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


def proxy(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "hoop_mitm.cli", "proxy", *arguments],
        cwd=directory,
        env={**os.environ, "HOME": str(directory)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-s", "addon.py"], "loads no scripts"),
        (["--scripts", "addon.py"], "loads no scripts"),
        (["--set", "scripts=addon.py"], "loads no scripts"),
        (["--set", "hoop_confg=x.yaml"], "There is no option hoop_confg"),
        (["--set", "listen_port=http"], "listen_port"),
        (["--no-such-option"], "--no-such-option"),
        ([], "hoop.yaml: there is no such file"),
        (["--config", "other.yaml"], "other.yaml: there is no such file"),
        (["--config", "broken.yaml"], "line 2: unknown key `identities`"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_starts(tmp_path, arguments, said):
    (tmp_path / "addon.py").write_text("raise SystemExit('the script ran')")
    (tmp_path / "broken.yaml").write_text("version: 1\nidentities: {}\n")
    result = proxy(tmp_path, *arguments)
    assert (result.returncode, result.stdout) == (2, "")
    assert said in result.stderr
    assert "Traceback" not in result.stderr


def test_it_can_say_which_options_there_are(tmp_path):
    result = proxy(tmp_path, "--options")
    assert result.returncode == 0
    assert "hoop_config: hoop.yaml" in result.stdout
