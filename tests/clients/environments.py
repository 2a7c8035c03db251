"""Where the clients that the tests drive come from: environments of their own, made on demand from lock files.

They lie below ``.cache/clients``, named after what is in their lock file, so that a changed lock makes a new one.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import uv

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
CACHE = ROOT / ".cache" / "clients"
UV = uv.find_uv_bin()


class NotHere(Exception):
    """A client that this machine cannot run, with the reason that a skipped test prints."""


def bq() -> Path:
    """Google's `bq`, as this machine has it."""
    return _program("bq", "it comes with the Google Cloud CLI, which no package registry carries")


def node() -> Path:
    return _program("node", "install Node.js 18 or newer, with npm")


def node_modules() -> Path:
    """`@google-cloud/bigquery` and Google's MCP Toolbox, as node/package-lock.json has them."""
    npm = _program("npm", "install Node.js 18 or newer, with npm")
    node()

    def make(target: Path) -> None:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(HERE / "node" / name, target)
        _run(npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline", cwd=target)

    return _made("node", HERE / "node" / "package-lock.json", make) / "node_modules"


def toolbox() -> Path:
    """Google's MCP Toolbox, a Go program that npm carries for some platforms."""
    program = node_modules() / ".bin" / "toolbox"
    if not list((node_modules() / "@toolbox-sdk").glob("server-*/bin/toolbox")):
        raise NotHere("@toolbox-sdk/server has no build for this platform")
    return program


def mcp_server_bigquery() -> Path:
    """`mcp-server-bigquery` from PyPI."""
    return _environment("mcp-server-bigquery", "3.13") / "mcp-server-bigquery"


def jupyter() -> Path:
    """`jupyter`, with a kernel, the runner nbclient and google-cloud-bigquery."""
    return _environment("jupyter", "3.12") / "jupyter"


def dbt() -> Path:
    """`dbt` with dbt-bigquery."""
    return _environment("dbt", "3.12") / "dbt"


def _environment(name: str, minor: str) -> Path:
    """The folder of programs of a Python environment of its own, since its dependencies are not ours."""
    lock = HERE / f"{name}.txt"
    python = _python(minor, f"{name} wants it")

    def make(target: Path) -> None:
        made = target / "venv"
        _run(UV, "venv", "--quiet", "--no-project", "--relocatable", "--python", python, made)
        install = ["pip", "sync", "--quiet", "--require-hashes", "--only-binary", ":all:"]
        _run(UV, *install, "--python", made / "bin/python", lock)

    return _made(name, lock, make) / "venv" / "bin"


def _made(name: str, lock: Path, make: Callable[[Path], None]) -> Path:
    target = CACHE / f"{name}-{hashlib.sha256(lock.read_bytes()).hexdigest()[:12]}"
    CACHE.mkdir(parents=True, exist_ok=True)
    with _alone(target.with_suffix(".lock")):  # test workers ask at the same time
        if not target.is_dir():
            with tempfile.TemporaryDirectory(dir=CACHE, prefix=f".{name}-") as scratch:
                making = Path(scratch) / "made"
                making.mkdir()
                make(making)
                making.rename(target)
    return target


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _program(name: str, otherwise: str) -> Path:
    if found := shutil.which(name):
        return Path(found)
    raise NotHere(f"{name} is not on PATH: {otherwise}")


def _python(minor: str, otherwise: str) -> str:
    """An interpreter of at least that minor: one that uv finds, or one in pyenv's folder that no shim stands for."""
    roots = {os.environ.get("PYENV_ROOT"), str(Path.home() / ".pyenv"), *_shim_roots()} - {None}
    newer = [f"3.{number}" for number in range(int(minor.partition(".")[2]), 20)]
    for root in map(Path, sorted(filter(None, roots))):
        for version in newer:
            for found in sorted(root.glob(f"versions/{version}.*/bin/python{version}")):
                return str(found)
    search = [UV, "python", "find", "--no-project", "--no-python-downloads", f">={minor}"]
    found = subprocess.run(search, capture_output=True, text=True, check=False)
    if found.returncode == 0:
        return found.stdout.strip()
    raise NotHere(f"no Python {minor} or newer on this machine: {otherwise}")


def _shim_roots() -> Iterator[str]:
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        if Path(folder).name == "shims":
            yield str(Path(folder).parent)


def _run(*command: str | Path, cwd: Path | None = None) -> None:
    done = subprocess.run(list(map(str, command)), cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))} failed:\n{done.stdout}{done.stderr}")
