"""The chain: each record is linked to all that came before it."""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime

from hoop_mitm.evidence.checkpoint import Checkpoint
from hoop_mitm.evidence.keys import RecordingKey

_CHAIN = b"hoop-mitm chain 1\0"
_RECORD = b"hoop-mitm record 1\0"
_LINK = b"hoop-mitm link 1\0"


def first_link(chain: str) -> bytes:
    """What the first record of the chain ``chain`` is linked to."""
    return hashlib.sha256(_CHAIN + chain.encode()).digest()


def record_digest(skeleton: bytes) -> bytes:
    """The digest (32 bytes) of a record's skeleton; it stays when retention takes the skeleton."""
    return hashlib.sha256(_RECORD + skeleton).digest()


def link(previous: bytes, seq: int, digest: bytes) -> bytes:
    """The link (32 bytes) of the record ``seq`` with this digest, behind the link ``previous``."""
    return hashlib.sha256(b"".join((_LINK, previous, seq.to_bytes(8), digest))).digest()


@dataclass(frozen=True, slots=True)
class Link:
    """One record's place in a chain."""

    seq: int
    digest: bytes
    link: bytes


@dataclass(slots=True)
class Chain:
    """The end of a chain that is being written.

    Attributes:
        id: the chain's name.
        seq: number of its last record.
        head: that record's link; :func:`first_link` before the first one.
        checkpoints: how many checkpoints there are.
        checkpoint: digest of the last checkpoint, empty before the first one.
        signed: the number of the last record that a checkpoint covers.
    """

    id: str
    seq: int
    head: bytes
    checkpoints: int = 0
    checkpoint: bytes = b""
    signed: int = 0

    @classmethod
    def begin(cls, chain: str, after: int = 0) -> "Chain":
        """A chain without records; the first one will have the number ``after + 1``."""
        return cls(chain, after, first_link(chain), signed=after)

    def next(self, skeleton: bytes) -> Link:
        """Link one more record. What is not committed afterwards must be undone with a copy made before."""
        digest = record_digest(skeleton)
        self.seq += 1
        self.head = link(self.head, self.seq, digest)
        return Link(self.seq, digest, self.head)

    def sign(self, key: RecordingKey, reason: str) -> Checkpoint:
        """Sign the head as it is now."""
        self.checkpoints += 1
        signed = Checkpoint.sign(
            key,
            chain=self.id,
            number=self.checkpoints,
            seq=self.seq,
            head=self.head,
            previous=self.checkpoint,
            at=datetime.now(UTC),
            reason=reason,
        )
        self.checkpoint = signed.digest
        self.signed = self.seq
        return signed
