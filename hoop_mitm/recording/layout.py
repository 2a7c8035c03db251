"""Where things lie in a recordings directory, who holds it, and its journal's identity.

recordings/
  hoop.duckdb            the archive
  hoop.duckdb.fresh/     its successor, while retention makes one
  looks/                 of a shared recording: where its readers leave word (sharing, looks)
  journal/
    lock                 held by the gateway that records here
    fold.lock            held by whoever folds
    identity             the journal's id and the key of its bodies' hashes
    000….sqlite          segments: append-only, named by their first record, removed once folded
    bodies/              bodies of streamed messages, ready to be folded
    spool/               bodies of messages that still stream
    owners.sqlite        who owns what at Google, from segments that are gone
    folded               the last record that is in the archive: a hint, the archive itself knows better
    kept                 for how long each folded segment was kept
    remarks/             what the fold noticed, until the gateway has recorded it
    levels               how much of each connection is recorded, as of the last start
    head                 the last checkpoint: should the end of the segments be lost, it is missed
    heads.sqlite         signed heads on their way to their sinks, and how far each has come
    holds.json           what is on hold, for when the archive is lost, which says so too
    maintenance.lock     held by whoever changes the archive otherwise than by folding; shared by folds
    rotate               asks the gateway to begin a new segment
    fold.log             what the fold had to say
"""

import contextlib
import fcntl
import os
import secrets
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from hoop_mitm.errors import RecordingError

_PAUSE = 0.05


@dataclass(frozen=True, slots=True)
class Identity:
    """A journal's id, and the secret that its bodies' hashes and upload handles are keyed with."""

    id: str
    key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Layout:
    """The paths of one recordings directory."""

    directory: Path

    @property
    def archive(self) -> Path:
        return self.directory / "hoop.duckdb"

    @property
    def looks(self) -> Path:
        return self.directory / "looks"

    @property
    def is_shared(self) -> bool:
        """Whether others than its owner may read the recording (``sharing``)."""
        return os.path.lexists(self.looks)

    @property
    def archive_mode(self) -> int:
        """The permissions of the archive."""
        return 0o640 if self.is_shared else 0o600

    @property
    def journal(self) -> Path:
        return self.directory / "journal"

    @property
    def lock(self) -> Path:
        return self.journal / "lock"

    @property
    def fold_lock(self) -> Path:
        return self.journal / "fold.lock"

    @property
    def fold_log(self) -> Path:
        return self.journal / "fold.log"

    @property
    def folded(self) -> Path:
        return self.journal / "folded"

    @property
    def levels(self) -> Path:
        return self.journal / "levels"

    def noted_levels(self) -> dict[str, str]:
        """How much of each connection was recorded as of the last start; empty when that is not known."""
        try:
            return {str(name): str(level) for name, level in orjson.loads(self.levels.read_bytes()).items()}
        except (OSError, ValueError, AttributeError):
            return {}

    @property
    def kept(self) -> Path:
        return self.journal / "kept"

    @property
    def remarks(self) -> Path:
        return self.journal / "remarks"

    @property
    def head(self) -> Path:
        return self.journal / "head"

    @property
    def heads(self) -> Path:
        return self.journal / "heads.sqlite"

    @property
    def maintenance_lock(self) -> Path:
        return self.journal / "maintenance.lock"

    @property
    def holds(self) -> Path:
        """What is on hold (``retention.holding``): the archive's own events of it are not in the journal."""
        return self.journal / "holds.json"

    @property
    def workshop(self) -> Path:
        return self.directory / "hoop.duckdb.fresh"

    @property
    def rotate(self) -> Path:
        return self.journal / "rotate"

    def folded_to(self) -> tuple[int, int]:
        """How far the fold says that it is, and how many intents it holds back; zeros when it has not said."""
        try:
            folded_to, held = self.folded.read_text().split()
            return int(folded_to), int(held)
        except (OSError, ValueError):
            return 0, 0

    @property
    def bodies(self) -> Path:
        return self.journal / "bodies"

    @property
    def spool(self) -> Path:
        return self.journal / "spool"

    @property
    def owners(self) -> Path:
        return self.journal / "owners.sqlite"

    def segment(self, first: int) -> Path:
        """The segment whose first record is ``first``."""
        return self.journal / f"{first:016d}.sqlite"

    def segments(self) -> list[tuple[int, Path]]:
        """Every segment with the number of its first record, oldest first."""
        return sorted((int(path.stem), path) for path in self.journal.glob("*.sqlite") if path.stem.isdecimal())

    def make(self) -> None:
        """Make the directories, readable by this user only.

        Raises:
            RecordingError: they cannot be made.
        """
        try:
            for directory in (self.directory, self.journal, self.bodies, self.spool):
                directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise RecordingError(
                f"{self.directory} cannot hold recordings ({error.strerror}). Make it writable for this user, or name "
                "another directory under `recording.directory`."
            ) from error

    def identity(self) -> Identity:
        """The journal's identity, made at the first call.

        Raises:
            RecordingError: it cannot be written, or is damaged.
        """
        path = self.journal / "identity"
        try:
            if not path.exists():
                new = path.with_name(f"identity.{os.getpid()}")
                write_durably(new, f"{uuid.uuid4()}\n{secrets.token_hex(32)}\n".encode())
                with contextlib.suppress(FileExistsError):
                    path.hardlink_to(new)
                new.unlink()
                sync_directory(self.journal)
            name, key = path.read_text().split()
            return Identity(str(uuid.UUID(name)), bytes.fromhex(key))
        except OSError as error:
            raise RecordingError(f"{path} cannot be read or written ({error.strerror}).") from error
        except ValueError as error:
            raise RecordingError(
                f"{path} is damaged. Fold what is left with `hoop-mitm sessions`, then move {self.journal} away."
            ) from error


