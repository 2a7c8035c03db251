"""scripts/bootstrap.sh finds its way on machines that have little, or the wrong thing first on PATH.

uv is a stand-in here that writes down how it was called; the interpreters are real.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TOOLS = ["cat", "cksum", "dirname", "grep", "ln", "mkdir", "rm", "sed", "sh", "tail", "tr"]
UV = """#!/bin/sh
case "$1" in
    --version) echo 'uv {version} (somewhere)' ;;
    sync) echo "$*" >called; mkdir -p .venv/bin; ln -sf "{python}" .venv/bin/python ;;
    *) exit 1 ;;
esac
"""


class Machine:
    """A machine with the tools of a POSIX system, and what is put on it."""

    def __init__(self, directory: Path) -> None:
        self.project, self.bin, self.home = directory / "a project", directory / "bin", directory / "home"
        for place in (self.project / "scripts", self.bin, self.home):
            place.mkdir(parents=True)
        for name in ("pyproject.toml", "uv.lock", ".python-version", "scripts/bootstrap.sh"):
            shutil.copy(ROOT / name, self.project / name)
        for name in TOOLS:
            (self.bin / name).symlink_to(shutil.which(name) or name)

    def has_uv(self, version: str = "0.13.0") -> None:
        self.program(self.bin / "uv", UV.format(version=version, python=sys.executable))

    def has_python(self, place: Path) -> Path:
        """The interpreter of these tests, at another place."""
        return self.program(place, f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')

    def has_old_python(self, place: Path) -> Path:
        """An interpreter that says of itself that it is 3.11, and has no pip."""
        lie = "import sys; sys.version_info = (3, 11, 7, 'final', 0); sys.modules['pip'] = sys.modules['ensurepip'] = None"
        return self.program(place, f'#!/bin/sh\nshift\nexec "{sys.executable}" -c "{lie}\n$*"\n')

    def program(self, place: Path, text: str) -> Path:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
        place.chmod(0o755)
        return place

    def bootstrap(self, **environment: str) -> subprocess.CompletedProcess[str]:
        path = os.pathsep.join([environment.pop("first_on_path", str(self.bin)), str(self.bin)])
        return subprocess.run(
            [str(self.bin / "sh"), "scripts/bootstrap.sh"],
            cwd=self.project,
            env={"PATH": path, "HOME": str(self.home), **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    @property
    def synced_with(self) -> str:
        """The interpreter that uv was told to use."""
        return (self.project / "called").read_text().partition("--python ")[2].strip()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_without_uv_and_python_it_says_what_to_install(machine: Machine) -> None:
    done = machine.bootstrap()

    assert done.returncode == 1
    assert "neither uv nor a Python" in done.stderr
    assert done.stdout == ""


def test_a_newer_python_in_pyenvs_folder_is_found_behind_an_older_shim(machine: Machine) -> None:
    machine.has_uv()
    pyenv = machine.home / "elsewhere"
    machine.has_old_python(pyenv / "shims" / "python3")
    machine.has_python(pyenv / "versions" / "3.13.0" / "bin" / "python3.13")

    done = machine.bootstrap(first_on_path=str(pyenv / "shims"))

    assert done.returncode == 0, done.stderr
    assert machine.synced_with == sys.executable


def test_a_minor_that_is_not_here_gives_way_to_a_newer_one_that_is(machine: Machine) -> None:
    machine.has_uv()
    (machine.project / ".python-version").write_text("3.14\n")
    machine.has_python(machine.home / ".pyenv" / "versions" / "3.12.1" / "bin" / "python3.12")

    assert machine.bootstrap().returncode == 0
    assert machine.synced_with == sys.executable


def test_an_old_python_alone_is_not_used_and_a_failed_download_is_explained(machine: Machine) -> None:
    machine.has_uv()
    machine.has_old_python(machine.bin / "python3")

    done = machine.bootstrap()

    assert done.returncode == 1
    assert "needs Python 3.12 or newer" in done.stderr


def test_an_old_uv_is_not_used(machine: Machine) -> None:
    machine.has_uv("0.4.2")

    assert "neither uv nor a Python" in machine.bootstrap().stderr


def test_the_second_time_nothing_is_done_and_nothing_said(machine: Machine) -> None:
    machine.has_uv()
    machine.has_python(machine.bin / "python3.12")
    assert machine.bootstrap().returncode == 0
    (machine.project / "called").unlink()

    done = machine.bootstrap()

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not (machine.project / "called").exists()


def test_a_changed_lock_is_followed(machine: Machine) -> None:
    machine.has_uv()
    machine.has_python(machine.bin / "python3.12")
    machine.bootstrap()
    (machine.project / "called").unlink()
    with (machine.project / "uv.lock").open("a") as lock:
        lock.write("\n")

    machine.bootstrap()

    assert (machine.project / "called").exists()
