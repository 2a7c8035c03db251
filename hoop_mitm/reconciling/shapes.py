"""The JSON of a report: stable names, ISO-8601 times in UTC."""

from typing import Any

from hoop_mitm.archive.values import instant
from hoop_mitm.reconciling.report import KINDS, Finding, Report

type Json = dict[str, Any]


def report(found: Report) -> Json:
    counts = found.counts
    return {
        "since": instant(found.since),
        "until": instant(found.until),
        "agrees": not found.findings,
        "complete": not found.not_checked,
        "asked": {project: list(locations) for project, locations in found.asked.items()},
        "jobs": {
            "at_bigquery": counts.jobs,
            "recorded": counts.matched,
            "statements_of_scripts": counts.children,
            "reconciliation": counts.own,
            "background": counts.background,
            "direct_accounts": dict(counts.direct),
        },
        "records": {
            "expected_at_bigquery": counts.recorded,
            "confirmed_one_by_one": counts.confirmed,
            "without_a_job": counts.without_job,
            "deleted_through_the_gateway": counts.deleted,
            "texts_not_compared": counts.texts_not_compared,
            "intents_resolved": counts.resolved,
        },
        "found": {kind: sum(each.kind == kind for each in found.findings) for kind in KINDS},
        "findings": [finding(each) for each in found.findings],
        "not_checked": [
            {"what": each.what, "why": each.why, "next_step": each.next_step} for each in found.not_checked
        ],
        "notes": list(found.notes),
    }


def finding(found: Finding) -> Json:
    return {
        "kind": found.kind,
        "at": instant(found.at),
        "project": found.project,
        "job": found.job,
        "user": found.user,
        "principal": found.principal,
        "session": found.session_id,
        "flow": found.flow_id,
        "outcome": found.outcome,
        "children": found.children,
        "message": found.message,
        "next_step": found.next_step,
        "statement_at_bigquery": found.ran,
        "statement_recorded": found.recorded,
    }