def remove_segment(path: Path) -> None:
    """Remove a segment, what SQLite keeps beside it first: a log that is left behind would be taken for another's."""
    for name in (f"{path.name}-wal", f"{path.name}-shm", f"{path.name}-journal", path.name):
        path.with_name(name).unlink(missing_ok=True)


def replace_durably(path: Path, data: bytes) -> None:
    """Write a file of this user's own, whole or not at all. Raises ``OSError``."""
    new = path.with_name(f"{path.name}.new")
    write_durably(new, data)
    new.rename(path)
    sync_directory(path.parent)


def write_durably(path: Path, data: bytes) -> None:
    """Write a file of this user's own, and have it on the disk before returning."""
    # Through a buffer: of a disk that is nearly full, the operating system takes a part of what it is given at once.
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def sync_directory(path: Path) -> None:
    """Have a directory's new names on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Hold:
    """A lock on a file, that ends with the process at the latest, however it ends."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def take(self, *, wait: float = 0, shared: bool = False) -> bool:
        """Take it; ``False`` when another process still has it after ``wait`` seconds.

        ``shared``: together with others that share it. Raises ``OSError`` when the file cannot be made.
        """
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        give_up = time.monotonic() + wait
        while not _lock(descriptor, fcntl.LOCK_SH if shared else fcntl.LOCK_EX):
            if time.monotonic() >= give_up:
                os.close(descriptor)
                return False
            time.sleep(_PAUSE)
        if not shared:
            # Who it is, for the message to whoever comes second; not worth failing for on a full disk.
            # Written over before it is cut: a reader finds a whole first line at any moment.
            with contextlib.suppress(OSError):
                written = os.write(descriptor, f"{os.getpid()}\n".encode())
                os.ftruncate(descriptor, written)
        self._descriptor = descriptor
        return True

    def holder(self) -> str:
        """The process id that the holder wrote (its predecessor's, until it has), or an empty string."""
        try:
            return self._path.read_text().partition("\n")[0]
        except OSError:
            return ""

    def release(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def is_held(path: Path) -> bool:
    """Whether a living process holds the lock."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        return not _lock(descriptor, fcntl.LOCK_SH)
    finally:
        os.close(descriptor)


def _lock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
