"""The archive is exchanged for one without what was chosen: whole, or not at all, whenever it is interrupted."""

import contextlib
import os
import shutil
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from hoop_mitm.errors import RecordingError
from hoop_mitm.evidence import Checkpoint, RecordingKey, RecordingKeys, observations_digest, removals_digest
from hoop_mitm.recording.archive_file import ArchiveFile
from hoop_mitm.recording.journal import reason
from hoop_mitm.recording.keeping import Keeper
from hoop_mitm.recording.layout import Layout, sync_directory
from hoop_mitm.recording.retention import places
from hoop_mitm.recording.retention.choosing import Range, ranges
from hoop_mitm.recording.retention.copying import copy
from hoop_mitm.recording.retention.learnt import learn
from hoop_mitm.recording.retention.rejoining import rejoin
from hoop_mitm.recording.retention.signing import NEWEST_KEY_OF_SOURCE, key_for
from hoop_mitm.recording.retention.source import Source

_USED = "SELECT used_blocks * block_size FROM pragma_database_size() WHERE database_name = 'old'"
_GOING = "SELECT coalesce(sum(bytes), 0)::BIGINT FROM gone_body"
#: What a fresh file takes that the old one did not, at most.
_MARGIN = 32 * 2**20
_FOLDED = "SELECT folded_to, held FROM old.main.journals WHERE id = ?"
_FLOWS = "SELECT DISTINCT flow_id FROM going WHERE kind = 'flow' AND (record OR bodies)"
_OLD_ROWS = "SELECT EXISTS (FROM gone_part WHERE chain IS NULL)"
_OBSERVATIONS = "SELECT chain, seq, data FROM observations ORDER BY chain, seq"


@dataclass(frozen=True, slots=True)
class Saying:
    """The event that says what was done; digests of what was taken are added to ``details``."""

    type: str
    message: str
    details: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Rewritten:
    """What came of it: the file's size before and after, journal segments that went as well, the signature over the event."""

    size_before: int
    size_after: int
    segments: int
    checkpoint: Checkpoint


def rewrite(
    layout: Layout,
    source: Source,
    keys: RecordingKeys,
    saying: Saying,
    *,
    forget: Sequence[str] = (),
    beside: Callable[[], object] = lambda: None,
    progress: Callable[[str], None],
) -> Rewritten:
    """Take out what was chosen in ``source``. The caller maintains the archive.

    Everything beside the archive goes before the archive is exchanged, which comes last: when that has happened, all
    of it has.

    Args:
        forget: principals whose claims are forgotten.
        beside: takes it out of what lies outside of the recording; what it raises is raised, and the archive is what it was.

    Raises:
        RecordingError: there is too little room, the key is missing, or the fresh file cannot be written; the archive is what it was.
    """
    key = key_for(keys, next((found for (found,) in source.rows(NEWEST_KEY_OF_SOURCE)), None))
    taken = ranges(source)
    _refuse_without_room(layout, source)
    path = places.fresh(layout)
    before = layout.archive.stat()
    try:
        progress("Keeping what was learnt of jobs")
        learn(source)
        copy(source, path, progress)
        progress("Joining jobs again")
        with ArchiveFile(path) as archive:
            rejoin(source, archive)
            checkpoint = _say(archive, key, saying, taken)
        progress("Putting it in its place")
        _make_durable(path, before)
        beside()
        segments = _clear_beside(layout, source, taken, forget)
        after = path.stat().st_size
        path.replace(layout.archive)
        sync_directory(layout.directory)
    except (duckdb.Error, OSError, sqlite3.Error) as error:
        raise RecordingError(
            f"{layout.archive} cannot be copied ({reason(error)}). It is what it was; try again."
        ) from error
    return Rewritten(before.st_size, after, segments, checkpoint)


def _refuse_without_room(layout: Layout, source: Source) -> None:
    needed = max(0, source.one(_USED) - source.one(_GOING)) + _MARGIN
    free = shutil.disk_usage(layout.directory).free
    if free < needed:
        raise RecordingError(
            f"What stays of {layout.archive} is copied, which needs up to {needed:,} bytes in {layout.directory}; {free:,} are "
            "free. Nothing was changed. Make room, or move the recordings to a larger disk."
        )


def _say(archive: ArchiveFile, key: RecordingKey, saying: Saying, taken: Sequence[Range]) -> Checkpoint:
    observations = archive.rows(_OBSERVATIONS)
    archive.begin()
    keeper = Keeper(archive, key)
    seq = keeper.event(
        saying.type,
        saying.message,
        {
            **saying.details,
            "removals": removals_digest((each.part, each.chain, each.first, each.last) for each in taken),
            "observations": observations_digest((row["chain"], row["seq"], row["data"]) for row in observations),
        },
    )
    archive.insert(
        "removals",
        (
            {
                "chain": keeper.chain,
                "event_seq": seq,
                "part": each.part,
                "target_chain": each.chain,
                "first_seq": each.first,
                "last_seq": each.last,
            }
            for each in taken
        ),
    )
    checkpoint = keeper.sign()
    archive.commit()
    return checkpoint


def _make_durable(path: Path, like: os.stat_result) -> None:
    """Have the file on the disk, for those to read who could read the one before."""
    path.chmod(like.st_mode & 0o777)
    with contextlib.suppress(PermissionError):
        os.chown(path, like.st_uid, like.st_gid)
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _clear_beside(layout: Layout, source: Source, taken: Sequence[Range], forget: Sequence[str]) -> int:
    segments = 0
    if layout.journal.is_dir():
        marks = source.rows(_FOLDED, [layout.identity().id])
        folded_to, held = marks[0] if marks else (0, [])
        segments = places.drop_segments(layout, taken, folded_to, held, old=source.one(_OLD_ROWS), forget=forget)
        places.drop_streams(layout, {flow for (flow,) in source.rows(_FLOWS)})
        places.forget_owners(layout, forget)
        places.empty_fold_log(layout)
        sync_directory(layout.journal)
    return segments
