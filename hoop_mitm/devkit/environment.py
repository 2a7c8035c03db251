"""The environment that bqemulator runs in: its own, because its dependencies are not ours.

Made once, with uv, from hashes that are committed next to this file; kept below ``sys.prefix``, so that it goes
when the installation goes, or in the user's cache where that cannot be written.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import platformdirs

from hoop_mitm.errors import SandboxError

type Progress = Callable[[str], None]

_REQUIREMENTS = Path(__file__).with_name("bqemulator.txt")
_INSTALL_SECONDS = 900

# DuckDB wants its spatial extension, and would fetch it from its own server: PyPI has the same signed file.
_INSTALL_SPATIAL = """
import duckdb, duckdb_extension_spatial, pathlib
extension, = pathlib.Path(duckdb_extension_spatial.__file__).parent.rglob("spatial.duckdb_extension")
connection = duckdb.connect()
connection.execute(f"INSTALL '{extension}'")
connection.execute("LOAD spatial")
"""


def ensure_environment(progress: Progress = lambda _: None) -> Path:
    """Returns the environment's directory, making it first if need be (a minute or so, and a network).

    Raises:
        SandboxError: if it cannot be made.
    """
    name = f"bqemulator-{_fingerprint()}"
    places = [Path(sys.prefix) / "share" / "hoop-mitm", Path(platformdirs.user_cache_dir("hoop-mitm"))]
    for place in places:
        if (place / name).is_dir():
            return place / name
    writable = [place for place in places if _writable(place)]
    if not writable:
        raise SandboxError(
            f"The local BigQuery needs a directory to install itself into, but neither {places[0]} "
            f"nor {places[1]} can be written. Make one of them writable."
        )
    place = writable[0]
    with _lock(place / f"{name}.lock"):
        if not (place / name).is_dir():
            progress("Installing the local BigQuery (once, about 600 MB)")
            _create(place, place / name)
    return place / name


def python_of(environment: Path) -> Path:
    """The environment's interpreter."""
    return environment / "bin" / "python"


def home_of(environment: Path) -> Path:
    """The directory that is ``$HOME`` for the emulator: DuckDB keeps its extensions there."""
    return environment / "home"


def _create(place: Path, target: Path) -> None:
    with tempfile.TemporaryDirectory(dir=place, prefix=f".{target.name}-") as scratch:
        making = Path(scratch) / "environment"
        _uv("venv", "--quiet", "--no-project", "--relocatable", "--python", sys.executable, str(making))
        python = str(python_of(making))
        _uv("pip", "install", "--quiet", "--python", python, "--require-hashes", "--requirement", str(_REQUIREMENTS))
        home_of(making).mkdir()
        _run([python, "-I", "-c", _INSTALL_SPATIAL], {**os.environ, "HOME": str(home_of(making))})
        _run([python, "-I", "-m", "compileall", "-q", "-j", "0", str(making / "lib")], dict(os.environ))
        making.rename(target)
    _remove_older(place, target)


def _remove_older(place: Path, current: Path) -> None:
    for other in place.glob("bqemulator-*"):
        if other.is_dir() and other != current:
            shutil.rmtree(other, ignore_errors=True)


def _fingerprint() -> str:
    digest = hashlib.sha256(_REQUIREMENTS.read_bytes())
    digest.update(_INSTALL_SPATIAL.encode())
    digest.update(f"{sys.implementation.cache_tag} {sys.platform} {os.uname().machine}".encode())
    return digest.hexdigest()[:12]


def _uv(*arguments: str) -> None:
    try:
        import uv
    except ImportError as error:
        raise SandboxError("The sandbox is not installed. Run: pip install 'hoop-mitm[sandbox]'") from error
    environment = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    # Somebody who told pip about a mirror means it for this installation too; uv does not read pip's variables.
    if not any(name in environment for name in ("UV_DEFAULT_INDEX", "UV_INDEX_URL")) and "PIP_INDEX_URL" in environment:
        environment["UV_DEFAULT_INDEX"] = environment["PIP_INDEX_URL"]
    if "SSL_CERT_FILE" not in environment and "PIP_CERT" in environment:
        environment["SSL_CERT_FILE"] = environment["PIP_CERT"]
    _run([os.fsdecode(uv.find_uv_bin()), *arguments], environment)


def _run(command: list[str], environment: dict[str, str]) -> None:
    try:
        subprocess.run(  # noqa: S603 - our own command.
            command,
            env=environment,
            check=True,
            timeout=_INSTALL_SECONDS,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
    except subprocess.CalledProcessError as error:
        raise SandboxError(
            "The local BigQuery could not be installed. Is a package index reachable?\n" + error.stdout.strip()[-2000:]
        ) from error
    except subprocess.TimeoutExpired as error:
        raise SandboxError(
            f"Installing the local BigQuery took longer than {_INSTALL_SECONDS // 60} minutes. Try again."
        ) from error


def _writable(place: Path) -> bool:
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(place, os.W_OK)


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
