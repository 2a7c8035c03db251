"""Bodies of streamed messages: on the disk chunk by chunk, before each chunk goes on to its receiver."""

import contextlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from hoop_mitm.errors import RecordingError
from hoop_mitm.recording.encoding import BodyNote
from hoop_mitm.recording.journal import BodyFile, reason
from hoop_mitm.recording.layout import Layout, sync_directory
from hoop_mitm.recording.pressing import Press

#: Bytes after which a piece of a spool is worth pressing.
PIECE = 4 * 2**20
_READ = 2**20


class Spool:
    """One direction of one streamed exchange. ``write`` is synchronous: it copies into the page cache.

    A killed gateway loses nothing of it; a machine that loses power may lose the end of what was in the air.
    One that is not ``kept`` only counts: at its level of recording no body may lie on the disk.

    Attributes:
        id: what :attr:`Message.spool` names.
        size: bytes written.
    """

    def __init__(self, path: Path, arrived: Callable[[str, int], None], *, kept: bool = True) -> None:
        self.id = path.name
        self.size = 0
        self._path = path
        self._arrived = arrived
        self._announced = 0
        self._descriptor: int | None = None
        self._closed = False
        if not kept:
            return
        try:
            self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError as error:
            raise self._unwritable(error) from error

    def write(self, chunk: bytes) -> None:
        """Keep a chunk.

        Raises:
            RecordingError: it is not kept; the chunk must not go on.
        """
        if self._closed:
            raise RecordingError(f"The spool {self.id} is closed already.")
        if self._descriptor is None:
            self.size += len(chunk)
            return
        view = memoryview(chunk)
        try:
            while view:
                view = view[os.write(self._descriptor, view) :]
        except OSError as error:
            raise self._unwritable(error) from error
        self.size += len(chunk)
        if self.size - self._announced >= PIECE:
            self._announced = self.size
            self._arrived(self.id, self.size)

    def close(self) -> None:
        """No more comes. Harmless when repeated."""
        self._closed = True
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _unwritable(self, error: OSError) -> RecordingError:
        return RecordingError(
            f"A stream cannot be recorded in {self._path.parent} ({reason(error)}). It is closed: free some space, or make "
            "the directory writable."
        )


class Pressing:
    """Turns a spool into a file of frames while it still grows, so that little is left to do at its end."""

    def __init__(
        self,
        layout: Layout,
        spool: str,
        target: str,
        make: Callable[[Sequence[str]], Press],
        codings: Sequence[str] = (),
    ) -> None:
        self._source = layout.spool / spool
        self._target = layout.bodies / target
        self._make = make
        self._given_up = False
        self._restart(codings)

    def advance(self, until: int) -> None:
        """Press what has arrived, up to the byte ``until``. What fails is tried again at the end.

        Raises what the press raises, once: an error that is not the disk's will come again.
        """
        if self._given_up:
            return
        try:
            self._press_to(until)
        except OSError:
            self._restart(self._codings)
        except Exception:
            self._given_up = True
            self._restart(self._codings)
            raise

    def finish(self, codings: Sequence[str] = ()) -> tuple[BodyNote, BodyFile] | None:
        """Press the rest and have the file on the disk; the body's note and where it lies, ``None`` for an empty body.

        Raises ``OSError``, and what the press raises; it may then be called again.
        """
        try:
            if tuple(codings) != self._codings:
                self._restart(codings)
            self._press_to(None)
            for part in self._press.finish():
                self._keep(part.size, part.data)
            if not self._frames:
                return None
            with self._target.open("rb") as target:
                os.fsync(target.fileno())
            sync_directory(self._target.parent)
        except Exception:
            self._restart(codings)
            raise
        return self._press.note, BodyFile(self._target.name, self._press.salt, tuple(self._frames))

    @property
    def wire_size(self) -> int:
        return self._done

    def discard(self) -> None:
        """Remove what was made of the spool."""
        with contextlib.suppress(OSError):
            self._target.unlink(missing_ok=True)

    def _press_to(self, until: int | None) -> None:
        with self._source.open("rb") as source:
            source.seek(self._done)
            while until is None or self._done < until:
                data = source.read(_READ if until is None else min(_READ, until - self._done))
                if not data:
                    return
                self._done += len(data)
                for part in self._press.feed(data):
                    self._keep(part.size, part.data)

    def _restart(self, codings: Sequence[str]) -> None:
        self._codings: tuple[str, ...] = tuple(codings)
        self._press = self._make(self._codings)
        self._done = 0
        self._frames: list[tuple[int, int]] = []
        self.discard()

    def _keep(self, size: int, frame: bytes) -> None:
        descriptor = os.open(self._target, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            view = memoryview(frame)
            while view:
                view = view[os.write(descriptor, view) :]
        finally:
            os.close(descriptor)
        self._frames.append((size, len(frame)))
