"""Where signed heads go, so that they lie elsewhere than the recording: a file, a command, an HTTPS endpoint."""

import contextlib
import hashlib
import os
import subprocess
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

if TYPE_CHECKING:
    # Not needed to run, and slow to import.
    import requests

    from hoop_mitm.config.model import Sink as SinkConfig
    from hoop_mitm.config.model import Upstream

    type MakeSession = Callable[[Path | None], requests.Session]

_TIMEOUT = 30.0


class SinkError(Exception):
    """A line was not taken; the message says why, without a secret."""


class Sink(Protocol):
    """Takes one line at a time. ``name`` tells sinks apart, also after a restart; it holds no secret."""

    name: str

    def send(self, line: str) -> None:
        """Return when the line is kept there. Raises :class:`SinkError` when it may not be."""


class FileSink:
    """Appends to a file.

    A line that is torn (the disk was full, the power went) stays, ends where it was torn, and is written again, whole.
    """

    def __init__(self, path: Path) -> None:
        self.name = f"file {path}"
        self._path = path

    def send(self, line: str) -> None:
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                # In one write, so that what several gateways append does not mix.
                data = f"{'\n' if self._is_torn() else ''}{line}\n".encode()
                if os.write(descriptor, data) != len(data):
                    raise SinkError(f"{self._path} has no room for a whole line")
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise SinkError(f"{self._path} cannot be written: {error.strerror}") from error

    def _is_torn(self) -> bool:
        # Where we may append and not read, nobody knows.
        with contextlib.suppress(OSError), self._path.open("rb") as file:
            return file.seek(0, os.SEEK_END) > 0 and os.pread(file.fileno(), 1, file.tell() - 1) != b"\n"
        return False


class CommandSink:
    """Starts a command for each line, with the line on its standard input."""

    def __init__(self, command: tuple[str, ...]) -> None:
        # What stands behind the program's name may be a secret; told apart they must be all the same.
        self.name = f"command {command[0]} #{_short(*command)}"
        self._command = command

    def send(self, line: str) -> None:
        try:
            done = subprocess.run(  # noqa: S603 - the owner's own command
                self._command, input=f"{line}\n".encode(), stdout=subprocess.DEVNULL, timeout=_TIMEOUT, check=False
            )
        except OSError as error:
            raise SinkError(f"{self._command[0]} cannot be started: {error.strerror}") from error
        except subprocess.TimeoutExpired as error:
            raise SinkError(f"{self._command[0]} did not end within {_TIMEOUT:.0f} s") from error
        if done.returncode != 0:
            raise SinkError(f"{self._command[0]} ended with status {done.returncode}")


class HttpsSink:
    """Posts each line."""

    def __init__(self, url: str, headers_file: Path | None, ca: Path | None, make_session: "MakeSession") -> None:
        self.name = f"https {url.partition('?')[0]} #{_short(url)}"
        self._url = url
        self._headers_file = headers_file
        self._ca = ca
        self._make_session = make_session
        self._session: requests.Session | None = None

    def send(self, line: str) -> None:
        self.post(f"{line}\n".encode(), {})

    def post(self, body: bytes, headers: Mapping[str, str]) -> None:
        """Posts JSON with further headers. Raises :class:`SinkError` unless it was taken."""
        import requests

        headers = {"content-type": "application/json", **headers, **self._headers()}
        if self._session is None:
            self._session = self._make_session(self._ca)
        try:
            with self._session.post(
                self._url, data=body, headers=headers, allow_redirects=False, stream=True
            ) as answer:
                status = answer.status_code
        except (requests.RequestException, OSError) as error:
            # The error's own text may quote the URL, and with it a secret.
            raise SinkError(f"{_host(self._url)} cannot be reached: {type(error).__name__}") from None
        if not 200 <= status < 300:  # noqa: PLR2004 - RFC 9110 section 15.3
            raise SinkError(f"{_host(self._url)} answered {status}")

    def _headers(self) -> dict[str, str]:
        """The further headers, as the file has them now: what is in it may be rotated."""
        if self._headers_file is None:
            return {}
        try:
            lines = self._headers_file.read_text().splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise SinkError(f"{self._headers_file} cannot be read: {type(error).__name__}") from error
        pairs = [line.partition(":") for line in lines if line.strip()]
        if any(not (name.strip() and colon) for name, colon, _ in pairs):
            raise SinkError(f"{self._headers_file} must hold lines such as `Authorization: Bearer …`")
        return {name.strip(): value.strip() for name, _, value in pairs}


def _short(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:8]


def _host(url: str) -> str:
    return urlsplit(url).netloc


def sink(config: "SinkConfig", make_session: "MakeSession") -> Sink:
    """The sink that a configuration means."""
    match config.type:
        case "file":
            return FileSink(config.path)
        case "command":
            return CommandSink(config.command)
        case "https":
            return HttpsSink(config.url, config.headers_file, config.ca, make_session)


def sinks(configs: "Iterable[SinkConfig]", upstream: "Upstream | None") -> list[Sink]:
    """The sinks of a configuration; ``upstream`` says how the outside is reached."""

    def session(ca: Path | None) -> "requests.Session":
        # Slow to import, and rarely needed.
        from hoop_mitm.config.model import Upstream
        from hoop_mitm.outbound import session

        return session(upstream or Upstream(), ca=ca)

    return [sink(each, session) for each in configs]
