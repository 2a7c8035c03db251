import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from hoop_mitm import __version__, errors
from hoop_mitm.cli import COMMANDS, load, main

HEAVY = ("duckdb", "pyarrow", "google", "grpc", "sqlglot", "mitmproxy", "pydantic", "cryptography", "rich", "requests")

ALL = [(name, *entry) for section in COMMANDS.values() for name, entry in section.items()]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "hoop_mitm.cli", *arguments], capture_output=True, text=True, timeout=110, check=False
    )


def test_help_shows_every_command_and_examples():
    help_text = CliRunner().invoke(main, ["--help"]).output
    assert all(f"  {name} " in help_text for name, *_ in ALL)
    assert "Examples:" in help_text


@pytest.mark.parametrize(("name", "target", "summary"), ALL)
def test_the_list_says_of_a_command_what_it_says_of_itself(name, target, summary):
    command = load(target)
    assert command.name == name
    assert command.help
    assert " ".join(command.help.split()).startswith(summary)


@pytest.mark.parametrize("name", [name for name, *_ in ALL])
def test_every_command_has_examples(name):
    result = CliRunner().invoke(main, [name, "--help"])
    assert result.exit_code == 0
    assert "Examples:" in result.output


def test_help_imports_nothing_heavy():
    script = f"import sys; from hoop_mitm.cli import main; main(['--help'], standalone_mode=False); print([m for m in {HEAVY} if m in sys.modules])"
    output = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert output.splitlines()[-1] == "[]"


def test_help_starts_quickly_because_it_imports_next_to_nothing():
    told = "import atexit, sys; atexit.register(lambda: print(*{name.partition('.')[0] for name in sys.modules}))"
    code = f"{told}; sys.argv = ['hoop-mitm', '--help']; from hoop_mitm.cli import main; main()"
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, check=True, text=True)
    imported = set(done.stdout.splitlines()[-1].split())
    assert imported - sys.stdlib_module_names - {"__main__", "_virtualenv"} <= {"click", "hoop_mitm"}


def test_the_version_is_the_packages():
    assert run("--version").stdout == f"hoop-mitm {__version__}\n"


@pytest.mark.parametrize(("typo", "hint"), [("snadbox", "Did you mean sandbox?"), ("xyzzy", "hoop-mitm --help")])
def test_an_unknown_command_gets_a_hint(typo, hint):
    result = run(typo)
    assert (result.returncode, result.stdout) == (2, "")
    assert hint in result.stderr


@pytest.mark.parametrize(
    ("error", "exit_code"),
    [
        (errors.ConfigError("no such key", line=3), 2),
        (errors.Denied("rule", "no"), 1),
        (errors.ArchiveError("no file"), 3),
        (errors.SandboxError("no world"), 3),
    ],
)
def test_an_error_of_ours_is_plain_words_on_stderr_and_its_exit_code(monkeypatch, error, exit_code):
    @click.command()
    def failing() -> None:
        raise error

    monkeypatch.setitem(sys.modules, "failing", type(sys)("failing"))
    sys.modules["failing"].failing = failing
    monkeypatch.setattr("hoop_mitm.cli.COMMANDS", {"Broken": {"failing": ("failing:failing", "Fails.")}})
    result = CliRunner().invoke(main, ["failing"])
    assert (result.stdout, result.stderr) == ("", f"hoop-mitm: {error}\n")
    assert result.exit_code == exit_code
