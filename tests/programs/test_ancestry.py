"""How processes are called, and where a chain of them begins."""

import shutil
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from hoop_mitm.programs.ancestry import LONGEST_NAME, describe, family, program, script_of
from tests.programs.machine import HOLDER, connected
from tests.waiting import until


@pytest.mark.parametrize(
    ("name", "arguments", "script"),
    [
        ("python3", ["python3", "-S", "/sdk/platform/bq/bq.py", "query", "--secret=x"], "/sdk/platform/bq/bq.py"),
        ("python3.12", ["python", "-X", "dev", "-u", "-W", "error", "report.py"], "report.py"),
        ("python3.12", ["python", "-m", "pytest", "-q"], "pytest"),
        ("python3.12", ["python", "-c", "print('secret')"], None),
        ("python3.12", ["python"], None),
        ("python3.12", ["python", "-"], None),
        ("python3.12", ["python", "-m"], None),
        ("node", ["node", "--max-old-space-size=99", "-r", "./hook.js", "/srv/dist/index.js"], "/srv/dist/index.js"),
        ("node", ["node", "-e", "secret()"], None),
        ("bash", ["bash", "deploy.sh", "secret"], "deploy.sh"),
        ("bash", ["bash", "--init-file", "/opt/cursor/shell.sh"], None),
        ("zsh", ["-zsh"], None),
        ("bash", ["bash", "-c", "echo secret"], None),
        ("bash", ["bash", "/dev/fd/63"], None),
        ("toolbox", ["toolbox", "--stdio", "secret.yaml"], None),
        ("python3", [], None),
    ],
)
def test_the_script_of_an_interpreter_is_told_and_nothing_else_of_its_arguments(name, arguments, script) -> None:
    assert script_of(name, arguments) == script


def run(path: Path, *arguments: str) -> psutil.Process:
    """A process that is there until it is killed, once it is what it was started as."""
    started = psutil.Popen([path, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def is_itself() -> bool:
        return bool(started.cmdline()) and (
            Path(started.exe()).resolve() != Path(sys.executable).resolve()
            or path.resolve() == Path(sys.executable).resolve()
        )

    until(is_itself)
    return started


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("report.py", "report"),
        ("bq.py", "bq"),
        ("server.py", "{directory}/server"),
        ("dist/index.py", "{directory}/index"),
        ("Cursor › zsh › bq.py", "Cursor ? zsh ? bq"),
        ("\x1b[31mred\n.py", "?[31mred?"),
        (f"{'long' * 40}.py", ("long" * 40)[:LONGEST_NAME]),
    ],
)
def test_a_script_is_called_by_its_name_in_plain_characters(file: str, name: str, tmp_path: Path) -> None:
    script = tmp_path / file
    script.parent.mkdir(exist_ok=True)
    script.write_text("import sys; sys.stdin.read()")
    process = run(Path(sys.executable), "-u", str(script), "--password=hunter2")
    try:
        told = describe(process)
    finally:
        process.kill()
        process.wait()
    assert told.name == name.format(directory=tmp_path.name)
    assert "hunter2" not in repr(told)


@pytest.mark.parametrize(
    ("executable", "called"),
    [("cursor", "Cursor"), ("code", "VS Code"), (".cursor-server/bin/server", "Cursor"), ("make", None)],
)
def test_a_chain_begins_with_the_editor(executable: str, called: str | None, tmp_path: Path) -> None:
    editor = tmp_path / executable
    editor.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy("/bin/bash", editor)
    # Not its last command, or the shell would become it.
    script = f'"{sys.executable}" "{HOLDER}" "$@"; true'
    with connected(command=[editor, "-c", script, "shell"]) as client:
        told = str(program(family(psutil.Process(client.pids[0]))))
        subprocess.run(["kill", str(client.pids[0])], check=True)
    if called:
        assert told == f"{called} › holder"
    else:
        assert told.endswith(" › make › holder")
        assert told.count(" › ") > 1


def test_the_mother_of_all_is_not_told() -> None:
    assert all(process.pid > 1 for process in family(psutil.Process()))
