"""What makes a recording evidence: how a record becomes bytes, how records are linked, and what is signed.

Knows bytes and keys. Not where records lie, nor who reads them: the write side (:mod:`hoop_mitm.recording`) and the read
side (:mod:`hoop_mitm.archive`) share this room, so that what one seals is what the other verifies.

* A record is a *skeleton*, canonical JSON without any word of a statement or of a person, and up to three *parts*
  (``who``, ``statement``, ``exchange``). The skeleton holds a salted commitment for each part and for each body, so
  that a part can be deleted with its salt, nothing can be guessed back, and the record is still the one that was sealed.
* The *chain* links each record's digest to the one before, for each journal by itself.
* A *checkpoint* is a signature (Ed25519) over the chain's head. Checkpoints are numbered and linked among themselves.
"""

from hoop_mitm.evidence.canonical import canonical, is_canonical
from hoop_mitm.evidence.chain import Chain, Link, first_link, link, record_digest
from hoop_mitm.evidence.checkpoint import Checkpoint
from hoop_mitm.evidence.commitment import BodyCommitment, commit, new_salt
from hoop_mitm.evidence.keys import RecordingKey, RecordingKeys, public_key
from hoop_mitm.evidence.parts import PARTS, Part, join, split
from hoop_mitm.evidence.removals import observations_digest, removals_digest

__all__ = [
    "PARTS",
    "BodyCommitment",
    "Chain",
    "Checkpoint",
    "Link",
    "Part",
    "RecordingKey",
    "RecordingKeys",
    "canonical",
    "commit",
    "first_link",
    "is_canonical",
    "join",
    "link",
    "new_salt",
    "observations_digest",
    "public_key",
    "record_digest",
    "removals_digest",
    "split",
]
