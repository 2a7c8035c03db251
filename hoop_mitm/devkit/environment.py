"""The environment that bqemulator runs in: its own, because its dependencies are not ours.

Made once, with uv, from hashes that are committed next to this file; kept below ``sys.prefix``, so that it goes when
the installation goes, or in the user's cache where that cannot be written. ``python -m hoop_mitm.devkit.environment``
makes it ahead of time and prints where it is.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import platformdirs

from hoop_mitm.errors import SandboxError

type Progress = Callable[[str], None]

_REQUIREMENTS = Path(__file__).with_name("bqemulator.txt")
_INSTALL_SECONDS = 900
_UNUSED_SECONDS = 7 * 86_400

# DuckDB wants its spatial extension, and would fetch it from its own server: PyPI has the same signed file.
# The import of the emulator proves that it is whole, and compiles what it needs of 600 MB and no more.
_FINISH = """
import duckdb, duckdb_extension_spatial, pathlib
extension, = pathlib.Path(duckdb_extension_spatial.__file__).parent.rglob("spatial.duckdb_extension")
connection = duckdb.connect()
connection.execute(f"INSTALL '{extension}'")
connection.execute("LOAD spatial")
import bqemulator.server
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
            with contextlib.suppress(OSError):
                os.utime(place / name)
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
    # Whoever was killed in the middle of this left its scratch behind; nobody else is here, for we hold the lock.
    for abandoned in place.glob(f".{target.name}-*"):
        shutil.rmtree(abandoned, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=place, prefix=f".{target.name}-") as scratch:
        making = Path(scratch) / "environment"
        _uv("venv", "--quiet", "--no-project", "--relocatable", "--python", sys.executable, str(making))
        python = str(python_of(making))
        _uv("pip", "install", "--quiet", "--python", python, "--require-hashes", "--requirement", str(_REQUIREMENTS))
        home_of(making).mkdir()
        _run([python, "-I", "-c", _FINISH], {**os.environ, "HOME": str(home_of(making))})
        making.rename(target)
    _remove_older(place, target)


def _remove_older(place: Path, current: Path) -> None:
    """Removes what no world has used for a while: one that runs must keep its files."""
    for other in place.glob("bqemulator-*"):
        if other != current and time.time() - other.stat().st_mtime > _UNUSED_SECONDS:
            shutil.rmtree(other, ignore_errors=True) if other.is_dir() else other.unlink(missing_ok=True)


def _fingerprint() -> str:
    digest = hashlib.sha256(_REQUIREMENTS.read_bytes())
    digest.update(_FINISH.encode())
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


if __name__ == "__main__":
    try:
        print(ensure_environment(lambda said: print(said, file=sys.stderr)))  # noqa: T201 - a program's output.
    except SandboxError as error:
        sys.exit(str(error))
