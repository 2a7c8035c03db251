"""What the fold notices that no record says: damage, an archive made again. Seen at once, and signed by the gateway later.

The fold has no key. It shows a remark among the archive's events at once, outside of any chain, and leaves it in the
journal's directory; the gateway takes it from there into its chain, where it replaces what was shown.
"""

import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from hoop_mitm.recording.layout import Layout, replace_durably
from hoop_mitm.recording.records import EventRecord


@dataclass(frozen=True, slots=True)
class Remark:
    """An event to be. ``details`` holds plain JSON values."""

    type: str
    message: str
    details: Mapping[str, Any] = field(default_factory=dict)
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    at: datetime = field(default_factory=lambda: datetime.now(UTC))

    def as_row(self) -> dict[str, Any]:
        """Its row in the table ``events``, before it is signed."""
        return {
            "id": self.id,
            "chain": None,
            "seq": 0,
            "occurred_at": self.at,
            "type": self.type,
            "message": self.message,
            "session_id": None,
            "flow_id": None,
            "issuer": None,
            "subject": None,
            "email": None,
            "client_address": "",
            "details": orjson.dumps(dict(self.details)).decode(),
        }

    def leave(self, layout: Layout) -> None:
        """Leave it for the gateway. Raises ``OSError``."""
        layout.remarks.mkdir(mode=0o700, exist_ok=True)
        note = {"type": self.type, "message": self.message, "details": dict(self.details), "at": self.at}
        replace_durably(layout.remarks / f"{self.id}.json", orjson.dumps(note))


def left(layout: Layout) -> Iterator[tuple[Path, EventRecord]]:
    """The remarks that wait for the gateway, each with the file to remove once it is recorded."""
    try:
        paths = sorted(layout.remarks.glob("*.json"))
    except OSError:
        return
    for path in paths:
        try:
            note = orjson.loads(path.read_bytes())
            at = datetime.fromisoformat(note["at"])
            yield (
                path,
                EventRecord(str(uuid.UUID(path.stem)), at, note["type"], note["message"], details=note["details"]),
            )
        except (OSError, ValueError, LookupError, TypeError):
            continue
