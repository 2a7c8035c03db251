"""Rows that are made again from records of which something went, by the same code that made them first."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson
import zstandard

from hoop_mitm.evidence import PARTS, join
from hoop_mitm.recording.archive_file import ArchiveFile
from hoop_mitm.recording.joining import Joiner, portions, telling_bodies
from hoop_mitm.recording.retention.learnt import observation_of
from hoop_mitm.recording.retention.source import Source
from hoop_mitm.recording.sealing import Sealed
from hoop_mitm.recording.tables import LOST, Batch
from hoop_mitm.recording.unfolded import Row

_REDONE = """
    SELECT going.chain, going.seq
    FROM going WHERE going.kind IN ('flow', 'salvage') AND flow_id IN (SELECT id FROM redone)
    ORDER BY going.seq, going.chain
"""
_RECORDS = """
    SELECT records.chain, records.seq, kind, records.data, digest, link, who, statement, exchange, observations.data AS learnt
    FROM records LEFT JOIN observations ON observations.chain = records.chain AND observations.seq = records.seq
    WHERE records.rowid IN (
        SELECT rowid FROM records
        WHERE chain = ? AND seq BETWEEN ? AND ? AND seq IN (SELECT value::BIGINT FROM wanted)
    )
    ORDER BY records.seq
"""
_BODIES = """
    SELECT hash, size, data FROM bodies
    WHERE rowid IN (SELECT rowid FROM bodies WHERE hash IN (SELECT from_hex(value) FROM wanted))
    ORDER BY hash, part
"""
_LOST_AGAIN = f"UPDATE flows SET error = '{LOST}' WHERE state = 'open' AND error IS NULL AND id IN (FROM wanted)"  # noqa: S608
_MOVE = """
    UPDATE flows SET job_key = batch.job_key FROM batch
    WHERE flows.id = batch.id AND flows.job_key IS DISTINCT FROM batch.job_key
"""
#: Records, and bytes of their bodies, that are held at once.
_AT_ONCE, _BYTES_AT_ONCE = 2000, 2**26


class _Kept:
    """Bodies of some records, as the archive holds them."""

    def __init__(self, archive: ArchiveFile, rows: Sequence[Row]) -> None:
        self._parts: dict[bytes, list[dict[str, Any]]] = {}
        for part in archive.rows_among(_BODIES, telling_bodies(rows)):
            self._parts.setdefault(part["hash"], []).append(part)

    def body(self, row: Row, side: str, most: int) -> bytes | None:
        """A whole body; ``None`` when there is none or it is larger than ``most`` bytes."""
        note = row.body_note(side)
        if note is None or note["size"] > most:
            return None
        decompress = zstandard.ZstdDecompressor().decompress
        parts = self._parts.get(bytes.fromhex(note["hash"]))
        try:
            return b"".join(decompress(part["data"], max_output_size=part["size"]) for part in parts) if parts else None
        except zstandard.ZstdError:
            return None


def rejoin(source: Source, archive: ArchiveFile) -> None:
    """Make what :func:`copy` left out again, in the open ``archive``."""
    for rows in _portions(archive, source.stream(_REDONE)):
        batch = Batch(_Kept(archive, rows), rows)
        archive.begin()
        batch.fold_into(archive)
        archive.commit()
    lost = [id_ for (id_,) in source.rows("SELECT id FROM redone WHERE lost")]
    archive.execute_among(_LOST_AGAIN, lost)


def join_jobs(archive: ArchiveFile, places: Sequence[tuple[str, int]]) -> None:
    """Join the exchanges at these places of chains to jobs again, in their order; the jobs' rows are gone already."""
    for rows in _portions(archive, places):
        joiner = Joiner(_Kept(archive, rows))
        joiner.observe(rows)
        keys = joiner.join(archive)
        archive.execute_with(
            _MOVE, "flows", [{"id": id_, "job_key": keys.get(id_)} for id_ in (row.note["id"] for row in rows)]
        )


def _portions(archive: ArchiveFile, places: Iterable[tuple[Any, ...]]) -> Iterator[list[Row]]:
    for some in itertools.batched(places, _AT_ONCE):
        yield from portions(_rows(archive, some), lambda row: row, _BYTES_AT_ONCE)


def _rows(archive: ArchiveFile, places: Sequence[tuple[Any, ...]]) -> Iterator[Row]:
    for chain in sorted({chain for chain, _ in places}):
        numbers = [seq for other, seq in places if other == chain]
        # Those of one principal may lie far apart, with a million records between them.
        for found in archive.rows_among(_RECORDS, map(str, numbers), [chain, min(numbers), max(numbers)]):
            yield _row(found)


def _row(found: dict[str, Any]) -> Row:
    note = join(
        orjson.loads(found["data"]), {name: orjson.loads(found[name]) for name in PARTS if found[name] is not None}
    )
    if found["learnt"] is not None:
        note["observed"] = observation_of(found["learnt"])
    elif found["statement"] is None:
        # Where the part is gone nobody knows whether it was in there.
        note.pop("observed", None)
    sealed = Sealed(
        found["chain"], found["seq"], found["kind"], found["data"].encode(), found["digest"], found["link"], {}
    )
    return Row(found["seq"], found["kind"], note, {}, Path(), sealed=sealed)
