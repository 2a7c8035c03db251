"""Ed25519 private keys in files: one directory of this user's own, one file a generation, the newest last.

Instances of one gateway share the directory's files.
"""

import fcntl
import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from hoop_mitm.errors import ConfigError

_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_TIME = "%Y%m%dT%H%M%S%fZ"


@dataclass(frozen=True, slots=True)
class KeyFiles:
    """The keys of one purpose.

    Attributes:
        prefix: what their files' names begin with.
        noun: what such a key is called in messages.
        harm: what could be done with a stolen one, and what removing it means, for the message to its owner.
    """

    prefix: str
    noun: str
    harm: str

    def load_or_create(self, directory: Path) -> tuple[Ed25519PrivateKey, ...]:
        """The keys in ``directory``, the newest last; the first call makes the directory (0700) and one key (0600).

        Raises:
            ConfigError: a key is damaged, or somebody else could have read or planted it.
        """
        with self._locked(directory):
            if not list(directory.glob(self._pattern)):
                self._create(directory)
            return self._load(directory)

    def load(self, directory: Path) -> tuple[Ed25519PrivateKey, ...]:
        """The keys in ``directory``, perhaps none; nothing is made.

        Raises:
            ConfigError: as for :meth:`load_or_create`.
        """
        return self._load(directory)

    def add(self, directory: Path) -> tuple[Ed25519PrivateKey, ...]:
        """Add a new key, which is the newest from now on.

        Raises:
            ConfigError: as for :meth:`load_or_create`.
        """
        with self._locked(directory):
            self._create(directory)
            return self._load(directory)

    def retire(self, directory: Path, before: datetime) -> int:
        """Removes the keys that were followed by a newer one before that time; how many.

        Raises:
            ConfigError: as for :meth:`load_or_create`; or one cannot be removed.
        """
        with self._locked(directory):
            paths = self.paths(directory)
            old = [path for path, next_one in pairwise(paths) if made_at(next_one) < before]
            for path in old:
                try:
                    path.unlink()
                except OSError as error:
                    raise ConfigError(f"the {self.noun} cannot be removed: {error.strerror}", file=path) from None
            return len(old)

    def paths(self, directory: Path) -> list[Path]:
        """The files of the keys, the newest last."""
        return sorted(directory.glob(self._pattern))

    @property
    def _pattern(self) -> str:
        return f"{self.prefix}-*.pem"

    def _load(self, directory: Path) -> tuple[Ed25519PrivateKey, ...]:
        return tuple(self._read(path) for path in self.paths(directory))

    @contextmanager
    def _locked(self, directory: Path) -> Iterator[None]:
        """Two gateways that start at once must end up with the same keys."""
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            raise ConfigError(
                f"the directory for {self.noun}s cannot be used: {error.strerror}", file=directory
            ) from None
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            status = os.fstat(handle)
            self._refuse_planted(directory, status)
            if status.st_mode & _OTHERS and status.st_uid == os.geteuid():
                os.fchmod(handle, 0o700)
            yield
        finally:
            os.close(handle)

    def _refuse_planted(self, path: Path, status: os.stat_result) -> None:
        if status.st_uid not in (os.geteuid(), 0):
            raise ConfigError(
                f"this belongs to another user, who could plant {self.noun}s; choose another one", file=path
            )
        if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise ConfigError(
                f"other users can write here, and could plant {self.noun}s; look at what is there, then `chmod go-w` it",
                file=path,
            )

    def _read(self, path: Path) -> Ed25519PrivateKey:
        try:
            with path.open("rb") as file:
                status = os.fstat(file.fileno())
                data = file.read(4096)
        except OSError as error:
            raise ConfigError(f"the {self.noun} cannot be read: {error.strerror}", file=path) from None
        self._refuse_planted(path, status)
        if status.st_mode & _OTHERS:
            raise ConfigError(f"other users can read this {self.noun}, and {self.harm}", file=path)
        try:
            key = serialization.load_pem_private_key(data, password=None)
        except (ValueError, TypeError):
            key = None
        if not isinstance(key, Ed25519PrivateKey):
            raise ConfigError("this is not an Ed25519 private key; restore the file or remove it", file=path)
        return key

    def _create(self, directory: Path) -> None:
        """Write a new key so that a crash leaves a whole file or none."""
        private = Ed25519PrivateKey.generate()
        made = datetime.now(UTC).strftime(_TIME)
        path = directory / f"{self.prefix}-{made}-{fingerprint(private.public_key())[:16]}.pem"
        temporary = path.with_suffix(".new")
        pem = private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        try:
            handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(pem)
                file.flush()
                os.fsync(handle)
            temporary.rename(path)
        except OSError as error:
            raise ConfigError(f"the {self.noun} cannot be written: {error.strerror}", file=directory) from None


def made_at(path: Path) -> datetime:
    """When a key was made, as its file's name says; of a file that somebody named otherwise, when it was written."""
    try:
        return datetime.strptime(path.stem.split("-")[1], _TIME).replace(tzinfo=UTC)
    except (IndexError, ValueError):
        return datetime.fromtimestamp(path.stat().st_mtime, UTC)


def fingerprint(public: Ed25519PublicKey) -> str:
    """SHA-256 of a public key's 32 bytes, in hexadecimal."""
    return hashlib.sha256(public.public_bytes_raw()).hexdigest()
