"""A checkpoint: the signed head of a chain. As one line of JSON it is also what is kept elsewhere."""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from hoop_mitm.evidence.canonical import canonical
from hoop_mitm.evidence.keys import RecordingKey

_SIGNED = b"hoop-mitm checkpoint 1\0"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What was signed, and by which key.

    Attributes:
        chain: the chain's name.
        number: 1, 2, 3 … within the chain.
        seq: the last record that it covers.
        head: that record's link.
        previous: digest of the checkpoint before it; empty for the first.
        at: when it was signed, by the gateway's clock, in whole microseconds UTC.
        reason: ``start``, ``minute``, ``records``, ``close``, ``rotation``, ``kept`` (archive's own work).
        key: fingerprint of the key (SHA-256, hexadecimal).
        signature: Ed25519, 64 bytes, over all of the above.
    """

    chain: str
    number: int
    seq: int
    head: bytes
    previous: bytes
    at: datetime
    reason: str
    key: str
    signature: bytes

    @classmethod
    def sign(
        cls,
        key: RecordingKey,
        *,
        chain: str,
        number: int,
        seq: int,
        head: bytes,
        previous: bytes,
        at: datetime,
        reason: str,
    ) -> "Checkpoint":
        unsigned = cls(chain, number, seq, head, previous, at.astimezone(UTC), reason, key.fingerprint, b"")
        return cls(
            chain, number, seq, head, previous, unsigned.at, reason, key.fingerprint, key.sign(unsigned.statement)
        )

    @property
    def statement(self) -> bytes:
        """The bytes that are signed."""
        fields = self.as_json()
        del fields["signature"]
        return _SIGNED + canonical(fields)

    @property
    def digest(self) -> bytes:
        """What the next checkpoint names as the one before it."""
        return hashlib.sha256(self.statement).digest()

    def is_signed_by(self, public: Ed25519PublicKey) -> bool:
        try:
            public.verify(self.signature, self.statement)
        except InvalidSignature:
            return False
        return True

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values; bytes in hexadecimal."""
        return {
            "chain": self.chain,
            "number": self.number,
            "seq": self.seq,
            "head": self.head.hex(),
            "previous": self.previous.hex(),
            "at": self.at.astimezone(UTC).isoformat(timespec="microseconds"),
            "reason": self.reason,
            "key": self.key,
            "signature": self.signature.hex(),
        }

    @classmethod
    def from_json(cls, text: str | bytes) -> "Checkpoint":
        """A checkpoint from its line of JSON. Its signature is not looked at.

        Raises:
            ValueError: it is none.
        """
        try:
            fields = orjson.loads(text)
            return cls(
                chain=str(fields["chain"]),
                number=int(fields["number"]),
                seq=int(fields["seq"]),
                head=bytes.fromhex(fields["head"]),
                previous=bytes.fromhex(fields["previous"]),
                at=datetime.fromisoformat(fields["at"]),
                reason=str(fields["reason"]),
                key=str(fields["key"]),
                signature=bytes.fromhex(fields["signature"]),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"this is no checkpoint: {error}") from error
