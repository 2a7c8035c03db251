"""A record as it is sealed: bytes with a place in a chain, and the parts that may be taken out of it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from hoop_mitm.evidence import PARTS, Chain, Checkpoint, Part, split


@dataclass(frozen=True, slots=True)
class Sealed:
    """One record of a chain. ``data`` is its skeleton; ``parts`` are by name, those that it has."""

    chain: str
    seq: int
    kind: str
    data: bytes
    digest: bytes
    link: bytes
    parts: Mapping[str, Part]

    def as_row(self) -> dict[str, Any]:
        """The record's row in the archive's table ``records``. What is no UTF-8 cannot stand there, and is left out."""
        row = {
            "chain": self.chain,
            "seq": self.seq,
            "kind": self.kind,
            "data": _text(self.data),
            "digest": self.digest,
            "link": self.link,
        }
        for name in PARTS:
            part = self.parts.get(name)
            row[f"{name}_salt"] = part.salt if part else None
            row[name] = _text(part.value) if part else None
        return row


def seal(chain: Chain, kind: str, note: Mapping[str, Any]) -> Sealed:
    """Split a record and link it to the end of the chain. What is not kept must be undone with an older copy of it."""
    data, parts = split(kind, note)
    link = chain.next(data)
    return Sealed(chain.id, link.seq, kind, data, link.digest, link.link, parts)


def checkpoint_row(checkpoint: Checkpoint) -> dict[str, Any]:
    """A checkpoint's row in the archive's table ``checkpoints``."""
    return asdict(checkpoint)


def _text(data: bytes) -> str | None:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None
