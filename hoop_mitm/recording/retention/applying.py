"""What is older than ``hoop.yaml`` keeps it goes."""

from collections.abc import Callable
from dataclasses import dataclass

from hoop_mitm.evidence import RecordingKeys
from hoop_mitm.recording.layout import Layout
from hoop_mitm.recording.retention.choosing import NO_HORIZON, Horizon, choose_by_age
from hoop_mitm.recording.retention.cutoffs import Cutoffs
from hoop_mitm.recording.retention.holding import held_sessions
from hoop_mitm.recording.retention.maintaining import PATIENCE, bring_up_to_date, fold_what_can_be, maintained
from hoop_mitm.recording.retention.places import OldCopy, old_copies, spill
from hoop_mitm.recording.retention.plan import Plan, Share
from hoop_mitm.recording.retention.plan import plan as counted
from hoop_mitm.recording.retention.rewriting import Rewritten, Saying, rewrite
from hoop_mitm.recording.retention.source import Source

type Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Applied:
    """What went. ``rewritten`` is ``None`` when nothing had to; ``copies`` may still hold what went."""

    plan: Plan
    rewritten: Rewritten | None
    copies: tuple[OldCopy, ...]


def look(layout: Layout, cutoffs: Cutoffs) -> Plan:
    """What would go now. Nothing is changed.

    Raises:
        RecordingError: the archive cannot be read.
    """
    fold_what_can_be(layout)
    with maintained(layout), Source(layout.archive, spill(layout), wait=PATIENCE) as source:
        return _planned(source, cutoffs, NO_HORIZON)


def apply(layout: Layout, keys: RecordingKeys, cutoffs: Cutoffs, by: str, progress: Progress) -> Applied:
    """Take out what is too old, for good. The gateway may be running.

    Args:
        by: who does it, for the event that says so.

    Raises:
        RecordingError: it cannot be done just now; nothing was changed.
    """
    horizon = bring_up_to_date(layout, progress)
    with maintained(layout):
        with Source(layout.archive, spill(layout), wait=PATIENCE) as source:
            progress("Looking for what is too old")
            plan = _planned(source, cutoffs, horizon)
            rewritten = None
            if not plan.empty:
                rewritten = rewrite(layout, source, keys, _saying(plan, cutoffs, by), progress=progress)
        return Applied(plan, rewritten, old_copies(layout))


def _planned(source: Source, cutoffs: Cutoffs, horizon: Horizon) -> Plan:
    choose_by_age(source, cutoffs, [each.session_id for each in held_sessions(source)], horizon)
    return counted(source, cutoffs.now)


def _saying(plan: Plan, cutoffs: Cutoffs, by: str) -> Saying:
    details = {
        "by": by,
        "now": plan.now,
        "keep": cutoffs.periods,
        "taken": [_numbers(share) for share in plan.shares],
    }
    return Saying("retention.applied", "What was older than it is kept was deleted.", details)


def _numbers(share: Share) -> dict[str, object]:
    names = ("connection", "what", "flows", "jobs", "events", "sessions", "bodies", "bytes", "held")
    return {name: getattr(share, name) for name in names}
