"""What is left of a review when what it says has become too old, or somebody in it is to be forgotten. Pure, as `deciding`."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from hoop_mitm.identity.person import Person
from hoop_mitm.identity.principal import Principal
from hoop_mitm.policy.reviews.deciding import Change
from hoop_mitm.policy.reviews.review import Approval, Outcome, Review, rid_of_body, rid_of_statement

ERASED: Final = "(erased)"
"""What stands where a reviewer's name stood."""

_REFUSED: Final = "A reviewer rejected this request."
_WORDLESS: Final = {
    "REJECTED": "It was rejected, and not run. Do not send it again as it is.",
    "EXECUTED": "BigQuery refused it.",
}


@dataclass(frozen=True, slots=True)
class Kept:
    """A review, and what is told of how it became so."""

    review: Review
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class Until:
    """What ended before these times loses this; ``None``: nothing does. ``owned``: what never ran is known so long by its job."""

    bodies: datetime | None
    statements: datetime | None
    metadata: datetime | None
    owned: datetime


def people(kept: Kept) -> list[Principal]:
    """Who is in a review: the requester, and who decided."""
    return [kept.review.held.session.principal, *(change.by for change in kept.changes if change.by)]


def is_by(review: Review, person: Person) -> bool:
    """Whether this person asked for it."""
    return person.is_(review.held.session.principal)


def names(kept: Kept, person: Person) -> bool:
    """Whether this person asked for it, or decided on it."""
    return any(map(person.is_, people(kept))) or any(_gave(person, each) for each in kept.review.approvals)


def without(kept: Kept, person: Person) -> Kept | None:
    """What is left of a review that has ended when this person is erased; ``None``: nothing, since it was theirs."""
    review = kept.review
    if is_by(review, person):
        return None
    rejected = any(change.type == "review.rejected" and person.is_(change.by) for change in kept.changes)
    approvals = tuple(Approval("", ERASED, each.at) if _gave(person, each) else each for each in review.approvals)
    ended_by, outcome = review.ended_by, review.outcome
    if rejected:
        ended_by = ERASED
        outcome = outcome and replace(outcome, message=f"{_REFUSED} {_WORDLESS['REJECTED']}")
    changes = tuple(_nobodys(change) if person.is_(change.by) else change for change in kept.changes)
    return Kept(replace(review, approvals=approvals, ended_by=ended_by, outcome=outcome), changes)


def aged(kept: Kept, until: Until) -> Kept | None:
    """What is left of a review that has ended, by its age; ``None``: nothing."""
    review = kept.review
    if review.ended_at is None:
        return kept
    if _is_before(review.ended_at, until.metadata):
        return _bare(review) if never_ran(review) and review.ended_at >= until.owned else None
    if _is_before(review.ended_at, until.statements):
        return _without_words(kept)
    if _is_before(review.ended_at, until.bodies):
        return Kept(replace(review, held=rid_of_body(review.held)), kept.changes)
    return kept


def never_ran(review: Review) -> bool:
    """Whether BigQuery has no such job: its id is the requester's as long as anybody might ask for it."""
    return review.state != "EXECUTED" or review.outcome is not None


def _without_words(kept: Kept) -> Kept:
    """Without the statement, and whatever may quote it."""
    review = kept.review
    return Kept(
        replace(
            review,
            held=replace(rid_of_statement(review.held), salt=""),
            grounds=replace(review.grounds, tables=()),
            digest="",
            fingerprint="",
            approvals=tuple(replace(each, message="") for each in review.approvals),
            outcome=_wordless(review),
        ),
        tuple(_quiet(change) for change in kept.changes),
    )


def _bare(review: Review) -> Kept:
    """Only whose job it was, and that it never ran."""
    held = replace(rid_of_statement(review.held), salt="")
    who = held.session.principal
    session = replace(
        held.session,
        name="",
        principal=Principal(who.issuer, who.subject, kind=who.kind),
        agent="",
        client_address="",
        program=None,
    )
    held = replace(held, session=session, path="", request_id="", user_agent="", client_address="", program="")
    grounds = replace(review.grounds, tables=(), referenced_tables=())
    bare = replace(
        review,
        held=held,
        grounds=grounds,
        digest="",
        fingerprint="",
        approvals=(),
        ended_by="",
        outcome=_wordless(review),
    )
    return Kept(bare, ())


def _wordless(review: Review) -> Outcome | None:
    said = _WORDLESS.get(review.state)
    return replace(review.outcome, message=said) if review.outcome and said else review.outcome


def _quiet(change: Change) -> Change:
    """The same without what its reviewer wrote."""
    details = change.details | ({"message": ""} if "message" in change.details else {})
    message = _REFUSED if change.type == "review.rejected" and change.by else change.message
    return replace(change, message=message, details=details)


def _nobodys(change: Change) -> Change:
    return replace(_quiet(change), by=None)


def _gave(person: Person, approval: Approval) -> bool:
    return approval.principal in person.keys or person.has_email(approval.name)


def _is_before(ended: datetime, moment: datetime | None) -> bool:
    return moment is not None and ended < moment


def sessions_of(found: Iterable[Kept]) -> set[str]:
    """The sessions that reviews belong to."""
    return {each.review.held.session.id for each in found}
