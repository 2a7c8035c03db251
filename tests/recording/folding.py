"""The write side without threads or processes: what it has written is in the journal, and is folded when asked."""

import contextlib
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hoop_mitm.evidence import RecordingKey, RecordingKeys
from hoop_mitm.recording.fold import FoldReport, fold_once
from hoop_mitm.recording.journal import Entry, Journal
from hoop_mitm.recording.layout import Hold, Layout, is_held
from hoop_mitm.recording.preparing import prepare
from hoop_mitm.recording.records import Record
from hoop_mitm.recording.redaction import Redactor
from hoop_mitm.recording.segment import connect
from tests.waiting import until

KEY = b"k" * 32


def keys(*names: bytes) -> RecordingKeys:
    """Recording keys, the same again for the same names of one byte each."""
    made = [Ed25519PrivateKey.from_private_bytes(name * 32) for name in names or (b"k",)]
    return RecordingKeys(tuple(RecordingKey.of(key) for key in made))


class Gateway:
    """Holds a directory as a gateway does."""

    def __init__(self, directory: Path) -> None:
        self.layout = Layout(directory)
        self.layout.make()
        self.hold = Hold(self.layout.lock)
        assert self.hold.take()
        self.journal = Journal(self.layout, keys())
        self.journal.open()
        self.journal.append([Entry("start", {})])
        self.redactor = Redactor()

    def write(self, *records: Record) -> None:
        self.journal.append([prepare(record, self.redactor, KEY) for record in records])

    def die(self) -> None:
        self.journal.close()
        self.hold.release()

    def fold(self, *records: Record) -> FoldReport:
        """Write records and fold them, in a fold of their own."""
        self.write(*records)
        return fold_once(self.layout.directory)


def fold_what_is_left(directory: Path) -> None:
    """Fold all that a gateway left which has ended: after its own fold, which may still be at it."""
    lock = Layout(directory).fold_lock
    until(lambda: not is_held(lock) and fold_once(directory, wait=60).remaining == 0)


def write_over(segment: Path, seq: int, **columns: object) -> None:
    """Change what a segment says of a record, behind everyone's back."""
    with contextlib.closing(connect(segment)) as connection:
        for column, value in columns.items():
            connection.execute(f"UPDATE records SET {column} = ? WHERE seq = ?", [value, seq])
