"""Legal holds: of a session that is on hold nothing is deleted. Placing and releasing are events of the archive's own chain."""

from dataclasses import dataclass
from datetime import UTC, datetime

import orjson

from hoop_mitm.errors import HeldError, NotInArchive
from hoop_mitm.evidence import Checkpoint, RecordingKeys
from hoop_mitm.recording.archive_file import ArchiveFile
from hoop_mitm.recording.keeping import Keeper
from hoop_mitm.recording.layout import Layout
from hoop_mitm.recording.retention.maintaining import PATIENCE, maintained
from hoop_mitm.recording.retention.signing import NEWEST_KEY, key_for
from hoop_mitm.recording.retention.source import Source
from hoop_mitm.recording.retention.stores import Stores

PLACED, RELEASED = "hold.placed", "hold.released"

_LAST_WORDS = f"""
    SELECT session_id, type, details, occurred_at
    FROM {{place}}events
    WHERE type IN ('{PLACED}', '{RELEASED}') AND session_id IS NOT NULL
    QUALIFY row_number() OVER (PARTITION BY session_id ORDER BY occurred_at DESC, seq DESC) = 1
    ORDER BY occurred_at, session_id
"""  # noqa: S608 - words of ours
_SESSION = "SELECT id FROM sessions WHERE id = ?"


@dataclass(frozen=True, slots=True)
class HeldSession:
    """A session that is on hold: why, since when, and who said so (a user of the machine)."""

    session_id: str
    reason: str
    since: datetime
    by: str


def place_hold(
    layout: Layout, keys: RecordingKeys, session_id: str, reason: str, by: str, *, stores: Stores | None = None
) -> Checkpoint | None:
    """Put a session on hold; ``None`` when it is already. It may still be going on.

    Args:
        stores: whose reviews are held as well.

    Raises:
        NotInArchive: there is no such session.
        RecordingError: the archive cannot be written.
    """
    with maintained(layout), ArchiveFile(layout.archive, wait=PATIENCE) as archive:
        if not archive.rows(_SESSION, [session_id]):
            raise NotInArchive(f"No session has the id {session_id}.")
        held = _held(archive)
        if stores is not None:
            # First, so that nothing is called held that is not.
            stores.hold(held | {session_id})
        if session_id in held:
            return None
        message = "Nothing of this session is deleted any more."
        return _say(archive, keys, PLACED, message, HeldSession(session_id, reason, datetime.now(UTC), by))


def release_hold(
    layout: Layout, keys: RecordingKeys, session_id: str, reason: str, by: str, *, stores: Stores | None = None
) -> Checkpoint:
    """End a session's hold.

    Raises:
        HeldError: it is not on hold.
        RecordingError: the archive cannot be written.
    """
    with maintained(layout), ArchiveFile(layout.archive, wait=PATIENCE) as archive:
        held = _held(archive)
        if session_id not in held:
            raise HeldError(
                f"The session {session_id} is not on hold; `hoop-mitm retention holds` lists those that are."
            )
        message = "The hold of this session has ended."
        said = _say(archive, keys, RELEASED, message, HeldSession(session_id, reason, datetime.now(UTC), by))
        if stores is not None:
            stores.hold(held - {session_id})
        return said


def holds(layout: Layout) -> tuple[HeldSession, ...]:
    """The sessions that are on hold, the longest first.

    Raises:
        RecordingError: the archive cannot be read.
    """
    with Source(layout.archive, wait=PATIENCE) as source:
        return held_sessions(source)


def held_sessions(source: Source) -> tuple[HeldSession, ...]:
    return tuple(
        _held_session(session_id, details, since)
        for session_id, type_, details, since in source.rows(_LAST_WORDS.format(place="old.main."))
        if type_ == PLACED
    )


def _held_session(session_id: str, details: str, since: datetime) -> HeldSession:
    said = orjson.loads(details)
    return HeldSession(session_id, str(said.get("reason", "")), since, str(said.get("by", "")))


def _held(archive: ArchiveFile) -> set[str]:
    return {row["session_id"] for row in archive.rows(_LAST_WORDS.format(place="")) if row["type"] == PLACED}


def _say(archive: ArchiveFile, keys: RecordingKeys, what: str, message: str, hold: HeldSession) -> Checkpoint:
    archive.begin()
    signed_by = next((row["key"] for row in archive.rows(NEWEST_KEY)), None)
    keeper = Keeper(archive, key_for(keys, signed_by))
    keeper.event(what, message, {"reason": hold.reason, "by": hold.by}, session_id=hold.session_id)
    checkpoint = keeper.sign()
    archive.commit()
    return checkpoint
