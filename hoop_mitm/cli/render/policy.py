"""Explanations and trials of policies, for people."""

from collections.abc import Iterator

from rich.console import RenderableType
from rich.table import Table

from hoop_mitm.cli import terminal
from hoop_mitm.policy import Policy, Question
from hoop_mitm.policy.cost import Prices
from hoop_mitm.policy.policy import Explained
from hoop_mitm.policy.trying import Trial
from hoop_mitm.sql import StatementFacts

_EXAMPLE = 60
_STATES = {
    "matches": "matches",
    "differs": "no",
    "not_meant": "not meant",
    "unclear": "cannot be evaluated",
    "needs_estimate": "needs an estimate",
}


def explained(policy: Policy, question: Question, explanation: Explained) -> Iterator[RenderableType]:
    """The facts, each rule's outcome, and the verdict."""
    facts, principal = question.facts, question.principal
    groups = ", ".join(principal.groups) or "no group"
    yield f"{terminal.safe(str(principal))} ({terminal.safe(groups)}), connection {question.connection}"
    if facts:
        yield from _facts(facts)
    table = Table(box=None, pad_edge=False)
    for title in ("rule", "verdict", "outcome", "why"):
        table.add_column(title)
    for rule, outcome in zip(policy.rules, explanation.outcomes, strict=True):
        verdict = f"{rule.verdict} (observes)" if rule.observes else rule.verdict
        table.add_row(rule.name, verdict, _STATES[outcome.state], terminal.safe(outcome.why))
    if policy.rules:
        yield ""
        yield table
    yield ""
    yield f"{explanation.ruling.verdict.decision} by {explanation.ruling.verdict.rule}"
    if message := explanation.ruling.verdict.message:
        yield terminal.safe(message)
    for other in explanation.ruling.observed:
        yield f"observed: {other.rule} would {other.decision} it"


def _facts(facts: StatementFacts) -> Iterator[str]:
    yield f"It is {', '.join(facts.kinds) or 'nothing known'} ({facts.verb})."
    for word, tables in (("reads", facts.reads), ("writes", facts.writes)):
        if tables:
            yield f"It {word} {terminal.safe(', '.join(map(str, tables)))}."
    if facts.features:
        yield f"It uses {', '.join(sorted(facts.features))}."
    if facts.opaque:
        yield f"It cannot be understood: {terminal.safe(facts.opaque)}"


def tried(trial: Trial, prices: Prices) -> Iterator[RenderableType]:
    """What would have been decided otherwise, by principal, the dearest first."""
    changed = sum(each.jobs for each in trial.changed)
    yield f"{terminal.count(trial.jobs, 'recorded job')}, {changed} of them decided otherwise by policy {trial.policy or 'none'}."
    if trial.changed:
        table = Table(box=None, pad_edge=False)
        for title in ("change", "who", "rule", "jobs", "billed", "for example"):
            table.add_column(title, justify="right" if title in ("jobs", "billed") else "left")
        for each in trial.changed:
            example = terminal.safe(" ".join(each.example.split()))
            table.add_row(
                each.change,
                terminal.safe(each.principal),
                each.rule,
                str(each.jobs),
                prices.words(each.bytes_billed),
                example if len(example) <= _EXAMPLE else f"{example[:_EXAMPLE]}…",
            )
        yield table
        stopped = sum(each.bytes_billed for each in trial.changed if each.change == "newly denied")
        yield f"What is newly denied was billed {prices.words(stopped)}."
    for jobs, why in (
        (trial.unread, "have no statement in the recording"),
        (trial.unestimated, "never ran, and a rule needs to know how much they would read"),
        (trial.otherwise_refused, "were refused by another check, which stays"),
    ):
        if jobs:
            yield f"Not tried: {terminal.count(jobs, 'job')} that {why}."
