"""Every value arrives as it was meant, by having each shell itself take it."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hoop_mitm.client.shells import WRITERS

NASTY = {
    "PLAIN": "http://127.0.0.1:8080",
    "SPACES": "/home/you and me/a  b",
    "SINGLE": "it's; $(touch /nowhere) `x` ${HOME} $HOME",
    "DOUBLE": 'say "no" \\" \\',
    "BACKSLASH": "C:\\Users\\you\\'\\\\'",
    "GLOB": "* ? [a] ~ {a,b} !history #comment",
    "TYPOGRAPHIC": "\u2018\u2019\u201a\u201b\u201c",
    "EMPTY": "",
    "EQUALS": "a=b=c%20&d|e>f<g",
}
PRINT = "import json, os; print(json.dumps({k: v for k, v in os.environ.items() if k in %r or k == 'GONE'}))"

# A value can have neither NUL (no environment can) nor what is half a character.
values = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30)


def evaluated(shell: str, program: list[str], variables: dict[str, str], tmp_path: Path) -> dict[str, str]:
    text = WRITERS[shell](variables, ["GONE"])
    (tmp_path / "print.py").write_text(PRINT % sorted(variables))
    script = tmp_path / "script"
    script.write_text(f"{text}\n{shutil.which('python3')} {tmp_path / 'print.py'}\n")
    done = subprocess.run(
        [*program, script], env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "GONE": "still here"},
        capture_output=True, text=True, check=False, timeout=100,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return json.loads(done.stdout)


SHELLS = [
    ("sh", ["sh"]),
    ("sh", ["dash"]),
    ("sh", ["bash"]),
    ("sh", ["zsh"]),
    ("fish", ["fish", "--no-config"]),
    ("powershell", ["pwsh", "-NoProfile", "-File"]),
]


@pytest.mark.parametrize(("shell", "program"), SHELLS, ids=lambda value: value[0] if isinstance(value, list) else value)
def test_a_shell_takes_every_value_as_it_is(shell: str, program: list[str], tmp_path: Path) -> None:
    if not shutil.which(program[0]):
        pytest.skip(f"{program[0]} is not on this machine")
    assert evaluated(shell, program, NASTY, tmp_path) == NASTY


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(values, min_size=8, max_size=8))
def test_whatever_the_value_sh_gives_it_back(tmp_path: Path, some: list[str]) -> None:
    variables = {f"V{number}": value for number, value in enumerate(some)}
    assert evaluated("sh", ["sh"], variables, tmp_path) == variables


EVERYWHERE = {name: NASTY[name] for name in ("PLAIN", "SPACES", "GLOB", "TYPOGRAPHIC", "EMPTY", "EQUALS")} | {
    "QUOTE": "it's",
    "DOLLAR": '$HOME ${HOME} `x` "',
    "WINDOWS": "C:\\Users\\new",
}


def test_a_dotenv_file_is_read_by_node_as_it_is_meant(tmp_path: Path) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not on this machine")
    (tmp_path / ".env").write_text(WRITERS["dotenv"](EVERYWHERE, ["GONE"]))
    code = (
        f"console.log(JSON.stringify(Object.fromEntries({json.dumps(list(EVERYWHERE))}.map(n => [n, process.env[n]]))))"
    )
    command = [node, f"--env-file={tmp_path / '.env'}", "-e", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={"PATH": "/usr/bin:/bin"})
    if "bad option" in done.stderr:
        pytest.skip("this Node.js reads no .env files")
    assert json.loads(done.stdout) == EVERYWHERE


@pytest.mark.parametrize("value", ["two\nlines", "a\rb", "it's $5", "it's a\\b", "ends\\"])
def test_what_no_dotenv_reader_agrees_on_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="cannot hold"):
        WRITERS["dotenv"]({"A": value}, [])


def test_json_says_null_for_what_must_not_be_set() -> None:
    assert json.loads(WRITERS["json"]({"A": "b"}, ["GONE"])) == {"GONE": None, "A": "b"}
