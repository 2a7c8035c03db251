"""Legal holds: of a session that is on hold nothing is deleted. Placing and releasing are events of the archive's own chain.

That chain is in no journal, so it goes with the archive: when that is deleted, or set aside because it is damaged, and made
again, or when an older copy is put back. So what is on hold is noted beside the journal as well (``Layout.holds``), and a
session is on hold when either says so. The note is written before a hold is committed to the archive, and after its
release is: whatever ends the program between the two, too much is held rather than too little. A release in the archive
that is newer than a note wins over it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
import orjson

from hoop_mitm.errors import HeldError, NotInArchive, RecordingError
from hoop_mitm.evidence import Checkpoint, RecordingKeys
from hoop_mitm.recording.archive_file import ArchiveFile
from hoop_mitm.recording.journal import reason as plainly
from hoop_mitm.recording.keeping import Keeper
from hoop_mitm.recording.layout import Layout, replace_durably
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
    """A session that is on hold: why, since when, and who said so (a user of the machine).

    ``recorded``: the recording says so. Where it was made again since, only the note beside the journal does.
    """

    session_id: str
    reason: str
    since: datetime
    by: str
    recorded: bool = True


class _Noted(msgspec.Struct):
    """The same in the note."""

    session_id: str
    reason: str
    since: Annotated[datetime, msgspec.Meta(tz=True)]
    by: str


type _Held = dict[str, HeldSession]


def place_hold(
    layout: Layout, keys: RecordingKeys, session_id: str, reason: str, by: str, *, stores: Stores | None = None
) -> Checkpoint | None:
    """Put a session on hold; ``None`` when the recording says already that it is. It may still be going on.

    Args:
        stores: whose reviews are held as well.

    Raises:
        NotInArchive: there is no such session.
        RecordingError: the archive, or the note beside the journal, cannot be read or written.
    """
    with maintained(layout), ArchiveFile(layout.archive, wait=PATIENCE) as archive:
        if not archive.rows(_SESSION, [session_id]):
            raise NotInArchive(f"No session has the id {session_id}.")
        held = _held(archive, layout)
        if stores is not None:
            # First, so that nothing is called held that is not.
            stores.hold({*held, session_id})
        if session_id in held and held[session_id].recorded:
            _note(layout, held)
            return None
        message = "Nothing of this session is deleted any more."
        hold = HeldSession(session_id, reason, datetime.now(UTC), by)
        said = _say(archive, keys, PLACED, message, hold)
        _note(layout, held | {session_id: hold})
        archive.commit()
        return said


def release_hold(
    layout: Layout, keys: RecordingKeys, session_id: str, reason: str, by: str, *, stores: Stores | None = None
) -> Checkpoint | None:
    """End a session's hold; ``None`` when the recording, made again since, has no such session that could say so.

    Raises:
        HeldError: it is not on hold.
        RecordingError: the archive, or the note beside the journal, cannot be read or written.
    """
    with maintained(layout), ArchiveFile(layout.archive, wait=PATIENCE) as archive:
        held = _held(archive, layout)
        if session_id not in held:
            # The note may still have it, from a release that was cut short.
            _note(layout, held)
            raise HeldError(
                f"The session {session_id} is not on hold; `hoop-mitm retention holds` lists those that are."
            )
        said = None
        if held.pop(session_id).recorded or archive.rows(_SESSION, [session_id]):
            message = "The hold of this session has ended."
            said = _say(archive, keys, RELEASED, message, HeldSession(session_id, reason, datetime.now(UTC), by))
            archive.commit()
        _note(layout, held)
        if stores is not None:
            stores.hold(set(held))
        return said


def holds(layout: Layout) -> tuple[HeldSession, ...]:
    """The sessions that are on hold, the longest first.

    Raises:
        RecordingError: the archive, or the note beside the journal, cannot be read.
    """
    with Source(layout.archive, wait=PATIENCE) as source:
        return held_sessions(source, layout)


def held_sessions(source: Source, layout: Layout, *, note: bool = False) -> tuple[HeldSession, ...]:
    """The sessions that are on hold by what the archive says or by what is noted beside the journal, the longest first.

    Args:
        note: note what only the archive says, as it does of recordings from before there was the note.

    Raises:
        RecordingError: the note cannot be read, or written: whatever it says, nothing may be deleted.
    """
    held = _either(source.rows(_LAST_WORDS.format(place="old.main.")), _noted(layout))
    if note:
        _note(layout, held)
    return _in_order(held)


def _held(archive: ArchiveFile, layout: Layout) -> _Held:
    rows = archive.rows(_LAST_WORDS.format(place=""))
    words = [(row["session_id"], row["type"], row["details"], row["occurred_at"]) for row in rows]
    return _either(words, _noted(layout))


def _either(words: Iterable[tuple[Any, ...]], noted: Iterable[_Noted]) -> _Held:
    """``words``: the last that the archive says of each session: id, type of the event, details, time."""
    held: _Held = {}
    released: dict[str, datetime] = {}
    for session_id, type_, details, at in words:
        if type_ == PLACED:
            said = orjson.loads(details)
            held[session_id] = HeldSession(session_id, str(said.get("reason", "")), at, str(said.get("by", "")))
        else:
            released[session_id] = at
    for each in noted:
        # Else whoever was cut short after the release in the archive would have it held again.
        is_over = each.session_id in released and released[each.session_id] > each.since
        if each.session_id not in held and not is_over:
            held[each.session_id] = HeldSession(each.session_id, each.reason, each.since, each.by, recorded=False)
    return held


def _in_order(held: Mapping[str, HeldSession]) -> tuple[HeldSession, ...]:
    return tuple(sorted(held.values(), key=lambda each: (each.since, each.session_id)))


def _noted(layout: Layout) -> list[_Noted]:
    try:
        return msgspec.json.decode(layout.holds.read_bytes(), type=list[_Noted])
    except FileNotFoundError:
        return []
    except OSError as error:
        raise RecordingError(
            f"{layout.holds} cannot be read ({plainly(error)}). It says which sessions are on hold: before it can be read, "
            "nothing is deleted, held or released. Make it readable for this user, or ask the recording's owner."
        ) from error
    except (msgspec.DecodeError, ValueError) as error:
        raise RecordingError(
            f"{layout.holds} is damaged ({error}). It says which sessions are on hold: as long as it is like that, nothing is "
            "deleted, held or released. Put it back from a backup. If there is none, move it away: then that is on hold which "
            "the recording itself says (`hoop-mitm retention holds`); hold what else must stay before you delete anything."
        ) from error


def _note(layout: Layout, held: Mapping[str, HeldSession]) -> None:
    """Have the note say what is on hold, where it does not."""
    noted = [_Noted(each.session_id, each.reason, each.since.astimezone(UTC), each.by) for each in _in_order(held)]
    if noted == _noted(layout):
        return
    try:
        replace_durably(layout.holds, msgspec.json.format(msgspec.json.encode(noted)) + b"\n")
    except OSError as error:
        raise RecordingError(
            f"{layout.holds} cannot be written ({plainly(error)}). It says which sessions are on hold, should the archive be "
            "lost. Make it writable for this user, or make room on the disk, and try again."
        ) from error


def _say(archive: ArchiveFile, keys: RecordingKeys, what: str, message: str, hold: HeldSession) -> Checkpoint:
    """Have the archive say it, once the caller commits.

    Raises:
        RecordingError: by this machine's clock it was said before the last of its kind, and would not count.
    """
    archive.begin()
    signed_by = next((row["key"] for row in archive.rows(NEWEST_KEY)), None)
    keeper = Keeper(archive, key_for(keys, signed_by))
    keeper.event(what, message, {"reason": hold.reason, "by": hold.by}, session_id=hold.session_id)
    last = next(row for row in archive.rows(_LAST_WORDS.format(place="")) if row["session_id"] == hold.session_id)
    if last["type"] != what:
        before = last["occurred_at"].astimezone(UTC)
        raise RecordingError(
            f"This machine's clock is behind: the last hold or release of this session was at {before:%Y-%m-%d %H:%M:%S} UTC, and "
            "this one would not count. Set the clock right, and try again. Nothing was changed."
        )
    return keeper.sign()
