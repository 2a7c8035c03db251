"""Files that commands write: whole or not at all, and for their owner's eyes only."""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from hoop_mitm.errors import ArchiveError

_IN_MEMORY = 8 * 2**20


@contextmanager
def writing(path: Path | None) -> Iterator[IO[bytes]]:
    """Where to write the bytes of ``path``, or of standard output where that is ``None`` or ``-``.

    A file is put in its place when all of it is written, readable for its owner only. Standard output gets everything
    at the end, so that a slow reader holds up nobody else.

    Raises:
        ArchiveError: the file cannot be written.
    """
    if path is None or str(path) == "-":
        with tempfile.SpooledTemporaryFile(_IN_MEMORY) as held:
            yield held
            held.seek(0)
            shutil.copyfileobj(held, sys.stdout.buffer)
            sys.stdout.flush()
        return
    try:
        with _placed(path) as file:
            yield file
    except OSError as error:
        raise ArchiveError(f"{path} cannot be written: {error.strerror or error}.") from error


@contextmanager
def _placed(path: Path) -> Iterator[IO[bytes]]:
    if path.exists() and not path.is_file():
        # A device or a pipe is written to; a directory says that it is one.
        with path.open("wb") as file:
            yield file
        return
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
