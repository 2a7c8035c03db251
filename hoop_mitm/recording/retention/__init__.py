"""How long a recording keeps what: what is too old, or is to be erased, is taken out of the archive for good.

The archive is never changed in place, since DuckDB leaves deleted values in the file. What stays is copied into a fresh
file, which then takes its place; a signed event in it lists what was taken, so that it can be told from tampering.
"""

from hoop_mitm.recording.retention.applying import Applied, apply, look
from hoop_mitm.recording.retention.cutoffs import OTHERS, Cutoff, Cutoffs, cutoffs
from hoop_mitm.recording.retention.erasing import UNREACHED, Erased, Receipt, erase, trace
from hoop_mitm.recording.retention.holding import HeldSession, holds, place_hold, release_hold
from hoop_mitm.recording.retention.maintaining import Check, Progress
from hoop_mitm.recording.retention.persons import Traces
from hoop_mitm.recording.retention.places import OldCopy, remove_copies
from hoop_mitm.recording.retention.plan import Plan, Share
from hoop_mitm.recording.retention.rewriting import Rewritten
from hoop_mitm.recording.retention.stores import Lost, Stores

__all__ = [
    "OTHERS",
    "UNREACHED",
    "Applied",
    "Check",
    "Cutoff",
    "Cutoffs",
    "Erased",
    "HeldSession",
    "Lost",
    "OldCopy",
    "Plan",
    "Progress",
    "Receipt",
    "Rewritten",
    "Share",
    "Stores",
    "Traces",
    "apply",
    "cutoffs",
    "erase",
    "holds",
    "look",
    "place_hold",
    "release_hold",
    "remove_copies",
    "trace",
]
