"""The records of one span: is each what was sealed, and is it linked to the one before?"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from hoop_mitm.archive.verify.file import File
from hoop_mitm.archive.verify.report import Findings, Place, shortened
from hoop_mitm.archive.verify.spans import Span
from hoop_mitm.evidence import PARTS, canonical, commit, first_link, is_canonical, link, record_digest

_HASH = 32
#: Rows that are read at once, and the most bytes of a value that is read together with others.
_ROWS = 1024
_SMALL = 2**16
#: What is larger was never written.
_LARGEST = 2**26

_TEXTS = ("data", *PARTS)
_RECORDS = f"""
    SELECT
        seq, left(kind, 64) AS kind,
        CASE WHEN octet_length(digest) = {_HASH} THEN digest END AS digest,
        CASE WHEN octet_length(link) = {_HASH} THEN link END AS link,
        large,
        {", ".join(f"CASE WHEN NOT large THEN encode({name}) END AS {name}" for name in _TEXTS)},
        {", ".join(f"CASE WHEN octet_length({name}_salt) <= 64 THEN {name}_salt END AS {name}_salt" for name in PARTS)}
    FROM (
        SELECT *, coalesce(greatest({", ".join(f"strlen({name})" for name in _TEXTS)}), 0) > {_SMALL} AS large
        FROM file.main.records
        WHERE chain = ? AND seq BETWEEN ? AND ?
    )
    ORDER BY seq
"""  # noqa: S608 - names of ours
_LARGE = f"""
    SELECT {", ".join(f"CASE WHEN strlen({name}) <= {_LARGEST} THEN encode({name}) WHEN strlen({name}) > 0 THEN encode('too large') END" for name in _TEXTS)}
    FROM file.main.records WHERE chain = ? AND seq = ? LIMIT 1
