"""A review as reviewers are shown it."""

import difflib
import json
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from hoop_mitm.bigquery.waiting import parts_of
from hoop_mitm.identity.principal import Principal
from hoop_mitm.policy.reviews.deciding import Machines, objection
from hoop_mitm.policy.reviews.review import Review

GONE_AFTER: Final = timedelta(seconds=90)
"""A client that waits asks more often than this; one that has not asked for so long is taken for gone."""


MOST_LINES: Final = 2_000
"""Lines of a request that are compared with another: the time that takes grows with their square."""


def shown(review: Review, *, to: Principal, machines: Machines, now: datetime, before: Review | None) -> dict[str, Any]:
    """Everything that a reviewer looks at, as plain JSON values.

    Args:
        to: who looks.
        before: the last one of the same shape that ran.
    """
    held, grounds = review.held, review.grounds
    principal = held.session.principal
    refusal = objection(review, to, machines)
    return {
        **summary(review, now),
        "requester": {
            "name": str(principal),
            "issuer": principal.issuer,
            "subject": principal.subject,
            "kind": principal.kind,
            "groups": list(principal.groups),
        },
        "session": held.session.id,
        "agent": held.session.agent,
        "program": held.program,
        "user_agent": held.user_agent,
        "client_address": held.client_address,
        "location": held.location,
        "statement": held.statement,
        "configuration": parts_of(held.configuration.encode())[1] if held.configuration else None,
        "kinds": list(grounds.kinds),
        "tables": sorted({*grounds.tables, *grounds.referenced_tables}),
        "groups": list(grounds.groups),
        "approvals": [
            {"by": each.name, "at": each.at.isoformat(), "message": each.message} for each in review.approvals
        ],
        "policy": grounds.policy,
        "digest": review.digest,
        "execution": review.execution,
        "previous": _previous(review, before) if before else None,
        "you": {"may_decide": refusal is None and review.state == "PENDING", "why_not": str(refusal or "")},
    }


def summary(review: Review, now: datetime) -> dict[str, Any]:
    """What a list and a webhook say of a review; no statement."""
    held, grounds = review.held, review.grounds
    return {
        "id": review.id,
        "state": review.state,
        "change": review.change,
        "requested_at": review.requested_at.isoformat(),
        "expires_at": review.expires_at.isoformat(),
        "requester": str(held.session.principal),
        "connection": held.session.connection,
        "project": held.project,
        "job": held.job_id,
        "rule": grounds.rule,
        "reason": held.reason,
        "kinds": list(grounds.kinds),
        "tables": sorted({*grounds.tables, *grounds.referenced_tables}),
        "estimated_bytes": grounds.processed_bytes,
        "estimated_cost": f"{grounds.price:.6f}" if grounds.price is not None else None,
        "currency": grounds.currency,
        "approved": len(review.approvals),
        "min_approvals": grounds.min_approvals,
        "client": _client(review, now),
        "polled_at": review.polled_at.isoformat() if review.polled_at else None,
        "ended_at": review.ended_at.isoformat() if review.ended_at else None,
        "ended_by": review.ended_by,
        "message": review.outcome.message if review.outcome else "",
    }


def _client(review: Review, now: datetime) -> str | None:
    """Whether the client still waits; its job can be approved all the same, and asked for later by its id."""
    if not review.is_open:
        return None
    return "gone" if now - (review.polled_at or review.requested_at) > GONE_AFTER else "waiting"


def _previous(review: Review, before: Review) -> dict[str, Any]:
    return {
        "id": before.id,
        "requester": str(before.held.session.principal),
        "requested_at": before.requested_at.isoformat(),
        "approved_by": [each.name for each in before.approvals],
        "difference": "\n".join(difference(before, review)),
    }


def difference(before: Review, after: Review) -> Iterator[str]:
    """What is not the same in two requests, as lines of a unified diff; none where all is."""
    if before.held.statement is None and after.held.statement is not None:
        yield "The earlier one's statement is kept no more."
        return
    # Where the earlier request is kept no more, its statement may be.
    whole = bool(before.held.configuration and after.held.configuration)
    then, now = _lines(before, whole=whole), _lines(after, whole=whole)
    if then != now and max(len(then), len(now)) > MOST_LINES:
        yield f"They are not the same; one is longer than {MOST_LINES} lines, and is not compared line by line."
        return
    yield from difflib.unified_diff(
        then, now, f"approved {before.requested_at:%Y-%m-%d %H:%M}", "this request", lineterm=""
    )


def _lines(review: Review, *, whole: bool) -> list[str]:
    if not whole:
        return (review.held.statement or "").splitlines()
    configuration: Mapping[str, Any]
    statement, configuration = parts_of((review.held.configuration or "{}").encode())
    return [
        *statement.splitlines(),
        *json.dumps(configuration, indent=1, sort_keys=True, ensure_ascii=False).splitlines(),
    ]
