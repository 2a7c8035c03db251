import os
import shlex
import signal
import subprocess
import sys

import pytest

from hoop_mitm import foreground
from hoop_mitm.errors import SandboxError
from tests.terminals import Terminal


def run(code: str, **environment: str) -> int:
    return foreground.run([sys.executable, "-c", code], {**os.environ, **environment}, lambda: None)


@pytest.mark.parametrize("status", [0, 1, 7, 255])
def test_the_commands_status_is_ours(status):
    assert run(f"raise SystemExit({status})") == status


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGABRT])
def test_a_command_that_a_signal_ended_is_reported_as_a_shell_would(number):
    assert run(f"import os; os.kill(os.getpid(), {int(number)})") == 128 + number


def test_the_command_gets_the_environment_and_no_other():
    assert run("import os; raise SystemExit(os.environ['A'] != 'b')", A="b") == 0


def test_the_program_is_looked_for_on_the_commands_own_path(tmp_path):
    program = tmp_path / "only-here"
    program.write_text("#!/bin/sh\nexit 5\n")
    program.chmod(0o755)
    assert foreground.run(["only-here"], {"PATH": str(tmp_path)}, lambda: None) == 5


def test_when_something_breaks_the_command_is_ended_and_the_reason_told():
    # By itself it would end long after this test is given up.
    with pytest.raises(SandboxError, match="the gateway is gone"):
        foreground.run(
            [sys.executable, "-c", "import time; time.sleep(3600)"], os.environ, lambda: "the gateway is gone"
        )


INNER = """
import os, signal, sys, time
def got(number, frame):
    os.write(1, b"got %d\\n" % number)  # the signal may come while "ready" is being flushed
    time.sleep(0.3)
    sys.exit(number)
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, got)
print("ready", flush=True)
time.sleep(600)
"""
OUTER = f"""
import os, sys
from hoop_mitm import foreground
sys.exit(foreground.run([sys.executable, "-c", {INNER!r}], os.environ, lambda: None))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_us_reaches_the_command_once(number):
    with subprocess.Popen(
        [sys.executable, "-c", OUTER], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    ) as outer:
        assert outer.stdout.readline() == "ready\n"
        outer.send_signal(number)
        assert outer.stdout.read() == f"got {int(number)}\n"
        assert outer.wait(60) == number


def test_ctrl_c_at_a_terminal_reaches_the_command_once(tmp_path):
    with Terminal([sys.executable, "-c", OUTER], cwd=tmp_path, environment=os.environ) as terminal:
        terminal.until("ready")
        terminal.type("\x03")
        assert terminal.finish().count("got 2") == 1
        assert terminal.status == signal.SIGINT


def test_ctrl_z_stops_both_and_fg_takes_both_up_again(tmp_path):
    """Under a shell with job control, as somebody would do it with an editor."""
    code = "import sys; print('rea' + 'dy', flush=True); print('got ' + input(), flush=True)"
    wrapped = f"import os, sys; from hoop_mitm import foreground; sys.exit(foreground.run([sys.executable, '-c', {code!r}], os.environ))"
    shell = ["bash", "--norc", "--noprofile", "-i"]
    with Terminal(shell, cwd=tmp_path, environment=os.environ | {"PS1": "prompt> "}) as terminal:
        terminal.until("prompt> $")
        terminal.type(f"{shlex.join([sys.executable, '-c', wrapped])}\n")
        terminal.until("ready")
        terminal.type("\x1a")
        terminal.until("(?s)ready.*prompt> $")
        terminal.type("jobs; echo still-here\n")
        terminal.until(r"(?s)echo still-here\n.*Stopped.*\nstill-here\n.*prompt> $")
        terminal.type("fg\n")
        terminal.until(r"(?s)prompt> fg\n.*import")
        terminal.type("hello\n")
        terminal.until("(?s)got hello.*prompt> $")
        terminal.type("exit\n")
        terminal.finish()
        assert terminal.status == 0


def test_what_is_ignored_stays_ignored():
    code = "import signal; raise SystemExit(signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN)"
    outer = (
        "import os, signal, sys; from hoop_mitm import foreground; signal.signal(signal.SIGHUP, signal.SIG_IGN);"
        f"sys.exit(foreground.run([sys.executable, '-c', {code!r}], os.environ))"
    )
    assert subprocess.run([sys.executable, "-c", outer], check=False).returncode == 0


@pytest.mark.parametrize(("status", "seen"), [(0, 0), (3, 3), (255, 255), (130, -2), (143, -15), (137, -9)])
def test_we_end_as_the_command_has_ended(status, seen):
    code = f"from hoop_mitm import foreground; print('out'); foreground.end_as({status})"
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (seen, "out\n")
