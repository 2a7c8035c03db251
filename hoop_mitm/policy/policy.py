"""The rules as a whole."""

from typing import Final

from hoop_mitm.policy.question import Question
from hoop_mitm.policy.ruling import Ruling
from hoop_mitm.policy.verdict import Verdict

ALLOWED: Final = Ruling(Verdict("allow", "default"))
"""The ruling where there is no policy: the gateway records, and decides nothing."""


class Policy:
    """Decides on questions, by the rules of one file as they stood when it was read."""

    @property
    def version(self) -> str:
        """Tells one set of rules from another: a hash of what they say; ``""`` where there are none."""
        return ""

    def decide(self, question: Question) -> Ruling:
        """What the rules say. Does not wait, and asks nobody: what it needs to know stands in the question.

        Raises nothing: a rule that cannot be evaluated is a denial.
        """
        del question
        return ALLOWED
