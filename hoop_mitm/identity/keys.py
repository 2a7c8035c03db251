"""The gateway's own keys: what it signs session tokens with, and what it seals subject tokens with.

Each generation of keys is one file, ``signing-<time>-<kid>.pem``, an Ed25519 private key. The newest signs; all of
them verify, so a new one can be added without ending a session. The sealing key of a generation is derived from it.
Instances of one gateway share the directory's files.
"""

import logging
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from hoop_mitm.errors import ConfigError
from hoop_mitm.keyfiles import KeyFiles, fingerprint, made_at

_FILES = KeyFiles(
    "signing",
    "signing key",
    "could make tokens with it; remove it (a new one is made at the next start, and clients sign in again), or "
    "`chmod 600` it if nobody has",
)

RETIRED_AFTER = timedelta(hours=25)
"""How long an older key still verifies: a session token lives for a day at most."""

_LOOK_EVERY = 0.5
_log = logging.getLogger(__name__)


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
        return cls(fingerprint(public)[:16], private, public, derive.derive(private.private_bytes_raw()))


class SigningKeys:
    """All generations of keys, the newest last.

    Those that were read from a directory are read again when it changes: another instance, or ``hoop-mitm keys
    rotate``, may have added one.
    """

    def __init__(self, keys: tuple[SigningKey, ...], directory: Path | None = None, seen: int = 0) -> None:
        if not keys:
            raise ValueError("a gateway needs at least one signing key")
        self._directory = directory
        self._generation = 0
        self._seen = seen
        self._looked_at = time.monotonic()
        self._take(keys)

    @classmethod
    def load_or_create(cls, directory: Path) -> "SigningKeys":
        """The keys in ``directory``; the first start makes the directory (0700) and one key (0600).

        Raises:
            ConfigError: a key is damaged, or somebody else could have read or planted it.
        """
        seen = _changed_at(directory)
        return cls._of(_FILES.load_or_create(directory), directory, seen)

    @classmethod
    def rotate(cls, directory: Path, *, end_sessions: bool = False) -> "SigningKeys":
        """Adds a new key, which signs from now on; tokens signed with the older ones stay valid.

        Keys go when no token can be alive that they signed; with ``end_sessions`` all older ones go at once.

        Raises:
            ConfigError: as for :meth:`load_or_create`.
        """
        _FILES.add(directory)
        now = datetime.now(UTC)
        _FILES.retire(directory, now + timedelta(seconds=1) if end_sessions else now - RETIRED_AFTER)
        seen = _changed_at(directory)
        return cls._of(_FILES.load(directory), directory, seen)

    @classmethod
    def _of(cls, private: tuple[Ed25519PrivateKey, ...], directory: Path, seen: int) -> "SigningKeys":
        return cls(tuple(SigningKey.of(key) for key in private), directory, seen)

    @property
    def newest(self) -> SigningKey:
        """The key that signs."""
        self._look()
        return self._newest

    def get(self, kid: str | None) -> SigningKey | None:
        """The key by its id, or ``None``: then another gateway signed."""
        self._look()
        return self._keys.get(kid) if kid is not None else None

    def all(self) -> tuple[SigningKey, ...]:
        """All of them, the newest last."""
        self._look()
        return tuple(self._keys.values())

    @property
    def generation(self) -> int:
        """Another number once the keys are others: whoever remembers what they verified has to ask again."""
        self._look()
        return self._generation

    def _take(self, keys: tuple[SigningKey, ...]) -> None:
        self._generation += 1
        self._keys = {key.kid: key for key in keys}
        self._newest = keys[-1]

    def _look(self) -> None:
        now = time.monotonic()
        if self._directory is None or now - self._looked_at < _LOOK_EVERY:
            return
        self._looked_at = now
        if (changed_at := _changed_at(self._directory)) == self._seen:
            return
        try:
            private = _FILES.load(self._directory)
        except ConfigError as error:
            # What is known stays: sessions must not end because somebody copies files about.
            _log.error("%s", error)
            return
        if private:
            self._take(tuple(SigningKey.of(key) for key in private))
        self._seen = changed_at


@dataclass(frozen=True, slots=True)
class Listed:
    """A key as it may be shown."""

    kid: str
    made_at: datetime


def listed(directory: Path) -> list[Listed]:
    """The keys in ``directory``, the newest last; nothing is made.

    Raises:
        ConfigError: as for :meth:`SigningKeys.load_or_create`.
    """
    keys, paths = _FILES.load(directory), _FILES.paths(directory)
    return [Listed(SigningKey.of(key).kid, made_at(path)) for key, path in zip(keys, paths, strict=True)]


def _changed_at(directory: Path | None) -> int:
    try:
        return directory.stat().st_mtime_ns if directory else 0
    except OSError:
        return 0
