"""The gateway's own keys: what it signs session tokens with, and what it seals subject tokens with.

Each generation of keys is one file, ``signing-<time>-<kid>.pem``, an Ed25519 private key. The newest signs; all of
them verify, so a new one can be added without ending a session. The sealing key of a generation is derived from it.
Instances of one gateway share the directory's files.
"""

import fcntl
import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from hoop_mitm.errors import ConfigError

_PATTERN = "signing-*.pem"
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


@dataclass(frozen=True, slots=True)
class SigningKey:
    """One generation. ``kid`` is a fingerprint of the public key; ``sealing`` is for AES-256-GCM."""

    kid: str
    private: Ed25519PrivateKey = field(repr=False)
    public: Ed25519PublicKey = field(repr=False)
    sealing: bytes = field(repr=False)

    @classmethod
    def of(cls, private: Ed25519PrivateKey) -> "SigningKey":
        public = private.public_key()
        # Separated from signing by HKDF's info (RFC 5869 section 3.2).
        derive = HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=b"hoop-mitm subject token sealing 1")
        fingerprint = hashlib.sha256(public.public_bytes_raw()).hexdigest()[:16]
        return cls(fingerprint, private, public, derive.derive(private.private_bytes_raw()))


class SigningKeys:
    """All generations of keys, the newest last."""

    def __init__(self, keys: tuple[SigningKey, ...]) -> None:
        if not keys:
            raise ValueError("a gateway needs at least one signing key")
        self._keys = {key.kid: key for key in keys}
        self.newest = keys[-1]

    @classmethod
    def load_or_create(cls, directory: Path) -> "SigningKeys":
        """The keys in ``directory``; the first start makes the directory (0700) and one key (0600).

        Raises:
            ConfigError: a key is damaged, or somebody else could have read or planted it.
        """
        with _locked(directory):
            if not list(directory.glob(_PATTERN)):
                _create(directory)
            return cls._load(directory)

    @classmethod
    def rotate(cls, directory: Path) -> "SigningKeys":
        """Adds a new key, which signs from now on; tokens signed with the older ones stay valid.

        Raises:
            ConfigError: as for :meth:`load_or_create`.
        """
        with _locked(directory):
            _create(directory)
            return cls._load(directory)

    @classmethod
    def _load(cls, directory: Path) -> "SigningKeys":
        return cls(tuple(SigningKey.of(_read(path)) for path in sorted(directory.glob(_PATTERN))))

    def get(self, kid: str | None) -> SigningKey | None:
        """The key by its id, or ``None``: then another gateway signed."""
        return self._keys.get(kid) if kid is not None else None


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Two gateways that start at once must end up with the same keys."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise ConfigError(f"the directory for signing keys cannot be used: {error.strerror}", file=directory) from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        status = os.fstat(handle)
        _refuse_planted(directory, status)
        if status.st_mode & _OTHERS and status.st_uid == os.geteuid():
            os.fchmod(handle, 0o700)
        yield
    finally:
        os.close(handle)


def _refuse_planted(path: Path, status: os.stat_result) -> None:
    if status.st_uid not in (os.geteuid(), 0):
        raise ConfigError("this belongs to another user, who could plant signing keys; choose another one", file=path)
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise ConfigError(
            "other users can write here, and could plant signing keys; look at what is there, then `chmod go-w` it",
            file=path,
        )


def _read(path: Path) -> Ed25519PrivateKey:
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            data = file.read(4096)
    except OSError as error:
        raise ConfigError(f"the signing key cannot be read: {error.strerror}", file=path) from None
    _refuse_planted(path, status)
    if status.st_mode & _OTHERS:
        raise ConfigError(
            "other users can read this signing key, and could make tokens with it; remove it (a new one is made at "
            "the next start, and clients sign in again), or `chmod 600` it if nobody has",
            file=path,
        )
    try:
        key = serialization.load_pem_private_key(data, password=None)
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError("this is not an Ed25519 private key; restore the file or remove it", file=path)
    return key


def _create(directory: Path) -> None:
    """Writes a new key so that a crash leaves a whole file or none."""
    private = Ed25519PrivateKey.generate()
    made = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%fZ")
    path = directory / f"signing-{made}-{SigningKey.of(private).kid}.pem"
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
        raise ConfigError(f"the signing key cannot be written: {error.strerror}", file=directory) from None
