import contextlib
import os
import pty
import subprocess
import sys

PROGRAM = """
from hoop_mitm.cli.progress import progress
with progress("Starting") as say:
    say("Making tea")
print("data")
"""


def test_without_a_terminal_it_says_nothing():
    run = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert (run.stdout, run.stderr) == ("data\n", "")


def test_on_a_terminal_it_says_what_happens_and_standard_output_stays_data():
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm"}
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, stderr=theirs, env=environment, check=True
    )
    os.close(theirs)
    assert run.stdout == b"data\n"
    assert "Making tea …" in everything(ours)


def everything(terminal: int) -> str:
    output = b""
    with contextlib.suppress(OSError):  # Linux's way to say that the other side of a terminal has closed
        while chunk := os.read(terminal, 65536):
            output += chunk
    os.close(terminal)
    return output.decode()