"""  # noqa: S608 - names of ours
_LINK = "SELECT link FROM file.main.records WHERE chain = ? AND seq = ? LIMIT 1"

type Note = dict[str, Any]


@dataclass(slots=True)
class Record:
    """A record as it stands in the file.

    Attributes:
        note: its skeleton, parsed; ``None`` when it is gone, or is not what was sealed.
        parts: its parts, parsed: those that are there and are what was sealed.
        sound: all that is there of it is what was sealed.
    """

    seq: int
    kind: str
    note: Note | None
    parts: dict[str, Note]
    sound: bool


@dataclass(slots=True)
class Absent:
    """Records in a row of which a part (or all: ``record``) is gone, although it was sealed."""

    chain: str
    part: str
    first: int
    last: int
    number: int


@dataclass(slots=True)
class Walk:
    """Goes through a span; what it came upon is in its attributes afterwards.

    Attributes:
        easy: records that need not be understood: what they say has been compared already.
        whole: look at how each is written, the easy ones too.
        number: records that there are.
        sound: those that are what was sealed.
        gone: those of which only digest and link are left.
        begins, ends: the earliest and the latest time that a record tells.
    """

    file: File
    span: Span
    bundle: bool = False
    easy: frozenset[int] = frozenset()
    whole: bool = True
    findings: Findings = field(default_factory=Findings)
    number: int = 0
    sound: int = 0
    gone: int = 0
    begins: str | None = None
    ends: str | None = None
    _absent: dict[str, list[Absent]] = field(default_factory=dict)

    @property
    def absent(self) -> list[Absent]:
        return [each for some in self._absent.values() for each in some]

    def records(self) -> Iterator[Record]:
        """Every record that is not easy, or not sound, once, in order. What is wrong with one has been said when it comes.

        Raises:
            UnreadableError: the file is damaged.
        """
        span = self.span
        before = span.before
        previous = first_link(span.chain) if before is None else self._link_of(before)
        if span.rows != span.numbers:
            self.findings.add(
                "record.twice",
                f"{span.rows - span.numbers:,} of the {span.rows:,} records here have a number that another one has.",
                Place(span.chain, span.first, last=span.last, table="records"),
            )
        for row in self._rows():
            seq = row[0]
            if before is not None and seq != before + 1:
                if seq == before:
                    continue
                if not self.bundle:
                    self._missing(before + 1, seq - 1)
                previous = None
            elif before is None and self.bundle and row[1] != "genesis":
                # A bundle's segment begins anywhere; the signature at its end covers this link too.
                previous = None
            digest, linked = row[2], row[3]
            fits = digest is not None and linked is not None and (not previous or link(previous, seq, digest) == linked)
            previous, before = linked, seq
            self.number += 1
            if fits and seq in self.easy and _is_easy(row, whole=self.whole):
                self.sound += 1
                continue
            record = self._record(row)
            if not fits:
                words = "It is not linked to the record before it: from here to the next signature nothing is covered."
                self._broken(record, "chain.broken", words)
            self.sound += record.sound
            yield record

    def _rows(self) -> Iterator[tuple[Any, ...]]:
        span = self.span
        for batch in self.file.batches(_RECORDS, [span.chain, span.first, span.last], rows=_ROWS):
            for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                if row[4]:
                    yield (*row[:5], *self.file.rows(_LARGE, [span.chain, row[0]])[0], *row[9:])
                else:
                    yield row

    def _record(self, row: tuple[Any, ...]) -> Record:
        seq, kind, digest, _, _, data, *texts = row[:9]
        record = Record(seq, kind or "", None, {}, sound=True)
        if data is None:
            self.gone += 1
            self._is_absent("record", seq)
            if any(text is not None for text in texts):
                self._broken(
                    record, "record.parts", "The record is gone, but parts of it are there: nothing says what they are."
                )
            return record
        if record_digest(data) != digest:
            self._broken(record, "record.changed", "The record is not what was sealed: its digest is another one.")
            return record
        try:
            note = orjson.loads(data)
            read_in_one_way = canonical(note) == data
        except (orjson.JSONDecodeError, orjson.JSONEncodeError):
            note, read_in_one_way = None, False
        if not isinstance(note, dict) or not read_in_one_way or note.get("kind") != kind:
            self._broken(
                record, "record.form", f"The record is not written as a record of kind {shortened(kind)!r} is."
            )
            return record
        record.note = note
        self._read_parts(record, note.get("parts"), texts, row[9:])
        at = note.get("at") or note.get("started_at") or note.get("created_at")
        if isinstance(at, str):
            self.begins = min(self.begins or at, at)
            self.ends = max(self.ends or at, at)
        return record

    def _read_parts(
        self, record: Record, sealed: object, texts: Sequence[bytes | None], salts: Sequence[bytes | None]
    ) -> None:
        if not isinstance(sealed, dict) or not sealed.keys() <= set(PARTS):
            self._broken(record, "record.form", "The record names parts that this program does not know.")
            return
        for name, text, salt in zip(PARTS, texts, salts, strict=True):
            commitment = sealed.get(name)
            if commitment is None:
                if text is not None or salt is not None:
                    self._broken(record, "part.extra", f"There is a part {name}, which the record does not have.")
            elif text is None and salt is None:
                self._is_absent(name, record.seq)
            elif text is None or salt is None or commit(name, salt, text).hex() != commitment:
                words = f"The part {name} is not what was sealed: it does not match the record's commitment."
                self._broken(record, "part.changed", words)
            else:
                self._parse(record, name, text)

    def _parse(self, record: Record, name: str, text: bytes) -> None:
        try:
            fields = orjson.loads(text)
        except orjson.JSONDecodeError:
            fields = None
        if isinstance(fields, dict):
            record.parts[name] = fields
        else:
            self._broken(record, "record.form", f"The part {name} is not written as a part is.")

    def _is_absent(self, part: str, seq: int) -> None:
        runs = self._absent.setdefault(part, [])
        if runs and runs[-1].last == seq - 1:
            runs[-1].last = seq
            runs[-1].number += 1
        else:
            runs.append(Absent(self.span.chain, part, seq, seq, 1))

    def _missing(self, first: int, last: int) -> None:
        numbers = f"Record {first} is" if first == last else f"The records {first} to {last} are"
        self.findings.add(
            "record.missing", f"{numbers} missing.", Place(self.span.chain, first, last=last, table="records")
        )

    def _broken(self, record: Record, what: str, words: str) -> None:
        record.sound = False
        self._say(record, what, words)

    def _say(self, record: Record, what: str, words: str) -> None:
        self.findings.add(what, words, place_of(self.span.chain, record))

    def _link_of(self, seq: int) -> bytes | None:
        found = self.file.rows(_LINK, [self.span.chain, seq])
        return found[0][0] if found and len(found[0][0] or b"") == _HASH else None


def _is_easy(row: tuple[Any, ...], *, whole: bool) -> bool:
    """Whether a record is what was sealed, and so are its parts; ``False`` also where that is not plain to see."""
    data, who, statement, exchange, *salts = row[5:]
    if (
        data is None
        or record_digest(data) != row[2]
        or None in salts
        or who is None
        or statement is None
        or exchange is None
    ):
        return False
    who_salt, statement_salt, exchange_salt = salts
    # As canonical JSON has it. Anywhere in there: a text cannot hold quotes that are not escaped.
    commitments = (
        f'"parts":{{"exchange":"{commit("exchange", exchange_salt, exchange).hex()}",'
        f'"statement":"{commit("statement", statement_salt, statement).hex()}",'
        f'"who":"{commit("who", who_salt, who).hex()}"}}'
    )
    return commitments.encode() in data and (not whole or is_canonical(data))


def place_of(
    chain: str, record: Record, table: str = "records", row: str | None = None, column: str | None = None
) -> Place:
    """Where a record stands, and what it says of when and whose it is."""
    note = record.note or {}
    session = note.get("session")
    whose = (
        session.get("id")
        if isinstance(session, dict)
        else note.get("id")
        if record.kind == "session"
        else note.get("session_id")
    )
    at = note.get("at") or note.get("started_at") or note.get("created_at")
    return Place(
        chain,
        record.seq,
        kind=record.kind,
        at=at if isinstance(at, str) else None,
        session=whose if isinstance(whose, str) else None,
        table=table,
        row=row,
        column=column,
    )
