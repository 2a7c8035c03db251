"""What may become of a review, and who may say so. Pure: a review in, a review out."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from hoop_mitm.errors import Denied
from hoop_mitm.identity.principal import Principal
from hoop_mitm.policy.reviews.review import Approval, Grounds, Outcome, Review, digest_of, rid_of_body, rid_of_statement

type Machines = Mapping[str, tuple[str, ...]]
"""Machines that may approve, by ``issuer#subject``, with the groups that they count for."""

LONGEST_WORDS: Final = 1_000
"""Characters of what a reviewer writes."""

MORE_BYTES: Final = 1.1
"""How much larger an estimate may have become since it was shown to the reviewers: tables grow while people think."""


@dataclass(frozen=True, slots=True)
class Change:
    """What happened, as the recording and the webhooks tell it. ``details`` never quotes a statement."""

    type: str
    message: str
    by: Principal | None = None
    details: dict[str, object] = field(default_factory=dict)


type Changed = tuple[Review, Change]


def objection(review: Review, by: Principal, machines: Machines) -> Denied | None:
    """Why this principal may not decide on this review; ``None`` when they may."""
    if _is_same_person(by, review.held.session.principal):
        return Denied(
            "review.own", "It is your own request: somebody else has to decide on it. To take it back, cancel the job."
        )
    groups = set(by.groups)
    if by.kind == "machine":
        if by.key not in machines:
            return Denied(
                "review.machine",
                "A machine cannot review, unless reviews.machines in the gateway's configuration names it.",
            )
        groups = set(machines[by.key])
    if not groups & set(review.grounds.groups):
        return Denied(
            "review.group",
            f"Reviewers of this request are members of {', '.join(review.grounds.groups)}; you are in none.",
        )
    return None


def approve(
    review: Review, by: Principal, *, digest: str, machines: Machines, now: datetime, message: str = ""
) -> Changed:
    """One person's yes; the last that was needed makes it APPROVED.

    Args:
        digest: of what the reviewer has seen.

    Raises:
        Denied: ``review.own``, ``review.machine``, ``review.group``, ``review.over``, ``review.changed``, ``review.twice``.
    """
    _may_decide(review, by, machines, now)
    if digest != review.digest:
        raise Denied(
            "review.changed",
            "What you looked at is not what would run now: the policy or the estimate has changed since. Look at it again.",
        )
    if any(_is_same(by, approval) for approval in review.approvals):
        raise Denied("review.twice", "You have approved this already; the next approval must be somebody else's.")
    approvals = (*review.approvals, Approval(by.key, str(by), now, message[:LONGEST_WORDS]))
    missing = review.grounds.min_approvals - len(approvals)
    approved = replace(review, approvals=approvals, state="PENDING" if missing > 0 else "APPROVED")
    return approved, Change(
        "review.approved",
        f"A reviewer approved; {missing} more needed." if missing > 0 else "A reviewer approved; it may run.",
        by,
        {"message": message[:LONGEST_WORDS], "approvals": len(approvals), "missing": max(missing, 0)},
    )


def reject(review: Review, by: Principal, *, machines: Machines, now: datetime, message: str = "") -> Changed:
    """One person's no, which is enough.

    Raises:
        Denied: as for :func:`approve`, but for ``review.changed`` and ``review.twice``: a no is a no to any version of it.
    """
    _may_decide(review, by, machines, now)
    words = message[:LONGEST_WORDS].strip()
    said = f"{by!s} rejected this request" + (f": {words.rstrip('.')}." if words else " and gave no reason.")
    outcome = Outcome(f"{said} It was not run. Do not send it again as it is.")
    return _ended(review, "REJECTED", now, outcome, str(by)), Change("review.rejected", said, by, {"message": words})


def _may_decide(review: Review, by: Principal, machines: Machines, now: datetime) -> None:
    if refusal := objection(review, by, machines):
        raise refusal
    if review.state != "PENDING":
        raise Denied("review.over", f"It is {review.state} already: there is nothing to decide any more.")
    if now >= review.expires_at:
        raise Denied("review.over", "It has expired: the client has to ask again.")


def withdraw(review: Review, now: datetime) -> Changed | None:
    """The requester takes it back (``jobs.cancel``); ``None`` when it is too late."""
    if review.state not in ("PENDING", "APPROVED"):
        return None
    requester = review.held.session.principal
    outcome = Outcome("Job execution was cancelled: User requested cancellation", "stopped", 400)
    return _ended(review, "WITHDRAWN", now, outcome, str(requester)), Change(
        "review.withdrawn", "The requester took it back.", requester
    )


