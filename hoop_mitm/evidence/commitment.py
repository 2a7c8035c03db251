"""Salted commitments: a hash that proves a value to whoever has it, and tells nothing once value and salt are gone."""

import hashlib
import os

SALT = 16
_PART = b"hoop-mitm part 1\0"
_BODY = b"hoop-mitm body 1\0"


def new_salt() -> bytes:
    """16 random bytes: for one value, never used again."""
    return os.urandom(SALT)


def commit(name: str, salt: bytes, value: bytes) -> bytes:
    """The commitment (32 bytes) to a record's part called ``name``."""
    return hashlib.sha256(b"".join((_PART, name.encode(), b"\0", salt, value))).digest()


class BodyCommitment:
    """The commitment to a body that comes piece by piece, decoded and redacted as it is kept."""

    def __init__(self, salt: bytes) -> None:
        self.salt = salt
        self._hash = hashlib.sha256(_BODY + salt)

    def update(self, data: bytes) -> None:
        self._hash.update(data)

    def digest(self) -> bytes:
        """32 bytes; also the name under which the body is stored."""
        return self._hash.digest()
