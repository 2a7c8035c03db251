"""The rules as a whole."""

import hashlib
import json
from dataclasses import dataclass, replace
from typing import Final

from hoop_mitm.config.policy import RuleSet
from hoop_mitm.policy.asked import Asked
from hoop_mitm.policy.question import Question
from hoop_mitm.policy.rule import Outcome, Rule
from hoop_mitm.policy.ruling import Ruling
from hoop_mitm.policy.verdict import Verdict

DEFAULT: Final = "policy.default"
OWN: Final = "policy.own"

ALLOWED: Final = Ruling(Verdict("allow", "default"))
"""The ruling where there is no policy: the gateway records, and decides nothing."""

_LONGEST = 1500
_VERSION_DIGITS = 16


@dataclass(frozen=True, slots=True)
class Explained:
    """A ruling with what each rule said, in the order of the file.

    Attributes:
        outcomes: of every rule, those after the one that decided included: they say what they would have said.
    """

    ruling: Ruling
    outcomes: tuple[Outcome, ...]


class Policy:
    """Decides on questions, by the rules of one file as they stood when it was read.

    The first rule that matches decides. So a file is read from its top like a list of exceptions before their rule: who may
    do more stands above who may do less, and what follows a match is never looked at, nor is BigQuery asked on its behalf.
    (Were the strictest rule to win instead, nobody could be let through who is also in a group that is not.)
    """

    def __init__(self, rules: RuleSet | None) -> None:
        """``rules``: of the configuration; ``None``: there are none, and everything is allowed."""
        self._words = rules
        self.rules = tuple(Rule(words, mode=rules.mode) for words in rules.rules) if rules else ()
        self.version = _version(rules) if rules else ""
        """Tells one set of rules from another: a hash of what they say; ``""`` where there are none."""

    def decide(self, question: Question) -> Ruling:
        """What the rules say. Does not wait, and asks nobody: what it needs to know stands in the question.

        Raises nothing: a rule that cannot be evaluated is a denial.
        """
        if self._words is None:
            return ALLOWED
        asked = Asked(question)
        if asked.is_own:
            return Ruling(Verdict("allow", OWN), policy=self.version)
        return self._ruled(asked)

    def explain(self, question: Question) -> Explained:
        """As ``decide``, and why."""
        asked = Asked(question)
        return Explained(self.decide(question), tuple(rule.outcome(asked) for rule in self.rules))

    def _ruled(self, asked: Asked) -> Ruling:
        observed: list[tuple[Rule, Outcome]] = []
        for rule in self.rules:
            outcome = rule.outcome(asked)
            if outcome.state in ("differs", "not_meant"):
                continue
            if rule.observes:
                observed.append((rule, outcome))
                continue
            if outcome.state == "needs_estimate":
                return Ruling(self._denied(asked, rule, outcome), needs_estimate=True, policy=self.version)
            return self._final(asked, self._verdict(asked, rule, outcome), observed, rule)
        return self._unmatched(asked, observed)

    def _unmatched(self, asked: Asked, observed: list[tuple[Rule, Outcome]]) -> Ruling:
        denied = Verdict("deny", DEFAULT, self._message("No rule of the policy allows this.", DEFAULT, asked))
        assert self._words is not None
        if self._words.mode == "enforce":
            return self._final(asked, denied, observed)
        ruling = self._final(asked, Verdict("allow", DEFAULT), observed)
        # Where a rule that only observes matches, it would have decided, and not the default.
        matched = any(outcome.state == "matches" for _, outcome in observed)
        return ruling if matched else replace(ruling, observed=(*ruling.observed, denied))

    def _final(
        self, asked: Asked, verdict: Verdict, observed: list[tuple[Rule, Outcome]], rule: Rule | None = None
    ) -> Ruling:
        would = tuple(
            self._verdict(asked, observing, outcome)
            for observing, outcome in observed
            if outcome.state != "needs_estimate"
        )
        terms = rule.terms if rule and verdict.decision == "review" else None
        if verdict.decision == "review" and asked.operation.dry_run:
            # Nothing runs: an agent may ask what it would cost before it asks a person.
            verdict, terms = Verdict("allow", verdict.rule), None
        return Ruling(
            verdict,
            tuple(other for other in would if other.decision != verdict.decision),
            terms,
            wants_estimate=any(outcome.state == "needs_estimate" for _, outcome in observed),
            policy=self.version,
        )

    def _verdict(self, asked: Asked, rule: Rule, outcome: Outcome) -> Verdict:
        if outcome.state != "matches":
            return self._denied(asked, rule, outcome)
        match rule.verdict:
            case "allow":
                return Verdict("allow", rule.full_name)
            case "deny":
                first = rule.words.message or "This is not allowed."
                return Verdict("deny", rule.full_name, self._message(first, rule.full_name, asked))
            case "review":
                assert rule.terms
                first = (
                    rule.words.message or f"This has to be approved by {' or '.join(rule.terms.groups)} before it runs."
                )
                return Verdict("review", rule.full_name, f"{first} ({_named(rule.full_name)}: {asked.what}.)")

    def _denied(self, asked: Asked, rule: Rule, outcome: Outcome) -> Verdict:
        first = f"The rule {rule.name} cannot be decided on: {outcome.why}."
        return Verdict("deny", rule.full_name, self._message(first, rule.full_name, asked))

    def _message(self, first: str, name: str, asked: Asked) -> str:
        """Words for an agent to act on: what was refused, by which rule, what would be allowed, whether to try again."""
        why = f" {asked.opaque[:1].upper()}{asked.opaque[1:]}" if asked.opaque else ""
        told = f"{first} ({_named(name)}: {asked.what}.{why} Asking the same again will not help.)"
        return f"{told}{self._allowed(asked)}"[:_LONGEST]

    def _allowed(self, asked: Asked) -> str:
        grants: list[str] = []
        for rule in self.rules:
            if not rule.is_for(asked):
                continue
            if rule.ends_the_list:
                break
            if rule.verdict == "allow" and not rule.observes:
                grants.append(rule.covers)
        if not grants:
            return " The policy allows you nothing here."
        return f" The policy allows you: {'; '.join(dict.fromkeys(grants))}."


def _named(rule: str) -> str:
    return f"hoop-mitm, {rule}"


def _version(rules: RuleSet) -> str:
    said = json.dumps(rules.model_dump(mode="json"), sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(said.encode()).hexdigest()[:_VERSION_DIGITS]
