"""Where recorded values lie beside the archive: in the journal's segments, in its list of owners, in the fold's log, and in
copies that somebody, or a migration, or a crash, has left."""

import contextlib
import itertools
import json
import shutil
import sqlite3
import time
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hoop_mitm.errors import RecordingError
from hoop_mitm.recording.journal import claims_in
from hoop_mitm.recording.layout import Layout
from hoop_mitm.recording.retention.choosing import Range
from hoop_mitm.recording.segment import connect
from hoop_mitm.recording.unfolded import Unfolded

_OWNED = "SELECT count(*) FROM owners WHERE principal IN (SELECT value FROM json_each(?))"
_FORGET = "DELETE FROM owners WHERE principal IN (SELECT value FROM json_each(?))"
_HAS_A_CHAIN = "SELECT 1 FROM sqlite_schema WHERE name = 'chain'"
#: What begins so is a copy of the archive, or a part of one.
_COPIES = "hoop.duckdb."
#: DuckDB's own, while somebody has the archive open. A log that was set aside is not: its name goes on.
_LOG = "hoop.duckdb.wal"
_SPILL = "hoop.duckdb.tmp"
_LIVELY = 3600.0


@dataclass(frozen=True, slots=True)
class OldCopy:
    """A file that may hold what was deleted, and that is its owner's to remove; ``size`` in bytes."""

    path: Path
    size: int


def fresh(layout: Layout) -> Path:
    """The archive's successor, while it is made where nobody else looks."""
    return layout.workshop / layout.archive.name


def spill(layout: Layout) -> Path:
    """Where DuckDB puts what does not fit into memory meanwhile."""
    return layout.workshop / "spill"


def remove_leftovers(layout: Layout) -> None:
    """Remove what was being made when it was killed. For whoever has :attr:`Layout.maintenance_lock` alone."""
    shutil.rmtree(layout.workshop, ignore_errors=True)


def drop_segments(
    layout: Layout,
    taken: Sequence[Range],
    folded_to: int,
    held: Iterable[int],
    *,
    old: bool,
    forget: Sequence[str] = (),
) -> int:
    """Remove the segments that hold something of ``taken``, or a claim of ``forget`` (principals); how many.

    ``old`` asks for those, too, that were written before there were chains.

    Raises:
        RecordingError: one of them holds what is not folded yet.
    """
    journal = layout.identity().id
    own = [each for each in taken if each.chain == journal or each.chain.startswith(f"{journal}.")]
    segments = layout.segments()
    dropped = 0
    with contextlib.closing(Unfolded(layout)) as unfolded:
        for (first, path), (beyond, after) in itertools.pairwise(segments):
            gone = any(each.first < beyond and each.last >= first for each in own) or (old and not _has_a_chain(path))
            # Of a connection whose recording is off there are claims without records.
            if gone or claims_of(path, forget):
                unfolded.trim([(first, path), (beyond, after)], folded_to, held)
                if path.exists():
                    raise RecordingError(
                        f"{path} holds what is not in the archive yet. Try again. The archive is what it was."
                    )
                dropped += 1
    return dropped


def claims_of(path: Path, principals: Sequence[str]) -> int:
    """How many claims a segment has of ``principals``."""
    return sum(claim.owner.principal in principals for claim in claims_in(path)) if principals else 0


def owned_by(layout: Layout, principals: Sequence[str]) -> int:
    """How many claims the gateway remembers of ``principals``."""
    found = sum(claims_of(path, principals) for _, path in layout.segments()) if layout.journal.is_dir() else 0
    if principals and layout.owners.exists():
        with contextlib.closing(sqlite3.connect(layout.owners, timeout=10)) as connection:
            found += connection.execute(_OWNED, [json.dumps(list(principals))]).fetchone()[0]
    return found


def drop_streams(layout: Layout, flows: Container[str]) -> None:
    """Remove what a gateway that was killed has left of the streams of these flows."""
    for path in (*layout.spool.glob("*"), *layout.bodies.glob("*")):
        # FLOW.SIDE, and RUN-NUMBER-FLOW.SIDE.
        name = path.name.rpartition(".")[0]
        if name in flows or name.split("-", 2)[-1] in flows:
            path.unlink(missing_ok=True)


def forget_owners(layout: Layout, principals: Sequence[str]) -> None:
    """Forget what belongs to ``principals``: nobody gets at it any more. Raises ``sqlite3.Error``."""
    if not layout.owners.exists() or not principals:
        return
    with contextlib.closing(sqlite3.connect(layout.owners, isolation_level=None, timeout=10)) as connection:
        connection.execute("PRAGMA secure_delete = ON")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(_FORGET, [json.dumps(list(principals))])
        connection.execute("VACUUM")


def empty_fold_log(layout: Layout) -> None:
    """What could not be folded may be quoted there. The fold appends to it, and goes on at its beginning."""
    with contextlib.suppress(OSError):
        layout.fold_log.open("r+b").truncate()


def old_copies(layout: Layout) -> tuple[OldCopy, ...]:
    """Copies of the archive, logs of it that were set aside, and damaged segments, in the recordings directory."""
    found = [
        path
        for path in layout.directory.iterdir()
        if path.name.startswith(_COPIES)
        and path != layout.workshop
        and not ((path.name == _LOG or path.name.startswith(_SPILL)) and _is_lively(path))
    ]
    found += layout.journal.glob("*.damaged*")
    return tuple(OldCopy(path, _size(path)) for path in sorted(found))


def remove_copies(copies: Iterable[OldCopy]) -> None:
    for copy in copies:
        if copy.path.is_dir():
            shutil.rmtree(copy.path)
        else:
            copy.path.unlink(missing_ok=True)


def _is_lively(path: Path) -> bool:
    try:
        return time.time() - path.stat().st_mtime < _LIVELY
    except FileNotFoundError:
        return True


def _size(path: Path) -> int:
    if path.is_dir():
        return sum(each.stat().st_size for each in path.rglob("*") if each.is_file())
    return path.stat().st_size


def _has_a_chain(path: Path) -> bool:
    try:
        with contextlib.closing(connect(path)) as connection:
            return connection.execute(_HAS_A_CHAIN).fetchone() is not None
    except sqlite3.Error:
        return False
