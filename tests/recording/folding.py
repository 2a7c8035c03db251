"""The write side without threads or processes: what it has written is in the journal, and is folded when asked."""

from pathlib import Path

from hoop_mitm.recording.fold import FoldReport, fold_once
from hoop_mitm.recording.journal import Entry, Journal
from hoop_mitm.recording.layout import Hold, Layout
from hoop_mitm.recording.preparing import prepare
from hoop_mitm.recording.records import Record
from hoop_mitm.recording.redaction import Redactor

KEY = b"k" * 32


class Gateway:
    """Holds a directory as a gateway does."""

    def __init__(self, directory: Path) -> None:
        self.layout = Layout(directory)
        self.layout.make()
        self.hold = Hold(self.layout.lock)
        assert self.hold.take()
        self.journal = Journal(self.layout)
        self.journal.open()
        self.journal.append([Entry("start", b"{}")])
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
