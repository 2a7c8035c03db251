"""What is done to an archive beside folding (retention, erasure, holds, imports) is recorded in the archive itself.

It has a chain of its own there, ``kept-UUID``: the gateway's chain belongs to the gateway, which may be running, or gone.
"""

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from hoop_mitm.evidence import Chain, Checkpoint, RecordingKey, canonical
from hoop_mitm.recording.archive_file import ArchiveFile
from hoop_mitm.recording.beginning import genesis
from hoop_mitm.recording.sealing import checkpoint_row, seal
from hoop_mitm.recording.tables import event_row
from hoop_mitm.recording.unfolded import Row

PREFIX = "kept-"
ANOTHER_KEY = "another key signs from here on"

_CHAINS = "SELECT chain, data FROM records WHERE kind = 'genesis' AND starts_with(chain, ?)"
_LAST = "SELECT seq, link FROM records WHERE chain = ? ORDER BY seq DESC LIMIT 1"
_LAST_CHECKPOINT = "SELECT * FROM checkpoints WHERE chain = ? ORDER BY number DESC LIMIT 1"


class Keeper:
    """Appends records to the archive's own chain.

    The caller holds the archive, and begins and commits the transaction. Should that be rolled back, the keeper is
    thrown away with it.
    """

    def __init__(self, archive: ArchiveFile, key: RecordingKey, *, imported: Mapping[str, Any] | None = None) -> None:
        """Go on with the archive's own chain, or begin it.

        Args:
            imported: what is going to be imported. That gets a chain for itself, whose first record says so.
        """
        self._archive = archive
        self._key = key
        last = None if imported else _newest(archive)
        if last is not None and last[1] == key.fingerprint:
            self._chain = last[0]
            return
        after = None
        if last is not None:
            old = last[0]
            after = {"chain": old.id, "seq": old.seq, "head": old.head.hex(), "why": ANOTHER_KEY}
        self._chain = Chain.begin(f"{PREFIX}{uuid.uuid4()}")
        more = {"imported": dict(imported)} if imported else {}
        self.record("genesis", genesis(self._chain, key, after, **more))

    @property
    def chain(self) -> str:
        """The chain's name."""
        return self._chain.id

    def record(self, kind: str, note: Mapping[str, Any], bodies: Mapping[str, Any] | None = None) -> Row:
        """Append a record; as it would come from a journal, to be understood by the fold's code.

        Args:
            note: plain JSON values and aware times.
            bodies: where the row's bodies lie, in the words of :attr:`Row.bodies`.
        """
        sealed = seal(self._chain, kind, note)
        self._archive.insert("records", [sealed.as_row()])
        return Row(sealed.seq, kind, orjson.loads(canonical(note)), dict(bodies or {}), Path(), sealed=sealed)

    def event(
        self,
        type: str,  # noqa: A002 - its name everywhere
        message: str,
        details: Mapping[str, Any],
        *,
        session_id: str | None = None,
        flow_id: str | None = None,
        principal: Mapping[str, Any] | None = None,
    ) -> int:
        """Append an event, and show it among the archive's events; the number of its record.

        ``principal`` is who did it: issuer, subject, email, groups, kind.
        """
        note = {
            "id": str(uuid.uuid4()),
            "at": datetime.now(UTC),
            "type": type,
            "message": message,
            "session_id": session_id,
            "principal": principal,
            "flow_id": flow_id,
            "client_address": "",
            "details": details,
        }
        row = self.record("event", note)
        self._archive.insert("events", [event_row(row)])
        return row.seq

    def sign(self, reason: str = "kept") -> Checkpoint:
        """Sign everything up to the last record: without that, it counts for nothing."""
        checkpoint = self._chain.sign(self._key, reason)
        self._archive.insert("checkpoints", [checkpoint_row(checkpoint)])
        return checkpoint


def _newest(archive: ArchiveFile) -> tuple[Chain, str] | None:
    """The archive's own chain that was begun last, and the key that signs it."""
    found = []
    for row in archive.rows(_CHAINS, [PREFIX]):
        note = orjson.loads(row["data"] or b"{}")
        if note and "imported" not in note:
            found.append((note["created_at"], row["chain"], note["key"]))
    if not found:
        return None
    _, name, key = max(found)
    chain = Chain.begin(name)
    [last] = archive.rows(_LAST, [name])
    chain.seq, chain.head = last["seq"], last["link"]
    for row in archive.rows(_LAST_CHECKPOINT, [name]):
        checkpoint = Checkpoint(**row)
        chain.checkpoints, chain.checkpoint, chain.signed = checkpoint.number, checkpoint.digest, checkpoint.seq
    return chain, key
