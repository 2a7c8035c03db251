"""Our own entry point, as an operator starts it."""

import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from mitmproxy.addons import termlog

from hoop_mitm.devkit.gateway_process import free_port
from hoop_mitm.devkit.google import ServiceAccount
from hoop_mitm.gateway import LogHandler


def proxy(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "hoop_mitm.cli", "proxy", *arguments],
        cwd=directory,
        env={**os.environ, "HOME": str(directory)},
        capture_output=True,
        text=True,
        timeout=100,
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


CONFIG = """
identity: {issuers: [{issuer: "https://login.acme.example", audiences: [hoop-mitm]}]}
connections: [{name: acme, projects: [acme], credential: {type: service_account, key_file: key.json}}]
gateway: {listen: "127.0.0.1:%d"}
"""


@pytest.fixture(autouse=True)
def key(tmp_path: Path) -> None:
    """A service account's key, as CONFIG names it."""
    ServiceAccount.create("gateway", "acme").write_key_file(tmp_path / "key.json", "acme")


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as other:
        yield other.getsockname()[1]


def test_a_port_that_is_taken_is_named_with_its_own_exit_code(tmp_path, taken):
    (tmp_path / "hoop.yaml").write_text(CONFIG % taken)
    result = proxy(tmp_path, "--set", "termlog_verbosity=error")
    assert (result.returncode, result.stdout) == (3, "")
    assert str(taken) in result.stderr
    assert "gateway.listen" in result.stderr
    assert "Traceback" not in result.stderr


def test_mitmproxys_own_configuration_is_not_read(tmp_path, taken):
    (tmp_path / "hoop.yaml").write_text(CONFIG % taken)
    for place in (".mitmproxy", "certs"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "config.yaml").write_text(f"scripts: [{tmp_path}/addon.py]\nssl_insecure: true\n")
    (tmp_path / "addon.py").write_text("raise SystemExit('the script ran')")
    result = proxy(tmp_path)
    # Refused options would have ended it before it tried to listen.
    assert result.returncode == 3
    assert "the script ran" not in result.stderr


def test_it_logs_to_stderr_only_and_ends_when_it_is_told_to(tmp_path):
    (tmp_path / "hoop.yaml").write_text(CONFIG % free_port())
    command = [sys.executable, "-m", "hoop_mitm.cli", "proxy"]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as gateway:  # fmt: skip
        said = ""
        while "listening" not in said:
            line = gateway.stderr.readline()
            assert line, said
            said += line
        gateway.send_signal(signal.SIGTERM)
        out, _ = gateway.communicate(timeout=100)
    assert (gateway.returncode, out) == (0, "")
    assert "A recorder, not a boundary" in said


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a device that is always full")
def test_a_log_on_a_full_disk_ends_nothing() -> None:
    """mitmproxy's own handler exits, and takes the program with it."""
    line = logging.LogRecord("hoop", logging.WARNING, "", 0, "said to nobody", None, None)
    # Unbuffered, as standard error is when it is a file.
    with contextlib.suppress(OSError), Path("/dev/full").open("w", buffering=1) as full:
        with pytest.raises(SystemExit):
            termlog.TermLogHandler(full).emit(line)
        LogHandler(full).emit(line)
        survived = True
    assert survived
