"""An archive of an older version becomes one of this version, and the old file stays beside it."""

import contextlib
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import duckdb

from hoop_mitm.bigquery.jobs import STATEMENT_DOORS
from hoop_mitm.errors import RecordingError
from hoop_mitm.identity.session import IMPORTED
from hoop_mitm.recording.archive_file import VERSION, ArchiveFile, attached, attaching, fill, version_of
from hoop_mitm.recording.joining import READING_DOORS
from hoop_mitm.recording.layout import Hold, Layout, sync_directory
from hoop_mitm.recording.remarks import Remark

#: version → table → what becomes of its rows. Columns go by their names; those that are new are empty.
_FROM: Mapping[int, Mapping[str, str]] = {
    1: {"bodies": "SELECT *, ''::BLOB AS salt FROM archive.bodies"},
    2: {},
    3: {},
}

#: Those that both have; others are somebody's own, and stay in the old file.
_TABLES = """
    SELECT old.table_name FROM duckdb_tables() AS old
    JOIN duckdb_tables() AS new USING (schema_name, table_name)
    WHERE old.database_name = 'archive' AND new.database_name = 'fresh' AND table_name <> 'archive'
"""
_MACROS = """
    SELECT function_name, macro_definition FROM duckdb_functions()
    WHERE database_name = 'archive' AND function_name = 'usd_per_tib' AND function_type = 'macro'
"""


def _listed(doors: frozenset[str]) -> str:
    return ", ".join(f"'{door}'" for door in sorted(doors))


# Up to version 2 a job that was ever held said so for good, whatever became of it, and jobs of imported files were not kept
# apart from others that are called the same. Up to version 3 a request that BigQuery refused could give its text to the job
# that had the id, and which job a read was of hung on what was folded together.
_JOINED_OTHERWISE = f"""
    SELECT job_key FROM flows WHERE job_key IS NOT NULL AND chain IS NOT NULL AND (
        decision = 'review' OR session_id IN (SELECT id FROM sessions WHERE connection = '{IMPORTED}')
        OR (door IN ({_listed(STATEMENT_DOORS)}) AND (state IN ('open', 'failed') OR status >= 400))
    )
"""  # noqa: S608 - names of ours
_THEIR_FLOWS = f"""
    SELECT chain, seq FROM flows
    WHERE chain IS NOT NULL AND session_id IS NOT NULL
        AND (job_key IN ({_JOINED_OTHERWISE}) OR door IN ({_listed(READING_DOORS)}))
    ORDER BY seq, chain
"""  # noqa: S608 - as above
_REMOVE = f"DELETE FROM jobs WHERE key IN ({_JOINED_OTHERWISE})"  # noqa: S608 - a question of ours
_REMOVE_READS = "DELETE FROM read_sessions WHERE flow_id IN (SELECT id FROM flows WHERE chain IS NOT NULL)"
_MADE_AT = "UPDATE fresh.archive SET created_at = (SELECT created_at FROM archive.archive)"


@dataclass(frozen=True, slots=True)
class Migrated:
    """What was done: from one version to another, and where the old file is."""

    path: Path
    old_version: int
    version: int
    backup: Path


def refuse_link(path: Path) -> None:
    """What puts a new file in the place of an archive does not do so where that is a link to a file.

    The new file would take the link's place, and the old one would stay where it is, with all that is in it. A link to a
    directory does no harm.

    Raises:
        RecordingError: it is a link.
    """
    if not path.is_symlink():
        return
    real = path.resolve()
    if (layout := Layout(path.parent)).archive == path and layout.journal.is_dir():
        advice = (
            f"Stop the gateway, and name the directory where the file really is ({real.parent}) as `recording.directory`, with "
            "the journal moved there; or link the directory instead of the file."
        )
    else:
        advice = "Name the file itself."
    raise RecordingError(
        f"{path} is a link to {real}: a new file would take the link's place, and the old one would stay with all that is in "
        f"it. Nothing was changed. {advice}"
    )


