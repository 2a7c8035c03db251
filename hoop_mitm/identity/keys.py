"""The gateway's own keys: what it signs session tokens with, and what it seals subject tokens with.

Each generation of keys is one file, ``signing-<time>-<kid>.pem``, an Ed25519 private key. The newest signs; all of
them verify, so a new one can be added without ending a session. The sealing key of a generation is derived from it.
Instances of one gateway share the directory's files.
"""

from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from hoop_mitm.keyfiles import KeyFiles, fingerprint

_FILES = KeyFiles(
    "signing",
    "signing key",
    "could make tokens with it; remove it (a new one is made at the next start, and clients sign in again), or "
    "`chmod 600` it if nobody has",
)


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
        return cls._of(_FILES.load_or_create(directory))

    @classmethod
    def rotate(cls, directory: Path) -> "SigningKeys":
        """Adds a new key, which signs from now on; tokens signed with the older ones stay valid.

        Raises:
            ConfigError: as for :meth:`load_or_create`.
        """
        return cls._of(_FILES.add(directory))

    @classmethod
    def _of(cls, private: tuple[Ed25519PrivateKey, ...]) -> "SigningKeys":
        return cls(tuple(SigningKey.of(key) for key in private))

    def get(self, kid: str | None) -> SigningKey | None:
        """The key by its id, or ``None``: then another gateway signed."""
        return self._keys.get(kid) if kid is not None else None
