"""The program that gives libraries a token, as these run it: in any directory, with hardly any environment."""

import json
import os
import subprocess
import time
from pathlib import Path

import pytest

from hoop_mitm.client import write_credentials
from hoop_mitm.client.credentials_file import Executable
from hoop_mitm.client.token_program import write_token_program
from tests.gateways import RunningGateway
from tests.laptops import Laptop


@pytest.fixture
def laptop(tmp_path: Path, gateway: RunningGateway) -> Laptop:
    made = Laptop(tmp_path / "home", gateway)
    made.sign_in()
    return made


def run(program: Executable, laptop: Laptop, cwd: Path, **environment: str) -> dict[str, object]:
    done = subprocess.run(
        [program.command], env={"HOME": str(laptop.home), "PATH": "/usr/bin:/bin", **environment}, cwd=cwd,
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, ""), "whatever it says there, libraries take for the answer"
    return json.loads(done.stdout)


def test_it_gives_a_token_wherever_it_is_started(laptop: Laptop, tmp_path: Path) -> None:
    program = write_token_program(tmp_path / "a folder" / "token", laptop.client_file)
    said = run(program, laptop, Path("/"))
    assert said["success"] is True
    assert str(said["id_token"]).count(".") == 2
    assert program.command.stat().st_mode & 0o777 == 0o700


def test_a_project_cannot_put_code_of_its_own_in_its_place(laptop: Laptop, tmp_path: Path) -> None:
    program = write_token_program(tmp_path / "token", laptop.client_file)
    trap = tmp_path / "project"
    (trap / "hoop_mitm").mkdir(parents=True)
    for name in ("hoop_mitm/__init__.py", "click.py", "json.py", "sitecustomize.py"):
        (trap / name).write_text("import os; open(os.environ['HOME'] + '/caught', 'w')\n")
    said = run(program, laptop, trap, PYTHONPATH=str(trap), PYTHONSTARTUP=str(trap / "click.py"), PYTHONHOME=str(trap))
    assert said["success"] is True
    assert not (laptop.home / "caught").exists()


def test_without_a_login_it_says_so_as_libraries_want_to_hear_it(laptop: Laptop, tmp_path: Path) -> None:
    (next(laptop.state.glob("login-*.json"))).unlink()
    said = run(write_token_program(tmp_path / "token", laptop.client_file), laptop, tmp_path)
    assert said["success"] is False
    assert "hoop-mitm login" in str(said["message"])


def test_using_it_keeps_its_session_alive(laptop: Laptop, tmp_path: Path) -> None:
    directory = tmp_path / "session"
    program = write_token_program(directory / "token", laptop.client_file)
    os.utime(directory, (0, 0))
    began = time.time()
    run(program, laptop, tmp_path)
    assert directory.stat().st_mtime > began - 1  # The kernel's clock for files goes in steps.


@pytest.mark.parametrize("proxy", ["http://proxy.corp:3128", "http://user:it's$HOME\"}@proxy.corp:3128"])
def test_a_companys_proxy_is_handed_on_to_the_renewal_as_it_is(tmp_path: Path, proxy: str) -> None:
    program = write_token_program(tmp_path / "token", tmp_path / "client.yaml", proxy)
    script = program.command.read_text().replace("exec ", 'printf %s "$HOOP_CHAINED_PROXY"; exit; exec ')
    done = subprocess.run(
        ["sh", "-c", script], env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=True
    )
    assert done.stdout == proxy


@pytest.mark.parametrize(("name", "command"), [("plain", "{}"), ("with space", '"{}"')])
def test_a_path_with_a_space_is_quoted_for_those_who_know_quotes(tmp_path: Path, name: str, command: str) -> None:
    path = tmp_path / name / "token"
    file = write_credentials(tmp_path / "credentials.json", "//audience", Executable(path))
    source = json.loads(file.read_text())["credential_source"]["executable"]
    assert source["command"] == command.format(path)
    assert file.stat().st_mode & 0o777 == 0o600