def migrate(path: Path, *, wait: float = 0) -> Migrated | None:
    """Make an archive one of this version; ``None`` when it is one already.

    Killed at any moment it leaves the old file or the new one in place, and the old one in either case. For whoever
    holds :attr:`Layout.fold_lock`, or knows that nobody folds.

    Raises:
        ArchiveBusyError: somebody had it open all the time.
        RecordingError: it cannot be migrated, or is a link to a file; it is as it was.
    """
    version = version_of(path, wait)
    if version == VERSION:
        return None
    refuse_link(path)
    if version not in _FROM:
        raise RecordingError(
            f"{path} has version {version} of the archive's format, which this program does not know; it knows up to "
            f"version {VERSION}. Upgrade hoop-mitm."
        )
    new = path.with_name(f"{path.name}.v{VERSION}")
    backup = path.with_name(f"{path.name}.v{version}-backup")
    remark = Remark(
        "recording.migrated",
        f"The archive was brought from version {version} to {VERSION} of its format. The old file is {backup.name}.",
        {"from": version, "to": VERSION, "backup": backup.name},
    )
    try:
        _remove(new)
        _copy(path, new, version, remark, wait)
        new.chmod(path.stat().st_mode & 0o777)
        _keep(path, backup)
        new.rename(path)
        sync_directory(path.parent)
    except (OSError, duckdb.Error) as error:
        with contextlib.suppress(OSError):
            _remove(new)
        said = (error.strerror or str(error)) if isinstance(error, OSError) else str(error).splitlines()[0]
        raise RecordingError(f"{path} cannot be brought to version {VERSION} ({said}); it is as it was.") from error
    with contextlib.suppress(OSError):
        if (layout := Layout(path.parent)).archive == path and layout.journal.is_dir():
            remark.leave(layout)
    return Migrated(path, version, VERSION, backup)


def migrate_file(path: Path, *, wait: float = 5.0) -> Migrated | None:
    """As :func:`migrate`, for an archive that a gateway may be recording into.

    Raises:
        RecordingError: as there; or a gateway runs, which does it by itself.
    """
    layout = Layout(path.parent)
    if layout.archive != path or not layout.journal.is_dir():
        return migrate(path, wait=wait)
    with contextlib.ExitStack() as stack:
        for lock in (layout.fold_lock, layout.maintenance_lock):
            hold = Hold(lock)
            try:
                taken = hold.take(wait=wait)
            except OSError as error:
                raise RecordingError(f"{lock} cannot be written ({error.strerror}).") from error
            if not taken:
                raise RecordingError(
                    f"Another program works on {path}: a gateway's fold, or maintenance. A gateway of this version "
                    "migrates by itself; stop one of an older version first."
                )
            stack.callback(hold.release)
        return migrate(path, wait=wait)


def _copy(path: Path, new: Path, version: int, remark: Remark, wait: float) -> None:
    with contextlib.closing(attached(path, wait)) as connection:
        connection.execute(attaching(new, "fresh"))
        connection.execute("USE fresh")
        connection.execute("BEGIN")
        fill(connection)
        connection.execute(_MADE_AT)
        for (table,) in connection.execute(_TABLES).fetchall():
            rows = _FROM[version].get(table, f"SELECT * FROM archive.{table}")  # noqa: S608 - a name of ours
            connection.execute(f"INSERT INTO fresh.{table} BY NAME {rows}")
        for name, definition in connection.execute(_MACROS).fetchall():
            # What its owner pays stays what it was.
            connection.execute(f"CREATE OR REPLACE MACRO {name}() AS {definition}")
        connection.execute("COMMIT")
        connection.execute("CHECKPOINT fresh")
    with ArchiveFile(new) as archive:
        archive.begin()
        _join_again(archive)
        archive.insert("events", [remark.as_row()])
        archive.commit()


def _join_again(archive: ArchiveFile) -> None:
    # It reads what retention left, and retention knows this module.
    from hoop_mitm.recording.retention.rejoining import join_jobs

    places = [(row["chain"], row["seq"]) for row in archive.rows(_THEIR_FLOWS)]
    if places:
        archive.execute(_REMOVE)
        archive.execute(_REMOVE_READS)
        join_jobs(archive, places)


def _keep(path: Path, backup: Path) -> None:
    """Give the old file a second name, or copy it where that cannot be."""
    if backup.exists():
        if backup.samefile(path):
            return
        raise FileExistsError(17, f"{backup} is in the way: move it away", str(backup))
    try:
        backup.hardlink_to(path)
    except FileExistsError:
        raise
    except OSError:
        part = backup.with_name(f"{backup.name}.part")
        shutil.copyfile(path, part)
        shutil.copymode(path, part)
        with part.open("rb") as copied:
            os.fsync(copied.fileno())
        part.rename(backup)
    sync_directory(path.parent)


def _remove(path: Path) -> None:
    for each in (path, path.with_name(f"{path.name}.wal")):
        each.unlink(missing_ok=True)
