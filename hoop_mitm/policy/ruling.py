"""What a policy answers."""

from dataclasses import dataclass
from datetime import timedelta

from hoop_mitm.policy.verdict import Verdict


@dataclass(frozen=True, slots=True)
class ReviewTerms:
    """Who has to say yes before it runs.

    Attributes:
        groups: reviewers are the members of any of these; never empty.
        min_approvals: by so many distinct people, none of them the requester; at least 1.
        expires: from when it was asked for; after that nobody can approve it.
    """

    groups: tuple[str, ...]
    min_approvals: int = 1
    expires: timedelta = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Ruling:
    """What the rules say about one question.

    Attributes:
        verdict: holds. Its rule is ``policy.<name of the rule>``, ``policy.default`` (no rule matched), ``policy.own``
            (a follow-up of what was ruled before, on something of the principal's own) or ``default`` (there is no policy).
        observed: what each rule with ``mode: observe`` would have said, had it been enforced and its turn come: those
            that match and say otherwise than ``verdict``, in the order of the file. They change nothing.
        review: the terms, where the verdict is ``review``; else ``None``.
        needs_estimate: ask again with an estimate: a rule whose turn it is wants to know. The verdict is a denial until then.
        rests_on_estimate: the verdict was given because of an estimate: what runs must be held to it.
        wants_estimate: a rule that only observes would want to know; whether it can be had changes nothing.
        policy: version of the policy that was asked, a hash; ``""`` where there is none.
    """

    verdict: Verdict
    observed: tuple[Verdict, ...] = ()
    review: ReviewTerms | None = None
    needs_estimate: bool = False
    rests_on_estimate: bool = False
    wants_estimate: bool = False
    policy: str = ""
