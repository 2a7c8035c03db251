"""Leaving word of who looks: before anything of a shared recording is shown.

A recording is shared when there is a ``looks/`` beside it (``recording/sharing.py``). Whoever reads it through this
room leaves a note there, or does not get to read. Somebody who opens the file with DuckDB itself leaves none.
"""

import contextlib
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from hoop_mitm.errors import ArchiveError

LOOKS = "looks"

#: Sessions that a note names; of more it says how many there were.
_NAMED = 200
_ABOUT = 500
_COMMAND = 100

type Login = Callable[[], str | None]


def _nobody() -> str | None:
    return None


@dataclass(slots=True)
class _Reader:
    """Who looks, and what has been said of it already: directories, sessions in them, and what for."""

    command: str
    login: Login
    told: set[tuple[str, ...]] = field(default_factory=set)


_reader: ContextVar[_Reader] = ContextVar("reader", default=_Reader("python", _nobody))  # noqa: B039 - one a process


@contextlib.contextmanager
def by(command: str, login: Login = _nobody) -> Iterator[None]:
    """Notes that are left within say that this command was used, and as whom the reader is signed in."""
    token = _reader.set(_Reader(command, login))
    try:
        yield
    finally:
        _reader.reset(token)


class Looking:
    """Leaves notes beside one recording, where it is shared. Of one session one note is left for one command."""

    def __init__(self, archive: Path) -> None:
        """``archive``: the file, by whatever name it was reached."""
        self._directory = archive.resolve().parent / LOOKS
        self._shared = os.path.lexists(self._directory)

    def at(self, sessions: Sequence[str] = (), *, about: str = "") -> None:
        """Say that somebody is about to see these sessions, or something of the recording where there are none.

        Raises:
            ArchiveError: that cannot be said, so nothing may be shown.
        """
        if not self._shared:
            return
        reader, here = _reader.get(), str(self._directory)
        new = [session for session in dict.fromkeys(sessions) if (here, session) not in reader.told]
        for_this = (here, "", about)
        if not new and for_this in reader.told:
            return
        self._leave(reader, new, about)
        reader.told.update([(here, "", ""), for_this, *((here, session) for session in new)])

    def _leave(self, reader: _Reader, sessions: Sequence[str], about: str) -> None:
        import secrets

        from hoop_mitm.recording.looks import Note

        # A command line may hold what is no text.
        text = about[:_ABOUT].encode(errors="replace").decode()
        note = Note(
            at=datetime.now(UTC),
            command=reader.command[:_COMMAND],
            sessions=tuple(sessions[:_NAMED]),
            count=len(sessions),
            about=text,
            login=reader.login(),
        )
        name = secrets.token_hex(16)
        unfinished = self._directory / f".{name}"
        try:
            if not stat.S_ISDIR(self._directory.lstat().st_mode):
                raise NotADirectoryError(20, "it is no directory")
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            with os.fdopen(os.open(unfinished, flags, 0o600), "wb") as file:
                # The gateway need not be in the group; nobody else can list the directory, or guess the name.
                os.fchmod(file.fileno(), 0o644)
                file.write(note.encoded())
                file.flush()
                os.fsync(file.fileno())
            unfinished.rename(self._directory / f"{name}.json")
        except OSError as error:
            raise ArchiveError(
                f"This recording is shared: whoever reads it leaves a note in {self._directory}, and that is not possible "
                f"({error.strerror}), so nothing is shown. Ask the recording's owner."
            ) from error