def expire(review: Review, now: datetime) -> Changed | None:
    """Ends it when its time is over; ``None`` while it is not. What may have been sent to BigQuery already does not expire."""
    if review.state not in ("PENDING", "APPROVED") or now < review.expires_at:
        return None
    said = (
        "Nobody approved it in time." if review.state == "PENDING" else "It was approved and could not be run in time."
    )
    waited = review.expires_at - review.requested_at
    outcome = Outcome(
        f"{said} It waited for {_words(waited.total_seconds())}, for members of {', '.join(review.grounds.groups)}, and was "
        "not run. Ask a reviewer, then send it again."
    )
    return _ended(review, "EXPIRED", now, outcome, ""), Change("review.expired", said)


def refuse(review: Review, why: Denied, now: datetime) -> Changed | None:
    """Ends what may not run any more although people said yes; ``None`` when it is over already."""
    if review.state not in ("PENDING", "APPROVED"):
        return None
    outcome = Outcome(f"It was approved, and then refused before it ran. {why}")
    return _ended(review, "REJECTED", now, outcome, ""), Change(
        "review.rejected", "It was approved, and may not run any more.", None, {"rule": why.rule}
    )


def reopen(review: Review, grounds: Grounds, why: str) -> Changed | None:
    """Back to PENDING, because what people said yes to is not what would run; their yes is void."""
    if review.state != "APPROVED":
        return None
    fresh = replace(review, state="PENDING", grounds=grounds, approvals=(), digest=digest_of(review.held, grounds))
    return fresh, Change("review.reopened", f"It needs a new review: {why}.", None, {"why": why})


def begin(review: Review, execution: str, now: datetime) -> Changed | None:
    """It is about to be sent to BigQuery; ``None`` when that is not to happen now."""
    if review.state not in ("APPROVED", "EXECUTING"):
        return None
    started = replace(review, state="EXECUTING", execution=execution, sent_at=now)
    return started, Change("review.executing", "It is sent to BigQuery.", None, {"flow": execution})


def put_back(review: Review) -> Changed | None:
    """It was sent, and BigQuery does not have it: before it is sent again, everything is looked at once more."""
    if review.state != "EXECUTING":
        return None
    return replace(review, state="APPROVED"), Change("review.lost", "It was sent, and did not come to BigQuery.")


def executed(review: Review, now: datetime, location: str | None, failure: Outcome | None = None) -> Changed | None:
    """BigQuery has it, or has refused it; ``None`` when that is known already."""
    if review.state != "EXECUTING":
        return None
    held = replace(review.held, location=location or review.held.location)
    done = _ended(replace(review, held=held), "EXECUTED", now, failure, "")
    said = "BigQuery refused it." if failure else "It runs at BigQuery."
    return done, Change("review.executed", said, None, {"flow": review.execution, "refused": failure is not None})


def difference(then: Grounds, now: Grounds) -> str:
    """What has changed between what was approved and what would run, for people; ``""`` when nothing has."""
    if then.policy != now.policy:
        return "the policy has changed since it was approved"
    if (then.rule, then.groups, then.min_approvals) != (now.rule, now.groups, now.min_approvals):
        return "another rule, or other reviewers, are asked for now"
    if (then.statement_type, then.referenced_tables) != (now.statement_type, now.referenced_tables):
        return "it would read other tables than those that the reviewers were shown"
    if then.processed_bytes is not None and now.processed_bytes is not None:
        if now.processed_bytes > then.processed_bytes * MORE_BYTES:
            return f"it would read {now.processed_bytes} bytes, and the reviewers were shown {then.processed_bytes}"
    elif then.processed_bytes != now.processed_bytes:
        return "its estimate came or went"
    return ""


def _ended(review: Review, state: str, now: datetime, outcome: Outcome | None, by: str) -> Review:
    held = review.held
    if held.level != "full":
        held = rid_of_body(held) if held.level == "statements" else rid_of_statement(held)
    return replace(review, state=state, ended_at=now, ended_by=by, outcome=outcome, held=held)  # type: ignore[arg-type]


def _is_same_person(one: Principal, other: Principal) -> bool:
    """By issuer and subject; and by e-mail address, so that a second account is no second person."""
    return one.key == other.key or bool(one.email and other.email and one.email.lower() == other.email.lower())


def _is_same(by: Principal, approval: Approval) -> bool:
    return by.key == approval.principal or bool(by.email and by.email.lower() == approval.name.lower())


def _words(seconds: float) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"
