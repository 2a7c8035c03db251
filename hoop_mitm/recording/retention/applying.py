"""What is older than ``hoop.yaml`` keeps it goes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from hoop_mitm.evidence import RecordingKeys
from hoop_mitm.recording.layout import Layout
from hoop_mitm.recording.retention.choosing import NO_HORIZON, Horizon, choose_by_age
from hoop_mitm.recording.retention.cutoffs import Cutoffs
from hoop_mitm.recording.retention.holding import held_sessions
from hoop_mitm.recording.retention.maintaining import (
    PATIENCE,
    Check,
    Progress,
    bring_up_to_date,
    fold_what_can_be,
    maintained,
)
from hoop_mitm.recording.retention.places import OldCopy, old_copies, spill
from hoop_mitm.recording.retention.plan import Plan, Share
from hoop_mitm.recording.retention.plan import plan as counted
from hoop_mitm.recording.retention.rewriting import Rewritten, Saying, rewrite
from hoop_mitm.recording.retention.source import Source
from hoop_mitm.recording.retention.stores import Stores


@dataclass(frozen=True, slots=True)
class Applied:
    """What went. ``rewritten`` is ``None`` when nothing of the archive had to; ``copies`` may still hold what went."""

    plan: Plan
    rewritten: Rewritten | None
    copies: tuple[OldCopy, ...]


def look(layout: Layout, cutoffs: Cutoffs, stores: Stores | None = None) -> Plan:
    """What would go now. Nothing is changed.

    Raises:
        RecordingError: the archive cannot be read.
    """
    fold_what_can_be(layout)
    with maintained(layout), Source(layout.archive, spill(layout), wait=PATIENCE) as source:
        held = [each.session_id for each in held_sessions(source, layout)]
        plan = _planned(source, cutoffs, held, NO_HORIZON)
        return replace(plan, beside=stores.due(cutoffs, held)) if stores else plan


def apply(
    layout: Layout,
    keys: RecordingKeys,
    cutoffs: Cutoffs,
    by: str,
    progress: Progress,
    *,
    stores: Stores | None = None,
    check: Check | None = None,
) -> Applied:
    """Take out what is too old, for good. The gateway may be running.

    Args:
        by: who does it, for the event that says so.
        stores: what lies outside of the recording; without them nothing of that is taken.
        check: is asked before anything is looked for. Else whoever can write to the file could have deleted what they
            like, by changing how old it is or what is on hold, under a signature of the gateway's key.

    Raises:
        RecordingError: it cannot be done just now; nothing was changed.
    """
    horizon = bring_up_to_date(layout, progress)
    with maintained(layout):
        findings = check(progress) if check else {}
        with Source(layout.archive, spill(layout), wait=PATIENCE) as source:
            progress("Looking for what is too old")
            held = [each.session_id for each in held_sessions(source, layout, note=True)]
            plan = _planned(source, cutoffs, held, horizon)
            lost = rewritten = None

            def beside() -> None:
                nonlocal lost
                if stores is not None:
                    progress("Looking through reviews and charges")
                    lost = stores.apply(cutoffs, held)

            if plan.empty:
                beside()
            else:
                rewritten = rewrite(
                    layout, source, keys, _saying(plan, cutoffs, by, findings), beside=beside, progress=progress
                )
        return Applied(replace(plan, beside=lost), rewritten, old_copies(layout))


def _planned(source: Source, cutoffs: Cutoffs, held: Sequence[str], horizon: Horizon) -> Plan:
    choose_by_age(source, cutoffs, held, horizon)
    return counted(source, cutoffs.now)


def _saying(plan: Plan, cutoffs: Cutoffs, by: str, findings: Mapping[str, int]) -> Saying:
    details = {
        "by": by,
        "now": plan.now,
        "keep": cutoffs.periods,
        "taken": [_numbers(share) for share in plan.shares],
        **({"findings": dict(findings)} if findings else {}),
    }
    return Saying("retention.applied", "What was older than it is kept was deleted.", details)


def _numbers(share: Share) -> dict[str, object]:
    names = ("connection", "what", "flows", "jobs", "events", "sessions", "bodies", "bytes", "held")
    return {name: getattr(share, name) for name in names}
