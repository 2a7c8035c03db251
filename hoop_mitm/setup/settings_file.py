"""One settings file of somebody else's: read as it is, written whole or not at all."""

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile

from hoop_mitm.errors import ConfigError
from hoop_mitm.setup.jsonc import JsoncError, parse

_LARGEST = 8 * 2**20


@dataclass(frozen=True, slots=True)
class SettingsFile:
    """A file and what it holds; ``data`` is ``None`` where there is none."""

    path: Path
    data: bytes | None

    @classmethod
    def read(cls, path: Path) -> "SettingsFile":
        """The file as it is.

        Raises:
            ConfigError: it is a link, too large, or cannot be read or written.
        """
        path = path.absolute()
        try:
            status = path.lstat()
        except FileNotFoundError:
            _writable(path)
            return cls(path, None)
        except OSError as error:
            raise ConfigError(f"this file cannot be read: {error.strerror}", file=path) from None
        if stat.S_ISLNK(status.st_mode):
            raise ConfigError(
                f"this is a link to {path.resolve()}. Nothing was written, since replacing it would cut the link; "
                f"to change the file that it leads to, say --file {path.resolve()}",
                file=path,
            )
        if not stat.S_ISREG(status.st_mode) or status.st_size > _LARGEST:
            raise ConfigError("this is no settings file", file=path)
        _writable(path)
        try:
            return cls(path, path.read_bytes())
        except OSError as error:
            raise ConfigError(f"this file cannot be read: {error.strerror}", file=path) from None

    @property
    def text(self) -> str:
        """Its text; an empty object where there is no file, or nothing in it.

        Raises:
            ConfigError: it is not JSON (with comments) in UTF-8.
        """
        try:
            text = (self.data or b"").decode()
            if not text.strip("\ufeff \t\r\n"):
                return "{}\n"
            parse(text)
        except UnicodeDecodeError:
            raise ConfigError("this file is not UTF-8. Nothing was written", file=self.path) from None
        except JsoncError as error:
            raise ConfigError(f"{error}. Nothing was written; mend it first", file=self.path, line=error.line) from None
        return text

    def replace(self, data: bytes | None) -> None:
        """Put ``data`` in its place in one step, with the same owner and rights; ``None`` removes the file.

        Raises:
            ConfigError: somebody has changed the file meanwhile, or it cannot be written; it is as it was.
        """
        if SettingsFile.read(self.path).data != self.data:
            raise ConfigError("this file was changed meanwhile. Nothing was written; try again", file=self.path)
        try:
            if data is None:
                self.path.unlink(missing_ok=True)
            else:
                self._write(data)
        except OSError as error:
            raise ConfigError(f"this file cannot be written: {error.strerror}", file=self.path) from None

    def _write(self, data: bytes) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile(dir=self.path.parent, prefix=f".{self.path.name}.", delete=False) as file:
            try:
                file.write(data)
                file.flush()
                if self.data is not None:
                    status = self.path.stat()
                    os.fchmod(file.fileno(), stat.S_IMODE(status.st_mode))
                    if (status.st_uid, status.st_gid) != (os.geteuid(), os.getegid()):
                        os.fchown(file.fileno(), status.st_uid, status.st_gid)
                os.fsync(file.fileno())
                Path(file.name).replace(self.path)
            except BaseException:
                Path(file.name).unlink(missing_ok=True)
                raise


def _writable(path: Path) -> None:
    """Whether the file could be replaced; a file that its owner made read-only is not, though its directory is."""
    parent = path.parent
    while not parent.exists():
        parent = parent.parent
    if (path.exists() and not os.access(path, os.W_OK)) or not os.access(parent, os.W_OK):
        raise ConfigError("this file cannot be written by you. Nothing was changed", file=path)
