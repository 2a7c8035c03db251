"""All that is recorded of one person goes, when they ask for it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from hoop_mitm.errors import HeldError, HoopError, NotInArchive
from hoop_mitm.evidence import RecordingKeys, commit, new_salt
from hoop_mitm.identity.person import Person
from hoop_mitm.recording.layout import Layout, is_held
from hoop_mitm.recording.retention.choosing import NO_HORIZON, Horizon, anything_goes
from hoop_mitm.recording.retention.holding import held_sessions
from hoop_mitm.recording.retention.maintaining import (
    PATIENCE,
    Check,
    Progress,
    bring_up_to_date,
    fold_what_can_be,
    maintained,
)
from hoop_mitm.recording.retention.persons import Traces, choose_person
from hoop_mitm.recording.retention.places import OldCopy, claims_of, old_copies, owned_by, spill
from hoop_mitm.recording.retention.rewriting import Rewritten, Saying, rewrite
from hoop_mitm.recording.retention.source import Source
from hoop_mitm.recording.retention.stores import Found, Stores

#: What an erasure cannot reach, for whoever has to.
UNREACHED = (
    "what other people's statements and results say about them",
    "copies of the recording elsewhere: backups, exports, bundles, snapshots of the disk",
    "what others were told of them: a reviewer's name and words in the answers that requesters got, and in webhooks",
    "the gateway's own log, its configuration, and its revocations (`hoop-mitm sessions revoke`), which name people by design",
    "what readers of a shared recording noted while no gateway ran, until one has taken it in",
    "BigQuery's job history and Google's audit logs; their tables themselves",
    "heads kept elsewhere, which hold hashes and nothing of theirs",
)

#: Nor this, when nobody says where it lies.
STORES_UNREACHED = (
    "reviews.sqlite and spending.sqlite in `gateway.state`, which were not touched: `hoop-mitm retention erase --config "
    "hoop.yaml` reaches them"
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
    """What went. ``rewritten`` is ``None`` when there was nothing in the archive; ``copies`` may still hold it.

    ``unreached`` tells people where it may be all the same.
    """

    traces: Traces
    receipt: Receipt
    rewritten: Rewritten | None
    copies: tuple[OldCopy, ...]
    unreached: tuple[str, ...]


def trace(layout: Layout, who: str, stores: Stores | None = None) -> Traces:
    """What is recorded of ``who``. Nothing is changed.

    Raises:
        RecordingError: the archive cannot be read.
    """
    fold_what_can_be(layout)
    with maintained(layout), Source(layout.archive, spill(layout), wait=PATIENCE) as source:
        return _traced(layout, source, who, stores, NO_HORIZON)[0]


def erase(
    layout: Layout,
    keys: RecordingKeys,
    who: str,
    *,
    reason: str,
    by: str,
    progress: Progress,
    stores: Stores | None = None,
    check: Check | None = None,
) -> Erased:
    """Take out all that is recorded of ``who``, for good. The gateway may be running.

    Args:
        who: an e-mail in whatever case, or ``ISSUER#SUBJECT``.
        reason: why, for the event that says so; it may not name them.
        by: who does it.
        stores: what lies outside of the recording; without them nothing of that is taken.
        check: as for :func:`.applying.apply`.

    Raises:
        NotInArchive: nothing is recorded of them.
        HeldError: something of theirs is in sessions that are on hold.
        NamesThePersonError: the reason would name them for ever.
        RecordingError: it cannot be done just now; the archive is what it was.
    """
    horizon = bring_up_to_date(layout, progress)
    with maintained(layout):
        findings = check(progress) if check else {}
        with Source(layout.archive, spill(layout), wait=PATIENCE) as source:
            progress("Looking for what is recorded of them")
            traces, person = _traced(layout, source, who, stores, horizon)
            _refuse(traces, who, reason)
            salt = new_salt()
            receipt = Receipt(who, salt.hex(), commit("principal", salt, who.encode()).hex())

            def beside() -> None:
                if stores is not None:
                    progress("Looking through reviews and charges")
                    stores.erase(person, alive=is_held(layout.lock))

            rewritten = None
            if anything_goes(source) or traces.claims or traces.reviews or traces.charges:
                saying = _saying(traces, receipt, reason, by, findings)
                rewritten = rewrite(layout, source, keys, saying, forget=traces.keys, beside=beside, progress=progress)
        unreached = UNREACHED if stores is not None else (*UNREACHED, STORES_UNREACHED)
        return Erased(traces, receipt, rewritten, old_copies(layout), unreached)


def _traced(layout: Layout, source: Source, who: str, stores: Stores | None, horizon: Horizon) -> tuple[Traces, Person]:
    """What is there of ``who``, and by which names."""
    alive = is_held(layout.lock)
    held = [each.session_id for each in held_sessions(source, layout)]
    known = stores.person(who) if stores is not None else Person.NOBODY
    traces = choose_person(source, who, held, horizon, alive=alive, known=known)
    # Not by addresses that they had besides: these may be somebody else's by now, whose all this is not.
    person = replace(Person.called(who), keys=frozenset(traces.keys))
    found = stores.find(person, alive=alive) if stores is not None else Found()
    # What was claimed since the journal went on in a new segment stays there for now.
    fresh = claims_of(layout.segments()[-1][1], traces.keys) if horizon is not NO_HORIZON else 0
    traces = replace(
        traces,
        held=tuple(sorted({*traces.held, *found.sessions.intersection(held)})),
        under_way=traces.under_way + found.open + fresh,
        claims=owned_by(layout, traces.keys),
        reviews=found.reviews,
        charges=found.charges,
    )
    return traces, person


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


def _saying(traces: Traces, receipt: Receipt, reason: str, by: str, findings: Mapping[str, int]) -> Saying:
    details = {
        "by": by,
        "reason": reason,
        "principal": receipt.commitment,
        "sessions": traces.sessions,
        "flows": traces.flows,
        "jobs": traces.jobs,
        "events": traces.events,
        "bodies": traces.bodies,
        "reviews": traces.reviews,
        "charges": traces.charges,
        **({"findings": dict(findings)} if findings else {}),
    }
    return Saying("erasure.applied", "All that was recorded of one principal was erased.", details)
