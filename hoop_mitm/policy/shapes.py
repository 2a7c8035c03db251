"""Explanations and trials as JSON: part of what the command line promises."""

from typing import Any

from hoop_mitm.bigquery.operation import TableRef
from hoop_mitm.policy.policy import Explained, Policy
from hoop_mitm.policy.question import Question
from hoop_mitm.policy.trying import Trial
from hoop_mitm.policy.verdict import Verdict
from hoop_mitm.sql import StatementFacts

type Json = dict[str, Any]


def explained(policy: Policy, question: Question, explanation: Explained) -> Json:
    """What ``policy explain --json`` prints."""
    ruling, principal = explanation.ruling, question.principal
    rules = [
        {
            "rule": rule.name,
            "verdict": rule.verdict,
            "mode": "observe" if rule.observes else "enforce",
            "state": outcome.state,
            "why": outcome.why,
        }
        for rule, outcome in zip(policy.rules, explanation.outcomes, strict=True)
    ]
    return {
        "policy": policy.version,
        "principal": {"name": str(principal), "groups": list(principal.groups), "kind": principal.kind},
        "connection": question.connection,
        "statement": question.operation.statement,
        "facts": facts(question.facts) if question.facts else None,
        "rules": rules,
        "verdict": verdict(ruling.verdict),
        "observed": [verdict(other) for other in ruling.observed],
        "needs_estimate": ruling.needs_estimate,
        "review": {
            "groups": list(ruling.review.groups),
            "min_approvals": ruling.review.min_approvals,
            "expires_seconds": int(ruling.review.expires.total_seconds()),
        }
        if ruling.review
        else None,
    }


def facts(given: StatementFacts) -> Json:
    """Facts of a statement."""
    return {
        "kinds": list(given.kinds),
        "verb": given.verb,
        "is_script": given.is_script,
        "reads": _tables(given.reads),
        "writes": _tables(given.writes),
        "functions": list(given.functions),
        "features": sorted(given.features),
        "opaque": given.opaque,
    }


def verdict(given: Verdict) -> Json:
    """A verdict."""
    return {"decision": given.decision, "rule": given.rule, "message": given.message}


def tried(trial: Trial, currency: str) -> Json:
    """What ``policy test --json`` prints."""
    return {
        "policy": trial.policy,
        "jobs": trial.jobs,
        "newly_denied": trial.of("newly denied"),
        "newly_allowed": trial.of("newly allowed"),
        "newly_reviewed": trial.of("newly reviewed"),
        "unread": trial.unread,
        "unestimated": trial.unestimated,
        "otherwise_refused": trial.otherwise_refused,
        "currency": currency,
        "changes": [
            {
                "change": each.change,
                "principal": each.principal,
                "rule": each.rule,
                "jobs": each.jobs,
                "bytes_billed": each.bytes_billed,
                "price": float(each.price),
                "example": each.example,
                "message": each.message,
            }
            for each in trial.changed
        ],
    }


def _tables(tables: tuple[TableRef, ...]) -> list[str]:
    return [str(table) for table in tables]
