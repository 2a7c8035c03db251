"""The keys that recordings are signed with: Ed25519, in the gateway's state directory, the newest signs."""

import base64
import binascii
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from hoop_mitm.errors import ConfigError
from hoop_mitm.keyfiles import KeyFiles, fingerprint, made_at

_FILES = KeyFiles(
    "recording",
    "recording key",
    "could sign a forged recording; rotate it with `hoop-mitm keys rotate --recording`, and `chmod 600` it",
)


@dataclass(frozen=True, slots=True)
class RecordingKey:
    """One key. ``fingerprint`` is what an auditor is given: SHA-256 of the public key, hexadecimal."""

    fingerprint: str
    public: Ed25519PublicKey = field(repr=False)
    _private: Ed25519PrivateKey = field(repr=False)

    @classmethod
    def of(cls, private: Ed25519PrivateKey) -> "RecordingKey":
        return cls(fingerprint(private.public_key()), private.public_key(), private)

    def sign(self, data: bytes) -> bytes:
        return self._private.sign(data)


class RecordingKeys:
    """All keys of a gateway, the oldest first."""

    def __init__(self, keys: tuple[RecordingKey, ...]) -> None:
        if not keys:
            raise ConfigError(
                "There is no recording key here. `hoop-mitm init` makes one, as does the gateway's start."
            )
        self.all = keys
        self.newest = keys[-1]

    @classmethod
    def load_or_create(cls, directory: Path) -> "RecordingKeys":
        """The keys in ``directory`` (0700); the first call makes one (0600).

        Raises:
            ConfigError: a key is damaged, or somebody else could have read or planted it.
        """
        return cls._of(_FILES.load_or_create(directory))

    @classmethod
    def load(cls, directory: Path) -> "RecordingKeys":
        """The keys in ``directory``.

        Raises:
            ConfigError: there is none, or as for :meth:`load_or_create`.
        """
        return cls._of(_FILES.load(directory))

    @classmethod
    def rotate(cls, directory: Path) -> "RecordingKeys":
        """Add a new key. A running gateway takes it up by itself, and says so in its chain under the old one.

        Raises:
            ConfigError: as for :meth:`load_or_create`.
        """
        return cls._of(_FILES.add(directory))

    @classmethod
    def _of(cls, private: tuple[Ed25519PrivateKey, ...]) -> "RecordingKeys":
        return cls(tuple(RecordingKey.of(key) for key in private))

    @staticmethod
    def made_at(directory: Path) -> dict[str, datetime]:
        """When the keys in ``directory`` were made, by fingerprint, the oldest first; nothing is made.

        Raises:
            ConfigError: as for :meth:`load_or_create`.
        """
        keys, paths = _FILES.load(directory), _FILES.paths(directory)
        return {RecordingKey.of(key).fingerprint: made_at(path) for key, path in zip(keys, paths, strict=True)}

    def get(self, wanted: str) -> RecordingKey | None:
        """The key with this fingerprint."""
        return next((key for key in self.all if key.fingerprint == wanted), None)


def public_key(text: str | bytes) -> Ed25519PublicKey:
    """A public key from PEM, from 64 hexadecimal digits, or from base64 of its 32 bytes.

    Raises:
        ValueError: it is none of these.
    """
    data = text.encode() if isinstance(text, str) else text
    if data.lstrip().startswith(b"-----BEGIN"):
        key = serialization.load_pem_public_key(data)
        if not isinstance(key, Ed25519PublicKey):
            raise ValueError("this is not an Ed25519 public key")
        return key
    plain = data.strip()
    for decode in (binascii.unhexlify, lambda value: base64.b64decode(value, validate=True)):
        try:
            raw = decode(plain)
        except binascii.Error:
            continue
        if len(raw) == 32:  # noqa: PLR2004 - RFC 8032 section 5.1.5
            return Ed25519PublicKey.from_public_bytes(raw)
    raise ValueError("this is no Ed25519 public key: give PEM, hexadecimal or base64")
