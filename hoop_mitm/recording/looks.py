"""Who looks at a shared recording: the notes that readers leave, as the gateway takes them.

A reader may add files to ``looks/`` and neither list nor change it, so whatever lies there was made by somebody who may
read the recording, and by nobody who may be believed: names, kinds, sizes and contents are theirs. Who they are is
what the file system says of the file.
"""

import contextlib
import hashlib
import logging
import os
import pwd
import stat
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import msgspec

from hoop_mitm.recording.layout import Layout
from hoop_mitm.recording.records import EventRecord

log = logging.getLogger(__name__)

#: Bytes of a note, and things that are taken at once.
LARGEST, MOST = 2**14, 200
#: Names of notes that are still being written begin with a dot; after so many seconds nobody writes any more.
UNFINISHED = 60.0

_NAMED = 5
_REMEMBERED = 10_000

type _Short = Annotated[str, msgspec.Meta(max_length=200)]
type _SessionId = Annotated[str, msgspec.Meta(max_length=64, pattern="^[0-9A-Za-z-]+$")]


class Note(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What a reader says of themselves.

    Attributes:
        at: when, by their clock.
        command: the command; of a program that uses the library, ``python``.
        sessions: the sessions that were looked at, or the first of many.
        count: how many there were.
        about: what was searched for.
        login: as whom they are signed in with ``hoop-mitm login``, if they are.
    """

    at: datetime
    command: _Short
    sessions: Annotated[tuple[_SessionId, ...], msgspec.Meta(max_length=200)] = ()
    count: Annotated[int, msgspec.Meta(ge=0, le=2**53)] = 0
    about: Annotated[str, msgspec.Meta(max_length=1000)] = ""
    login: _Short | None = None
    version: Annotated[int, msgspec.Meta(ge=1, le=1)] = 1

    def encoded(self) -> bytes:
        return msgspec.json.encode(self)


@dataclass(frozen=True, slots=True)
class Taken:
    """The events that notes come to, and the files, to be removed once the events are durable."""

    events: tuple[EventRecord, ...]
    files: tuple[Path, ...]


class Looks:
    """Takes notes out of one directory. What cannot be removed is told once."""

    def __init__(self, layout: Layout) -> None:
        self._directory = layout.looks
        self._stuck: dict[tuple[int, int], None] = {}

    def take(self) -> Taken:
        """What lies there, at most :data:`MOST` things; the rest is for the next time.

        Raises:
            OSError: the directory cannot be read.
        """
        events: list[EventRecord] = []
        files: list[Path] = []
        junk: list[tuple[Path, os.stat_result, str]] = []
        for path, status in self._there():
            files.append(path)
            why = _unsuitable(status)
            note = None if why else _read(path, status)
            if isinstance(note, Note):
                events += _events(note, path, status)
            else:
                junk.append((path, status, why or note or ""))
        if junk:
            events.append(_junk(junk))
        return Taken(tuple(events), tuple(files))

    def remove(self, files: Sequence[Path]) -> None:
        """Remove what was taken."""
        for path in files:
            try:
                status = path.lstat()
                path.rmdir() if stat.S_ISDIR(status.st_mode) else path.unlink()
            except FileNotFoundError:
                pass
            except OSError as error:
                log.warning("%r in %s cannot be removed (%s)", path.name, self._directory, error.strerror)
                self._stuck[status.st_dev, status.st_ino] = None
                while len(self._stuck) > _REMEMBERED:
                    del self._stuck[next(iter(self._stuck))]

    def _there(self) -> Iterator[tuple[Path, os.stat_result]]:
        found = 0
        with os.scandir(self._directory) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):
                    status = entry.stat(follow_symlinks=False)
                    young = entry.name.startswith(".") and time.time() - status.st_ctime < UNFINISHED
                    if young or (status.st_dev, status.st_ino) in self._stuck:
                        continue
                    yield Path(entry.path), status
                    found += 1
                    if found == MOST:
                        return


def _unsuitable(status: os.stat_result) -> str | None:
    if not stat.S_ISREG(status.st_mode):
        return "not a file"
    if status.st_nlink != 1:
        # Another name of a file of somebody else's would speak for them.
        return "a link"
    return "too large" if status.st_size > LARGEST else None


def _read(path: Path, expected: os.stat_result) -> Note | str:
    """The note, or what is wrong with it."""
    try:
        # Whatever has taken the file's place meanwhile is not followed, and not waited for.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    try:
        status = os.fstat(descriptor)
        if (status.st_dev, status.st_ino) != (expected.st_dev, expected.st_ino) or _unsuitable(status):
            return "replaced while it was read"
        content = os.read(descriptor, LARGEST + 1)
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    finally:
        os.close(descriptor)
    try:
        return msgspec.json.decode(content, type=Note)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return "not a note"


def _events(note: Note, path: Path, status: os.stat_result) -> Iterator[EventRecord]:
    """Who looked and, where they looked for something, what for: it may quote a statement, and goes with statements."""
    user = _user(status.st_uid)
    what = (
        "the list of sessions"
        if note.command == "sessions"
        else "1 session"
        if note.count == 1
        else f"{note.count} sessions"
    )
    details: dict[str, Any] = {
        "user": user,
        "uid": status.st_uid,
        "command": note.command,
        "sessions": list(note.sessions),
        "count": note.count,
        "login": note.login,
        "said_at": note.at.isoformat(),
    }
    read = EventRecord(
        id=_id(path, status, note.encoded()),
        at=_when(status),
        type="archive.read",
        message=f"{user} looked at {what} with `hoop-mitm {note.command}`.",
        session_id=note.sessions[0] if note.count == len(note.sessions) == 1 else None,
        details=details,
    )
    yield read
    if note.about:
        yield replace(
            read,
            id=_id(path, status, b"search" + note.encoded()),
            type="archive.search",
            message=f"{user} looked for something with `hoop-mitm {note.command}`.",
            # With the login, by which both are found when its owner is to be erased.
            details={"read": read.id, "about": note.about, "login": note.login},
        )


def _junk(junk: Sequence[tuple[Path, os.stat_result, str]]) -> EventRecord:
    named = [
        {"name": ascii(path.name)[:100], "why": why, "user": _user(status.st_uid), "uid": status.st_uid}
        for path, status, why in junk[:_NAMED]
    ]
    users = ", ".join(sorted({_user(status.st_uid) for _, status, _ in junk})[:_NAMED])
    things = "thing that is no note of a reader was" if len(junk) == 1 else "things that are no notes of readers were"
    return EventRecord(
        id=_id(junk[0][0], junk[0][1], b"junk"),
        at=datetime.now(UTC),
        type="archive.junk",
        message=f"{len(junk)} {things} left at the shared recording, by {users}.",
        details={"count": len(junk), "first": named},
    )


def _id(path: Path, status: os.stat_result, content: bytes) -> str:
    """The same for the same file: should it be taken again after a crash, it is one event."""
    told = repr((path.name, status.st_dev, status.st_ino, status.st_ctime_ns, status.st_uid)).encode()
    return str(uuid.UUID(bytes=hashlib.blake2b(told + content, digest_size=16).digest(), version=5))


def _when(status: os.stat_result) -> datetime:
    """When the file was put there: a time that its owner cannot set."""
    return datetime.fromtimestamp(status.st_ctime, UTC)


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"
