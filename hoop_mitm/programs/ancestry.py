"""A process and its parents, as a person calls them: ``Cursor › zsh › bq``."""

import re
from collections.abc import Sequence
from pathlib import PurePath

import psutil

from hoop_mitm.identity.program import Process, Program

MOST = 16
"""Generations. Nobody reads more."""

LONGEST_NAME = 64
LONGEST_PATH = 1024

EDITORS = {
    "cursor": "Cursor",
    "code": "VS Code",
    "code-insiders": "VS Code",
    "codium": "VSCodium",
    "windsurf": "Windsurf",
    "zed": "Zed",
    "zed-editor": "Zed",
    "claude": "Claude",
    "idea": "IntelliJ IDEA",
    "pycharm": "PyCharm",
    "datagrip": "DataGrip",
    "dataspell": "DataSpell",
    "jupyter-lab": "JupyterLab",
    "jupyter-notebook": "Jupyter",
}
"""Where a chain begins, when one of them is in it: what is above an editor is the desktop."""

EDITORS_ELSEWHERE = {".cursor-server": "Cursor", ".vscode-server": "VS Code", ".windsurf-server": "Windsurf"}
"""Directories that an editor puts its own programs into on a machine that it reaches through SSH."""

ROOTS = frozenset({"systemd", "init", "launchd"})
"""They start what nobody in particular started."""

SHELL = re.compile(r"-?(?:ba|da|z|k|fi)?sh")
INTERPRETER = re.compile(r"(?:python|pypy|node|nodejs|deno|bun|ruby|perl)[0-9.]*(?:\.exe)?", re.IGNORECASE)
WITH_VALUE = frozenset({"-X", "-W", "-r", "--require", "--import", "--loader", "-I"})
"""Options of interpreters whose value is an argument of its own."""

NO_SCRIPT = frozenset({"-c", "-e", "-p", "--eval", "--print", "-"})
SCRIPTS = frozenset({".py", ".js", ".mjs", ".cjs", ".ts", ".rb", ".pl"})

NAMELESS = frozenset({"__main__", "main", "index", "cli", "app", "server", "run", "start", "launch"})
"""Names of scripts that say nothing; then their directory does."""

DIRECTORIES = frozenset({"dist", "build", "lib", "bin", "src", "out"})


def family(process: psutil.Process) -> list[psutil.Process]:
    """A process after its parents, oldest first, as far as they may be known.

    Raises:
        psutil.Error: it is gone.
    """
    found = [process]
    while len(found) < MOST and (parent := found[-1].parent()) is not None and parent.pid > 1:
        found.append(parent)
    return found[::-1]


def program(processes: Sequence[psutil.Process]) -> Program:
    """How these processes are told: from the outermost editor on, if there is one.

    Raises:
        psutil.Error: one of them is gone.
    """
    told = [describe(process) for process in processes]
    editors = [place for place, each in enumerate(told) if each.name in EDITORS.values()]
    roots = [place + 1 for place, each in enumerate(told[:-1]) if each.name in ROOTS]
    return Program(tuple(told[min(editors, default=max(roots, default=0)) :]))


def describe(process: psutil.Process) -> Process:
    """What is known of one process. Of its arguments nothing is kept but the script that it runs: they may be secret.

    Raises:
        psutil.Error: it is gone.
    """
    with process.oneshot():
        name = process.name()
        try:
            path = process.exe()
        except psutil.AccessDenied:
            path = ""
        try:
            arguments = process.cmdline()
        except psutil.AccessDenied:
            arguments = []
    found = script_of(name, arguments)
    return Process(
        pid=process.pid,
        name=_plain(_editor(name, path, found) or (_called(found) if found else name.removeprefix("-")), LONGEST_NAME),
        path=_plain(path, LONGEST_PATH),
        script=_plain(found, LONGEST_PATH) if found else None,
    )


def script_of(name: str, arguments: Sequence[str]) -> str | None:
    """The script (or Python module) that an interpreter runs; ``None`` for what is no interpreter, or runs none."""
    if SHELL.fullmatch(name):
        # Options of shells differ too much to look past them; and a descriptor's number is no name.
        first = arguments[1] if len(arguments) > 1 else ""
        return first if first and first[0] not in "-+" and not first.startswith(("/dev/", "/proc/")) else None
    if not INTERPRETER.fullmatch(name):
        return None
    rest = iter(arguments[1:])
    for argument in rest:
        if argument in NO_SCRIPT:
            return None
        if argument == "-m":
            return next(rest, None)
        if argument in WITH_VALUE:
            next(rest, None)
        elif not argument.startswith("-"):
            return argument
    return None


def _editor(name: str, path: str, script: str | None) -> str | None:
    # Electron's helpers: "Cursor Helper (Plugin)".
    if known := EDITORS.get(name.partition(" Helper")[0].lower()):
        return known
    parts = {*PurePath(path).parts, *PurePath(script or "").parts}
    return next((known for mark, known in EDITORS_ELSEWHERE.items() if mark in parts), None)


def _called(script: str) -> str:
    path = PurePath(script)
    name = path.stem if path.suffix in SCRIPTS else path.name
    if name not in NAMELESS:
        return name
    above = next((part for part in path.parts[-2::-1] if part not in DIRECTORIES and part != "/"), None)
    return f"{above}/{name}" if above else name


def _plain(text: str, most: int) -> str:
    """A process names itself: nothing that moves a terminal's cursor, and nothing that looks like another process."""
    return "".join(character if character.isprintable() and character != "›" else "?" for character in text[:most])
