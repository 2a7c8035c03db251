"""A flow file into an archive: all of it, or nothing, and once."""

import hashlib
import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import duckdb
import zstandard
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hoop_mitm.errors import ArchiveError, RecordingError
from hoop_mitm.evidence import Checkpoint, RecordingKey
from hoop_mitm.identity.session import Session
from hoop_mitm.importing import mitm
from hoop_mitm.importing.exchanges import Sessions, is_ours, record, secrets_of
from hoop_mitm.recording.archive_file import ArchiveFile
from hoop_mitm.recording.journal import Body, Entry
from hoop_mitm.recording.keeping import PREFIX, Keeper
from hoop_mitm.recording.preparing import prepare
from hoop_mitm.recording.records import Record
from hoop_mitm.recording.redaction import Redactor
from hoop_mitm.recording.tables import Batch
from hoop_mitm.recording.unfolded import Row

type Progress = Callable[[str], None]

_AT_ONCE = 200
_PIECE = 2**20

_IMPORTED = """
    SELECT chain FROM records
    WHERE kind = 'genesis' AND starts_with(chain, ?) AND data LIKE '%"imported":{%' AND contains(data, ?)
"""
_NAMES = "SELECT id, name FROM sessions WHERE id IN (SELECT session_id FROM events WHERE chain = ? AND session_id IS NOT NULL)"


@dataclass(frozen=True, slots=True)
class Imported:
    """What came of it.

    Attributes:
        source: SHA-256 of the file, hexadecimal.
        chain: the chain that it lies in.
        already: it had been imported before, and nothing was done.
        sessions: id and name.
        flows: exchanges with BigQuery that were taken over; ``others`` were left out.
        checkpoint: the signature over it; ``None`` when nothing was done.
    """

    source: str
    chain: str
    already: bool
    sessions: tuple[tuple[str, str], ...]
    flows: int
    others: int
    checkpoint: Checkpoint | None = None


def import_flows(
    file: Path, into: Path, *, key: RecordingKey | None = None, wait: float = 10, progress: Progress = lambda _: None
) -> Imported:
    """Take the exchanges with BigQuery in the flow file ``file`` into the archive ``into``, which is made when there is none.

    Args:
        key: what signs; without one, a key that is made for this and forgotten: then nobody vouches for who imported it.
        wait: seconds to wait for who reads the archive, or folds into it.

    Raises:
        ArchiveError: the file cannot be read, or holds nothing of BigQuery's.
        RecordingError: the archive cannot be written, or somebody has it open.
    """
    source = _digest(file)
    redactor = Redactor()
    progress("Reading")
    ours = others = 0
    # First all secrets, and whether the file can be read to its end: a token may stand in an earlier body.
    for heard in mitm.read(file):
        if heard is None or not is_ours(heard):
            others += 1
            continue
        ours += 1
        for secret in secrets_of(heard):
            redactor.protect(secret)
    if not ours:
        raise ArchiveError(f"{file} holds {others:,} flows, and none of them is with BigQuery. Nothing was imported.")
    into.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with ArchiveFile(into, wait=wait) as archive:
        if before := archive.rows(_IMPORTED, [PREFIX, source]):
            chain = before[0]["chain"]
            known = tuple((row["id"], row["name"]) for row in archive.rows(_NAMES, [chain]))
            return Imported(source, chain, already=True, sessions=known, flows=0, others=others)
        try:
            archive.begin()
            taking = _Taking(archive, key or RecordingKey.of(Ed25519PrivateKey.generate()), redactor, file, source)
            for done in taking.take_all(mitm.read(file)):
                progress(f"{done:,} of {ours:,} exchanges")
            checkpoint = taking.finish()
            archive.commit()
        except duckdb.Error as error:
            archive.rollback()
            raise RecordingError(
                f"{into} cannot be written: {str(error).splitlines()[0]}. Nothing was imported."
            ) from error
        except BaseException:
            archive.rollback()
            raise
    found = tuple((session.id, session.name) for session in taking.sessions.all)
    return Imported(
        source, taking.keeper.chain, already=False, sessions=found, flows=ours, others=others, checkpoint=checkpoint
    )


class _Taking:
    """Takes exchanges into the open archive, within one transaction."""

    def __init__(self, archive: ArchiveFile, key: RecordingKey, redactor: Redactor, file: Path, source: str) -> None:
        self.keeper = Keeper(archive, key, imported={"file": file.name, "sha256": source})
        self.sessions = Sessions(source, file.stem or file.name)
        self._archive = archive
        self._redactor = redactor
        self._key = hashlib.sha256(source.encode()).digest()
        self._file = file.name
        self._source = source

    def take_all(self, flows: Iterable[mitm.Heard | None]) -> Iterable[int]:
        """Gives how many were taken, every now and then."""
        done = 0
        ours = (heard for heard in flows if heard is not None and is_ours(heard))
        for some in itertools.batched(ours, _AT_ONCE):
            records: list[Record] = []
            for number, heard in enumerate(some, done):
                session, is_new = self.sessions.of(heard)
                if is_new:
                    records.append(session)
                    self._tell(session)
                records.append(record(heard, session, number))
            self._take(records)
            done += len(some)
            yield done

    def finish(self) -> Checkpoint:
        return self.keeper.sign()

    def _tell(self, session: Session) -> None:
        self.keeper.event(
            "recording.imported",
            f"Imported from {self._file}, a file of another program's: this is no evidence of this gateway.",
            {"file": self._file, "sha256": self._source},
            session_id=session.id,
        )

    def _take(self, records: Iterable[Record]) -> None:
        entries = [prepare(each, self._redactor, self._key) for each in records]
        rows = [self.keeper.record(entry.kind, entry.note) for entry in entries]
        self._archive.insert("bodies", [part for entry in entries for part in _parts(entry)])
        Batch(_Bodies(rows, entries), rows).fold_into(self._archive)


class _Bodies:
    """Bodies of records that were just made."""

    def __init__(self, rows: Iterable[Row], entries: Iterable[Entry]) -> None:
        self._bodies = {
            (row.seq, side): body
            for row, entry in zip(rows, entries, strict=True)
            for side, body in entry.bodies.items()
        }

    def body(self, row: Row, side: str, most: int) -> bytes | None:
        """A whole body; ``None`` when there is none or it is larger than ``most`` bytes."""
        body: Body | None = self._bodies.get((row.seq, side))
        if body is None or sum(part.size for part in body.parts) > most:
            return None
        decompress = zstandard.ZstdDecompressor().decompress
        return b"".join(decompress(part.data, max_output_size=part.size) for part in body.parts)


def _parts(entry: Entry) -> Iterable[dict[str, object]]:
    for body in entry.bodies.values():
        for number, part in enumerate(body.parts):
            yield {"hash": body.commitment, "part": number, "size": part.size, "data": part.data, "salt": body.salt}


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while piece := file.read(_PIECE):
                digest.update(piece)
    except OSError as error:
        raise ArchiveError(f"{path} cannot be read: {error.strerror or error}.") from error
    return digest.hexdigest()
