"""All that is recorded of one person goes, when they ask for it."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from hoop_mitm.errors import HeldError, HoopError, NotInArchive
from hoop_mitm.evidence import RecordingKeys, commit, new_salt
from hoop_mitm.recording.layout import Layout, is_held
from hoop_mitm.recording.retention.choosing import anything_goes
from hoop_mitm.recording.retention.holding import held_sessions
from hoop_mitm.recording.retention.maintaining import PATIENCE, bring_up_to_date, fold_what_can_be, maintained
from hoop_mitm.recording.retention.persons import Traces, choose_person
from hoop_mitm.recording.retention.places import OldCopy, old_copies, spill
from hoop_mitm.recording.retention.rewriting import Rewritten, Saying, rewrite
from hoop_mitm.recording.retention.source import Source

type Progress = Callable[[str], None]

#: What an erasure cannot reach, for whoever has to.
UNREACHED = (
    "what other people's statements and results say about them",
    "copies of the recording elsewhere: backups, exports, bundles, snapshots of the disk",
    "the gateway's own log, and its revocations (`hoop-mitm sessions revoke`), which name people by design",
    "what readers of a shared recording noted while no gateway ran, until one has taken it in",
    "BigQuery's job history and Google's audit logs; their tables themselves",
    "heads kept elsewhere, which hold hashes and nothing of theirs",
)


class NamesThePersonError(HoopError):
    """The reason for an erasure names whom it is to make forgotten."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """Whom an erasure was about, for whoever keeps the request: the recording holds ``commitment`` only.

    It is SHA-256 over ``hoop-mitm part 1``, a zero byte, ``principal``, a zero byte, ``salt`` and ``principal`` as it
    was typed (:func:`hoop_mitm.evidence.commit`); both in hexadecimal.
    """

    principal: str
    salt: str
    commitment: str


@dataclass(frozen=True, slots=True)
class Erased:
    """What went. ``rewritten`` is ``None`` when there was nothing in the archive; ``copies`` may still hold it."""

    traces: Traces
    receipt: Receipt
    rewritten: Rewritten | None
    copies: tuple[OldCopy, ...]


def trace(layout: Layout, who: str) -> Traces:
    """What is recorded of ``who``. Nothing is changed.

    Raises:
        RecordingError: the archive cannot be read.
    """
    fold_what_can_be(layout)
    with maintained(layout), Source(layout.archive, spill(layout), wait=PATIENCE) as source:
        return choose_person(
            source, who, [each.session_id for each in held_sessions(source)], alive=is_held(layout.lock)
        )


def erase(layout: Layout, keys: RecordingKeys, who: str, *, reason: str, by: str, progress: Progress) -> Erased:
    """Take out all that is recorded of ``who``, for good. The gateway may be running.

    Args:
        who: an e-mail in whatever case, or ``ISSUER#SUBJECT``.
        reason: why, for the event that says so; it may not name them.
        by: who does it.

    Raises:
        NotInArchive: nothing is recorded of them.
        HeldError: sessions of theirs are on hold.
        NamesThePersonError: the reason would name them for ever.
        RecordingError: it cannot be done just now; nothing was changed.
    """
    horizon = bring_up_to_date(layout, progress)
    with maintained(layout):
        with Source(layout.archive, spill(layout), wait=PATIENCE) as source:
            progress("Looking for what is recorded of them")
            traces = choose_person(
                source, who, [each.session_id for each in held_sessions(source)], horizon, alive=is_held(layout.lock)
            )
            _refuse(traces, who, reason)
            salt = new_salt()
            receipt = Receipt(who, salt.hex(), commit("principal", salt, who.encode()).hex())
            rewritten = None
            if anything_goes(source):
                saying = _saying(traces, receipt, reason, by)
                rewritten = rewrite(layout, source, keys, saying, forget=traces.keys, progress=progress)
        return Erased(traces, receipt, rewritten, old_copies(layout))


def _refuse(traces: Traces, who: str, reason: str) -> None:
    if traces.nothing and not traces.under_way:
        raise NotInArchive(f"Nothing is recorded of {who}. Name them as `hoop-mitm sessions --json` does.")
    if traces.held:
        raise HeldError(
            f"Something of theirs is in sessions on hold ({len(traces.held)}): {', '.join(traces.held)}. Nothing was erased. End "
            "the holds first (`hoop-mitm retention release SESSION`), if you may."
        )
    words = reason.lower()
    names = {*traces.names, *(key.rpartition("#")[2] for key in traces.keys)}
    if any(re.search(rf"(?<!\w){re.escape(name.lower())}(?!\w)", words) for name in names if name):
        raise NamesThePersonError(
            "The reason names them, and would stay in the recording. Give a reason without their name, a ticket's number say."
        )


def _saying(traces: Traces, receipt: Receipt, reason: str, by: str) -> Saying:
    details = {
        "by": by,
        "reason": reason,
        "principal": receipt.commitment,
        "sessions": traces.sessions,
        "flows": traces.flows,
        "jobs": traces.jobs,
        "events": traces.events,
        "bodies": traces.bodies,
    }
    return Saying("erasure.applied", "All that was recorded of one principal was erased.", details)
