"""The write side: records become durable, secrets stay out, and the archive grows.

This room knows the journal, the archive's schema and what a record holds; it knows nothing of HTTP servers, mitmproxy
or reading an archive. ``hoop_mitm.recording.fold`` is not imported here, because DuckDB is slow to import.
"""

from hoop_mitm.recording.logging_filter import LogFilter
from hoop_mitm.recording.owners import Owner, claimed
from hoop_mitm.recording.recorder import Recorder
from hoop_mitm.recording.records import EventRecord, FlowRecord, Level, Message, Record
from hoop_mitm.recording.redaction import Redactor
from hoop_mitm.recording.spool import Spool

__all__ = [
    "EventRecord",
    "FlowRecord",
    "Level",
    "LogFilter",
    "Message",
    "Owner",
    "Record",
    "Recorder",
    "Redactor",
    "Spool",
    "claimed",
]
